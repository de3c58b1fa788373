"""What a study measures: every policy, with every number of rows, workers and milliseconds of work."""
from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

POLICIES = ("naive", "optimistic", "pessimistic", "escalating", "adaptive", "atomic")

MAX_ROWS = 1_000_000
MAX_WORKERS = 256           # each is a process with a connection of its own
MAX_WORK_MS = 60_000.0
MAX_SECONDS = 3600.0
MAX_REPEAT = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One place in the grid: so many workers share so many rows and work so long between read and write."""

    rows: int
    workers: int
    work_ms: float

    def __str__(self) -> str:
        """As progress shows it."""
        return (f"{self.rows:,} row{'s'[:self.rows > 1]}, {self.workers} worker{'s'[:self.workers > 1]}, "
                f"{self.work_ms:g} ms work")


@dataclass(frozen=True, slots=True)
class Grid:
    """All of it; `seconds` is how long each measurement lasts."""

    rows: tuple[int, ...]
    workers: tuple[int, ...]
    work_ms: tuple[float, ...]
    policies: tuple[str, ...]
    seconds: float
    repeat: int

    def cells(self) -> Iterator[Cell]:
        """Each once, the number of rows changing fastest: the first figure is soon a whole line."""
        return (Cell(rows, workers, work_ms)
                for work_ms in self.work_ms for workers in self.workers for rows in self.rows)

    def plan(self) -> Iterator[tuple[int, Cell, str]]:
        """Each measurement: (repeat from 1, cell, policy), in the order in which they are taken.

        All once before all is repeated, so that a noisy minute does not spoil one place alone; and in a cell optimistic
        first: its failures are the conflict probability of the others.
        """
        order = sorted(self.policies, key=lambda policy: policy != "optimistic")
        return ((repeat, cell, policy) for repeat in range(1, self.repeat + 1) for cell in self.cells()
                for policy in order)

    def __len__(self) -> int:
        """How many measurements it takes."""
        return len(self.rows) * len(self.workers) * len(self.work_ms) * len(self.policies) * self.repeat


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that make the grid."""
    parser.add_argument("--rows", type=rows, default=(1, 4, 16, 64, 256, 1024), metavar="N,…",
                        help="rows that the workers share (default: 1,4,16,64,256,1024)")
    parser.add_argument("--workers", type=workers, default=(1, 2, 4, 8, 16, 32), metavar="N,…",
                        help="processes at a time (default: 1,2,4,8,16,32)")
    parser.add_argument("--work-ms", type=numbers, default=(0, 1, 10), metavar="MS,…",
                        help="milliseconds between read and write (default: 0,1,10)")
    parser.add_argument("--policies", type=policies, default=POLICIES, metavar="P,…",
                        help=f"(default: all: {','.join(POLICIES)})")
    parser.add_argument("--seconds", type=seconds, default=3.0, metavar="S",
                        help="how long each measurement lasts (default: 3)")
    parser.add_argument("--repeat", type=repeat, default=3, metavar="N",
                        help="how often all is measured (default: 3)")


def counts(text: str) -> tuple[int, ...]:
    """For argparse: whole numbers from 1 to a million, parted by commas."""
    return listed(text, lambda word: whole(word, MAX_ROWS))


rows = counts


def workers(text: str) -> tuple[int, ...]:
    """For argparse: whole numbers from 1 to 256, parted by commas."""
    return listed(text, lambda word: whole(word, MAX_WORKERS))


def numbers(text: str) -> tuple[float, ...]:
    """For argparse: milliseconds from 0 to a minute, parted by commas."""
    return listed(text, lambda word: number(word, 0.0, MAX_WORK_MS))


def policies(text: str) -> tuple[str, ...]:
    """For argparse: names of policies, parted by commas."""
    def known(word: str) -> str:
        if word not in POLICIES:
            raise argparse.ArgumentTypeError(f"{word!r} is no policy; allowed: {', '.join(POLICIES)}")
        return word

    return listed(text, known)


def seconds(text: str) -> float:
    """For argparse: more than 0, and at most an hour."""
    return number(text, 0.01, MAX_SECONDS)


def repeat(text: str) -> int:
    """For argparse: from 1 to 1000."""
    return whole(text, MAX_REPEAT)


def listed(text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """What `read` makes of each word; none may come twice."""
    found: list[T] = []
    for word in text.split(","):
        value = read(word.strip())
        if value in found:
            raise argparse.ArgumentTypeError(f"{word.strip()} stands there twice; allowed: each once")
        found.append(value)
    return tuple(found)


def whole(word: str, most: int) -> int:
    """A whole number from 1 to `most`."""
    if word.isascii() and word.isdecimal() and len(word) < 10 and 1 <= int(word) <= most:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is no such number; allowed: whole numbers from 1 to {most:,}")


def number(word: str, least: float, most: float) -> float:
    """A number from `least` to `most`; a whole one stays one, so that it is shown as it was typed."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not least <= value <= most:      # nan is never within
        raise argparse.ArgumentTypeError(f"{word!r} is no such number; allowed: from {least:g} to {most:,g}")
    return int(value) if value.is_integer() else value
