"""The last contents of each path, also of files that are gone."""
import os
import stat

import pytest

from hotpath.ide.config import HistoryConfig
from hotpath.ide.errors import NotFound
from hotpath.ide.files import history
from hotpath.ide.files.reading import etag_of
from tests.ide.files import places
from tests.ide.files.places import made, versions


def save(place, path, *bodies):
    for body in bodies:
        place.files.put(path, body, match="*", create=False)


def test_what_a_save_replaces_is_kept_newest_first(place):
    made(place, b"f", b"1")
    save(place, b"f", b"2", b"3")
    assert versions(place, b"f") == [b"2", b"1"]
    newest = place.files.history(b"f")[0]
    assert newest["etag"] == etag_of(b"2")
    assert newest["size"] == 1
    assert str(newest["time"]).endswith("Z")


def test_a_content_that_came_back_is_there_once(place):
    made(place, b"f", b"1")
    save(place, b"f", b"2", b"3", b"1", b"4")
    assert versions(place, b"f") == [b"1", b"3", b"2"]


def test_what_a_program_wrote_is_kept_when_it_is_replaced(place):
    made(place, b"f", b"1")
    (place.root / "f").write_bytes(b"program")
    save(place, b"f", b"2")
    assert versions(place, b"f") == [b"program", b"1"]


def test_a_saved_content_is_kept_when_a_program_writes_over_it(place):
    made(place, b"f", b"1")
    (place.root / "f").write_bytes(b"program")
    assert versions(place, b"f") == [b"1"]
    (place.root / "f").unlink()
    assert versions(place, b"f") == [b"1"]


def test_only_the_last_ones_are_kept(tmp_path):
    place = places.place(tmp_path, history=HistoryConfig(keep=3))
    made(place, b"f", b"0")
    save(place, b"f", *(b"%d" % i for i in range(1, 10)))
    assert versions(place, b"f") == [b"8", b"7", b"6"]
    (place.root / "f").write_bytes(b"program")
    save(place, b"f", b"10")
    assert versions(place, b"f") == [b"program", b"9", b"8"]
    place.files.close()


def test_none_is_kept_when_none_is_wanted(tmp_path):
    place = places.place(tmp_path, history=HistoryConfig(keep=0))
    made(place, b"f", b"1")
    save(place, b"f", b"2")
    place.files.delete(b"f")
    assert versions(place, b"f") == []
    assert os.listdir(tmp_path / "history") == []
    assert place.leftovers == []
    place.files.close()


def test_large_contents_are_not_kept(tmp_path):
    place = places.place(tmp_path, history=HistoryConfig(file=100))
    made(place, b"f", bytes(100))
    save(place, b"f", bytes(101), b"3", b"4")
    assert versions(place, b"f") == [b"3", bytes(100)]
    assert place.leftovers == []
    place.files.close()


def test_deleted_and_moved_over_files_have_a_history(place):
    made(place, b"d/f", b"1")
    (place.root / "d/g").write_bytes(b"program")
    place.files.delete(b"d", recursive=True)
    assert versions(place, b"d/f") == [b"1"]
    assert versions(place, b"d/g") == [b"program"]
    made(place, b"f", b"2")
    (place.root / "g").write_bytes(b"over")
    place.files.move(b"f", b"g", overwrite=True)
    assert versions(place, b"g") == [b"over"]


def test_ignored_folders_are_not_kept(place):
    (place.root / ".venv/lib").mkdir(parents=True)
    (place.root / ".venv/lib/f").write_bytes(b"installed")
    place.files.delete(b".venv", recursive=True)
    assert versions(place, b".venv/lib/f") == []


def test_what_is_unknown_is_not_found(place):
    made(place, b"f", b"1")
    for path, etag in ((b"f", etag_of(b"2")), (b"g", etag_of(b"1")), (b"f", "../x")):
        with pytest.raises(NotFound):
            place.files.history_open(path, etag)
    assert place.files.history(b"x/y") == []
    assert place.files.history(b"x") == []


def test_a_content_that_changed_is_not_given_out_as_what_it_was(place):
    made(place, b"f", b"1")
    save(place, b"f", b"2")
    for path in (place.folder / "history").rglob(f"*.{etag_of(b'1')}"):
        path.write_bytes(b"1 and more")
    with pytest.raises(NotFound):
        place.files.history_open(b"f", etag_of(b"1"))
    assert versions(place, b"f") == [b"1 and more"]


def test_where_something_else_stands_by_now_there_is_still_a_history(place):
    made(place, b"d/f", b"1")
    place.files.delete(b"d", recursive=True)
    made(place, b"d", b"2")
    assert versions(place, b"d/f") == [b"1"]
    place.files.delete(b"d")
    made(place, b"d/x", b"3")
    assert versions(place, b"d") == [b"2"]


def test_all_together_is_bounded_and_the_oldest_goes_first(tmp_path):
    place = places.place(tmp_path, disk=2**20)
    for i in range(20):
        made(place, b"f%d" % i, bytes(30_000) + b"%d" % i)
        place.files.delete(b"f%d" % i)
    kept = [i for i in range(20) if versions(place, b"f%d" % i)]
    assert kept == list(range(kept[0], 20))
    assert 10 < len(kept) < 18
    size = sum(path.stat().st_size for path in (tmp_path / "history").rglob("*.*"))
    assert size <= 2**19
    assert len(os.listdir(tmp_path / "history")) == len(kept)
    place = place.again(disk=2**20)
    made(place, b"g", bytes(500_000))
    place.files.delete(b"g")
    assert [i for i in range(20) if versions(place, b"f%d" % i)] == []
    place.files.close()


def test_it_is_there_after_a_start(place):
    made(place, b"f", b"1")
    save(place, b"f", b"2")
    again = place.again()
    again.files.recover()
    assert versions(again, b"f") == [b"1"]
    place.files = again.files


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_swapped_while_it_is_kept_does_not_come_in(place, monkeypatch, kind):
    """A program whose working folder is deleted still reaches the names in it."""
    place.files.make_dir(b"d")
    made(place, b"d/f", b"saved")
    (place.root / "d/f").write_bytes(b"program")
    folder = os.open(place.root / "d", os.O_RDONLY)
    read = history.read

    def swapping(fd, keep):
        content = read(fd, keep)
        if content.data == b"program":
            os.unlink("f", dir_fd=folder)
            {"pipe": os.mkfifo, "folder": os.mkdir,
             "link": lambda name, dir_fd: os.symlink("/nowhere", name, dir_fd=dir_fd)}[kind]("f", dir_fd=folder)
        return content

    monkeypatch.setattr(history, "read", swapping)
    place.files.delete(b"d", recursive=True)
    os.close(folder)
    kept = [path for path in (place.folder / "history").rglob("*") if len(path.name) == history.NAME_LENGTH]
    assert all(stat.S_ISREG(path.lstat().st_mode) for path in kept)
    assert versions(place, b"d/f") == [b"saved"]
