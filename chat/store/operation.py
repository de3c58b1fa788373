"""What the writer carries out: an operation, checked and stored inside one transaction."""
from __future__ import annotations

from typing import Protocol

from .transaction import Transaction


class Operation(Protocol):
    """One change. `apply` raises Refused before or after its first statement: its savepoint undoes them all."""

    def channel_of(self, tx: Transaction) -> int:
        """The channel whose log it appends to; 0: none that exists yet. Decides the order inside a transaction."""
        ...

    def apply(self, tx: Transaction) -> object:
        """Check, store, answer."""
        ...


class NoChannel:
    """An operation on accounts, or one that makes its channel."""

    __slots__ = ()

    def channel_of(self, tx: Transaction) -> int:
        """None."""
        return 0
