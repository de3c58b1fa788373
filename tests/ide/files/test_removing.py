"""Deletes take one step, and whatever came out is looked at."""
import os
import subprocess

import pytest

from hotpath.ide.errors import BadPath, NotEmpty, NotFound, OutsideProject, Stale
from hotpath.ide.files import removing
from tests.ide.files import places
from tests.ide.files.places import made, versions


def test_a_file_is_deleted(place):
    made(place, b"f", b"1")
    place.files.delete(b"f")
    assert places.tree(place.root) == {}
    with pytest.raises(NotFound):
        place.files.delete(b"f")
    assert place.room.used == [0, 0]


def test_a_link_itself_is_deleted(place, tmp_path):
    (tmp_path / "secret").write_bytes(b"1")
    made(place, b"f", b"1")
    os.symlink("f", place.root / "l")
    os.symlink(tmp_path / "secret", place.root / "out")
    os.symlink(tmp_path, place.root / "folder")
    for path in (b"l", b"out", b"folder"):
        place.files.delete(path, recursive=True)
    assert places.tree(place.root) == {"f": b"1"}
    assert (tmp_path / "secret").exists()
    os.symlink(tmp_path, place.root / "folder")
    with pytest.raises(OutsideProject):
        place.files.delete(b"folder/secret")


def test_a_full_folder_is_deleted_only_when_asked_for(place):
    made(place, b"d/e/f", b"1")
    with pytest.raises(NotEmpty):
        place.files.delete(b"d")
    place.files.delete(b"d", recursive=True)
    (place.root / "empty").mkdir()
    place.files.delete(b"empty")
    assert places.tree(place.root) == {}


def test_the_project_itself_stays(place):
    with pytest.raises(BadPath):
        place.files.delete(b"", recursive=True)


def test_only_what_was_seen_is_deleted(place):
    etag = made(place, b"f", b"1")
    made(place, b"d/f", b"1")
    with pytest.raises(Stale) as caught:
        place.files.delete(b"f", match="0" * 32)
    assert caught.value.etag == etag
    with pytest.raises(Stale):
        place.files.delete(b"d", recursive=True, match=etag)
    place.files.delete(b"f", match=etag)
    assert places.tree(place.root) == {"d": None, "d/f": b"1"}


def test_a_program_that_wrote_until_the_delete_keeps_its_file(place, monkeypatch):
    etag = made(place, b"f", b"1")
    real = removing.Remover._take_out

    def take_out(self, spot):
        (place.root / "f").write_bytes(b"program")
        return real(self, spot)

    monkeypatch.setattr(removing.Remover, "_take_out", take_out)
    with pytest.raises(Stale):
        place.files.delete(b"f", match=etag)
    assert places.tree(place.root) == {"f": b"program"}


def test_a_file_that_became_a_folder_is_not_deleted_unasked(place, monkeypatch):
    made(place, b"f", b"1")
    real = removing.Remover._take_out

    def take_out(self, spot):
        if (place.root / "f").is_file():
            (place.root / "f").unlink()
            (place.root / "f").mkdir()
            (place.root / "f/g").write_bytes(b"inner")
        return real(self, spot)

    monkeypatch.setattr(removing.Remover, "_take_out", take_out)
    with pytest.raises(NotEmpty):
        place.files.delete(b"f")
    assert (place.root / "f/g").read_bytes() == b"inner"


def test_pipes_and_second_names_are_deleted(place):
    os.mkfifo(place.root / "pipe")
    place.files.delete(b"pipe")
    made(place, b"f", b"1")
    os.link(place.root / "f", place.root / "g")
    place.files.delete(b"f")
    (place.root / "g").write_bytes(b"2")
    assert versions(place, b"f") == [b"1"]


def test_a_folder_deeper_than_any_path_is_deleted(place):
    deep = "d" * 200
    subprocess.run(["python3", "-c", f"import os\nfor _ in range(50): os.mkdir({deep!r}); os.chdir({deep!r})\n"
                                     "open('f', 'w').close()"], cwd=place.root, check=True)
    place.files.delete(deep.encode(), recursive=True)
    assert os.listdir(place.root) == []


def test_a_folder_that_may_not_be_looked_into_is_deleted(place):
    made(place, b"d/e/f", b"1")
    for path, mode in (("d/e/f", 0), ("d/e", 0o500), ("d", 0o300)):
        os.chmod(place.root / path, mode)
    place.files.delete(b"d", recursive=True)
    assert places.tree(place.root) == {}


def test_much_is_deleted_without_filling_the_history(place, monkeypatch):
    monkeypatch.setattr(removing, "MAX_KEPT_FILES", 10)
    (place.root / "d").mkdir()
    for i in range(30):
        (place.root / f"d/{i}").write_bytes(b"%d" % i)
    place.files.delete(b"d", recursive=True)
    assert sum(bool(versions(place, b"d/%d" % i)) for i in range(30)) == 10
