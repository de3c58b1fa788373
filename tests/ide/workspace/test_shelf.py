"""A project's folder is there whole, or not at all."""
import os
import subprocess
import sys

import pytest

from hotpath.ide.templates import BUILT_IN
from hotpath.ide.workspace import record
from hotpath.ide.workspace.record import Record
from hotpath.ide.workspace.shelf import DRAFT, GOING, Shelf, alone, remove
from tests.ide.paths import open_the_way_to


def fresh(name="one"):
    return Record(record.new_id(), name, "python", record.now(), record.now())


@pytest.fixture
def shelf(tmp_path):
    shelf = Shelf(tmp_path / "data", None)
    assert shelf.open() == []
    return shelf


def test_what_is_made_is_there_after_a_restart(shelf):
    one = fresh()
    shelf.make(one, shelf.starter(BUILT_IN["python"]))
    one.name = "two"
    shelf.write(one)
    assert Shelf(shelf.folder.parent, None).open() == [one]
    assert (shelf.path(one.id) / "files" / "main.py").read_text() == BUILT_IN["python"].files["main.py"]


def test_what_fails_half_way_leaves_nothing(shelf):
    def fill(files):
        (files / "a").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        shelf.make(fresh(), fill)
    assert list(shelf.folder.iterdir()) == []


def test_leftovers_of_a_kill_are_removed(shelf):
    for name in (f"{DRAFT}abc", f"{GOING}abc"):
        (shelf.folder / name / "files").mkdir(parents=True)
    assert shelf.open() == []
    assert list(shelf.folder.iterdir()) == []


def test_a_damaged_record_is_left_alone_and_harms_no_other(shelf, caplog):
    one, two = fresh(), fresh("two")
    for each in (one, two):
        shelf.make(each, lambda files: None)
    (shelf.path(one.id) / "project.json").write_text("{")
    assert shelf.open() == [two]
    assert one.id in caplog.text
    assert shelf.path(one.id).exists()


def test_files_of_a_template_may_lie_in_folders(shelf, tmp_path):
    from dataclasses import replace
    template = replace(BUILT_IN["web"], files={"a/b/c.txt": "deep", "d.txt": "flat"})
    one = fresh()
    shelf.make(one, shelf.starter(template))
    assert (shelf.path(one.id) / "files/a/b/c.txt").read_text() == "deep"


def test_files_belong_to_whom_programs_run_as(tmp_path):
    owner = (os.geteuid(), os.getegid()) if os.geteuid() else (1000, 1000)
    shelf = Shelf(tmp_path / "data", owner)
    shelf.open()
    one = fresh()
    shelf.make(one, shelf.starter(BUILT_IN["python"]))
    for path in (shelf.path(one.id) / "files", shelf.path(one.id) / "files/main.py"):
        assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_purged_is_gone_and_links_are_not_followed(shelf, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    one = fresh()
    shelf.make(one, lambda files: (files / "link").symlink_to(outside))
    shelf.purge(one.id)
    shelf.purge(one.id)
    assert list(shelf.folder.iterdir()) == []
    assert (outside / "kept").read_text() == "x"


def test_folders_that_forbid_themselves_are_removed_too(tmp_path):
    script = """
import os, sys
from pathlib import Path
from hotpath.ide.workspace.shelf import remove
if os.geteuid() == 0:
    os.setgid(1000); os.setuid(1000)
top = Path(sys.argv[1])
(top / "a/b").mkdir(parents=True)
(top / "a/b/c").write_text("x")
(top / "a/b").chmod(0o000)
(top / "a").chmod(0o500)
remove(top)
assert not top.exists()
"""
    tmp_path.chmod(0o777)
    open_the_way_to(tmp_path)
    subprocess.run([sys.executable, "-P", "-c", script, str(tmp_path / "top")], check=True, timeout=60)


def test_two_servers_do_not_share_a_data_directory(tmp_path):
    with alone(tmp_path), pytest.raises(BlockingIOError), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_removing_what_is_not_there_is_fine(tmp_path):
    remove(tmp_path / "nothing")
    assert tmp_path.exists()
