"""The bytes that are sent are those that the ETag names."""
import hashlib
import os

import pytest

from hotpath.ide.errors import NotAFile, NotFound, OutsideProject
from hotpath.ide.files import reading
from hotpath.ide.files.reading import SNAPSHOT_BYTES, etag_of, read
from tests.ide.files import places


def test_an_etag_is_the_blake2b_128_of_the_content(place):
    (place.root / "f").write_bytes(b"content")
    file = place.files.open(b"f")
    assert file.etag == hashlib.blake2b(b"content", digest_size=16).hexdigest() == etag_of(b"content")
    assert file.size == 7
    assert file.mtime == pytest.approx((place.root / "f").stat().st_mtime)
    assert places.content(file) == b"content"


@pytest.mark.parametrize("size", [0, 1, SNAPSHOT_BYTES, SNAPSHOT_BYTES + 1, 3 * SNAPSHOT_BYTES])
def test_any_size_is_read_whole(place, size):
    (place.root / "f").write_bytes(data := os.urandom(size))
    file = place.files.open(b"f")
    assert (file.size, file.etag) == (size, etag_of(data))
    assert places.content(file) == data


def test_a_program_that_writes_meanwhile_does_not_change_what_is_sent(place):
    (place.root / "f").write_bytes(b"old")
    file = place.files.open(b"f")
    (place.root / "f").write_bytes(b"newer")
    assert places.content(file) == b"old"


def test_a_large_file_is_hashed_once_until_it_changes(place, monkeypatch):
    path = place.root / "f"
    path.write_bytes(bytes(SNAPSHOT_BYTES + 1))
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr(reading, "TICK_NS", 0)
    first = place.files.open(b"f")
    first.close()
    hashed = []
    monkeypatch.setattr(reading, "read", lambda *args: hashed.append(args) or read(*args))
    place.files.open(b"f").close()
    assert hashed == []
    path.write_bytes(bytes(SNAPSHOT_BYTES) + b"1")
    file = place.files.open(b"f")
    file.close()
    assert len(hashed) == 1
    assert file.etag != first.etag


def test_what_is_no_file_is_told_and_never_waited_for(place):
    (place.root / "d").mkdir()
    os.mkfifo(place.root / "pipe")
    os.symlink("/etc/passwd", place.root / "out")
    os.symlink("pipe", place.root / "to-pipe")
    for path in (b"d", b"pipe", b"to-pipe", b""):
        with pytest.raises(NotAFile):
            place.files.open(path)
    with pytest.raises(OutsideProject):
        place.files.open(b"out")
    for path in (b"nothing", b"d/nothing"):
        with pytest.raises(NotFound):
            place.files.open(path)
    (place.root / "f").touch()
    with pytest.raises(NotFound):
        place.files.open(b"f/x")


def test_no_descriptor_stays_open(place):
    (place.root / "f").write_bytes(b"1")
    (place.root / "d").mkdir()
    os.symlink("f", place.root / "l")
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"f", b"l"):
        place.files.open(path).close()
        place.files.put(path, b"2", match="*", create=False)
        place.files.history(path)
    for path in (b"d", b"d/x", b"x/x"):
        with pytest.raises((NotAFile, NotFound)):
            place.files.open(path)
    place.files.listing(b"", 3)
    place.files.copy(b"d", b"e")
    place.files.copy(b"l", b"k")
    place.files.move(b"f", b"g")
    b"".join(place.files.zip(b""))
    place.files.zip(b"").close()
    place.files.delete(b"e", recursive=True)
    assert len(os.listdir("/proc/self/fd")) == before
