"""The processes of one generation: who runs, who is ready, who must go?"""
from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from .worker import GRACE_S, TIME_IS_UP, Identity, WorkerContext

# A process that dies this soon will probably do it again: its place rests, twice as long each time.
YOUNG_S = 1.0
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a generation asks its master for."""

    sockets: Sequence[socket.socket] = ()
    workers: int = 1            # at least one
    # Beside the workers, one process each, by name: for what must happen once, not once per worker.
    helpers: Mapping[str, Callable[[WorkerContext], None]] = field(default_factory=dict)
    drain_s: float = 30.0       # what still runs then is ended
    user: str | None = None     # workers and helpers become this user
    pid_file: str | None = None


class Generation(Protocol):
    """One loaded configuration, from its fork to its last process. All but `run_worker` run in the master."""

    @property
    def plan(self) -> Plan:
        """What to start; the same for the generation's whole life."""
        ...

    def run_worker(self, worker: WorkerContext) -> None:
        """A worker's life; its duties stand at WorkerContext."""

    def worker_died(self, index: int) -> None:
        """Worker `index` is gone, however it ended: what it had in shared memory is now nobody's."""

    def retired(self) -> None:
        """No process of this generation is left, and none will be."""


class Phase(Enum):
    """Where a crew stands; from DRAINING on, nobody is replaced."""

    STARTING = auto()   # not every process has been ready yet
    SERVING = auto()
    DRAINING = auto()   # finishes what it has
    HURRIED = auto()    # its time is up
    KILLED = auto()     # only the kernel still has to say so


# The way out: what each step sends. It can start anywhere, and only goes on.
STEPS = {
    Phase.DRAINING: signal.SIGQUIT,
    Phase.HURRIED: TIME_IS_UP,
    Phase.KILLED: signal.SIGKILL,
}
NEXT = {
    Phase.STARTING: Phase.DRAINING,
    Phase.SERVING: Phase.DRAINING,
    Phase.DRAINING: Phase.HURRIED,
    Phase.HURRIED: Phase.KILLED,
}


@dataclass(slots=True)
class Slot:
    """A place that one process fills, and after its death the next."""

    index: int
    name: str
    run: Callable[[WorkerContext], None]
    is_worker: bool
    pid: int = 0            # 0: empty
    ready: bool = False
    born_s: float = 0.0
    due_s: float = 0.0      # empty until then
    pause_s: float = 0.0    # the last rest; 0: the last process lived long enough

    def filled(self, pid: int, now_s: float) -> None:
        """Process `pid` starts here."""
        self.pid, self.born_s = pid, now_s

    def emptied(self, now_s: float) -> None:
        """Its process died, or none could be made: when may the next one start?"""
        if now_s - self.born_s < YOUNG_S:
            self.pause_s = min(max(2 * self.pause_s, PAUSE_MIN_S), PAUSE_MAX_S)
        else:
            self.pause_s = 0.0
        self.pid, self.ready = 0, False
        self.due_s = now_s + self.pause_s


class Crew:
    """One generation and its processes; it signals them, the master forks and reaps them.

    Raises ConfigError for a user that it cannot start them as.
    """

    def __init__(self, generation: Generation, number: int) -> None:
        self.generation = generation
        self.number = number
        self.plan = plan = generation.plan
        self.identity = Identity.of(plan.user) if plan.user else None
        self.phase = Phase.STARTING
        self.deadline_s: float | None = None    # of the present phase
        self.slots = [Slot(i, f"worker-{i}", generation.run_worker, is_worker=True) for i in range(plan.workers)]
        self.slots += [Slot(i, name, run, is_worker=False)
                       for i, (name, run) in enumerate(plan.helpers.items(), start=plan.workers)]

    @property
    def is_leaving(self) -> bool:
        """Whether it is on its way out."""
        return self.phase in STEPS

    @property
    def is_empty(self) -> bool:
        """Whether no process is left."""
        return not any(slot.pid for slot in self.slots)

    def slot_of(self, pid: int) -> Slot | None:
        """Where process `pid` stands; None: not one of ours."""
        return next((slot for slot in self.slots if slot.pid == pid), None)

    def due(self, now_s: float) -> Iterator[Slot]:
        """The empty slots whose rest is over."""
        if not self.is_leaving:
            yield from (slot for slot in self.slots if not slot.pid and slot.due_s <= now_s)

    def ready(self, slot: Slot) -> bool:
        """`slot`'s process serves. Whether with it, for the first time, everybody does."""
        slot.ready = True
        if self.phase is Phase.STARTING and all(each.ready for each in self.slots):
            self.phase = Phase.SERVING
            return True
        return False

    def send(self, number: int) -> None:
        """Signal every process."""
        for slot in self.slots:
            if slot.pid:
                # Dead or alive, the pid is still that process: it has not been reaped.
                os.kill(slot.pid, number)

    def step_down(self, now_s: float) -> None:
        """Take the next step of the way out: drain, hurry, kill."""
        self.phase = NEXT.get(self.phase, Phase.KILLED)
        wait_s = {Phase.DRAINING: self.plan.drain_s, Phase.HURRIED: GRACE_S}.get(self.phase)
        self.deadline_s = None if wait_s is None else now_s + wait_s
        self.send(STEPS[self.phase])

    def next_s(self) -> float | None:
        """When the master must look again, if nothing happens before."""
        if self.is_leaving:
            return self.deadline_s
        return min((slot.due_s for slot in self.slots if not slot.pid), default=None)
