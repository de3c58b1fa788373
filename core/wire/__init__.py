"""Bytes to events and back: HTTP/1.1 and WebSocket. No file descriptor, no clock."""
from __future__ import annotations


def install(h11: bool = True, wsproto: bool = True) -> None:
    """Let `import h11` and `import wsproto` mean ours, in this process, for whatever is imported from now on.

    RuntimeError if the real one is already loaded: its classes would be in use beside ours.
    """
    from .standin import stand_in_for_h11, stand_in_for_wsproto, the_real_ones

    if loaded := the_real_ones(h11=h11, wsproto=wsproto):
        raise RuntimeError(f"install() comes too late: {', '.join(loaded)} is already imported")
    if h11:
        stand_in_for_h11()
    if wsproto:
        stand_in_for_wsproto()
