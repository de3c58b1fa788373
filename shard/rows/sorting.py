"""In which order rows come: the same in Python as in both engines."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from hotpath.shard.schema import Column, Row, Table

from .filters import column_named
from .kinds import shown

# By how much of a long value rows are sorted, and what a cursor holds of it: rows that agree in it follow by the next
# column. In UTF-8 that is no more than 4000 bytes, which is within what `engine.mysql` makes a server sort by.
MAX_CHARACTERS: Final = 1000
MAX_BYTES: Final = 4000


@dataclass(frozen=True, slots=True)
class Order:
    """One column to sort by. Null is the smallest value; strings sort by their UTF-8 bytes."""

    column: Column
    descending: bool = False

    @property
    def cut(self) -> int | None:
        """How many characters or bytes count; None: all there can be."""
        match self.column.kind:
            case "text":
                return MAX_CHARACTERS
            case "blob":
                return MAX_BYTES
            case "string":
                return MAX_CHARACTERS if self.column.n > MAX_CHARACTERS else None
            case "binary":
                return MAX_BYTES if self.column.n > MAX_BYTES else None
        return None

    def value(self, row: Row) -> Any:    # noqa: ANN401  whatever the column has
        """What of `row` is compared."""
        value: Any = row[self.column.name]
        return value[: self.cut] if value is not None and self.cut is not None else value


def orders_of(table: Table, names: str | Sequence[str] | None) -> tuple[Order, ...]:
    """Of "-created,title", or a list of such names; the key is at the end, if it is not named. Raises ValueError."""
    if isinstance(names, str):
        names = names.split(",")
    orders: list[Order] = []
    for name in names or ():
        if not isinstance(name, str):
            raise ValueError(f"order: {shown(name)} is no string; allowed: names of columns, each turned round by a -")
        column = column_named(table, name.removeprefix("-"), "order")
        if column.kind == "json":
            raise ValueError(f"order: {column.name}: JSON has no order; allowed: columns of another type")
        if any(order.column is column for order in orders):
            raise ValueError(f"order: {column.name} is there twice; allowed: once")
        orders.append(Order(column, name.startswith("-")))
    for i, order in enumerate(orders):
        if order.column is table.key:
            return tuple(orders[: i + 1])       # no two rows agree in it: what stands behind it decides nothing
    return (*orders, Order(table.key))


class Turned:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:     # noqa: ANN401  whatever compares with its like
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Turned) and bool(self.value == other.value)

    def __lt__(self, other: Turned) -> bool:
        return bool(other.value < self.value)

    __hash__ = None     # type: ignore[assignment]      # nobody keeps one


def sort_key(orders: tuple[Order, ...]) -> Callable[[Row], Any]:
    """What sorts rows as `orders` say: for `sorted`, `heapq.merge` and `bisect`."""
    if not any(order.descending or order.column.nullable or order.cut for order in orders):
        return itemgetter(*(order.column.name for order in orders))

    def part(order: Order, row: Row) -> object:
        value: object = order.value(row)
        if order.column.nullable:
            value = (value is not None, value)
        return Turned(value) if order.descending else value

    return lambda row: tuple([part(order, row) for order in orders])
