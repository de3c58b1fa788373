"""A watcher on real folders: what programs do to them is told, as it is, and no more than a page can take in."""
import ctypes
import os
import subprocess
from unittest.mock import patch

import pytest

from hotpath.core.tasks import sleep
from hotpath.ide.watching import Watcher, inotify, telling, watcher
from tests.core.tasks.tasked import in_task
from tests.ide.watching.hearing import Heard, etag, heard

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(one, other):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0


def save(heard, name, content):
    """As the IDE's own save does it: from a folder that is not watched, by exchange."""
    draft = heard.root.parent / f"{heard.root.name}.draft"
    draft.write_bytes(content)
    exchange(draft, heard.root / name)
    draft.unlink()


@heard()
def test_a_new_file_is_told_with_its_etag(it):
    (it.root / "a.txt").write_bytes(b"hello")
    assert it.wait_for("a.txt", etag=etag(b"hello"))["kind"] == "file"
    assert it.ops("a.txt")[0] == "add"
    assert it.last("a.txt")["href"] == "a.txt"


@heard()
def test_a_file_that_is_written_again_is_a_change(it):
    (it.root / "a.txt").write_bytes(b"one")
    it.settle()
    before = len(it.ops("a.txt"))
    (it.root / "a.txt").write_bytes(b"two")
    it.wait_for("a.txt", etag=etag(b"two"))
    assert set(it.ops("a.txt")[before:]) == {"change"}


@heard()
def test_a_shells_write_is_told(it):
    subprocess.run(["sh", "-c", "echo hi > b"], cwd=it.root, check=True)
    it.wait_for("b", etag=etag(b"hi\n"))


@heard()
def test_a_removed_file_is_told_with_its_kind(it):
    (it.root / "a").write_bytes(b"")
    it.settle()
    (it.root / "a").unlink()
    assert it.wait_for("a", "remove") == {"op": "remove", "path": "a", "kind": "file", "etag": None, "href": "a"}


@heard()
def test_what_comes_and_goes_within_a_moment_is_not_told_to_be_there(it):
    for _ in range(50):
        (it.root / "brief").write_bytes(b"x")
        (it.root / "brief").unlink()
    it.settle()
    assert it.last("brief") is None or it.last("brief")["op"] == "remove"


@heard()
def test_a_rename_is_a_remove_and_an_add(it):
    (it.root / "old").write_bytes(b"same")
    it.settle()
    (it.root / "old").rename(it.root / "new")
    it.wait_for("new", "add", etag=etag(b"same"))
    it.wait_for("old", "remove")


@heard()
def test_replacing_by_rename_is_a_change(it):
    (it.root / "a").write_bytes(b"one")
    it.settle()
    (it.root / "a.new").write_bytes(b"two")
    (it.root / "a.new").replace(it.root / "a")
    it.wait_for("a", "change", etag=etag(b"two"))


@heard()
def test_a_save_by_exchange_is_a_change_and_nothing_else(it):
    (it.root / "a").write_bytes(b"one")
    it.settle()
    before = len(it.changes)
    save(it, "a", b"two")
    it.wait_for("a", etag=etag(b"two"))
    it.settle()
    assert {change["op"] for change in it.changes[before:] if change["path"] == "a"} == {"change"}


@heard()
def test_many_saves_in_a_row_end_with_the_last_content(it):
    (it.root / "a").write_bytes(b"")
    for i in range(100):
        save(it, "a", b"%d" % i)
    it.wait_for("a", etag=etag(b"99"))


@heard()
def test_above_a_mebibyte_there_is_no_etag(it):
    (it.root / "edge").write_bytes(bytes(1024 * 1024))
    it.wait_for("edge", etag=etag(bytes(1024 * 1024)))
    (it.root / "big").write_bytes(bytes(1024 * 1024 + 1))
    it.wait_for("big")
    it.settle()
    assert it.last("big")["etag"] is None


@heard()
def test_folders_links_and_pipes_are_told_and_not_opened(it):
    (it.root / "dir").mkdir()
    os.mkfifo(it.root / "pipe")
    (it.root / "link").symlink_to("/etc/passwd")
    assert it.wait_for("dir")["kind"] == "dir"
    assert it.wait_for("pipe")["kind"] == "other"
    assert it.wait_for("link")["kind"] == "link"
    assert {it.last(name)["etag"] for name in ("dir", "pipe", "link")} == {None}


@heard()
def test_a_link_to_a_folder_outside_is_not_entered(it):
    outside = it.root.parent / f"{it.root.name}.outside"
    outside.mkdir()
    try:
        (it.root / "link").symlink_to(outside)
        it.wait_for("link")
        (outside / "secret").write_bytes(b"x")
        it.settle()
        assert [change["path"] for change in it.changes if "secret" in change["path"]] == []
    finally:
        (outside / "secret").unlink()
        outside.rmdir()


@heard()
def test_what_is_in_a_new_folder_is_told_however_early_it_was_made(it):
    for i in range(30):
        deep = it.root / f"d{i}" / "e" / "f"
        deep.mkdir(parents=True)
        (deep / "file").write_bytes(b"%d" % i)
    for i in range(30):
        it.wait_for(f"d{i}/e/f/file", etag=etag(b"%d" % i))
        assert it.ops(f"d{i}") == ["add"]


@heard()
def test_a_folder_that_moves_is_watched_where_it_is_now(it):
    (it.root / "a" / "b").mkdir(parents=True)
    (it.root / "a" / "b" / "file").write_bytes(b"1")
    it.settle()
    (it.root / "a").rename(it.root / "c")
    it.wait_for("a", "remove")
    it.wait_for("c/b/file", "add")
    (it.root / "c" / "b" / "file").write_bytes(b"2")
    it.wait_for("c/b/file", "change", etag=etag(b"2"))
    assert not it.ops("a/b/file")[1:] or "2" not in str(it.ops("a/b/file"))


@heard()
def test_a_folder_made_anew_under_its_old_name_is_watched(it):
    for i in range(20):
        (it.root / "d").mkdir()
        (it.root / "d" / "file").write_bytes(b"%d" % i)
        it.wait_for("d/file", etag=etag(b"%d" % i))
        (it.root / "d" / "file").unlink()
        (it.root / "d").rmdir()


@heard()
def test_two_folders_that_change_places_are_watched_where_they_are(it):
    for name in ("x", "y"):
        (it.root / name).mkdir()
        (it.root / name / "of").write_bytes(name.encode())
    it.settle()
    exchange(it.root / "x", it.root / "y")
    it.wait_for("x/of", etag=etag(b"y"))
    it.wait_for("y/of", etag=etag(b"x"))
    (it.root / "x" / "of").write_bytes(b"after")
    it.wait_for("x/of", etag=etag(b"after"))


@heard()
def test_a_file_that_becomes_a_folder_is_removed_and_added(it):
    (it.root / "it").write_bytes(b"")
    it.settle()
    (it.root / "it").unlink()
    (it.root / "it").mkdir()
    it.wait_for("it", "add", kind="dir")
    (it.root / "it" / "in").write_bytes(b"x")
    it.wait_for("it/in", etag=etag(b"x"))


@heard()
def test_ignored_folders_are_told_and_not_entered_at_any_depth(it):
    for above in ("", "deep/er/"):
        (it.root / above / "node_modules" / "pkg").mkdir(parents=True)
        (it.root / above / "node_modules" / "pkg" / "index.js").write_bytes(b"x")
        it.wait_for(f"{above}node_modules", "add")
    (it.root / "deep" / "er" / "node_modules" / "more").write_bytes(b"x")
    it.settle()
    assert [change for change in it.changes if "node_modules/" in change["path"]] == []


@heard()
def test_a_file_that_is_called_like_an_ignored_folder_is_told(it):
    (it.root / ".venv").write_bytes(b"x")
    it.wait_for(".venv", etag=etag(b"x"))


@heard()
def test_a_name_that_is_no_utf8_has_its_exact_href(it):
    with open(bytes(it.root) + b"/a\xff%", "wb") as file:
        file.write(b"x")
    assert it.wait_for("a\N{REPLACEMENT CHARACTER}%", etag=etag(b"x"))["href"] == "a%FF%25"


@heard()
def test_removing_a_deep_tree_gives_all_watches_back(it):
    for i in range(40):
        (it.root / "t" / f"{i}" / "u").mkdir(parents=True)
    it.settle()
    subprocess.run(["rm", "-rf", "t"], cwd=it.root, check=True)
    it.wait_for("t", "remove")
    it.settle()
    it.wait(lambda: len(it.watcher._watches.folders) == 1)


@heard()
def test_a_flood_is_an_overflow_and_what_follows_is_told_again(it):
    with patch.multiple(watcher, BURST=200, PER_S=50, FLOOD_S=(0.05,)):
        subprocess.run(["sh", "-c", "for d in 1 2 3 4 5 6; do mkdir f$d; (cd f$d; seq 300 | xargs touch); done"],
                       cwd=it.root, check=True)
        it.wait(lambda: "overflow" in it.types())
        it.settle()
        (it.root / "f3" / "200").write_bytes(b"after")
        it.wait_for("f3/200", etag=etag(b"after"))
        assert len(it.changes) < 1000
        assert len(it.messages) < 100


@heard()
def test_a_message_has_a_bounded_number_of_changes(it):
    for i in range(500):
        (it.root / f"{i}").write_bytes(b"")
    it.settle()
    sizes = [len(message["changes"]) for message in it.messages if message["type"] == "fs"]
    assert max(sizes) == telling.MAX_CHANGES
    assert {change["path"] for change in it.changes} >= {f"{i}" for i in range(500)}


@heard()
def test_when_the_kernel_lost_events_the_pages_hear_so_and_new_folders_are_watched(it):
    real = inotify.events
    with patch.object(inotify, "events", lambda fd: real(fd) and [(-1, inotify.Q_OVERFLOW, b"")]):
        (it.root / "unseen").mkdir()
        it.wait(lambda: "overflow" in it.types())
    (it.root / "unseen" / "file").write_bytes(b"x")
    it.wait(lambda: it.last("unseen/file") or it.types().count("overflow") > 1)
    it.settle()
    (it.root / "unseen" / "file").write_bytes(b"y")
    it.wait_for("unseen/file", etag=etag(b"y"))


@heard(limit=3)
def test_without_watches_left_there_is_one_notice_and_shown_folders_are_compared(it):
    with patch.object(watcher, "POLL_S", 0.02):
        for name in "abcd":
            (it.root / name).mkdir()
            (it.root / name / "old").write_bytes(b"1")
        it.wait(lambda: "notice" in it.types())
        unwatched = [name for name in "abcd"
                     if not it.watcher._projects["it"].tree.is_watched(name.encode())]
        assert len(unwatched) == 2
        it.settle()
        for name in unwatched:
            it.watcher.rescan("it", name.encode())
        project = it.watcher._projects["it"]
        it.wait(lambda: all(project._shown._folders[name.encode()] is not None for name in unwatched))
        for name in unwatched:
            (it.root / name / "new").write_bytes(b"2")
            (it.root / name / "old").unlink()
            it.wait_for(f"{name}/new", etag=etag(b"2"))
            it.wait_for(f"{name}/old", "remove")
        assert it.types().count("notice") == 1


@in_task
def test_without_any_instance_shown_folders_are_compared(tmp_path):
    one = Watcher(10)
    with patch.object(inotify, "open_instance", side_effect=OSError(24, "Too many open files")), \
            patch.object(watcher, "POLL_S", 0.02):
        one.open()
        it = Heard(tmp_path, one)
        one.rescan("it", b"")
        it.wait(lambda: "notice" in it.types())
        it.wait(lambda: one._projects["it"]._shown._folders[b""] is not None)
        (tmp_path / "new").write_bytes(b"x")
        it.wait_for("new", "add", etag=etag(b"x"))
        one.close()


@heard()
def test_after_remove_nothing_is_told_and_the_watches_are_free(it):
    (it.root / "d").mkdir()
    it.settle()
    it.watcher.remove("it")
    it.messages.clear()
    (it.root / "d" / "x").write_bytes(b"")
    it.wait(lambda: not it.watcher._watches.folders)
    other = Heard(it.root, it.watcher)
    other.settle()
    assert it.messages == []


@heard()
def test_two_projects_hear_each_of_its_own(it):
    inner = it.root / "node_modules"
    inner.mkdir()
    messages = []
    it.watcher.add("other", inner, (), messages.append)
    (inner / "x").write_bytes(b"1")
    it.wait(lambda: messages)
    it.settle()
    assert it.last("node_modules/x") is None


@in_task
def test_a_project_without_a_folder_is_an_error(tmp_path):
    one = Watcher(10)
    one.open()
    with pytest.raises(FileNotFoundError):
        one.add("it", tmp_path / "none", (), print)
    one.close()


@heard()
def test_what_keeps_changing_never_starves_the_rest(it):
    stop = subprocess.Popen(["sh", "-c", "while :; do echo x > busy; done"], cwd=it.root)
    try:
        for i in range(5):
            (it.root / "calm").write_bytes(b"%d" % i)
            it.wait_for("calm", etag=etag(b"%d" % i))
            sleep(0)
    finally:
        stop.kill()
        stop.wait()
