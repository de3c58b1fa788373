"""Projects are made, run, stopped, deleted and brought back, with real programs in them."""
import errno
import os
import re
import threading

import pytest

from hotpath.core.tasks import spawn
from hotpath.ide.errors import Invalid, NameTaken, NotFound, NotRunning, Refusal, TooMany
from hotpath.ide.watching.tree import Tree
from hotpath.ide.workspace import upkeep
from tests.ide.spaces import in_workspace, until
from tests.waiting import DEADLINE_S


def states(project):
    """Which it was told to be in."""
    return [message["state"] for message in project.bus._kept if message["type"] == "state"]


def test_a_project_runs_and_stops(tmp_path):
    def work(workspace):
        project = workspace.create("one", "bare")
        assert project.state == "running"
        project.start()
        terminal = project.run_command()
        until(lambda: not terminal.alive, "the end of the program")
        assert terminal.exit == 0
        project.stop()
        project.stop()
        assert states(project) == ["starting", "running", "stopping", "stopped"]
        with pytest.raises(NotRunning):
            project.shell(80, 24)
        return project.json()

    said = in_workspace(tmp_path, work)
    assert said["state"] == "stopped"
    assert said["sandbox"] == "process"
    assert (said["files"], said["terminals"], said["error"]) == (1, 0, None)


def test_names_are_one_to_a_project(tmp_path):
    def work(workspace):
        one = workspace.create(" Straße ", "bare", start=False)
        assert one.name == "Straße"
        for name, error in (("STRASSE", NameTaken), ("", Invalid), ("  ", Invalid), ("a\nb", Invalid),
                            ("x" * 81, Invalid)):
            with pytest.raises(error):
                workspace.create(name, "bare", start=False)
        with pytest.raises(Invalid, match="no template"):
            workspace.create("two", "nothing")
        one.change(name="strasse")          # its own name, spelled otherwise
        workspace.create("x" * 80, "bare", start=False)
        return [project.name for project in workspace.projects()]

    assert sorted(in_workspace(tmp_path, work)) == ["strasse", "x" * 80]


def test_many_who_want_one_name_at_once(tmp_path):
    def work(workspace):
        def attempt():
            try:
                return workspace.create("one", "bare", start=False)
            except NameTaken:
                return None

        tasks = [spawn(attempt) for _ in range(8)]
        return [task.result() is not None for task in tasks]

    assert sum(in_workspace(tmp_path, work)) == 1


def test_no_more_than_allowed(tmp_path):
    def work(workspace):
        workspace.create("one", "bare", start=False)
        with pytest.raises(TooMany):
            workspace.create("two", "bare", start=False)

    in_workspace(tmp_path, work, "limits: {projects: 1}")


def test_all_is_there_after_a_restart(tmp_path):
    def make(workspace):
        one = workspace.create("one", "bare", start=False)
        one.change(run="echo other", keep_running=True)
        two = workspace.create("two", "bare", start=False)
        workspace.delete(two.id)
        return one.id, two.id

    one_id, two_id = in_workspace(tmp_path, make)

    def look(workspace):
        one = workspace.get(one_id)
        assert (one.name, one.run, one.kept.keep_running) == ("one", "echo other", True)
        with pytest.raises(NotFound):
            workspace.get(two_id)
        two = workspace.undelete(two_id)
        assert two.name == "two"
        assert (two.root / "a.txt").read_text() == "one\n"
        assert workspace.undelete(two_id) is two

    in_workspace(tmp_path, look)


def test_purged_is_gone(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare")
        folder = one.folder
        workspace.delete(one.id)
        assert folder.exists()
        workspace.delete(one.id, purge=True)
        assert not folder.exists()
        with pytest.raises(NotFound):
            workspace.undelete(one.id)
        two = workspace.create("one", "bare")
        workspace.delete(two.id, purge=True)
        assert not two.folder.exists()

    in_workspace(tmp_path, work)


def test_what_is_purged_while_it_is_taken_out_of_the_trash_is_gone(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare", start=False)
        workspace.delete(one.id)
        written, writes, go_on = workspace.shelf.write, threading.Event(), threading.Event()

        def write(record):
            written(record)
            writes.set()
            assert go_on.wait(DEADLINE_S)

        workspace.shelf.write = write
        late = spawn(workspace.undelete, one.id)
        until(writes.is_set, "the record being written")
        workspace.purge(one.id)
        go_on.set()
        with pytest.raises(NotFound):
            late.result()
        return [project.name for project in workspace.projects()], one.folder.exists()

    assert in_workspace(tmp_path, work) == ([], False)


def test_a_watch_that_stands_late_takes_no_other_away(tmp_path, monkeypatch):
    scan, scans, go_on = Tree.rescan, threading.Event(), threading.Event()

    def slow(tree):
        if not scans.is_set():
            scans.set()
            assert go_on.wait(DEADLINE_S)
        return scan(tree)

    def work(workspace):
        monkeypatch.setattr(Tree, "rescan", slow)
        deleted = workspace.create("one", "bare", start=False)
        late = spawn(deleted.watch)
        until(scans.is_set, "the first scan")
        workspace.delete(deleted.id)
        restored = workspace.undelete(deleted.id)
        restored.watch()
        go_on.set()
        late.result()
        (restored.root / "new").write_text("x")
        until(lambda: any(message["type"] == "fs" for message in restored.bus._kept), "the new file")

    in_workspace(tmp_path, work)


def test_a_start_that_waited_for_a_delete_starts_nothing(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare", start=False)
        workspace.delete(one.id)
        for late in (one.start, one.restart):
            with pytest.raises(NotFound):
                late()
        assert (one.state, one.running) == ("stopped", None)

    in_workspace(tmp_path, work)


def test_the_trash_is_emptied_in_time(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare", start=False)
        workspace.delete(one.id)
        return workspace.expired() == [one.id]

    assert in_workspace(tmp_path, work, "trash_days: 0")
    assert not in_workspace(tmp_path / "other", lambda workspace: workspace.expired())


def test_a_name_in_the_trash_may_be_taken(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare", start=False)
        workspace.delete(one.id)
        workspace.create("one", "bare", start=False)
        with pytest.raises(NameTaken):
            workspace.undelete(one.id)

    in_workspace(tmp_path, work)


def test_what_programs_write_counts_though_no_page_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "UNSEEN_S", 0.5)

    def work(workspace):
        one = workspace.create("one", "bare")
        until(lambda: one._watched and not one.budget.dirty, "the first count")
        one.backup_due = False
        one.run_command("echo 1 > new; sleep 60")
        until(lambda: one.backup_due, "news of the file")
        # Nothing tells of what is written to a file that is open.
        one.run_command("exec 3> big; sleep 3; head -c 4000000 /dev/zero >&3; sleep 60")
        until(lambda: one.state == "stopped", "the end at 110 %")
        assert "of 1; delete files" in (one.error or "")

    in_workspace(tmp_path, work, sandbox=", disk: 1m")


def test_what_is_asked_for_at_once_is_counted_one_by_one(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare")

        def shell():
            try:
                return one.shell(80, 24)
            except TooMany:
                return None

        tasks = [spawn(shell) for _ in range(5)]
        assert sum(task.result() is not None for task in tasks) == 2
        for task in [spawn(one.run_command, "sleep 60") for _ in range(3)]:
            task.result()
        assert [run.alive for run in one.terminals.of_kind("run")] == [True]

    in_workspace(tmp_path, work, "terminal: {max: 2}")


def test_set_up_runs_once_behind_the_prompt(tmp_path):
    def first(workspace):
        one = workspace.create("one", "slow")
        assert one.state == "running"
        shell = one.shell(80, 24)           # is there before the set-up has ended
        assert shell.alive
        (setup,) = one.terminals.of_kind("setup")
        until(lambda: one.kept.is_set_up, "the set-up")
        assert setup.exit == 0
        one.restart()
        return one.id, (one.root / "log").read_text()

    more = "  slow: {image: x, setup: 'echo once >> log; test -e log'}"
    id, log = in_workspace(tmp_path, first, more)
    assert log == "once\n"

    def again(workspace):
        one = workspace.get(id)
        one.start()
        return one.terminals.of_kind("setup")

    assert in_workspace(tmp_path, again, more) == []


def test_a_set_up_that_fails_is_said_and_tried_again(tmp_path):
    def work(workspace):
        one = workspace.create("one", "broken")

        def notices():
            return [message["text"] for message in one.bus._kept if message["type"] == "notice"]

        until(notices, "a notice")
        one.restart()
        until(lambda: len(notices()) == 2, "another")
        return notices(), one.state, one.kept.is_set_up

    notices, state, is_set_up = in_workspace(tmp_path, work, "  broken: {image: x, setup: exit 7}")
    assert all("ended with 7" in text for text in notices)
    assert (state, is_set_up) == ("running", False)


def test_what_cannot_be_written_down_has_not_changed(tmp_path):
    def work(workspace):
        one, two = (workspace.create(name, "bare", start=False) for name in ("one", "two"))
        workspace.delete(two.id)

        def write(record):
            raise OSError(errno.ENOSPC, "disk full")

        workspace.shelf.write = write
        for attempt in (lambda: one.change(name="other", run="x", keep_running=True), lambda: workspace.delete(one.id),
                        lambda: workspace.undelete(two.id)):
            with pytest.raises(OSError, match="disk full"):
                attempt()
        one.start()             # a full disk keeps nobody out
        assert one.state == "running"
        assert (one.name, one.run, one.kept.keep_running, one.kept.deleted) == ("one", "echo ran", False, None)
        del workspace.shelf.write
        return workspace.get(one.id) is one, workspace.undelete(two.id).name

    assert in_workspace(tmp_path, work) == (True, "two")


def test_packages_wait_for_the_set_up(tmp_path):
    def work(workspace):
        one = workspace.create("one", "slow")
        terminal = one.install(["left-pad"])
        until(lambda: not terminal.alive, "the installation")
        return (one.root / "log").read_text().split()

    more = "  slow: {image: x, setup: 'sleep 0.3; echo first >> log', install: 'echo {packages} >> log'}"
    assert in_workspace(tmp_path, work, more) == ["first", "left-pad"]


def test_run_ends_an_earlier_run(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare")
        first = one.run_command("sleep 600")
        second = one.run_command("sleep 600")
        assert not first.alive
        assert [terminal.id for terminal in one.terminals.of_kind("run")] == [second.id]
        for command in ("", "  ", "a\0b", "x" * 5000):
            with pytest.raises(Invalid):
                one.run_command(command)

    in_workspace(tmp_path, work)


def test_idle_projects_are_stopped_with_a_warning(tmp_path):
    def work(workspace):
        kept = workspace.create("kept", "bare", start=False)
        kept.change(keep_running=True)
        kept.start()
        one = workspace.create("one", "bare")
        until(lambda: one.state == "stopped", "the stop")
        warnings = [message for message in one.bus._kept if message["type"] == "idle"]
        assert warnings[0]["stops_in"] is not None
        return kept.state

    # As long a warning as there is: no stall short of that skips it.
    assert in_workspace(tmp_path, work, "idle: {stop_after: 5s, warn: 5s}") == "running"


def test_programs_that_fill_the_disk_are_stopped(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare")
        one.watch()
        one.run_command("head -c 4M /dev/zero > big; sleep 600")
        until(lambda: one.state == "stopped", "the stop")
        return one.error

    said = in_workspace(tmp_path, work, sandbox=", disk: 1m")
    assert re.search(r"holds [1-4] MiB of 1; delete files", said), said     # counted behind the writing, or amid it


def test_a_sandbox_that_does_not_start_leaves_a_project_to_mend(tmp_path):
    def work(workspace):
        def start(spec):
            raise OSError("no such engine")

        workspace.sandbox.start = start
        one = workspace.create("one", "bare")
        assert one.state == "failed"
        assert "no such engine" in one.error
        del workspace.sandbox.start
        one.start()
        return one.state, one.error

    assert in_workspace(tmp_path, work) == ("running", None)


def test_whoever_goes_away_leaves_nothing_half_way(tmp_path):
    def work(workspace):
        task = spawn(workspace.create, "one", "bare")
        spawn(task.cancel).join()
        task.join()
        until(lambda: workspace.projects(), "the project")
        one, = workspace.projects()
        one.start()
        return one.state

    assert in_workspace(tmp_path, work) == "running"


def test_ports_are_told_when_they_change(tmp_path):
    def work(workspace):
        one = workspace.create("one", "bare")
        subscription = one.subscribe()
        one.run_command("exec python3 -m http.server 0 --bind 127.0.0.1")
        ports = until(one.find_ports, "a port")
        subscription.close()
        assert ports[0]["url"].startswith("http://")
        one.stop()
        assert one.find_ports() == []
        return [message["ports"] for message in one.bus._kept if message["type"] == "ports"]

    told = in_workspace(tmp_path, work)
    assert [len(ports) for ports in told] == [1, 0]


def test_refusals_have_a_status_and_a_code():
    def below(kind):
        yield kind
        for sub in kind.__subclasses__():
            yield from below(sub)

    kinds = [kind for kind in below(Refusal) if kind is not Refusal and kind.__module__ == "hotpath.ide.errors"]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_two_servers_cannot_have_one_data_directory(tmp_path):
    def work(workspace):
        with pytest.raises(BlockingIOError):
            in_workspace_again(workspace)

    def in_workspace_again(workspace):
        from hotpath.ide.workspace.shelf import alone
        with alone(workspace.config.folder):
            pass

    in_workspace(tmp_path, work)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_can_be_read_by_their_programs_whatever_our_umask(umask, tmp_path):
    old = os.umask(umask)
    try:
        def work(workspace):
            one = workspace.create("one", "bare")
            terminal = one.run_command("cat a.txt && echo x > b.txt")
            until(lambda: not terminal.alive, "the end")
            return terminal.exit

        assert in_workspace(tmp_path, work) == 0
    finally:
        os.umask(old)
