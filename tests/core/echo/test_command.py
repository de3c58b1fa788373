from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from hotpath.core.echo.command import arguments, main
from tests.clients import Client, fetch
from tests.waiting import Process, running, wait_for

COMMAND = [sys.executable, "-P", "-m", "hotpath.core.echo"]
Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command with these flags; the process, and the address that it is ready at."""
    with ExitStack() as stack:
        def started(*flags: str, listen: str = "127.0.0.1:0") -> tuple[Process, str]:
            process = stack.enter_context(running([*COMMAND, "--listen", listen, "--workers", "1", *flags]))
            return process, process.wait_for_output(r"^ready: pid \d+, (\S+)$")[1]

        yield started


def status_of(*flags: str) -> int:
    """The exit status, however it ends."""
    try:
        return main(flags)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_any_path_says_hello(start: Start):
    process, address = start()
    for path in ("/", "/a/b?c"):
        answer = fetch(address, path)
        assert (answer.status, answer.body, answer.value("content-type")) == (200, b"hello", "text/plain")
    assert fetch(address, "/healthz").body == b"ok\n"
    assert b"hotpath_requests_total" in fetch(address, "/metrics").body
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_it_says_hello_on_a_unix_socket_and_on_ipv6(start: Start, tmp_path: Path):
    path = tmp_path / "socket"
    for listen, family in ((f"unix:{path}", socket.AF_UNIX), ("[::1]:0", socket.AF_INET6)):
        _, address = start(listen=listen)
        with socket.socket(family) as sock:
            sock.settimeout(10)
            sock.connect(str(path) if family == socket.AF_UNIX else ("::1", int(address.rpartition(":")[2])))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"".join(iter(lambda: sock.recv(1000), b"")).endswith(b"\r\n\r\nhello")


def test_messages_come_back_and_a_plain_request_is_told_to_upgrade(start: Start):
    _, address = start("--ws", "--subprotocol", "one", "--subprotocol", "two", "--max-message", "1k")
    answer = fetch(address, "/any")
    assert (answer.status, answer.value("upgrade")) == (426, "websocket")
    with connect(f"ws://{address}/any/path", subprotocols=["two"]) as ws:  # type: ignore[list-item]
        assert ws.subprotocol == "two"
        assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
        for message in ("text", b"bytes", "", "x" * 1024):
            ws.send(message)
            assert ws.recv(10) == message
        ws.send("x" * 1025)
        with pytest.raises(ConnectionClosedError, match="1009"):
            ws.recv(10)


def test_a_page_of_another_origin_may_not_connect_once_one_is_named(start: Start):
    _, address = start("--ws", "--origin", "https://friend.example", "--no-deflate")
    with connect(f"ws://{address}/", origin="https://friend.example") as ws:  # type: ignore[arg-type]
        assert "Sec-WebSocket-Extensions" not in ws.response.headers  # type: ignore[union-attr]
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://{address}/", origin="https://foe.example")  # type: ignore[arg-type]


def test_hup_reads_the_file_again_and_keeps_who_is_there(start: Start, tmp_path: Path):
    file = tmp_path / "echo.yaml"
    file.write_text("ws: false\n")
    process, address = start("-c", str(file))
    with Client(address) as client:
        assert client.ask("GET", "/").body == b"hello"
        file.write_text("ws: true\n")
        process.popen.send_signal(signal.SIGHUP)
        process.wait_for_output("reloaded generation=2")
        wait_for(lambda: fetch(address, "/").status == 426, "the new workers alone")     # the old may still take some
        assert client.ask("GET", "/").body == b"hello"
        file.write_text("wss: true\n")
        process.popen.send_signal(signal.SIGHUP)
        process.wait_for_output(r"echo.yaml:1: wss: unknown key")
        assert fetch(address, "/").status == 426


def test_usr2_goes_on_in_a_new_process(start: Start):
    process, address = start()
    with Client(address) as client:
        assert client.ask("GET", "/").body == b"hello"
        process.popen.send_signal(signal.SIGUSR2)
        process.wait_for_output(rf"^ready: pid (?!{process.pid},)\d+, {re.escape(address)}$")
        assert fetch(address, "/").body == b"hello"
    assert process.wait() == 0
    assert fetch(address, "/").body == b"hello"


def test_an_address_in_use_is_exit_status_2(start: Start):
    _, address = start()
    with running([*COMMAND, "--listen", address]) as second:
        assert second.wait() == 2
        assert second.output.strip() == f"--listen: address already in use: {address}"


@pytest.mark.parametrize(("text", "said"), [
    ("ws: maybe", "FILE:1: ws: 'maybe' is not allowed; allowed: true or false"),
    ("ws: true\nmax_mesage: 3", "FILE:2: max_mesage: unknown key (did you mean max_message?); allowed: "),
    ("max_frame: 12q", "FILE:1: max_frame: '12q' is not a size; allowed: "),
    ("subprotocols: [fine, not fine]", "FILE:1: subprotocols[1]: 'not fine' is not allowed; allowed: "),
    ("listen: nowhere", "FILE:1: listen: 'nowhere' is not an address; allowed: "),
])
def test_a_mistake_in_the_file_is_exit_status_2_with_its_place(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str):
    file = tmp_path / "echo.yaml"
    file.write_text(text)
    assert status_of("-c", str(file), "--check") == 2
    assert capsys.readouterr().err.startswith(said.replace("FILE", str(file)))


@pytest.mark.parametrize(("flags", "said"), [
    (["--bogus"], "hotpath-echo: unrecognized arguments: --bogus; allowed: see --help"),
    (["--workers", "0"], "--workers: '0' is not allowed; allowed: auto, or 1 to 256"),
    (["--max-message", "12q"], "hotpath-echo: argument --max-message: '12q' is not a size; allowed: "),
    (["--subprotocol", "a b"], "hotpath-echo: argument --subprotocol: 'a b' is not a subprotocol; allowed: "),
    (["-c", "/nowhere.yaml"], "/nowhere.yaml: cannot be read: "),
])
def test_a_wrong_flag_is_exit_status_2(capsys: pytest.CaptureFixture[str], flags: list[str], said: str):
    assert status_of(*flags, "--check") == 2
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert (told.count("\n"), told.count("allowed: ")) == (1, said.count("allowed: "))


def test_every_flag_has_a_twin_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "echo.yaml"
    file.write_text("listen: 127.0.0.1:9002\nworkers: 1\nraw: true\nws: true\nmax_message: 1m\nmax_frame: 64k\n"
                    "deflate: false\nsubprotocols: chat\norigins: [https://a.example, https://b.example]\n")
    assert status_of("-c", str(file), "--check") == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
    twins = {"no_deflate": "deflate", "subprotocol": "subprotocols", "origin": "origins"}
    flags = set(vars(arguments([]))) - {"command", "config", "check"}
    assert flags == {twins.get(line.split(":")[0], line.split(":")[0]) for line in file.read_text().splitlines()}


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]):
    assert status_of("--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    for flag in ("--listen ADDR", "--workers N", "--config FILE", "--check", "--raw", "--ws",
                 "--no-deflate", "--origin ORIGIN"):
        assert flag in told
    assert "127.0.0.1:9001" in told
    assert told.count("default: 16m") == 2
