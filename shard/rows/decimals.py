"""Decimals on SQLite: text that sorts by value, and sums without an error."""
from __future__ import annotations

import sqlite3
from decimal import Context, Decimal, Inexact
from typing import Final

COLLATION: Final = "hp_decimal"
SUM: Final = "hp_decimal_sum"

# 65 digits, and as many rows as there can be.
_EXACT = Context(prec=100, traps=[Inexact])


def register(connection: sqlite3.Connection) -> None:
    """Make both known to a connection: the statements of `rows` need them."""
    connection.create_collation(COLLATION, compare)
    connection.create_aggregate(SUM, 1, DecimalSum)     # type: ignore[arg-type]    # text and numbers are its answers


def compare(a: str, b: str) -> int:
    """-1, 0 or 1, as the value of `a` is smaller than, equal to or larger than that of `b`."""
    x, y = Decimal(a), Decimal(b)
    return (x > y) - (x < y)


def add(a: Decimal, b: Decimal) -> Decimal:
    """Their sum, whatever the thread's context; of the larger scale."""
    return _EXACT.add(a, b)


class DecimalSum:
    """An aggregate for SQLite: the sum as text, null of nothing."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, text: str | None) -> None:
        """One more row."""
        if text is not None:
            value = Decimal(text)
            self._sum = value if self._sum is None else add(self._sum, value)

    def finalize(self) -> str | None:
        """All of them."""
        return None if self._sum is None else format(self._sum, "f")
