"""A program on a terminal in a container: what is read and written is the engine's stream."""
from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hotpath.core.tasks import sleep, spawn, timeout
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox.session import members

from .container import MARK, beginning
from .endings import Endings, Exit
from .engine import Engine, Hijacked, Refused
from .inside import end_session
from .readiness import receive

MAX_MARK = 4096         # what a program that does not begin may say
RETRIES = 8             # of a resize; the engine knows the terminal a little later than the program (moby #31223)
RETRY_S = 0.02
ATTACHED = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}


@dataclass(frozen=True, slots=True)
class Place:
    """A container, and who asks for what happens in it."""

    engine: Engine
    endings: Endings
    container: str          # its id
    name: str
    user: str
    start_s: float


class _Created(msgspec.Struct):
    Id: str


class _Inspected(msgspec.Struct):
    Pid: int = 0


class Program:
    """A Spawned; made by `begun`."""

    def __init__(self, place: Place, id: str, exit: Exit, stream: Hijacked, pid: int, inner: int) -> None:
        self.fd = stream.sock.detach()
        self.early = stream.early
        self.exit = exit
        self._place = place
        self._id = id
        self._pid = pid             # as this machine counts; 0: not known
        self._inner = inner         # as its container counts: it leads a session there
        self._size: tuple[int, int] | None = None       # wanted, and not yet told
        self._resizing = False

    def resize(self, cols: int, rows: int) -> None:
        """See Spawned."""
        self._size = cols, rows
        if not (self._resizing or self.exit.done.is_set):
            # The loop closes.
            with suppress(RuntimeError):
                spawn(self._resize, name="docker resize")
                self._resizing = True

    def kill(self, signal: int) -> None:
        """See Spawned. Closing the stream ends nothing."""
        if self.exit.done.is_set:
            return
        try:
            pids = _session(self._pid, self._place.container) if self._pid else []
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal)
        except PermissionError:
            pids = []
        if not pids:
            with suppress(RuntimeError):
                spawn(self._kill_inside, signal, name="docker kill")

    def wait(self) -> int:
        """See Spawned."""
        self.exit.done.wait()
        return self.exit.status

    def _resize(self) -> None:
        try:
            while (size := self._size) is not None and not self.exit.done.is_set:
                self._size = None
                for attempt in range(1, RETRIES + 1):
                    try:
                        self._place.engine.tell("POST", f"/exec/{self._id}/resize?w={size[0]}&h={size[1]}")
                        break
                    except Refused:
                        if self._size is not None or self.exit.done.is_set:
                            break
                        sleep(RETRY_S * attempt)
        except OSError:
            pass                # the engine is gone, and with it the terminal
        finally:
            self._resizing = False

    def _kill_inside(self, signal: int) -> None:
        with suppress(OSError, Refused):
            run_inside(self._place, end_session(signal, self._inner))


def begun(place: Place, argv: list[str], cols: int, rows: int, env: list[str]) -> Program:
    """In a task: the program, once it runs. Raises SandboxFailed, OSError or Refused."""
    id = create(place, beginning(argv, cols, rows), Env=env, Tty=True, **ATTACHED)
    exit = place.endings.of_program(id, place.container)
    stream = None
    try:
        stream = place.engine.hijack(f"/exec/{id}/start", {"Detach": False, "Tty": True})
        with timeout(place.start_s):
            inner, early = _marked(stream)
        pid = place.engine.ask("GET", f"/exec/{id}/json", _Inspected).Pid
        return Program(place, id, exit, Hijacked(stream.sock, early), pid, inner)
    except BaseException:
        place.endings.never_began(id)
        if stream is not None:
            stream.sock.close()
        raise


def run_inside(place: Place, argv: list[str]) -> None:
    """In a task: a program whose output nobody sees, until it ends. Raises OSError or Refused."""
    id = create(place, argv)
    exit = place.endings.of_program(id, place.container)
    try:
        place.engine.tell("POST", f"/exec/{id}/start", {"Detach": True, "Tty": False})
        with timeout(place.start_s):
            exit.done.wait()
    except BaseException:
        place.endings.never_began(id)
        raise


def create(place: Place, argv: list[str], **more: object) -> str:
    """In a task: what the engine calls a program that it may start now. Raises OSError or Refused."""
    return place.engine.ask("POST", f"/containers/{place.container}/exec", _Created,
                            {"User": place.user, "Cmd": argv, **more}).Id


def _marked(stream: Hijacked) -> tuple[int, bytes]:
    """The number that the program says it is, and what came behind."""
    said = stream.early
    while True:
        empty, *rest = said.split(MARK, 2)
        if not empty and len(rest) == 2 and rest[0].isdigit():
            return int(rest[0]), rest[1]
        piece = receive(stream.sock, MAX_MARK) if len(said) < MAX_MARK and not empty else b""
        if not piece:
            raise SandboxFailed("no program can be started in the container: "
                                f"{_words(said) or 'it ended before it began'}")
        said += piece


def _words(said: bytes) -> str:
    return " ".join(said.decode(errors="replace").split())[:500]


def _session(leader: int, container: str) -> list[int]:
    """Its processes, as far as they are in the container: numbers may be others' by now."""
    return [pid for pid in members(leader) if container in _groups(pid)]


def _groups(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    return ""
