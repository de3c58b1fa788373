"""The states of a project, and how it comes from one to another."""
from __future__ import annotations

from typing import Literal

State = Literal["stopped", "starting", "running", "stopping", "failed"]

# A start or a stop at a time; `failed` is a stop that nobody asked for, or a start that came to nothing.
NEXT: dict[State, frozenset[State]] = {
    "stopped": frozenset({"starting", "running"}),          # running: found alive at the server's start
    "starting": frozenset({"running", "failed"}),
    "running": frozenset({"stopping", "failed"}),
    "stopping": frozenset({"stopped"}),
    "failed": frozenset({"starting", "stopped", "running"}),
}


def checked(old: State, new: State) -> State:
    """`new`. AssertionError: no way leads there."""
    assert new in NEXT[old], f"{old} to {new}"
    return new
