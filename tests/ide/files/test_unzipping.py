"""An archive comes in as a whole or not at all."""
import errno
import io
import os
import stat
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.ide.errors import BadArchive, NoRoom, NotAFile, NotAFolder, NotFound, OutsideProject
from hotpath.ide.files import unzipping
from tests.ide.files import places
from tests.ide.files.hostile import Lie, archive, honest
from tests.ide.files.places import made, versions

FILES = {"a": b"1", "d/b": b"2", "d/e/c": b"3" * 100_000, "empty/": b""}


def test_files_and_folders_come_in(place):
    assert place.files.unzip(b"", honest(FILES)) == {"files": 3, "bytes": 100_002}
    assert places.tree(place.root) == {"a": b"1", "d": None, "d/b": b"2", "d/e": None, "d/e/c": b"3" * 100_000,
                                       "empty": None}
    assert stat.S_IMODE((place.root / "d").stat().st_mode) == 0o755


def test_into_a_folder_and_through_an_inner_link(place):
    place.files.make_dir(b"to")
    os.symlink("to", place.root / "l")
    place.files.unzip(b"l", honest({"a": b"1"}))
    assert places.tree(place.root) == {"to": None, "to/a": b"1", "l": "to"}


def test_modes_come_in_without_set_uid(place):
    place.files.unzip(b"", archive(Lie(b"run", attributes=0o104755 << 16), Lie(b"closed", attributes=0o100000 << 16),
                                   Lie(b"dos", attributes=0, system=0)))
    modes = {name: stat.S_IMODE((place.root / name).stat().st_mode) for name in ("run", "closed", "dos")}
    assert modes == {"run": 0o755, "closed": 0o644, "dos": 0o644}


def test_what_stands_there_is_replaced_and_kept(place):
    made(place, b"d/b", b"old")
    made(place, b"d/other", b"other")
    (place.root / "a").write_bytes(b"program")
    place.files.unzip(b"", honest(FILES))
    assert places.tree(place.root) == {"a": b"1", "d": None, "d/b": b"2", "d/other": b"other", "d/e": None,
                                       "d/e/c": b"3" * 100_000, "empty": None}
    assert versions(place, b"d/b") == [b"old"]
    assert versions(place, b"a") == [b"program"]


@pytest.mark.parametrize("conflict", ["folder for a file", "file for a folder", "link for a file", "link for a folder"])
def test_what_cannot_be_replaced_is_named_and_all_is_as_it_was(place, conflict, tmp_path):
    made(place, b"a", b"old")
    made(place, b"d/other", b"other")
    if conflict == "folder for a file":
        made(place, b"d/b/x", b"x")
    elif conflict == "file for a folder":
        made(place, b"d/e", b"x")
    elif conflict == "link for a file":
        os.symlink("../a", place.root / "d/b")
    else:
        os.symlink(tmp_path, place.root / "d/e")
    before = places.tree(place.root)
    with pytest.raises((NotAFile, NotAFolder), match=r"d/[be] is no .*nothing was written"):
        place.files.unzip(b"", honest(FILES))
    assert places.tree(place.root) == before
    assert os.listdir(tmp_path) == ["project"]


@pytest.mark.parametrize("after", range(4))
def test_whatever_step_fails_all_is_as_it_was(place, monkeypatch, after):
    made(place, b"a", b"old")
    made(place, b"d/b", b"old")
    before = places.tree(place.root)
    left = [after]

    def failing(real):
        def act(*args):
            if left[0] == 0:
                left[0] = -1
                raise OSError(errno.ENOSPC, "full")
            left[0] -= 1
            real(*args)
        return act

    for name in ("exchange", "rename_new"):
        monkeypatch.setattr(unzipping, name, failing(getattr(unzipping, name)))
    with pytest.raises(NoRoom):
        place.files.unzip(b"", honest(FILES))
    assert places.tree(place.root) == before


def test_where_to_must_be_a_folder(place):
    made(place, b"f", b"")
    os.symlink("..", place.root / "out")
    for path, refusal in ((b"f", NotAFolder), (b"nothing", NotFound), (b"out", OutsideProject)):
        with pytest.raises(refusal):
            place.files.unzip(path, honest(FILES))


def test_an_archive_needs_room(tmp_path):
    place = places.place(tmp_path, room=(room := places.Room(100, 3)))
    with pytest.raises(NoRoom):
        place.files.unzip(b"", honest({"a": bytes(101)}))
    with pytest.raises(NoRoom):
        place.files.unzip(b"", honest(dict.fromkeys("abcd", b"")))
    assert room.used == [0, 0]
    assert os.listdir(place.root) == place.leftovers == []
    place.files.unzip(b"", honest({"a": bytes(100)}))
    assert room.used == [100, 1]
    place.files.close()


SEGMENT = st.text("ab.ü 1", min_size=1, max_size=3).filter(lambda text: text not in (".", ".."))
NAMES = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60)
@given(files=st.dictionaries(NAMES, st.binary(max_size=300), max_size=6), level=st.sampled_from([0, 8]))
def test_it_unpacks_what_zipfile_unpacks(tmp_path_factory, files, level):
    files = {name: data for name, data in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", level) as made_by_zipfile:
        for name, data in files.items():
            made_by_zipfile.writestr(name, data)
    top = tmp_path_factory.mktemp("unzip")
    place = places.place(top / "project")
    try:
        place.files.unzip(b"", packed)
        zipfile.ZipFile(packed).extractall(top / "twin")
        assert places.tree(place.root) == (places.tree(top / "twin"))
    finally:
        place.files.close()


def test_folders_that_have_no_entry_are_counted(tmp_path):
    place = places.place(tmp_path / "project", limits=places.SMALL)
    with pytest.raises(BadArchive, match="more than 20 files and folders"):
        place.files.unzip(b"", honest({"d/" * 1000 + "f": b""}))
    assert places.tree(place.root) == {}
    place.files.unzip(b"", honest({"a/b/c/f": b"1", "a/b/g": b"2"}))
    assert place.room.used == [2, 5]
    place.files.unzip(b"", honest({"a/b/c/f": b"3"}))
    assert place.room.used == [2, 5]
    place.files.close()
