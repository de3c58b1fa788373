"""Python values <-> what the engines take and give."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from hotpath.shard.engine import Dialect, Value
from hotpath.shard.schema import Column, Key, Row, Table

from .kinds import aware, naive
from .values import decimal_text, moment_text

Convert = Callable[[Any], Any]


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _same(value: object) -> object:
    return value


# By kind, where the value is not the same on both sides: to the engine, and back.
_CONVERTERS: Final[dict[Dialect, dict[str, tuple[Convert, Convert]]]] = {
    "mysql": {
        "bool": (int, bool),
        "datetime": (naive, aware),
        "json": (_json_text, msgspec.json.decode),
    },
    "sqlite": {
        "bool": (int, bool),
        "datetime": (moment_text, datetime.fromisoformat),
        "json": (_json_text, msgspec.json.decode),
        "decimal": (decimal_text, Decimal),
    },
}
# A string key is VARBINARY on MySQL: its collations would pad.
_KEY_BYTES: Final[tuple[Convert, Convert]] = (str.encode, bytes.decode)
_SAME: Final[tuple[Convert, Convert]] = (_same, _same)


def converters(table: Table, dialect: Dialect, column: Column) -> tuple[Convert, Convert] | None:
    """To the engine, and back; None: the value is the same on both sides."""
    if dialect == "mysql" and column.kind == "string" and column is table.key:
        return _KEY_BYTES
    return _CONVERTERS[dialect].get(column.kind)


class Codec:
    """Of one table and dialect. Its functions take values that were checked, and what the engine itself gave."""

    __slots__ = ("_both", "_table", "dialect", "key", "key_back", "row", "values")

    row: Callable[[Sequence[Value]], Row]
    """The row of all its columns, in order, as the engine gives them; of more, those behind them are left out."""
    values: Callable[[Row], tuple[Value, ...]]
    """A whole row as the engine takes it, in order."""
    key: Callable[[Key], Value]
    """A key as the engine takes it."""
    key_back: Callable[[Value], Key]
    """A key as the engine gives it."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._table = table
        self.dialect = dialect
        self._both = {column.name: converters(table, dialect, column) for column in table.columns}
        names = [column.name for column in table.columns]
        self.row = self.picker(names)
        self.values = self._writer(names)
        self.key, self.key_back = self._both[table.key.name] or _SAME

    def value(self, name: str, value: object) -> Value:
        """One column's value, or None, as the engine takes it."""
        both = self._both[name]
        return value if value is None or both is None else both[0](value)   # type: ignore[return-value]

    def back(self, name: str, value: Value) -> object:
        """One column's value as the engine gives it, in Python."""
        both = self._both[name]
        return value if value is None or both is None else both[1](value)

    def picker(self, names: Sequence[str]) -> Callable[[Sequence[Value]], Row]:
        """What makes a row of these columns, as the engine gives them in this order."""
        return self._compiled("{%s}", names, 1, lambda i, name: (f"v[{i}]", f"{name!r}: "))

    def _writer(self, names: Sequence[str]) -> Callable[[Row], tuple[Value, ...]]:
        return self._compiled("(%s,)", names, 0, lambda _, name: (f"v[{name!r}]", ""))

    def _compiled(self, form: str, names: Sequence[str], way: int, place: Callable[[int, str], tuple[str, str]]
                  ) -> Callable[[Any], Any]:
        # A display with a constant for each name takes a third of the time of a loop over converters, and runs for
        # each row read. The text holds names that `schema.NAME` allows, and numbers.
        known: dict[str, object] = {}
        parts = []
        for i, name in enumerate(names):
            both = self._both[name]
            source, label = place(i, name)
            if both is not None:
                known[f"c{i}"] = both[way]
                nullable = f"None if {source} is None else "
                source = f"{nullable if self._is_nullable(name) else ''}c{i}({source})"
            parts.append(label + source)
        return eval(f"lambda v: {form % ', '.join(parts)}", known)    # type: ignore[no-any-return]

    def _is_nullable(self, name: str) -> bool:
        column = self._table.column(name)
        return column is not None and column.nullable
