"""Idle sockets of a chat, each in three channels: how much more memory does the gateway hold for each?"""
from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import linear_regression, median

from . import chat_drivers, chat_fanout, chat_gate, chat_house
from .chat_gate import OURS
from .chat_house import Plan
from .harness import interleave
from .idle import allow_fds
from .paired import at_most

COLUMNS = ("gateway", "sockets", "KiB each (min-max)", "goal")
MEASURED = (OURS, "picows", "picows, lean", "websockets")
STEPS = 5               # the line is drawn through so many points
SETTLE_S = 1.0          # of idleness before each: what is about to be freed is freed
MOST_KIB = 2.0


def plan_of(sockets: int) -> Plan:
    """Each in the two large channels and in a small one."""
    small = max(1, sockets // 100)
    return Plan(sockets, 2 + small, lambda i: (0, 1, 2 + i % small))


def resident_bytes(pid: int) -> int:
    """Of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(name: str, scratch: Path, sockets: int) -> float:
    """Bytes that one socket more takes."""
    folder = scratch / f"{time.monotonic_ns()}"
    folder.mkdir()
    with ExitStack() as stack:
        program = chat_drivers.built(scratch, "chat_fanout")
        redis = stack.enter_context(chat_house.redis_server(folder))
        plan = plan_of(sockets)
        gate = stack.enter_context(chat_gate.gate_of(name, folder, plan, redis_port=redis.port))
        step, points = sockets // STEPS, []
        for n in range(step, sockets + 1, step):
            users = range(n - step, n)
            stack.enter_context(chat_fanout.opened(program, folder, gate, users, redis_port=redis.port))
            time.sleep(SETTLE_S)
            points.append((n, resident_bytes(gate.pid)))
        return linear_regression(*zip(*points, strict=True)).slope


def measured(scratch: Path, names: Sequence[str], *, sockets: int, rounds: int) -> list[tuple[str, ...]]:
    """The rows, each round with gateways started anew."""
    n = allow_fds(sockets)
    return rows(n, interleave({name: partial(slope, name, scratch, n) for name in names}, rounds=rounds,
                              title=f"memory of {n:,} sockets"))


def rows(sockets: int, taken: Mapping[str, Sequence[float]]) -> list[tuple[str, ...]]:
    """The table's rows."""
    return [(name, f"{sockets:,}", f"{median(sizes) / 1024:.2f} ({min(sizes) / 1024:.2f}-{max(sizes) / 1024:.2f})",
             at_most(median(sizes) / 1024, MOST_KIB) if name == OURS else "") for name, sizes in taken.items()]
