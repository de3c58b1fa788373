"""A folder goes out as an archive that every unpacker reads."""
import io
import os
import subprocess
import zipfile

import pytest

from hotpath.ide.errors import NotAFolder, NotFound, OutsideProject
from hotpath.ide.files.zipping import CHUNK_BYTES
from tests.ide.files import places
from tests.ide.files.places import made


def packed(place, path=b"", **options):
    return b"".join(place.files.zip(path, **options))


def opened(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


@pytest.fixture
def full(place, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    made(place, b"d/e/f", b"1" * 1000)
    made(place, "d/ü 日本".encode(), b"")
    made(place, b".venv/bin/python", b"\x7fELF")
    made(place, b"d/.venv/x", b"x")
    made(place, b"large", os.urandom(3 * CHUNK_BYTES + 1))
    (place.root / "empty").mkdir()
    os.chmod(place.root / "d/e/f", 0o755)
    os.symlink("d", place.root / "l")
    os.symlink(tmp_path, place.root / "out")
    os.mkfifo(place.root / "pipe")
    return place


def test_files_and_folders_go_out_but_no_links_pipes_and_ignored_folders(full):
    archive = opened(packed(full))
    assert set(archive.namelist()) == {"d/", "d/e/", "d/e/f", "d/ü 日本", "large", "empty/"}
    assert archive.read("large") == (full.root / "large").read_bytes()
    assert archive.getinfo("d/e/f").external_attr >> 16 == 0o100755
    assert archive.getinfo("d/e/f").compress_size < 100


def test_all_is_all_but_links(full):
    assert {".venv/bin/python", "d/.venv/x"} <= set(opened(packed(full, all=True)).namelist())
    assert not {"l", "out"} & set(opened(packed(full, all=True)).namelist())


def test_names_are_relative_to_the_folder(full):
    assert set(opened(packed(full, b"d")).namelist()) == {"e/", "e/f", "ü 日本"}
    assert set(opened(packed(full, b"l")).namelist()) == {"e/", "e/f", "ü 日本"}


def test_what_cannot_be_packed_is_told_before_the_first_byte(full):
    for path, refusal in ((b"large", NotAFolder), (b"nothing", NotFound), (b"out", OutsideProject)):
        with pytest.raises(refusal):
            full.files.zip(path)


def test_other_unpackers_agree(full, tmp_path):
    (tmp_path / "a.zip").write_bytes(packed(full))
    done = subprocess.run(["python3", "-m", "zipfile", "-e", "a.zip", "to"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    for path in ("l", "out", "pipe", "d/.venv/x"):
        os.unlink(full.root / path)
    os.rmdir(full.root / "d/.venv")
    full.files.delete(b".venv", recursive=True)
    assert places.tree(tmp_path / "to") == places.tree(full.root)


def test_what_went_out_comes_in_again_whatever_its_names_are(full):
    made(full, b"\xff\xfe/\x80", b"bytes")
    made(full, b"%41", b"percent")
    data = packed(full)
    full.files.make_dir(b"in")
    full.files.unzip(b"in", io.BytesIO(data))
    inside, sent = opened(packed(full, b"in")), opened(data)
    assert inside.namelist() == sent.namelist()
    assert all(inside.read(name) == sent.read(name) for name in sent.namelist())
    assert (os.fsencode(full.root) + b"/in/\xff\xfe/\x80") in list(walked(full.root / "in"))
    assert (full.root / "in/d/e/f").stat().st_mode & 0o777 == 0o755


def walked(top):
    for above, _, names in os.walk(os.fsencode(top)):
        for name in names:
            yield above + b"/" + name


def test_times_that_no_archive_has_become_the_nearest(place):
    for name, when in (("old", 0), ("new", 2**33)):
        (place.root / name).touch()
        os.utime(place.root / name, (when, when))
    archive = opened(packed(place))
    assert archive.getinfo("old").date_time[0] == 1980
    assert archive.getinfo("new").date_time[0] == 2107


def test_a_file_that_grows_or_goes_meanwhile_does_no_harm(place):
    made(place, b"a", bytes(2 * CHUNK_BYTES))
    made(place, b"b", b"gone")
    pieces = place.files.zip(b"")
    data = next(pieces)
    with open(place.root / "a", "ab") as file:
        file.write(bytes(CHUNK_BYTES * 10))
    (place.root / "b").unlink()
    archive = opened(data + b"".join(pieces))
    assert archive.namelist() == ["a"]
