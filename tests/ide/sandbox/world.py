"""A loop in a thread of its own, in which a test runs tasks: what a server is to its sandboxes."""
from __future__ import annotations

import os
import queue
import select
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import spawn
from hotpath.ide.config import IdeConfig, SandboxConfig
from hotpath.ide.sandbox import Running, Spawned, Spec
from hotpath.ide.templates import BUILT_IN
from tests.waiting import DEADLINE_S

T = TypeVar("T")

MIB = 1024**2
# A script that forks until it may not, and says how often it could.
BOMB = """
import os, time
n = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
        n += 1
    except OSError:
        print("refused", n, flush=True)
        time.sleep(1000)
"""
# Small, so that what fills it up takes no time.
SMALL = SandboxConfig(memory=192 * MIB, pids=48, nofile=256, file_size=2 * MIB, tmp=2 * MIB, cpus=1.0)


class World:
    """The loop, and what a test asks of it."""

    def __init__(self) -> None:
        """Starts it."""
        self.loop = Loop()
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def do(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run it in a task there; what it returns or raises."""
        answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def task() -> None:
            try:
                answers.put((fn(*args, **kwargs), None))
            except BaseException as error:
                answers.put((None, error))

        self.loop.call_soon_threadsafe(spawn, task)
        value, error = answers.get(timeout=60)
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Ends it, and all of its tasks."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()

    def spawn(self, running: Running, *argv: str, env: dict[str, str] | None = None) -> Shell:
        """A program on a terminal."""
        return Shell(self, self.do(running.spawn, argv, 80, 24, env or {}))

    def sh(self, running: Running, command: str) -> str:
        """What a command says; AssertionError when it fails."""
        status, output = self.try_sh(running, command)
        assert status == 0, (status, output)
        return output

    def try_sh(self, running: Running, command: str) -> tuple[int, str]:
        """Its status and what it says."""
        with self.spawn(running, "sh", "-c", command) as shell:
            return shell.end()

    def python(self, running: Running, script: str) -> str:
        """What a script says."""
        return self.sh(running, f"python3 -c {shlex.quote(script)}")


class Shell:
    """A terminal as its user sees it."""

    def __init__(self, world: World, spawned: Spawned) -> None:
        """Takes it over."""
        self.world, self.spawned = world, spawned
        self.text = spawned.early.decode(errors="replace").replace("\r\n", "\n")
        self.over = False

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        self.spawned.kill(9)
        os.close(self.spawned.fd)

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self.spawned.fd, text.encode())

    def read(self, until: Callable[[str], bool], what: str) -> str:
        """Wait for output; all of it."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not until(self.text):
            if self.over or time.monotonic() > deadline_s:
                raise AssertionError(f"waiting for {what}:\n{self.text}")
            if select.select([self.spawned.fd], [], [], 0.5)[0]:
                try:
                    piece = os.read(self.spawned.fd, 65536)
                except OSError:
                    piece = b""
                self.over = not piece
                self.text += piece.decode(errors="replace").replace("\r\n", "\n")
        return self.text

    def wait_for(self, words: str) -> str:
        """Until the output has these words."""
        return self.read(lambda text: words in text, words)

    def end(self) -> tuple[int, str]:
        """Wait until it ends: its status, and all it said."""
        self.read(lambda _: self.over, "the end")
        return self.world.do(self.spawned.wait), self.text


def spec(base: Path, id: str = "abcdefghijkl", template: str = "python") -> Spec:
    """A project's folder there."""
    folder = base / "projects" / id
    (folder / "files").mkdir(parents=True, exist_ok=True)
    return Spec(id, folder, BUILT_IN[template])


@contextmanager
def world_of(config: SandboxConfig, make: Callable[[IdeConfig], Any]) -> Iterator[tuple[World, Any]]:
    """A loop, and the sandbox that `make` opens."""
    world = World()
    sandbox = make(IdeConfig(sandbox=config))
    try:
        yield world, sandbox
    finally:
        world.do(sandbox.close)
        world.close()
