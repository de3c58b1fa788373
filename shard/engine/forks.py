"""What open connections do when this process forks."""
from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class Forks(Protocol):
    """What wants to know."""

    def before_fork(self) -> None:
        """About to, in this thread; no other thread forks meanwhile."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Done; the child has no other thread."""
        ...


_known: WeakSet[Forks] = WeakSet()


def tell(one: Forks) -> None:
    """Tell `one` about every fork for as long as it lives."""
    _known.add(one)


def leak(one: object) -> None:
    """Let its destructor never run in this process, not even at its end."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _before() -> None:
    for one in list(_known):
        one.before_fork()


def _in_parent() -> None:
    for one in list(_known):
        one.after_fork(child=False)


def _in_child() -> None:
    for one in list(_known):
        one.after_fork(child=True)


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
