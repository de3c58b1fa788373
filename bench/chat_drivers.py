"""The chat's load programs, chat_fanout.h, chat_posts.h and chat_storm.h: compiled, started, told what to do."""
from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from .processes import pinned
from .wrk import LoadError, preloadable

HERE = Path(__file__).resolve().parent
DEADLINE_S = 120.0


def built(folder: Path, name: str) -> Path:
    """The program bench/NAME.h, compiled in `folder`."""
    program = folder / name
    if not program.exists():
        argv = ["gcc", "-O2", "-x", "c", "-I", str(HERE), "-o", str(program), str(HERE / f"{name}.h")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LoadError(f"{name}.h: {done.stderr}")
    return program


def slow_sync(folder: Path) -> Path:
    """chat_slow_sync.h as a library for LD_PRELOAD."""
    return preloadable(folder, "chat_slow_sync")


class Driver:
    """A load program that is told what to do by lines and answers by lines; a context manager that ends it."""

    def __init__(self, program: Path, arguments: Sequence[object], *, cpus: set[int] | None = None) -> None:
        self.name = program.name
        argv = pinned([str(program), *map(str, arguments)], cpus)
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.unread = b""

    def __enter__(self) -> Self:
        """As it is."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its input, which ends it; kill it when that does not."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def pid(self) -> int:
        """Of the program."""
        return self.process.pid

    def say(self, line: str) -> None:
        """Tell it something. Raises LoadError when it has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        except OSError:
            raise self.failure() from None

    def line(self, deadline_s: float = DEADLINE_S) -> str:
        """The next line that it says. Raises LoadError when it ends or the deadline passes first."""
        assert self.process.stdout is not None
        fd, until = self.process.stdout.fileno(), time.monotonic() + deadline_s
        while b"\n" not in self.unread:
            if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise LoadError(f"{self.name}: silent for {deadline_s:.0f} s")
            piece = os.read(fd, 65536)
            if not piece:
                raise self.failure()
            self.unread += piece
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode()

    def ask(self, line: str, deadline_s: float = DEADLINE_S) -> str:
        """Say it and return the answer."""
        self.say(line)
        return self.line(deadline_s)

    def failure(self) -> LoadError:
        """Its own last words."""
        assert self.process.stderr is not None
        self.process.kill()
        return LoadError(f"{self.name}: {self.process.stderr.read().decode(errors='replace').strip()[-1000:]}")


def numbers(line: str, n: int) -> list[float]:
    """The `n` numbers that a report is made of. Raises LoadError."""
    try:
        found = [float(each) for each in line.split()]
    except ValueError:
        found = []
    if len(found) != n:
        raise LoadError(f"not a report of {n} numbers: {line!r}")
    return found
