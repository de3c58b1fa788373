"""How a process ended, in a word or two for people."""
from __future__ import annotations

import signal


def cause_of(code: int) -> str:
    """`exit 1` or `SIGSEGV`. `code`: as subprocess has it, a signal below zero."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:      # a real-time signal
        return f"signal {-code}"
