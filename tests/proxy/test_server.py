"""The command's complaints: exit status 2, and one line that says where and what."""
from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.core.errors import ConfigError
from hotpath.core.listen import Listeners
from hotpath.proxy.server import ProxyService
from tests.clients import fetch
from tests.proxies import Proxy, check
from tests.waiting import wait_for

ROUTE = "routes: [{match: {prefix: /}, respond: {body: hello}}]\n"

# What follows FILE: on the one line. {folder} is a folder of the test's own, {port} is taken.
WRONG = [
    ("unknown key", "lisen: 127.0.0.1:1\n" + ROUTE, "1: lisen: unknown key (did you mean listen?)"),
    ("not yaml", "routes: [\n", "3: not YAML: "),
    ("port taken", ROUTE + "listen: 127.0.0.1:{port}\n", "2: listen: address already in use: 127.0.0.1:{port}"),
    ("second port taken", ROUTE + "listen:\n- 127.0.0.1:0\n- 127.0.0.1:{port}\n", "4: listen[1]: address already in"),
    ("admin taken", ROUTE + "admin: {address: 127.0.0.1:{port}}\n", "2: admin.address: address already in use"),
    ("no such host", ROUTE + "listen: 203.0.113.1:0\n", "2: listen: "),
    ("no such server", ROUTE + "upstreams:\n  u:\n    servers:\n    - 127.0.0.1:1\n    - none.invalid:80\n",
     "6: upstreams.u.servers[1]: none.invalid:80 does not resolve: "),
    ("server with an endless label", ROUTE + f"upstreams: {{u: {{servers: ['{'a' * 70}.invalid:80']}}}}\n",
     "2: upstreams.u.servers[0]"),
    ("access log", ROUTE + "log: {access: {path: {folder}/none/a.log}}\n", "2: log.access.path: "),
    ("error log", ROUTE + "log:\n  error:\n    path: {folder}/none/e.log\n", "4: log.error.path: "),
    ("log is a folder", ROUTE + "log: {access: {path: {folder}}}\n", "2: log.access.path: "),
    ("pid file", ROUTE + "listen: 127.0.0.1:0\npid_file: {folder}/none/pid\n", "3: pid_file: cannot write "),
    ("empty token", ROUTE + "admin: {address: 127.0.0.1:0, token_file: {folder}/empty}\n", "2: admin.token_file: "),
    ("binary token", ROUTE + "admin: {address: 127.0.0.1:0, token_file: {folder}/binary}\n", "2: admin.token_file: "),
    ("user", ROUTE + "user: nobody-of-that-name\n", "2: user: "),
]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*rest, id=name) for name, *rest in WRONG])
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, taken: int, text: str, expected: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    filled = text.replace("{folder}", str(tmp_path)).replace("{port}", str(taken))
    if "listen" not in filled:
        filled += "listen: 127.0.0.1:0\n"
    done = check(filled, folder=tmp_path)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert lines[0].startswith(f"{tmp_path / 'proxy.yaml'}:{expected.replace('{port}', str(taken))}")


@pytest.mark.parametrize(("flags", "expected"), [
    (["--what"], "hotpath-proxy: unrecognized arguments: --what"),
    (["--listen", "nonsense"], "--listen: "),
    (["--workers", "0"], "--workers: '0' is not allowed; allowed: auto, or 1 to 256"),
    (["-c"], "hotpath-proxy: argument -c/--config: expected one argument"),
    (["reverse"], "hotpath-proxy: argument command: invalid choice: 'reverse'"),
])
def test_a_wrong_flag_is_said_in_one_line(tmp_path: Path, flags: list[str], expected: str) -> None:
    done = check(ROUTE, *flags, folder=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith(expected)


def test_a_taken_port_of_a_flag_is_the_flags(tmp_path: Path, taken: int) -> None:
    done = check(ROUTE, "--listen", f"127.0.0.1:{taken}", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"--listen: address already in use: 127.0.0.1:{taken}\n")


def test_check_finds_what_a_start_would(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    for text in ("log: {access: {path: /none/such/a.log}}", "admin: {address: 127.0.0.1:0, token_file: /none/such}"):
        file.write_text(ROUTE + text)
        with pytest.raises(ConfigError):
            ProxyService(str(file)).check()


def test_a_generation_that_never_served_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next one inherits, and what USR1 reopens, is of the one that serves."""
    monkeypatch.setattr("hotpath.proxy.server.start_logging", lambda *_args, **_kwargs: None)
    file, access = tmp_path / "proxy.yaml", tmp_path / "access.log"
    file.write_text(f"{ROUTE}listen: 127.0.0.1:0\nlog: {{access: {{path: {access}}}}}\n")
    service, listeners = ProxyService(str(file)), Listeners()
    try:
        serving, failed = (service.load(listeners) for _ in range(2))
        failed.retired()
        access.unlink()
        service.reopen_logs()
        assert access.exists()      # it is the open one's
        late, successor = (service.load(listeners) for _ in range(2))     # the second before the first is given up
        late.retired()
        assert successor.before is serving
        serving.retired()
        assert successor.before is None
        successor.retired()
    finally:
        listeners.close()


def test_a_worker_forked_after_a_rotation_writes_to_the_new_files(tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    config = {
        "routes": [{"match": {"prefix": "/"}, "respond": {"body": "x"}}],
        "log": {"access": {"path": str(access), "format": "{target}", "buffer": 1}, "error": {"path": str(error)}},
    }
    with Proxy(config) as proxy:
        fetch(proxy.address, "/old")
        wait_for(lambda: access.read_text() == "/old\n", "the old line")
        access.rename(tmp_path / "access.log.1")
        error.rename(tmp_path / "error.log.1")
        proxy.send_signal(signal.SIGUSR1)
        wait_for(lambda: access.exists() and error.exists(), "the new files")
        (worker,) = proxy.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: proxy.workers() not in ([], [worker]), "another worker")
        fetch(proxy.address, "/new")
        wait_for(lambda: access.read_text() == "/new\n", "the new line")
        wait_for(lambda: "worker died" in error.read_text(), "the line about the worker")
    assert (tmp_path / "access.log.1").read_text() == "/old\n"
