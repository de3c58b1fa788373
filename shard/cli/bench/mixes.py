"""What is asked for: each mix makes the operation that a thread repeats."""
from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import count

from .load import Client, Mix, Operation

# Rows that stand before the load begins, for those mixes that read.
ROWS = 10_000
PAGE = 50
# Keys of their own for each thread of each round: nobody meets a row of another.
KEYS_EACH = 10_000_000
THREADS = 1000


def fresh(thread: int, round_: int) -> count[int]:
    """Keys that no row has yet."""
    return count(ROWS + (round_ * THREADS + thread) * KEYS_EACH)


def read(client: Client, thread: int, round_: int) -> Operation:
    """Get any of the rows."""
    draw = random.Random(thread).randrange
    return lambda: client.get(draw(ROWS))


def write(client: Client, thread: int, round_: int) -> Operation:
    """Insert a row."""
    keys = fresh(thread, round_)
    return lambda: client.insert(next(keys))


def crud(client: Client, thread: int, round_: int) -> Operation:
    """Insert a row, get it, update it, get it, delete it: one after the other."""
    keys = fresh(thread, round_)

    def steps(key: int) -> tuple[Operation, ...]:
        return (lambda: client.insert(key), lambda: client.get(key), lambda: client.update(key, 1),
                lambda: client.get(key), lambda: client.delete(key))

    operations = (operation for key in keys for operation in steps(key))
    return lambda: next(operations)()


def scan(client: Client, thread: int, round_: int) -> Operation:
    """A page somewhere in the table."""
    draw = random.Random(thread).randrange
    return lambda: client.page(draw(ROWS - PAGE))


MIXES: Mapping[str, Mix] = {"read": read, "write": write, "crud": crud, "scan": scan}
