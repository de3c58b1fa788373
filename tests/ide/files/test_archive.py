"""An archive with a trap in it is refused by name, and nothing of it is written."""
import io
import zlib

import pytest

from hotpath.ide.errors import BadArchive
from tests.ide.files import places
from tests.ide.files.hostile import DEVICE, FOLDER, LINK, PIPE, Lie, archive, honest


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """With limits that are soon reached."""
    place = places.place(tmp_path_factory.mktemp("hostile"), limits=places.SMALL)
    (place.root / "d").mkdir()
    (place.root / "d/old").write_bytes(b"old")
    yield place
    place.files.close()


GOOD = Lie(b"good", b"good")
BOMB = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB_PACKED = BOMB.compress(bytes(10 * 1024 * 1024)) + BOMB.flush()

TRAPS = {
    "up": [Lie(b"../evil")],
    "up within": [Lie(b"a/../../evil")],
    "up and down": [Lie(b"a/../b")],
    "only up": [Lie(b"..")],
    "up folder": [Lie(b"../", b"")],
    "up behind a dot": [Lie(b"./../evil")],
    "absolute": [Lie(b"/tmp/evil")],
    "twice absolute": [Lie(b"//tmp/evil")],
    "windows path": [Lie(b"..\\evil", system=0)],
    "drive": [Lie(b"C:\\evil", system=0)],
    "backslash": [Lie(b"a\\b")],
    "link": [Lie(b"l", b"/etc/passwd", attributes=LINK)],
    "link, then through it": [Lie(b"l", b"/tmp", attributes=LINK), Lie(b"l/evil")],
    "link of another system": [Lie(b"l", b"/etc/passwd", attributes=LINK, system=0)],
    "pipe": [Lie(b"p", b"", attributes=PIPE)],
    "device": [Lie(b"p", b"", attributes=DEVICE)],
    "folder in the shape of a file": [Lie(b"d2", b"", attributes=FOLDER)],
    "file in the shape of a folder": [Lie(b"d2/", b"x")],
    "twice": [Lie(b"a"), Lie(b"a", b"y")],
    "twice with a dot": [Lie(b"a"), Lie(b"./a", b"y")],
    "folder twice": [Lie(b"a/", b"", attributes=FOLDER), Lie(b"a/", b"", attributes=FOLDER)],
    "file and folder": [Lie(b"a"), Lie(b"a/", b"", attributes=FOLDER)],
    "below a file": [Lie(b"a"), Lie(b"a/b/c")],
    "below a file that comes later": [Lie(b"a/b/c"), Lie(b"a")],
    "no name": [Lie(b"")],
    "empty name within": [Lie(b"a//b")],
    "NUL": [Lie(b"a\0b")],
    "NUL hides the end": [Lie(b"good.txt\0.exe")],
    "control character": [Lie(b"a\x1b[2J")],
    "newline": [Lie(b"a\nb")],
    "long name": [Lie(b"x" * 256)],
    "long path": [Lie(b"/".join([b"x" * 250] * 17))],
    "name that is no utf-8 although it says so": [Lie(b"\xff\xfe", flags=0x800)],
    "more bytes than it says": [Lie(b"a", b"12345", size=3, crc=zlib.crc32(b"123"))],
    "fewer bytes than it says": [Lie(b"a", b"12345", size=10)],
    "stored, more than it says": [Lie(b"a", b"12345", method=0, size=3, packed_size=5, crc=zlib.crc32(b"123"))],
    "stored, fewer": [Lie(b"a", b"12345", method=0, size=10, packed_size=5)],
    "something behind the end": [Lie(b"a", packed=zlib.compress(b"x")[2:-4] + b"more")],
    "cut off": [Lie(b"a", bytes(1000), packed_size=4)],
    "ends behind the archive": [Lie(b"a", method=0, packed_size=10**6, size=10**4)],
    "wrong checksum": [Lie(b"a", crc=1)],
    "no deflate": [Lie(b"a", packed=b"\xff\xff\xff\xff")],
    "bomb that says so": [Lie(b"a", bytes(10 * 1024 * 1024))],
    "bomb that lies": [Lie(b"a", b"x" * 100, packed=BOMB_PACKED, size=100)],
    "bomb of many": [Lie(b"%d" % i, bytes(4000)) for i in range(18)],
    "4 GiB that say 4 GiB": [Lie(b"a", size=2**32 - 2)],
    "encrypted": [Lie(b"a", flags=1)],
    "bzip2": [Lie(b"a", method=12)],
    "lzma": [Lie(b"a", method=14)],
    "unknown method": [Lie(b"a", method=99)],
    "another name where its contents are": [Lie(b"a", local_name=b"b")],
    "nothing where its contents are": [Lie(b"a", offset=7)],
    "offset behind the end": [Lie(b"a", offset=2**31)],
    "too many": [Lie(b"%d" % i, b"") for i in range(21)],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_refused_and_nothing_is_written(small, trap):
    before = places.tree(small.folder)
    for lies in ([GOOD, *TRAPS[trap]], [*TRAPS[trap], GOOD]):
        with pytest.raises(BadArchive) as caught:
            small.files.unzip(b"d", archive(*lies))
        assert caught.value.status == 422
        assert "nothing was written" in caught.value.detail
        assert isinstance(caught.value.members["entry"], str)
        assert places.tree(small.folder) == before
    assert small.room.used == [0, 0]


def test_the_bad_entry_is_named(small):
    for lies, name in (([GOOD, Lie(b"x/../evil")], "x/../evil"), ([GOOD, Lie(b"a", crc=1)], "a"),
                       ([Lie(b"a"), Lie(b"a/b")], "a/b")):
        with pytest.raises(BadArchive) as caught:
            small.files.unzip(b"", archive(*lies))
        assert caught.value.members["entry"] == name
        assert repr(name) in caught.value.detail


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x05\x06", b"PK\x05\x06" + bytes(18 - 1), b"PK\x03\x04" * 100,
                                  honest({"a": b"1"}).getvalue()[:-5], archive(GOOD).getvalue()[10:]],
                         ids=["nothing", "text", "an end", "an end alone", "heads", "cut", "beheaded"])
def test_what_is_no_archive_is_refused(small, data):
    with pytest.raises(BadArchive):
        small.files.unzip(b"", io.BytesIO(data))


def test_any_byte_may_be_wrong(small):
    data = archive(Lie(b"a/b", b"content" * 10), GOOD).getvalue()
    for i in range(len(data)):
        broken = bytearray(data)
        broken[i] ^= 0x41
        try:
            small.files.unzip(b"d", io.BytesIO(bytes(broken)))
        except BadArchive:
            continue
        small.files.delete(b"d", recursive=True)
        small.files.put(b"d/old", b"old", match=None, create=True, parents=True)


def test_a_directory_that_would_fill_the_memory_is_not_read(small, monkeypatch):
    monkeypatch.setattr("zipfile.ZipFile", None)
    with pytest.raises(BadArchive, match="100 entries"):
        small.files.unzip(b"", archive(*(Lie(b"%d" % i, b"") for i in range(100)), count=1))


def test_an_archive_within_an_archive_is_a_file(small):
    inner = archive(*(Lie(b"%d" % i, b"") for i in range(19))).getvalue()
    assert small.files.unzip(b"d", archive(Lie(b"inner.zip", inner, method=0))) == {"files": 1, "bytes": len(inner)}
    small.files.delete(b"d/inner.zip")


def test_names_that_differ_only_in_case_are_two(small):
    small.files.unzip(b"d", archive(Lie(b"n/README", b"1"), Lie(b"n/readme", b"2")))
    assert (small.root / "d/n/README").read_bytes() == b"1"
    assert (small.root / "d/n/readme").read_bytes() == b"2"
    small.files.delete(b"d/n", recursive=True)


def test_names_are_decoded_as_they_were_meant(small):
    small.files.make_dir(b"n")
    small.files.unzip(b"n", archive(
        Lie("ü".encode(), b"", flags=0x800), Lie("ä".encode(), b""), Lie(b"\x81.txt", b"", system=0), Lie(b"\xff", b""),
        Lie(b"./dot", b""), Lie(b"./", b"", attributes=FOLDER)))
    names = {entry["href"] for entry in small.files.listing(b"n")["entries"]}
    assert names == {"n/%C3%BC", "n/%C3%A4", "n/%C3%BC.txt", "n/%FF", "n/dot"}
    small.files.delete(b"n", recursive=True)
