from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from hotpath.core.tasks import Event, run, sleep
from hotpath.ide.config import TerminalConfig
from hotpath.ide.errors import TooMany
from hotpath.ide.terminal import Terminals
from hotpath.ide.terminal.terminals import ENDED_KEPT


class Puppet:
    """A program that ends when it is told to; its other side is `there`."""

    def __init__(self, *, deaf: bool = False) -> None:
        ours, self.there = socket.socketpair()
        ours.setblocking(False)
        self.fd, self.early = ours.detach(), b"early"
        self.deaf, self.signals = deaf, []
        self.status = 0
        self.ended = Event()

    def end(self, status: int) -> None:
        self.status = status
        self.there.close()
        self.ended.set()

    def resize(self, cols: int, rows: int) -> None:
        pass

    def kill(self, signal: int) -> None:
        self.signals.append(signal)
        if not self.deaf:
            self.end(-signal)

    def wait(self) -> int:
        self.ended.wait()
        return self.status


def house(**limits: int) -> tuple[Terminals, list[int]]:
    changes = [0]

    def changed() -> None:
        changes[0] += 1

    return Terminals(TerminalConfig(**limits), changed), changes


def wait_until(check: Callable[[], bool]) -> None:
    while not check():
        sleep(0.002)


def in_loop(test: Callable[[], None]) -> Callable[[], None]:
    """The test in a task."""
    def whole() -> None:
        run(test)

    whole.__name__ = test.__name__
    return whole


@in_loop
def test_as_many_shells_as_there_may_be():
    terminals, _ = house(max=2)
    puppets = [Puppet() for _ in range(4)]
    terminals.room()
    for puppet, kind in zip(puppets, ("shell", "run", "setup", "shell"), strict=True):
        terminals.room()
        terminals.add(puppet, kind, kind, 80, 24)
    with pytest.raises(TooMany):
        terminals.room()
    assert terminals.alive == 4
    assert [one.kind for one in terminals.of_kind("run")] == ["run"]
    puppets[0].end(0)
    wait_until(lambda: terminals.alive == 3)
    terminals.room()
    terminals.close_all()


@in_loop
def test_what_one_is_told():
    terminals, changes = house()
    puppet = Puppet()
    terminal = terminals.add(puppet, "run", "make", 100, 30)
    assert changes == [1]
    over = []
    terminal.on_exit.append(lambda: over.append(terminal.exit))
    assert terminals.json() == [{"id": terminal.id, "kind": "run", "title": "make", "cols": 100, "rows": 30,
                                 "alive": True, "exit": None, "offset": 5}]
    assert terminals.get(terminal.id) is terminal
    puppet.there.send(b"more")
    wait_until(lambda: terminal.offset == 9)
    assert changes == [1]
    puppet.end(3)
    wait_until(lambda: not terminal.alive)
    assert (terminal.exit, over, changes) == (3, [3], [2])
    terminals.close(terminal.id)
    assert (terminals.json(), changes) == ([], [3])
    assert terminals.get(terminal.id) is None
    terminals.close(terminal.id)


@in_loop
def test_the_last_that_ended_are_kept():
    terminals, _ = house(max=100)
    runs = Puppet()
    first = terminals.add(runs, "shell", "", 80, 24)
    ids = []
    for n in range(ENDED_KEPT + 3):
        puppet = Puppet()
        terminal = terminals.add(puppet, "run", str(n), 80, 24)
        puppet.end(n)
        wait_until(lambda terminal=terminal: not terminal.alive)
        ids.append(terminal.id)
    last = terminals.add(Puppet(), "shell", "", 80, 24)
    assert [one["id"] for one in terminals.json()] == [first.id, *ids[-ENDED_KEPT:], last.id]
    terminals.close_all()


@in_loop
def test_output_behind_the_exit_is_waited_for_but_not_for_ever():
    terminals, _ = house()
    puppet = Puppet()
    terminal = terminals.add(puppet, "shell", "", 80, 24)
    puppet.status = 7
    puppet.ended.set()              # and something else still has its terminal open
    puppet.there.send(b" and the rest")
    wait_until(lambda: not terminal.alive)
    assert (terminal.exit, terminal.offset) == (7, 18)
    terminals.close_all()
    puppet.there.close()


@in_loop
def test_a_program_that_cannot_be_killed_does_not_hold_up_its_end():
    terminals, _ = house()
    puppet = Puppet(deaf=True)
    terminal = terminals.add(puppet, "shell", "", 80, 24)
    terminals.close(terminal.id)
    assert puppet.signals == [1, 9]
    assert (terminal.alive, terminal.exit) == (False, -9)
    puppet.end(0)


@in_loop
def test_an_end_before_the_program_s_is_not_its_end():
    terminals, _ = house()
    puppet = Puppet()
    terminal = terminals.add(puppet, "shell", "", 80, 24)
    puppet.there.close()            # it closed its terminal, and goes on
    sleep(0.3)
    assert terminal.alive
    with suppress(OSError):
        os.fstat(puppet.fd)         # ours stays open: closing it would hang up on the program
    puppet.end(0)
    wait_until(lambda: not terminal.alive)
    terminals.close_all()
