"""A manifest comes back as it went, and nothing else is taken for one."""
import contextlib
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.backup.manifest import Damaged, Entry, Manifest, decoded, encoded, number_of

HASH = hashlib.blake2b(digest_size=32).hexdigest()
BLOB = {"blob": HASH, "mode": 0o644, "size": 0}
GOOD = {"template": "python", "run": None, "files": {
    "a": BLOB, "d/e/f": BLOB, "d": {"dir": 1, "mode": 0o700}, "l": {"link": "/etc/passwd"}, "empty": {"dir": 1}}}

NAME = st.binary(min_size=1, max_size=8).filter(lambda name: not {*b"/\0"} & {*name} and name not in (b".", b".."))
ENTRY = st.one_of(
    st.builds(lambda mode, size: Entry(blob=HASH, mode=mode, size=size), st.integers(0, 0o777), st.integers(0, 2**40)),
    st.builds(lambda target: Entry(link=os.fsdecode(target)), NAME),
    st.builds(lambda mode: Entry(dir=1, mode=mode), st.none() | st.integers(0, 0o777)))


@given(st.dictionaries(NAME.map(os.fsdecode), ENTRY, max_size=5), st.none() | st.text(max_size=10).filter(str.isascii))
def test_it_comes_back_as_it_went(files, run):
    manifest = Manifest("python", run, files)
    assert decoded(encoded(manifest)) == manifest


def test_a_good_one_is_taken():
    assert decoded(json.dumps(GOOD).encode()).n_files == 2


@pytest.mark.parametrize("path", [
    "../evil", "/evil", "a2/../../evil", "a2//b", "", ".", "..", "a2/", "a2\0b", "x" * 256, "y/" * 2048 + "z", "\ud800",
    "\udcc3\udcbc", "l/evil", "a/evil", "l/x/evil", "x/./y"])
@pytest.mark.parametrize("entry", [BLOB, {"dir": 1}, {"link": "x"}])
def test_a_path_that_no_request_could_name_is_refused(path, entry):
    with pytest.raises(Damaged):
        decoded(json.dumps({**GOOD, "files": {**GOOD["files"], path: entry}}).encode())


@pytest.mark.parametrize("entry", [
    {**BLOB, "mode": 0o4755}, {**BLOB, "mode": -1}, {**BLOB, "size": -1}, {**BLOB, "size": True}, {**BLOB, "size": 1.5},
    {**BLOB, "blob": "../../x"}, {**BLOB, "blob": HASH.replace("0", "O")}, {**BLOB, "blob": HASH + "\n"},
    {**BLOB, "blob": HASH.upper()}, {**BLOB, "link": "x"}, {**BLOB, "dir": 1}, {**BLOB, "x": 1}, {"blob": HASH}, {},
    {"dir": 2}, {"dir": 0}, {"dir": True}, {"link": ""}, {"link": "a\0b"}, {"link": "x" * 4096}, {"link": 1},
    {"link": "x", "mode": 1}, {"mode": 1}, "x", None, []])
def test_an_entry_that_is_none_is_refused(entry):
    with pytest.raises(Damaged):
        decoded(json.dumps({**GOOD, "files": {"evil": entry}}).encode())


@pytest.mark.parametrize("data", [
    b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b'{"template":"python"}', b'{"template":"p","run":null}',
    b'{"template":"../x","run":null,"files":{}}', b'{"template":"p","run":1,"files":{}}',
    b'{"template":"p","run":null,"files":[]}', b'{"template":"p\\n","run":null,"files":{}}'])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(Damaged):
        decoded(data)


@given(st.binary(max_size=60))
def test_bytes_from_anywhere_are_a_manifest_or_damaged(data):
    with contextlib.suppress(Damaged):
        decoded(data)


@pytest.mark.parametrize(("name", "number"), [
    ("00000001.json", 1), ("12345678.json", 12345678), ("1.json", None), ("000000010.json", None), ("00000001", None),
    ("00000001.json\n", None), ("-0000001.json", None), ("x/00000001.json", None)])
def test_the_number_is_in_the_name(name, number):
    assert number_of(name) == number
