"""Counts, sums and extremes: what each shard is asked for, and how their answers become one."""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from hotpath.shard.engine import Value
from hotpath.shard.schema import Column, Row, Table, quoted

from .codec import Codec
from .decimals import SUM, add
from .filters import Filter, column_named, filters_of_pairs, filters_of_python
from .kinds import shown
from .query import single
from .sql import compared
from .values import json_value

Function = Literal["count", "sum", "min", "max"]

_SPELLED = re.compile(r"(?P<function>sum|min|max)\((?P<column>[a-z0-9_]+)\)")
_ALLOWED = "allowed: count, sum(COLUMN), min(COLUMN), max(COLUMN)"
SUMMED: Final = ("int", "bigint", "double", "decimal")
WITHOUT_EXTREMES: Final = ("json",)

# Sums are taken in two parts where one could overflow. SQLite's of integers has 64 bits, and fails beyond: so halves.
_HALF_BITS: Final = 32
# MariaDB's of doubles answers 0 beyond their range: so those of this size and more are summed smaller than they are.
_LARGE: Final = 2.0**900
_SCALE_BITS: Final = 100


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One of them, by the name it has in the answer."""

    name: str
    function: Function
    column: Column | None       # None: of `count`, which counts rows

    def expressions(self, codec: Codec) -> tuple[str, ...]:
        """What a shard selects for it: one expression, or two."""
        if self.column is None:
            return ("COUNT(*)",)
        name = quoted(self.column.name)
        if self.function != "sum":
            return (f"{self.function.upper()}({compared(self.column, codec.dialect)})",)
        if codec.dialect == "sqlite" and self.column.kind == "bigint":
            return f"SUM({name} >> {_HALF_BITS})", f"SUM({name} & {2**_HALF_BITS - 1})"
        if self.column.kind == "double":
            return (f"SUM(CASE WHEN ABS({name}) < {_LARGE!r} THEN {name} WHEN {name} IS NOT NULL THEN 0e0 END)",
                    f"SUM(CASE WHEN ABS({name}) >= {_LARGE!r} THEN {name} * {2.0**-_SCALE_BITS!r} ELSE 0e0 END)")
        if codec.dialect == "sqlite" and self.column.kind == "decimal":
            return (f"{SUM}({name})",)
        return (f"SUM({name})",)

    def partial(self, codec: Codec, values: Sequence[Any]) -> object:
        """What a shard answered for `expressions`, in Python; None: there was no value."""
        value = values[0]
        if value is None or self.column is None:
            return value
        if self.function != "sum":
            return codec.back(self.column.name, value)
        if self.column.kind == "double":
            return value + values[1] * 2.0**_SCALE_BITS
        if len(values) == 2:
            return (value << _HALF_BITS) + values[1]
        # MySQL sums integers as decimals.
        return Decimal(value) if self.column.kind == "decimal" else int(value)

    def of_row(self, row: Row) -> object:
        """The same of a single row."""
        return 1 if self.column is None else row[self.column.name]

    def joined(self, a: Any, b: Any) -> Any:    # noqa: ANN401  whatever the column has
        """Of all that `a` and `b` are of."""
        if a is None or b is None:
            return b if a is None else a
        if self.function in ("min", "max"):
            return min(a, b) if self.function == "min" else max(a, b)
        return add(a, b) if isinstance(a, Decimal) else a + b


class Totals:
    """What is known so far of some aggregates of one request."""

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self._aggregates = aggregates
        self._values: list[Any] = [0 if one.function == "count" else None for one in aggregates]

    def columns(self, codec: Codec) -> str:
        """What stands behind SELECT, on a shard of this dialect."""
        return ", ".join(text for one in self._aggregates for text in one.expressions(codec))

    def add(self, codec: Codec, values: Sequence[Value]) -> None:
        """The one row that a shard answered for `columns`."""
        at = 0
        for i, one in enumerate(self._aggregates):
            n = len(one.expressions(codec))
            self._values[i] = one.joined(self._values[i], one.partial(codec, values[at:at + n]))
            at += n

    def add_row(self, row: Row) -> None:
        """One row, of at least `needed`, that no answer counted."""
        for i, one in enumerate(self._aggregates):
            self._values[i] = one.joined(self._values[i], one.of_row(row))

    @property
    def needed(self) -> tuple[str, ...]:
        """Which columns `add_row` looks at."""
        return tuple({one.column.name: None for one in self._aggregates if one.column is not None})

    def result(self) -> Row:
        """By name, in Python values: count is 0 and all others None of nothing. Raises ValueError for a sum that no
        double can be.
        """
        for one, value in zip(self._aggregates, self._values, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{one.name} is out of range; allowed: what a finite number of 64 bits can be")
        return {one.name: value for one, value in zip(self._aggregates, self._values, strict=True)}

    def json_result(self) -> Row:
        """The same as JSON has it: integers of any size, decimals as strings. Raises ValueError."""
        return {one.name: value if one.column is None else json_value(one.column, value)
                for one, value in zip(self._aggregates, self.result().values(), strict=True)}


@dataclass(frozen=True, slots=True)
class Summary:
    """One request for aggregates."""

    table: Table
    aggregates: tuple[Aggregate, ...]
    where: tuple[Filter, ...]


def summary_of_pairs(table: Table, pairs: Iterable[tuple[str, str]]) -> Summary:
    """Of the parameters `aggregate=count,sum(C)`, `where.C=V`, `where.C.OP=V`, decoded. Raises ValueError."""
    pairs = list(pairs)
    names = single(pairs, ("aggregate",)).get("aggregate", "")
    return Summary(table, aggregates_of(table, names.split(",")), filters_of_pairs(table, pairs))


def summary_of_python(table: Table, names: Sequence[str], where: Mapping[str, object] | None = None) -> Summary:
    """Of ("count", "sum(likes)") and {"likes": {"gt": 3}}. Raises ValueError."""
    return Summary(table, aggregates_of(table, names), filters_of_python(table, where))


def aggregates_of(table: Table, names: Sequence[str]) -> tuple[Aggregate, ...]:
    """Of their names. Raises ValueError: what is wrong; what is allowed."""
    found: dict[str, Aggregate] = {}
    for name in names:
        if name in found:
            raise ValueError(f"aggregate: {shown(name)} is there twice; allowed: once")
        found[name] = _aggregate(table, name)
    if not found:
        raise ValueError(f"aggregate: there is none; {_ALLOWED}")
    return tuple(found.values())


def _aggregate(table: Table, name: str) -> Aggregate:
    if name == "count":
        return Aggregate(name, "count", None)
    match = _SPELLED.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"aggregate: {shown(name)} is none; {_ALLOWED}")
    column = column_named(table, match["column"], f"aggregate: {name}")
    if match["function"] == "sum":
        if column.kind not in SUMMED:
            raise ValueError(f"aggregate: {name}: {column.type} cannot be summed; allowed: {', '.join(SUMMED)}")
        return Aggregate(name, "sum", column)
    if column.kind in WITHOUT_EXTREMES:
        raise ValueError(f"aggregate: {name}: {column.type} has no order; allowed: all but "
                         f"{', '.join(WITHOUT_EXTREMES)}")
    return Aggregate(name, "min" if match["function"] == "min" else "max", column)
