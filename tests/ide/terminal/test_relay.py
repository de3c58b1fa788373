"""From the program to the client and back, against the bare thing; and what it costs."""
from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.ide.terminal import stage
from tests.ide.terminal.client import SUBPROTOCOL, Stage
from tests.ide.terminal.ptys import OnTerminal
from tests.waiting import wait_for
from tests.wsclient import Client

PROGRAMS = {
    "lines": "seq 1 30000",
    "no end of line": "printf 'no end'",
    "nothing": ":",
    "colours and text": r"for i in 1 2 3 4 5; do printf '\033[3%dmgrün\033[0m\tx\r\n' $i; done",
    "raw bytes": "stty raw; head -c 70000 /dev/zero; awk 'BEGIN {for (i = 1; i < 128; i++) printf \"%c\", i}'",
    "its size": "stty size",
}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(stage.make(ring=1 << 20)) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def silent() -> Iterator[Client]:
    """One that does not attach: while the others are tested, its time goes by."""
    with serving(stage.make()) as served:
        there = Stage(served.address)
        with Client(there.address) as client:
            client.open(f"/projects/p/terminals/{there.create('cat')['id']}/socket", SUBPROTOCOL, host=there.address)
            yield client


@pytest.fixture
def there(served: Served) -> Iterator[Stage]:
    yield Stage(served.address)
    Stage(served.address).delete_all()


def bare(argv: list[str]) -> bytes:
    """What a plain reader of a PTY gets of a program."""
    program = OnTerminal(argv, 80, 24)
    os.set_blocking(program.fd, True)
    said = b""
    try:
        while piece := os.read(program.fd, 65536):
            said += piece
    except OSError:
        pass
    os.close(program.fd)
    os.waitpid(program.pid, 0)
    return said


@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS)
def test_a_client_gets_exactly_what_a_bare_reader_gets(there: Stage, command: str):
    argv = ["sh", "-c", command]
    terminal = there.create(*argv)
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        assert tab.until_closed().code == 1000
        assert bytes(tab.shown) == bare(argv)
        assert tab.start.begin == 0


# Under the sanitizers freed memory is kept, and all of it is wider.
plain = pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="no memory figures under sanitizers")


@plain
def test_an_idle_terminal_costs_little(there: Stage):
    def open_some(n: int, stack: ExitStack) -> None:
        for _ in range(n):
            tab = stack.enter_context(there.tab(there.create("cat")["id"]))
            tab.attach()
            tab.type("x")
            tab.until("x")

    with ExitStack() as stack:
        open_some(5, stack)
        before = there.process()
        open_some(40, stack)
        after = there.process()
        assert (after["rss"] - before["rss"]) / 40 < 64 * 1024
    there.delete_all()
    wait_for(lambda: there.process()["fds"] <= before["fds"], "all descriptors to be closed")


@plain
def test_a_ring_costs_what_is_used_of_it(there: Stage):
    before = there.process()["rss"]
    quiet = [there.create("cat") for _ in range(30)]
    assert there.process()["rss"] - before < 30 * 64 * 1024
    assert len(quiet) == 30


def test_terminals_come_and_go_without_a_trace(there: Stage):
    def come_and_go() -> None:
        terminal = there.create("sh", "-c", "read x; seq 1 3000; exit 3")
        with there.tab(terminal["id"]) as tab:
            tab.attach()
            tab.type("\n")
            tab.until_closed()
        there.delete(terminal["id"])

    come_and_go()
    wait_for(lambda: not there.listing()["terminals"], "it to be gone")
    before = there.process()["fds"]
    for _ in range(15):
        come_and_go()
    wait_for(lambda: not there.listing()["terminals"], "all to be gone")
    wait_for(lambda: there.process()["fds"] <= before, "all descriptors to be closed")


def test_a_server_that_stops_says_so():
    with serving(stage.make()) as served:
        there = Stage(served.address)
        terminal = there.create("sh", "-c", "while :; do echo flood; done")
        with there.tab(terminal["id"], acks=False) as held, there.tab(terminal["id"]) as quick:
            held.attach()
            held.until_offset(stage.WINDOW)
            quick.attach()
            with there.tab(terminal["id"]) as waiting:
                served.signal(signal.SIGTERM)
                for tab in held, quick, waiting:
                    assert tab.until_closed().code == 1001
                    tab.socket.send_close(1001)
        assert served.wait() == 0


def test_a_client_that_does_not_attach_is_told_to_go(silent: Client):
    event = silent.read()
    assert event.kind == "close"
    assert event.payload[:2] == (4408).to_bytes(2, "big")
