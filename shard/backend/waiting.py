"""Deadlines: points of time.monotonic()."""
from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.02
PATIENCE_S = 60.0       # for what needs no longer on any healthy machine


def after(seconds: float) -> float:
    """The deadline in `seconds`."""
    return time.monotonic() + seconds


def wait_until(check: Callable[[], bool], deadline_s: float) -> bool:
    """Call `check` until it is true, or the deadline has passed; whether it was."""
    while not check():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
