"""Moves and copies, never over or into anything unasked."""
import os
import stat

import pytest

from hotpath.ide.errors import BadPath, Exists, IntoItself, NoRoom, NotAFile, NotAFolder, NotFound, OutsideProject
from hotpath.ide.files import moving
from tests.ide.files import places
from tests.ide.files.places import made, versions

BOTH = pytest.mark.parametrize("act", ["move", "copy"])


@pytest.fixture
def full(place, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    made(place, b"d/e/f", b"1")
    made(place, b"g", b"2")
    os.symlink("e/f", place.root / "d/l")
    os.symlink(tmp_path, place.root / "out")
    os.mkfifo(place.root / "d/pipe")
    return place


def without_pipes(place):
    (place.root / "d/pipe").unlink()
    return places.tree(place.root)


def test_a_file_a_folder_and_a_link_are_moved(full):
    full.files.move(b"g", b"d/h")
    full.files.move(b"d/l", b"k")
    full.files.move(b"d", b"x")
    (full.root / "x/pipe").unlink()
    (full.root / "out").unlink()
    assert places.tree(full.root) == {"x": None, "x/e": None, "x/e/f": b"1", "x/h": b"2", "k": "e/f"}


def test_a_file_a_folder_and_a_link_are_copied(full):
    os.chmod(full.root / "d/e/f", 0o755)
    full.files.copy(b"g", b"d/h")
    full.files.copy(b"out", b"d/out")
    full.files.copy(b"d", b"x")
    (full.root / "d/pipe").unlink()
    assert places.tree(full.root / "x") == places.tree(full.root / "d")
    assert stat.S_IMODE((full.root / "x/e/f").stat().st_mode) == 0o755
    assert (full.root / "x/e/f").stat().st_ino != (full.root / "d/e/f").stat().st_ino


@BOTH
def test_nothing_is_replaced_unasked(full, act):
    for target in (b"g", b"d", b"d/l", b"out", b"d/pipe"):
        with pytest.raises(Exists):
            getattr(full.files, act)(b"d/e/f", target)
    with pytest.raises(Exists):
        getattr(full.files, act)(b"g", b"g")
    with pytest.raises(Exists):
        getattr(full.files, act)(b"g", b"d", overwrite=True)


@BOTH
def test_a_file_is_replaced_when_asked_for_and_kept(full, act):
    getattr(full.files, act)(b"d/e/f", b"g", overwrite=True)
    assert (full.root / "g").read_bytes() == b"1"
    assert (full.root / "d/e/f").exists() is (act == "copy")
    assert versions(full, b"g") == [b"2"]
    getattr(full.files, act)(b"g", b"new", overwrite=True)
    assert (full.root / "new").read_bytes() == b"1"


@BOTH
def test_a_link_is_replaced_itself(full, act, tmp_path):
    getattr(full.files, act)(b"g", b"out", overwrite=True)
    assert (full.root / "out").read_bytes() == b"2"
    assert not (full.root / "out").is_symlink()
    assert (tmp_path / "secret").read_bytes() == b"secret"


@BOTH
def test_a_folder_does_not_go_into_itself(full, act):
    os.symlink("d/e", full.root / "to-e")
    for target in (b"d/x", b"d/e/x", b"to-e/x"):
        for overwrite in (False, True):
            with pytest.raises(IntoItself):
                getattr(full.files, act)(b"d", target, overwrite=overwrite)
    with pytest.raises(Exists):
        getattr(full.files, act)(b"d", b"d")
    assert without_pipes(full).keys() >= {"d/e/f"}


@BOTH
def test_what_cannot_be_is_told(full, act):
    call = getattr(full.files, act)
    with pytest.raises(NotFound):
        call(b"nothing", b"x")
    with pytest.raises(NotFound):
        call(b"g", b"nothing/x")
    with pytest.raises(NotAFolder):
        call(b"d", b"g/x")
    with pytest.raises(OutsideProject):
        call(b"g", b"out/x")
    with pytest.raises(OutsideProject):
        call(b"out/secret", b"x")
    for source, target in ((b"", b"x"), (b"g", b""), (b"g", b"a\nb")):
        with pytest.raises(BadPath):
            call(source, target)


def test_a_pipe_is_not_copied(full):
    with pytest.raises(NotAFile):
        full.files.copy(b"d/pipe", b"x")


def test_a_copy_needs_room(tmp_path):
    place = places.place(tmp_path, room=(room := places.Room(10, 5)))
    made(place, b"d/f", b"123456")
    for source in (b"d", b"d/f"):
        with pytest.raises(NoRoom):
            place.files.copy(source, b"x")
    assert room.used == [6, 2]
    assert place.leftovers == []
    assert os.listdir(place.root) == ["d"]
    place.files.close()


def test_a_move_over_a_second_name_of_the_same_file_leaves_one(place):
    made(place, b"f", b"1")
    os.link(place.root / "f", place.root / "g")
    place.files.move(b"f", b"g", overwrite=True)
    assert places.tree(place.root) == {"g": b"1"}


def test_a_move_to_where_it_is_changes_nothing(place):
    made(place, b"f", b"1")
    place.files.move(b"f", b"f", overwrite=True)
    assert places.tree(place.root) == {"f": b"1"}


def test_a_target_that_becomes_a_folder_meanwhile_is_given_back(full, monkeypatch):
    real = moving.exchange

    def become(*args):
        monkeypatch.setattr(moving, "exchange", real)
        (full.root / "g").unlink()
        (full.root / "g").mkdir()
        (full.root / "g/inner").write_bytes(b"inner")
        real(*args)

    monkeypatch.setattr(moving, "exchange", become)
    with pytest.raises(Exists):
        full.files.move(b"d/e/f", b"g", overwrite=True)
    assert (full.root / "g/inner").read_bytes() == b"inner"
    assert (full.root / "d/e/f").read_bytes() == b"1"


def test_a_source_that_changes_while_it_is_copied_is_left_out(full, monkeypatch):
    real = moving.walk

    def walk(top):
        found = list(real(top))
        (full.root / "d/e/f").unlink()
        os.symlink("../../out/secret", full.root / "d/e/f")
        return found

    monkeypatch.setattr(moving, "walk", walk)
    full.files.copy(b"d", b"x")
    assert places.tree(full.root / "x") == {"e": None, "l": "e/f"}


def test_of_a_missing_source_and_a_bad_target_the_source_is_told(place):
    places.made(place, b"a", b"1")
    for act in (place.files.move, place.files.copy):
        with pytest.raises(NotFound, match="there is no b"):
            act(b"b", b"a/a")
