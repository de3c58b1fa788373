"""Which file does a path mean? Nothing outside the folder, whatever the path; the right part, whatever the range."""
from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.site import Found, Site, Wanted, content_type

SECRET = b"root:x:0:0"
TEXT = b"0123456789"
NOTHING = Wanted()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `www`, and beside it what must never be sent."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "secret").write_bytes(SECRET)
    (folder / "www-too").mkdir()
    (folder / "www-too" / "secret").write_bytes(SECRET)
    www = folder / "www"
    (www / "sub" / "deep").mkdir(parents=True)
    for name in ("index.html", "a.txt", "sub/index.html", "sub/deep/b.txt", "ü.txt", "sp ace.txt", "%2e%2e", "a%2fb"):
        (www / name).write_bytes(TEXT)
    (www / "empty").touch()
    (www / "inner").symlink_to("sub/deep")
    (www / "inner.txt").symlink_to(www / "a.txt")
    (www / "out").symlink_to("..")
    (www / "out.txt").symlink_to("../secret")
    (www / "hop").symlink_to("out.txt")
    (www / "neighbour").symlink_to("../www-too")
    (www / "loop").symlink_to("loop")
    (www / "gone").symlink_to("nowhere")
    (www / "sub" / "out").symlink_to("/etc")
    os.mkfifo(www / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(www / "socket"))
    (www / "null").symlink_to("/dev/null")
    return www


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    before = len(os.listdir("/proc/self/fd"))
    yield Site(str(root))
    assert len(os.listdir("/proc/self/fd")) == before       # whatever was asked, no descriptor stays behind


def sent(found: Found) -> bytes:
    """The bytes of an answer, whose descriptor is closed."""
    if found.fd < 0:
        return b""
    try:
        return os.pread(found.fd, found.size, found.offset)
    finally:
        os.close(found.fd)


@pytest.mark.parametrize("path", [
    b"/a.txt", b"/sub/deep/b.txt", b"/sub/deep//b.txt", b"//a.txt", b"/%61.txt", b"/%C3%BC.txt", b"/sp%20ace.txt", b"/",
    b"/sub/", b"/inner/b.txt", b"/inner.txt", b"/%252e%252e", b"/sub%2fdeep%2Fb.txt", b"/a%252fb",
])
def test_what_is_there_is_sent(site: Site, path: bytes) -> None:
    found = site.find(path, NOTHING)
    assert (found.status, sent(found)) == (200, TEXT)


PARENTS = [
    b"..", b"%2e%2e", b"%2E.", b".%2e", b"..%2f", b"%2e%2e%2f", b"..%5c", b"....", b"%252e%252e", b"..;", b"..%00",
    b"%c0%ae%c0%ae",
]
STEPS = [
    *PARENTS, b"", b".", b"sub", b"out", b"neighbour", b"secret", b"www-too", b"www", b"etc", b"passwd", b"hop", b"~",
    b"out.txt", b"null", b"fifo", b"socket", b"loop", b"gone", b"a.txt", b"%2fetc%2fpasswd", b"proc", b"self",
]


@settings(deadline=None, max_examples=400)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=6))
def test_nothing_outside_is_ever_sent(root: Path, steps: list[bytes]) -> None:
    for fallback in (None, "index.html"):
        found = Site(str(root), fallback=fallback).find(b"/" + b"/".join(steps), NOTHING)
        assert found.status in (200, 301, 404)
        if found.fd >= 0:
            assert Path(os.readlink(f"/proc/self/fd/{found.fd}")).is_relative_to(root.resolve())
            assert sent(found) in (TEXT, b"")


@pytest.mark.parametrize("path", [
    b"/out/secret", b"/out.txt", b"/hop", b"/neighbour/secret", b"/neighbour", b"/out", b"/sub/out", b"/sub/out/passwd",
    b"/null", b"/fifo", b"/socket", b"/loop", b"/gone", b"/a.txt/", b"/a.txt/x", b"/a.txt%00.html", b"/inner/",
    b"/none", b"/" + b"a" * 300, b"/" + b"a/" * 3000, b"/../secret", b"/sub/../a.txt",
])
def test_what_is_not_for_sale_is_404(site: Site, path: bytes) -> None:
    assert site.find(path, NOTHING) == Found(404)


def test_a_root_that_is_a_link_is_what_it_points_at(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert sent(Site(str(tmp_path / "link")).find(b"/a.txt", NOTHING)) == TEXT


@pytest.mark.parametrize("path", [b"/sub", b"/inner", b"/sub/deep"])
def test_a_folder_without_its_slash_is_301(site: Site, path: bytes) -> None:
    assert site.find(path, NOTHING) == Found(301)


@pytest.mark.parametrize("path", [b"/none", b"/sub/none/", b"/out.txt"])
def test_the_fallback_stands_in_for_what_is_not_there(root: Path, path: bytes) -> None:
    found = Site(str(root), fallback="index.html").find(path, NOTHING)
    assert dict(found.fields)["Content-Type"] == "text/html; charset=utf-8"
    assert (found.status, sent(found)) == (200, TEXT)


@pytest.mark.parametrize(("asked", "start", "stop"), [
    ("bytes=0-0", 0, 1), ("bytes=0-", 0, 10), ("bytes=3-5", 3, 6), ("bytes=9-", 9, 10), ("bytes=5-999", 5, 10),
    ("bytes=-1", 9, 10), ("bytes=-10", 0, 10), ("bytes=-999", 0, 10), ("BYTES=1-2", 1, 3), ("bytes=007-8", 7, 9),
])
def test_one_range_is_sent_alone(site: Site, asked: str, start: int, stop: int) -> None:
    found = site.find(b"/a.txt", Wanted(range=asked))
    assert found.status == 206
    assert dict(found.fields)["Content-Range"] == f"bytes {start}-{stop - 1}/10"
    assert sent(found) == TEXT[start:stop]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=" + "9" * 18 + "-"])
def test_a_range_beyond_the_end_is_416(site: Site, asked: str) -> None:
    assert site.find(b"/a.txt", Wanted(range=asked)) == Found(416, (("Content-Range", "bytes */10"),))


@pytest.mark.parametrize("asked", [
    "", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=1 - 2",
    "bytes=--1", "bytes=+1-2", "bytes=0x1-", "bytes=\u00b2-", "bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000,
])
def test_a_range_that_we_do_not_do_is_the_whole_file(site: Site, asked: str) -> None:
    found = site.find(b"/a.txt", Wanted(range=asked))
    assert (found.status, sent(found)) == (200, TEXT)


def test_no_range_of_an_empty_file_can_be_met(site: Site) -> None:
    assert site.find(b"/empty", Wanted(range="bytes=0-")).status == 416
    assert sent(site.find(b"/empty", NOTHING)) == b""


def facts(site: Site, path: bytes = b"/a.txt") -> dict[str, str]:
    found = site.find(path, NOTHING)
    sent(found)
    return dict(found.fields)


@pytest.mark.parametrize("spelled", ["{}", "W/{}", '"other", {}', '{}, "other"', 'W/"other",W/{}', "*", " * "])
def test_a_copy_with_the_same_tag_is_fresh(site: Site, spelled: str) -> None:
    tag = facts(site)["ETag"]
    found = site.find(b"/a.txt", Wanted(if_none_match=spelled.format(tag), range="bytes=0-1"))
    assert (found.status, found.fd) == (304, -1)
    assert dict(found.fields)["ETag"] == tag


@pytest.mark.parametrize("given", ['"other"', 'W/"other"', "", "nonsense", '"', "**"])
def test_a_copy_with_another_tag_is_not_whatever_its_date(site: Site, given: str) -> None:
    found = site.find(b"/a.txt", Wanted(if_none_match=given, if_modified_since=formatdate(2**32, usegmt=True)))
    assert (found.status, sent(found)) == (200, TEXT)


@pytest.mark.parametrize(("shift_s", "status"), [(0, 304), (1, 304), (-1, 200)])
def test_a_copy_is_as_fresh_as_its_date(site: Site, root: Path, shift_s: int, status: int) -> None:
    date = formatdate(int((root / "a.txt").stat().st_mtime) + shift_s, usegmt=True)
    found = site.find(b"/a.txt", Wanted(if_modified_since=date))
    sent(found)
    assert found.status == status


def test_a_date_without_a_zone_is_one_of_gmt(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modified = time.gmtime((root / "a.txt").stat().st_mtime)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = site.find(b"/a.txt", Wanted(if_modified_since=time.asctime(modified)))
        hour_before = time.gmtime((root / "a.txt").stat().st_mtime - 3600)
        earlier = site.find(b"/a.txt", Wanted(if_modified_since=time.asctime(hour_before)))
    finally:
        monkeypatch.undo()
        time.tzset()
    sent(earlier)
    assert (found.status, earlier.status) == (304, 200)


def test_a_changed_file_has_another_tag(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "x"
    tags = set()
    for text in ("a", "b", "ab"):
        file.write_text(text)
        os.utime(file, ns=(0, 1_000_000_000 + len(tags)))
        tags.add(facts(Site(str(tmp_path)), b"/x")["ETag"])
    assert len(tags) == 3


def test_a_part_is_sent_only_of_the_copy_the_client_has(site: Site) -> None:
    now = facts(site)
    cases = [(now["ETag"], 206), (now["Last-Modified"], 206), (f"W/{now['ETag']}", 200), ('"x"', 200),
             (formatdate(0, usegmt=True), 200)]
    for condition, status in cases:
        found = site.find(b"/a.txt", Wanted(range="bytes=0-1", if_range=condition))
        sent(found)
        assert found.status == status


ANY = st.one_of(st.none(), st.text(st.characters(max_codepoint=255), max_size=40),
                st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True),
                st.sampled_from(["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT", "0", "Mon, 1 Jan"]))


@settings(deadline=None)
@given(wanted=st.builds(Wanted, range=ANY, if_range=ANY, if_none_match=ANY, if_modified_since=ANY))
def test_whatever_the_fields_say_the_answer_is_one_of_these(root: Path, wanted: Wanted) -> None:
    found = Site(str(root)).find(b"/a.txt", wanted)
    assert found.status in (200, 206, 304, 416)
    assert sent(found) == (TEXT[found.offset:found.offset + found.size] if found.fd >= 0 else b"")


@pytest.mark.parametrize(("name", "kind"), [
    ("a.html", "text/html; charset=utf-8"), ("a.css", "text/css; charset=utf-8"), ("a.png", "image/png"),
    ("a.json", "application/json; charset=utf-8"), ("a.svg", "image/svg+xml"), ("a.tar.gz", "application/octet-stream"),
    ("a", "application/octet-stream"), ("x/y.txt", "text/plain; charset=utf-8"),
])
def test_a_type_comes_from_the_extension(name: str, kind: str) -> None:
    assert content_type(name) == kind
