"""The named steps of the protocol: where a test stops, kills or cuts us."""
from __future__ import annotations


def reached(step: str) -> None:
    """Called at each step, by its name. Nothing happens here: a test puts another function in its place."""
