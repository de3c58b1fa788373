from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from hotpath.core.serve import Response, Router, ServeConfig, run
from hotpath.core.serve.testing import Served, launched, serving
from tests.clients import Client, fetch, request_bytes
from tests.core.serve import keeper
from tests.waiting import is_alive, wait_for

COMMAND = [sys.executable, "-P", keeper.__file__, "serve"]

Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a keeper with these flags; its data, and a file that a test may write, are in tmp_path."""
    (tmp_path / "it.yaml").write_text("name: ann\n")
    with ExitStack() as stack:
        def starting(*flags: str, listen: str = "127.0.0.1:0", wait: bool = True) -> Served:
            own = ("--listen", listen) if listen else ()
            return stack.enter_context(launched(
                [*COMMAND, "--data", str(tmp_path), "--config", str(tmp_path / "it.yaml"), *own, *flags], wait=wait))

        yield starting


def journal(folder: Path) -> list[str]:
    return (folder / "journal").read_text().splitlines()


def gate(folder: Path, name: str) -> Path:
    """A FIFO: whoever reads it waits until it was opened for writing and closed."""
    path = folder / name
    os.mkfifo(path)
    return path


def opened_for_writing(fifo: Path) -> int | None:
    """Once somebody reads it; whoever does waits for as long as this stays open."""
    with suppress(OSError):
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    return None


def keep(address: str, line: str) -> None:
    assert fetch(address, "/lines", method="POST", body=line.encode()).status == 201


def reloads(address: str) -> tuple[int, int]:
    """How many succeeded, how many failed."""
    page = fetch(address, "/metrics").body
    found = [re.search(rb'hotpath_reloads_total{ok="%s"} (\d+)' % ok, page) for ok in (b"true", b"false")]
    assert all(found)
    return int(found[0][1]), int(found[1][1])     # type: ignore[index]


# One process

def test_it_serves_without_a_child(start: Start):
    served = start()
    assert fetch(served.address, "/who").json()[0] == served.pid
    assert served.workers() == []
    assert fetch(served.address, "/healthz").body == b"ok\n"
    page = fetch(served.address, "/metrics").body
    assert b"hotpath_workers 1\n" in page
    assert b'hotpath_requests_total{route="/who",status="2xx"} 1\n' in page
    assert '"GET /who HTTP/1.1" 200' in wait_for(lambda: re.search(".*GET /who.*", served.output()), "the log")[0]


def test_a_killed_one_is_started_again_at_once_on_its_port_and_data(start: Start):
    served = start()
    port = served.port
    for n in range(4):
        keep(f"127.0.0.1:{port}", str(n))
        idle = Client(f"127.0.0.1:{port}")
        os.kill(served.pid, signal.SIGKILL)
        served = start("--in-use", listen=f"127.0.0.1:{port}")
        assert fetch(served.address, "/lines").json() == [str(each) for each in range(n + 1)]
        idle.close()


def test_a_taken_address_is_exit_status_2(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        served = start(listen=f"127.0.0.1:{taken.getsockname()[1]}", wait=False)
        assert served.wait() == 2
    assert re.search(r"^--listen: address already in use: 127.0.0.1:\d+$", served.output(), re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_becomes_the_user_of_its_configuration(start: Start, tmp_path: Path):
    nobody = pwd.getpwnam("nobody")
    mine = Path(tempfile.gettempdir(), f"pytest-of-{pwd.getpwuid(os.geteuid()).pw_name}")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(mine):
            folder.chmod(0o755)
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    (tmp_path / "it.yaml").write_text(f"name: ann\nuser: nobody\npid_file: {tmp_path}/pid\n")
    served = start()
    assert fetch(served.address, "/who").json()[1] == nobody.pw_uid
    assert served.stop() == 0
    assert not (tmp_path / "pid").exists()


# Before it serves

def test_until_it_is_open_it_says_so_to_everybody(start: Start, tmp_path: Path):
    path = gate(tmp_path, "gate")
    served = start("--open-gate", str(path), wait=False)
    address = served.wait_for(r"starting pid=\d+ listen=(\S+)")[1]
    for target in ("/healthz", "/lines", "/nowhere"):
        answer = fetch(address, target)
        assert (answer.status, answer.value("retry-after")) == (503, "1")
    assert fetch(address, "/lines", method="POST", body=b"too early").status == 503
    assert "ready:" not in served.output()
    path.write_bytes(b"")
    served.start()
    assert fetch(address, "/healthz").status == 200
    assert fetch(address, "/lines").json() == []


def hears_signals(served: Served) -> None:
    """Return once its loop runs, though it is not open."""
    address = served.wait_for(r"starting pid=\d+ listen=(\S+)")[1]
    assert fetch(address, "/healthz").status == 503


def test_it_can_be_stopped_before_it_is_open_and_then_closes_nothing(start: Start, tmp_path: Path):
    served = start("--open-gate", str(gate(tmp_path, "gate")), wait=False)
    hears_signals(served)
    assert served.stop() == 0
    assert "closing" not in served.output()


def test_what_keeps_it_from_opening_is_exit_status_1_and_one_line(start: Start, tmp_path: Path):
    start()
    second = start("--in-use", wait=False)
    assert second.wait() == 1
    assert re.search(rf"ERROR hotpath.core.solo {tmp_path}: another keeper has it\n", second.output())
    assert "Traceback" not in second.output()


def test_an_application_that_is_not_ready_is_asked_nothing_by_balancers(start: Start):
    served = start()
    fetch(served.address, "/reason", method="POST", body=b"the clock is ahead")
    answer = fetch(served.address, "/healthz")
    assert (answer.status, answer.json()["detail"]) == (503, "the clock is ahead")
    assert fetch(served.address, "/lines").status == 200
    fetch(served.address, "/reason", method="POST", body=b"")
    assert fetch(served.address, "/healthz").status == 200


# The end

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_a_stop_finishes_what_is_under_way_and_then_closes(start: Start, tmp_path: Path, number: int):
    served = start()
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/until-drained"))
        served.wait_for("^waiting")
        served.signal(number)
        answer = client.answer()
        assert (answer.body, answer.says_close) == (b"drained", True)
    assert served.wait() == 0
    assert journal(tmp_path) == [f"closed {served.pid}"]


def test_a_second_stop_cuts_what_is_under_way_and_still_closes(start: Start, tmp_path: Path):
    served = start()
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/for-ever"))
        served.wait_for("^waiting")
        served.signal(signal.SIGTERM)
        served.wait_for("stopping$")
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
    assert journal(tmp_path) == [f"closed {served.pid}"]


def test_a_drain_has_a_deadline_and_still_closes(start: Start, tmp_path: Path):
    (tmp_path / "it.yaml").write_text("name: ann\ntimeouts: {drain: 50ms}\n")
    served = start()
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/for-ever"))
        served.wait_for("^waiting")
        assert served.stop() == 0
    assert journal(tmp_path) == [f"closed {served.pid}"]


def test_a_close_that_hangs_ends_with_the_third_stop(start: Start, tmp_path: Path):
    served = start("--stop-gate", str(gate(tmp_path, "gate")))
    served.signal(signal.SIGTERM)
    served.wait_for("^closing")

    def ended() -> bool:
        served.signal(signal.SIGTERM)
        return not is_alive(served.pid)

    wait_for(ended, "its end")
    assert served.wait() == -signal.SIGTERM


def test_it_can_end_itself_from_any_thread_with_a_reason(start: Start, tmp_path: Path):
    served = start()
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/die", body=b""))
        assert served.wait() == 1
    assert "CRITICAL hotpath.core.solo disk failed cause=a test\n" in served.output()
    assert journal(tmp_path) == []


# HUP and USR1

def test_a_reload_reaches_the_application_and_the_limits(start: Start, tmp_path: Path):
    served = start()
    (tmp_path / "it.yaml").write_text(
        "name: bob\npeers: [{url: 'http://b'}]\nlisten: 127.0.0.1:1\nlimits: {body: 10}\nlog: {access: off}\n")
    served.signal(signal.SIGHUP)
    served.wait_for("reloaded$")
    assert fetch(served.address, "/who").json() == [served.pid, os.geteuid(), "bob", ["http://b"]]
    assert fetch(served.address, "/lines", method="POST", body=b"12345678901").status == 413
    assert reloads(served.address) == (1, 0)
    assert "not changed: log needs a restart" in served.output()
    assert "not changed: listen" not in served.output()     # the flag still stands in its place


@pytest.mark.parametrize(("text", "said"), [
    ("nam: bob\n", r"it\.yaml:1: nam: unknown key"),
    ("name: bob\nrefuse: true\nlimits: {body: 10}\n", "refuse: it was told to"),
    ("name: bob\nworkers: 2\n", r"it\.yaml:2: workers: this server is one process; allowed: 1"),
])
def test_a_bad_configuration_changes_nothing(start: Start, tmp_path: Path, text: str, said: str):
    served = start()
    (tmp_path / "it.yaml").write_text(text)
    served.signal(signal.SIGHUP)
    served.wait_for(f"reload failed: .*{said}")
    assert fetch(served.address, "/who").json()[2] == "ann"
    assert fetch(served.address, "/lines", method="POST", body=b"12345678901").status == 201
    assert reloads(served.address) == (0, 1)


def test_a_reload_that_comes_too_early_waits(start: Start, tmp_path: Path):
    path = gate(tmp_path, "gate")
    served = start("--open-gate", str(path), wait=False)
    hears_signals(served)
    (tmp_path / "it.yaml").write_text("name: bob\n")
    served.signal(signal.SIGHUP)
    path.write_bytes(b"")
    served.start()
    served.wait_for("reloaded$")
    assert fetch(served.address, "/who").json()[2] == "bob"


def test_usr1_reopens_both_logs(start: Start, tmp_path: Path):
    (tmp_path / "it.yaml").write_text(
        f"name: ann\nlog: {{access: {{path: {tmp_path}/access, flush: 10ms}}, error: {tmp_path}/error}}\n")
    served = start()
    for name in ("access", "error"):
        (tmp_path / name).rename(tmp_path / f"{name}.old")
    served.signal(signal.SIGUSR1)
    wait_for((tmp_path / "access").exists, "the new file")
    fetch(served.address, "/who")
    wait_for(lambda: "GET /who" in (tmp_path / "access").read_text(), "a line of the access log")
    served.stop()
    assert "stopping" in (tmp_path / "error").read_text()


# USR2

class Load:
    """What some busy clients saw."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.kept: list[str] = []
        self.pids: set[int] = set()
        self.failures: list[str] = []


@contextmanager
def under_load(address: str) -> Iterator[Load]:
    """Clients that keep lines while the block runs: some on new connections, some on one for as long as it lasts."""
    load, end = Load(address), threading.Event()

    def be_busy(name: str, lasting: bool) -> None:
        n = 0
        while not end.is_set():
            try:
                with Client(address) as client:
                    while not end.is_set():
                        line = f"{name}{n}"
                        n += 1
                        answer = client.ask("POST", "/lines", body=line.encode())
                        if answer.status != 201:
                            load.failures.append(f"{answer.status} {answer.body!r}")
                        load.kept.append(line)
                        load.pids.add(answer.json())
                        if answer.says_close or not lasting:
                            break
            except Exception as error:
                load.failures.append(repr(error))

    threads = [threading.Thread(target=be_busy, args=(name, name in "ab")) for name in "abcd"]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_an_upgrade_under_load_refuses_and_loses_nothing(start: Start, tmp_path: Path):
    (tmp_path / "it.yaml").write_text(f"name: ann\npid_file: {tmp_path}/pid\n")
    served = start()
    with under_load(served.address) as load:
        wait_for(lambda: len(load.kept) > 50, "some load")
        served.signal(signal.SIGUSR2)
        assert served.wait() == 0
        pid = int(wait_for(lambda: re.findall(r"^ready: pid (\d+)", served.output(), re.MULTILINE)[1:], "the next")[0])
        before = len(load.kept)
        wait_for(lambda: len(load.kept) > before + 50, "load on it")
    assert load.failures == []
    assert load.pids == {served.pid, pid}
    assert (tmp_path / "pid").read_text() == f"{pid}\n"
    lines = journal(tmp_path)
    assert sorted(set(lines) - {f"closed {served.pid}"}) == sorted(load.kept)
    assert len(lines) == len(load.kept) + 1
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: journal(tmp_path)[-1] == f"closed {pid}", "its close")


def test_connections_wait_for_the_successor_while_the_last_request_runs(start: Start, tmp_path: Path):
    path = gate(tmp_path, "gate")
    served = start()
    with Client(served.address) as slow:
        slow.send(request_bytes("GET", f"/gate{path}"))
        served.wait_for("^waiting")
        served.signal(signal.SIGUSR2)
        served.wait_for("upgrade ready, draining$")
        with Client(served.address) as waiting:
            waiting.send(request_bytes("GET", "/who"))
            assert served.output().count("ready: ") == 1
            path.write_bytes(b"")
            assert slow.answer().json() == served.pid
            assert waiting.answer().json()[0] != served.pid
    assert served.wait() == 0


def test_a_unix_socket_stays_through_an_upgrade_and_goes_with_the_last(start: Start, tmp_path: Path):
    path = tmp_path / "socket"

    def answers() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(request_bytes("GET", "/who", [("Connection", "close")]))
            return b"".join(iter(lambda: client.recv(4096), b""))

    served = start(listen=f"unix:{path}", wait=False)
    served.wait_for("^ready: ")
    served.signal(signal.SIGUSR2)
    assert served.wait() == 0
    assert answers().startswith(b"HTTP/1.1 200 ")
    pid = int(re.findall(r"^ready: pid (\d+)", served.output(), re.MULTILINE)[1])
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid), "its end")
    assert not path.exists()


def test_a_successor_that_cannot_start_changes_nothing(start: Start, tmp_path: Path):
    text = f"name: ann\npid_file: {tmp_path}/pid\n"
    (tmp_path / "it.yaml").write_text(text)
    served = start()
    (tmp_path / "it.yaml").write_text("nam: ann\n")
    served.signal(signal.SIGUSR2)
    served.wait_for(r"upgrade failed pid=\d+ cause=exit 2$")
    assert "nam: unknown key" in served.output()
    assert fetch(served.address, "/who").json()[0] == served.pid
    assert (tmp_path / "pid").read_text() == f"{served.pid}\n"
    (tmp_path / "it.yaml").write_text(text)
    served.signal(signal.SIGUSR2)
    assert served.wait() == 0


@pytest.mark.parametrize("late", [False, True])
def test_whoever_kills_it_during_an_upgrade_kills_its_successor_too(start: Start, tmp_path: Path, late: bool):
    served = start()
    (tmp_path / "it.yaml").unlink()
    path = gate(tmp_path, "it.yaml")        # the successor never gets beyond its configuration
    served.signal(signal.SIGUSR2)
    pid = int(served.wait_for(r"upgrade started pid=(\d+)")[1])
    served.signal(signal.SIGHUP)
    served.wait_for("reload failed: an upgrade is under way$")
    fd = wait_for(lambda: opened_for_writing(path), "the successor to read it") if late else -1
    os.kill(served.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the end of its successor")
    if late:
        os.close(fd)


def test_a_stop_during_an_upgrade_stops_its_successor_too(start: Start, tmp_path: Path):
    served = start()
    (tmp_path / "it.yaml").unlink()
    gate(tmp_path, "it.yaml")
    served.signal(signal.SIGUSR2)
    pid = int(served.wait_for(r"upgrade started pid=(\d+)")[1])
    assert served.stop() == 0
    wait_for(lambda: not is_alive(pid), "the end of its successor")
    assert journal(tmp_path) == [f"closed {served.pid}"]


# The command

@pytest.mark.parametrize(("text", "flags", "said"), [
    ("name: ann\n", ("--workers", "2"), r"--workers: this server is one process; allowed: 1"),
    ("name: ann\nworkers: 3\n", (), r".*it\.yaml:2: workers: this server is one process; allowed: 1"),
    ("data: .\n", (), r".*it\.yaml:1: name is missing; allowed: text"),
    ("name: ann\n", ("--name", "Ann"), r"--name: 'Ann' is not allowed; allowed: text like"),
    ("name: ann\n", ("--peer", "http://a", "--peer", "b"), r"--peer: \[1\]\.url: 'b' is not allowed"),
    ("- name\n", ("--name", "ann"), r".*it\.yaml:1: a list is not allowed"),
])
def test_a_mistake_is_exit_status_2_and_says_whose(tmp_path: Path, text: str, flags: tuple[str, ...], said: str):
    (tmp_path / "it.yaml").write_text(text)
    done = subprocess.run([*COMMAND, "--check", "--config", str(tmp_path / "it.yaml"), *flags],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert re.match(said, done.stderr), done.stderr


def test_a_flag_wins_over_the_file_and_may_give_what_the_file_must():
    for flags, status in (((), 2), (("--name", "ann"), 0), (("--name", "ann", "--workers", "1"), 0)):
        done = subprocess.run([*COMMAND, "--check", *flags], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, done.stderr
        if status:
            assert done.stderr.startswith("command line: name is missing; allowed: text")


def test_flags_stand_in_place_of_the_files_values(start: Start, tmp_path: Path):
    (tmp_path / "it.yaml").write_text("name: Wrong\npeers: [{url: 'http://b'}]\n")
    served = start("--name", "bob", "--peer", "http://c", "--peer", "http://d")
    assert fetch(served.address, "/who").json()[2:] == ["bob", ["http://c", "http://d"]]


# Hooks where there is a master

def test_a_worker_opens_before_it_serves_and_closes_behind_its_last_request(tmp_path: Path):
    app, opened = Router(), []
    path = gate(tmp_path, "gate")

    @app.at_open
    def open_() -> None:
        path.read_bytes()
        opened.append(True)

    @app.at_stop
    def close() -> None:
        (tmp_path / "closed").touch()

    app.add("GET", "/", lambda request: Response.json(opened))
    threading.Thread(target=lambda: path.write_bytes(b"")).start()
    with serving(app) as served:
        assert fetch(served.address, "/").json() == [True]
        assert served.stop() == 0
    assert (tmp_path / "closed").exists()


def test_a_reload_hook_is_refused_where_workers_are_forked_anew():
    app = Router()
    app.at_reload(lambda config: None)
    with pytest.raises(ValueError, match="at_reload"):
        run(app, listen="127.0.0.1:0", config=ServeConfig())
