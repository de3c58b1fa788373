"""The tree: folders first, links listed and never entered, bounded."""
import os

import pytest

from hotpath.ide.errors import NotAFolder, NotFound, OutsideProject
from tests.ide.files import places


def names(listing):
    return [entry["name"] for entry in listing["entries"]]


def test_folders_come_first_then_names(place):
    for name in ("z", "b"):
        (place.root / name).mkdir()
    for name in ("a", "y", ".hidden"):
        (place.root / name).write_text(name)
    listing = place.files.listing(b"")
    assert names(listing) == ["b", "z", ".hidden", "a", "y"]
    assert listing["path"] == ""
    assert listing["truncated"] is False


def test_an_entry_says_what_it_is(place):
    (place.root / "d").mkdir()
    (place.root / "d/ü b").write_text("four")
    os.utime(place.root / "d/ü b", ns=(0, 1_700_000_000_123_000_000))
    assert place.files.listing(b"d") == {"path": "d", "truncated": False, "entries": [
        {"name": "ü b", "path": "d/ü b", "href": "d/%C3%BC%20b", "kind": "file", "size": 4,
         "mtime": "2023-11-14T22:13:20.123Z"}]}


def test_links_and_pipes_are_listed_as_such(place):
    (place.root / "d/inner").mkdir(parents=True)
    os.symlink("d", place.root / "to-d")
    os.symlink("/", place.root / "out")
    os.mkfifo(place.root / "pipe")
    listing = place.files.listing(b"", 5)
    assert {entry["path"]: entry["kind"] for entry in listing["entries"]} == {
        "d": "dir", "d/inner": "dir", "to-d": "link", "out": "link", "pipe": "other"}


def test_an_inner_link_can_be_asked_for(place):
    (place.root / "d").mkdir()
    (place.root / "d/f").write_text("")
    os.symlink("d", place.root / "to-d")
    assert [entry["path"] for entry in place.files.listing(b"to-d")["entries"]] == ["to-d/f"]


def test_depth_goes_level_by_level(place):
    (place.root / "a/b/c").mkdir(parents=True)
    (place.root / "z").mkdir()
    (place.root / "a/f").write_text("")
    assert [entry["path"] for entry in place.files.listing(b"", 2)["entries"]] == ["a", "z", "a/b", "a/f"]


def test_a_name_that_is_no_utf8_can_be_asked_for(place):
    os.mkdir(os.fsencode(place.root) + b"/\xff")
    entry = place.files.listing(b"")["entries"][0]
    assert entry["name"] == "\N{REPLACEMENT CHARACTER}"
    assert entry["href"] == "%FF"
    assert place.files.listing(b"\xff")["entries"] == []


def test_more_than_the_limit_is_cut_off(tmp_path):
    place = places.place(tmp_path, limits=places.SMALL)
    (place.root / "zz").mkdir()
    for i in range(80):
        (place.root / f"{i:03}").touch()
    listing = place.files.listing(b"", 3)
    assert listing["truncated"] is True
    assert names(listing) == ["zz", *(f"{i:03}" for i in range(49))]
    place.files.close()


def test_exactly_the_limit_is_not_cut_off(tmp_path):
    place = places.place(tmp_path, limits=places.SMALL)
    for i in range(50):
        (place.root / f"{i:03}").touch()
    assert place.files.listing(b"", 3)["truncated"] is False
    place.files.close()


def test_what_cannot_be_listed_is_told(place):
    (place.root / "f").touch()
    os.symlink("..", place.root / "out")
    with pytest.raises(NotAFolder):
        place.files.listing(b"f")
    with pytest.raises(NotFound):
        place.files.listing(b"nothing")
    with pytest.raises(OutsideProject):
        place.files.listing(b"out")
