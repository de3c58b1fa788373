"""Worker processes: forked once, started together for each measurement, heard through a pipe each."""
from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from random import Random
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, text

from hotpath.core.errors import HotpathError
from hotpath.locking.classify import first_line, translating
from hotpath.locking.engine import engine
from hotpath.locking.errors import Disconnected, Retriable
from hotpath.locking.policies import Policy
from hotpath.locking.stats import Stats
from hotpath.locking.work import run

from .grid import Cell
from .units import WAYS

# The start is an instant ahead, so that the last of many workers has heard of it.
HEADSTART_S = 0.02
# Beyond the end of a measurement: a unit that began before it may wait for a lock as long as the engine allows.
PATIENCE_S = 60.0


class StudyFailed(HotpathError):
    """The operator: the study could not go on; the message is the line for them."""


class Silent(StudyFailed):
    """A worker, or the database behind it, does not answer any more."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to measure; `index` is its own."""

    policy: str
    cell: Cell
    seconds: float
    index: int


@dataclass(frozen=True, slots=True)
class Took:
    """What one worker did in one measurement."""

    commits: int
    conflicts: int
    deadlocks: int
    timeouts: int
    disconnects: int
    gave_up: int
    wasted_s: float             # in attempts that failed
    busy_s: float               # in all attempts
    cpu_s: float
    ended_s: float              # time.monotonic(), which all processes share
    latency_s: array[float] = field(repr=False)     # of each unit that was committed or given up, with its retries


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker says instead, when it cannot go on."""

    reason: str


class Crew:
    """`n` workers on a database; a context manager. Fork it before there are threads or connections."""

    def __init__(self, url: str, n: int) -> None:
        fork = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._processes: list[ForkProcess] = []
        for index in range(n):
            ours, theirs = fork.Pipe()
            self._pipes.append(ours)
            # A child that kept the others' ends of ours would keep them from noticing our death.
            process = fork.Process(target=serve, args=(theirs, url, tuple(self._pipes)), daemon=True,
                                   name=f"worker {index}")
            try:
                process.start()
            except OSError as error:
                self.end()
                raise StudyFailed(f"worker {index} cannot be started: {error.strerror}") from None
            theirs.close()
            self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [process.pid for process in self._processes if process.pid is not None]

    def measure(self, policy: str, cell: Cell, seconds: float) -> tuple[float, list[Took]]:
        """Seconds from the start to the end of the last unit, and what each worker did. Raises StudyFailed."""
        pipes = self._pipes[:cell.workers]
        for index, pipe in enumerate(pipes):
            self._tell(pipe, Order(policy, cell, seconds, index))
        self._answers(pipes, PATIENCE_S)
        start_s = time.monotonic() + HEADSTART_S
        for pipe in pipes:
            self._tell(pipe, start_s)
        tooks = [took for took in self._answers(pipes, seconds + PATIENCE_S) if isinstance(took, Took)]
        return max(took.ended_s for took in tooks) - start_s, tooks

    def _tell(self, pipe: Connection, what: Order | float) -> None:
        try:
            pipe.send(what)
        except OSError:
            raise StudyFailed(self._obituary(pipe)) from None

    def _answers(self, pipes: Sequence[Connection], patience_s: float) -> list[object]:
        """One from each."""
        answers: list[object] = []
        silent = list(pipes)
        deadline_s = time.monotonic() + patience_s
        while silent:
            heard = wait(silent, max(0.0, deadline_s - time.monotonic()))
            if not heard:
                raise Silent(f"{self._name(silent[0])} has not answered for {patience_s:g} s")
            for pipe in heard:
                assert isinstance(pipe, Connection)
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    raise StudyFailed(self._obituary(pipe)) from None
                if isinstance(answer, Failure):
                    raise StudyFailed(f"{self._name(pipe)}: {answer.reason}")
                answers.append(answer)
                silent.remove(pipe)
        return answers

    def _name(self, pipe: Connection) -> str:
        process = self._processes[self._pipes.index(pipe)]
        return f"{process.name} (pid {process.pid})"

    def _obituary(self, pipe: Connection) -> str:
        process = self._processes[self._pipes.index(pipe)]
        process.join(PATIENCE_S)
        code = process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        return f"{self._name(pipe)} {how}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """All of them, at once and wherever they are: they have nothing left to say."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()


def serve(pipe: Connection, url: str, others: Sequence[Connection]) -> None:
    """A worker's life: order after order, until nobody is there to give one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C goes to the whole group; the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    try:
        database = engine(url, pool_size=1)
        while True:
            order = pipe.recv()
            with translating(), database.connect() as connection:
                connection.execute(text("SELECT 1"))
            pipe.send(None)
            pipe.send(obey(database, order, start_s=pipe.recv()))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        pipe.send(Failure(first_line(error)))


def obey(database: Engine, order: Order, *, start_s: float) -> Took:
    """Unit after unit from `start_s` until the time is over. Raises Disconnected, and what a unit does."""
    unit, kind = WAYS[order.policy]
    end_s = start_s + order.seconds
    policy, stats = Until(kind(), end_s), Stats()
    choose = Random(f"{order.index} of {order.cell}").randint
    rows, work_s = order.cell.rows, order.cell.work_ms / 1000
    latency_s = array("d")
    gave_up, busy_s = 0, 0.0
    cpu_s = spent_s()
    time.sleep(max(0.0, start_s - time.monotonic()))
    while (began_s := time.monotonic()) < end_s:
        key = choose(1, rows)
        try:
            run(database, partial(unit, key=key, work_s=work_s), policy, stats=stats)
        except Disconnected:
            raise
        except TimeIsUp as over:
            if isinstance(over.__context__, Disconnected):
                raise over.__context__ from None
            busy_s += time.monotonic() - began_s        # its attempts count; it neither ended nor gave up
            continue
        except Retriable:
            gave_up += 1
        latency_s.append(time.monotonic() - began_s)
    busy_s += sum(latency_s)
    return Took(
        commits=stats.commits, conflicts=stats.conflicts + stats.serialization, deadlocks=stats.deadlocks,
        timeouts=stats.timeouts, disconnects=stats.disconnects, gave_up=gave_up, wasted_s=stats.wasted_s,
        busy_s=busy_s - stats.wait_s, cpu_s=spent_s() - cpu_s, ended_s=time.monotonic(), latency_s=latency_s)


class TimeIsUp(Exception):
    """A unit failed, and the measurement ended before another try."""


class Until:
    """A policy up to a moment of time.monotonic(): beyond it nothing is tried again.

    `run` has a deadline too; it takes three statements more for each lock, to wait no longer, and so cannot be part of
    what is measured.
    """

    def __init__(self, policy: Policy, end_s: float) -> None:
        self._policy = policy
        self._end_s = end_s
        self._wait_s = policy.wait_s
        self.attempts = policy.attempts
        self.locks, self.locks_row = policy.locks, policy.locks_row
        self.conflicted, self.passed = policy.conflicted, policy.passed

    def on_one_lock(self) -> Until:
        """As the policy says."""
        return Until(self._policy.on_one_lock(), self._end_s)

    def wait_s(self, attempt: int) -> float:
        """As the policy says. Raises TimeIsUp."""
        wait_s = self._wait_s(attempt)
        if attempt < self.attempts and time.monotonic() + wait_s >= self._end_s:
            raise TimeIsUp
        return wait_s


def spent_s() -> float:
    """Processor seconds of this process, in our code and in the kernel."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
