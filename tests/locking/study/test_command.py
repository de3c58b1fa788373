import json
import os
import pty
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

from hotpath import locking
from hotpath.locking.command import main
from hotpath.locking.study import command
from hotpath.locking.study.files import FILES
from tests.locking.databases import SERVERS, running
from tests.waiting import is_alive, wait_for
from tests.waiting import running as running_command

from .lines import HEADER, written

COMMAND = str(Path(sys.executable).with_name("hotpath-locking"))
SMALL = ("--rows=1,4", "--workers=2", "--work-ms=0", "--seconds=0.05", "--repeat=1")
# As many lines as nobody waits for.
LONG = ("--rows=1", "--workers=2", "--work-ms=1", "--seconds=0.2", "--repeat=1000")


def study(*words):
    return main(["study", *map(str, words)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_study_writes_its_files_and_nothing_else(url, backend, tmp_path, capsys):
    out = tmp_path / "a" / "b"
    assert study("--url", url, "--out", out, *SMALL) == 0
    assert names(out) == sorted(FILES) == sorted([
        "study.csv", "summary.json", "throughput.png", "throughput.svg", "p99.png", "p99.svg", "wasted.png",
        "wasted.svg"])
    lines = written(out / "study.csv")
    assert list(lines[0]) == HEADER
    assert len(lines) == 12
    for line in lines:
        failed = sum(int(line[name]) for name in ("conflicts", "deadlocks", "timeouts", "disconnects"))
        assert int(line["attempts"]) == int(line["commits"]) + failed
        assert float(line["throughput"]) == pytest.approx(int(line["commits"]) / float(line["seconds"]), rel=1e-4)
        assert float(line["failed_pct"]) == pytest.approx(100 * failed / max(1, int(line["attempts"])), abs=1e-5)
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary) == ["backend", "server", "machine", "crossover"]
    assert summary["backend"] == backend
    assert [list(one) for one in summary["crossover"]] == [["workers", "work_ms", "conflict_prob"]]
    assert "<text" in (out / "throughput.svg").read_text()
    assert summary["server"] in capsys.readouterr().out


def test_without_a_url_it_is_a_file_in_the_folder_that_is_gone(tmp_path):
    assert study("--out", tmp_path, *SMALL, "--policies=atomic") == 0
    assert names(tmp_path) == sorted(FILES)
    assert {line["backend"] for line in written(tmp_path / "study.csv")} == {"sqlite"}
    # Nobody measured how likely a conflict is.
    assert {line["conflict_prob"] for line in written(tmp_path / "study.csv")} == {""}


def test_an_earlier_study_is_overwritten_and_other_files_stay(tmp_path):
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("old")
    assert study("--out", tmp_path, *SMALL, "--policies=atomic") == 0
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert not [name for name in FILES if (tmp_path / name).read_bytes() == b"old"]


def test_a_database_that_is_not_there_costs_no_earlier_study(tmp_path, capsys):
    (tmp_path / "study.csv").write_text("old")
    assert study("--out", tmp_path, "--url", f"sqlite:///{tmp_path}/no/it.db", *SMALL) == 1
    assert names(tmp_path) == ["study.csv"]
    said, = capsys.readouterr().err.splitlines()
    assert said.startswith("hotpath-locking study: the database: unable to open database file: its folder must be")


@pytest.mark.parametrize(("flag", "text"), [
    ("--url", "nonsense"), ("--url", "oracle://h/d"), ("--url", "sqlite://"), ("--url", "sqlite:///:memory:"),
    ("--out", "/dev/null/x"), ("--out", "/proc"), ("--rows", "0"), ("--workers", "0"), ("--work-ms", "-1"),
    ("--policies", "none"), ("--seconds", "never"), ("--repeat", "0"),
])
def test_a_bad_value_is_status_2_and_named(flag, text, tmp_path, capsys):
    try:
        status = study("--out", tmp_path / "out", f"{flag}={text}")
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr().err
    assert (status, said.count("\n")) == (2, 1)
    assert flag in said
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_nothing_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert study("--out", tmp_path / "out", *SMALL) == 1
    assert capsys.readouterr().err == (
        'hotpath-locking study: the plots need matplotlib: pip install "hotpath[study]"\n')
    assert not (tmp_path / "out").exists()


def wait_for_lines(out):
    """Two, and their header."""
    path = out / "study.csv"
    wait_for(lambda: path.exists() and path.read_text().count("\n") >= 3, "two lines", within_s=60)


def test_whoever_interrupts_it_gets_what_was_measured(url, backend, tmp_path):
    out = tmp_path / "out"
    number = signal.SIGTERM if backend == "postgresql" else signal.SIGINT
    with running_command([COMMAND, "study", "--url", url, "--out", str(out), *LONG]) as process:
        wait_for_lines(out)
        os.killpg(process.pid, number)       # as a terminal does
        assert process.wait() == 1
        assert "Traceback" not in process.output
        assert process.output.splitlines()[-1] == f"hotpath-locking study: interrupted; {out} has what was measured"
    assert names(out) == sorted(FILES)
    assert len(written(out / "study.csv")) >= 2
    engine = locking.engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_worker_that_dies_ends_it_and_the_lines_stay(tmp_path):
    with running_command([COMMAND, "study", "--out", str(tmp_path), *LONG]) as process:
        wait_for_lines(tmp_path)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait() == 1
        assert not any(map(is_alive, map(int, children)))
        *_, last = process.output.splitlines()
    assert last == f"hotpath-locking study: worker 0 (pid {children[0]}) was killed by SIGKILL"
    assert names(tmp_path) == sorted(FILES)
    assert len(written(tmp_path / "study.csv")) >= 2


@pytest.mark.parametrize("backend", SERVERS)
def test_a_server_that_dies_ends_it_and_the_lines_stay(backend, tmp_path):
    with running(backend) as server, running_command(
            [COMMAND, "study", "--url", server.new_url(), "--out", str(tmp_path), *LONG]) as process:
        wait_for_lines(tmp_path)
        server.kill()
        assert process.wait() == 1
        assert "Traceback" not in process.output
        assert process.output.splitlines()[-1].startswith("hotpath-locking study: ")
    assert names(tmp_path) == sorted(FILES)
    assert len(written(tmp_path / "study.csv")) >= 2


def limited():
    # Room for the CSV's header and not much more. Beyond it the kernel says EFBIG, as a full disk says ENOSPC.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_a_full_disk_is_one_line_and_leaves_whole_lines(tmp_path, mariadb):
    """On a server: the limit would hold for SQLite's file too."""
    (tmp_path / "p99.svg").write_text("of an earlier study")
    done = subprocess.run([COMMAND, "study", "--url", mariadb.new_url(), "--out", tmp_path, *SMALL],
                          preexec_fn=limited, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("File too large")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "study.csv").read_text().endswith("\n")
    assert len(written(tmp_path / "study.csv")) == 1
    # No half a picture, and none that belongs to other figures.
    assert names(tmp_path) == ["study.csv", "summary.json"]


def test_on_a_terminal_there_is_a_bar(tmp_path):
    ours, theirs = pty.openpty()
    with subprocess.Popen([COMMAND, "study", "--out", tmp_path, *SMALL], stderr=theirs, stdout=subprocess.DEVNULL,
                          env={**os.environ, "TERM": "xterm", "COLUMNS": "150"}) as process:
        os.close(theirs)
        screen = b""
        try:
            while piece := os.read(ours, 65536):
                screen += piece
        except OSError:
            pass        # the terminal's other end is closed
        finally:
            os.close(ours)
    assert process.returncode == 0
    assert "12/12" in screen.decode()
    assert "4 rows, 2 workers, 0 ms work" in screen.decode()
