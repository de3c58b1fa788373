"""What holds the programs of a project; three kinds, one interface."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hotpath.core.tasks import Event
from hotpath.ide.templates import Template

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Spec:
    """All that a sandbox must know of a project."""

    id: str
    folder: Path            # absolute; `files/` in it is what the project's programs see
    template: Template

    @property
    def files(self) -> Path:
        """The project's own folder."""
        return self.folder / "files"


@dataclass(frozen=True, slots=True)
class Port:
    """Where a program of the project listens."""

    port: int
    process: str            # its name; empty: not known


class Spawned(Protocol):
    """A program on a terminal of its own, in a sandbox."""

    fd: int                 # non-blocking: its output is read here, its input written; whoever is given this closes it
    early: bytes            # output that was read already

    def resize(self, cols: int, rows: int) -> None:
        """Say how large the terminal is. Never waits, never raises."""

    def kill(self, signal: int) -> None:
        """Send it to the whole session, the job in the foreground too. Never waits, never raises."""

    def wait(self) -> int:
        """In a task: its exit status, or -signal."""


class Running(Protocol):
    """The sandbox of one project."""

    gone: Event             # set: it ended, by itself or because it was stopped
    why: str                # then: a sentence; empty when we stopped it

    def spawn(self, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING) -> Spawned:
        """In a task: start a program. Raises SandboxFailed."""

    def ports(self) -> list[Port]:
        """The project's own listeners, by port. Cheap, and never waits long."""

    def connect(self, port: int) -> int:
        """In a task: a connected, non-blocking descriptor to the project's own loopback. Raises OSError."""

    def stop(self) -> None:
        """In a task: end everything in it."""


class Sandbox(Protocol):
    """Makes them; one per server."""

    kind: str               # docker, bubblewrap or process

    def missing(self, template: Template) -> str | None:
        """In a task: what would help, where the template cannot be used; None: it can."""

    def start(self, spec: Spec) -> Running:
        """In a task of the loop's own thread. Raises SandboxFailed: who must act."""

    def adopt(self, specs: Sequence[Spec]) -> dict[str, Running]:
        """In a task, at the server's start: what still runs, by project; what is ours and has no project is removed."""

    def once(
        self, spec: Spec, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING
    ) -> Spawned:
        """In a task: a program on the same files, in a sandbox of its own with `install_network`; both end together."""

    def remove(self, id: str) -> None:
        """In a task: the project is gone for good."""

    def close(self) -> None:
        """The server ends. Must not wait."""
