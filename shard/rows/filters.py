"""Which rows are asked for: conditions on single columns, all of which must hold."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hotpath.shard.schema import Column, Table

from .kinds import checked, listed, shown
from .values import bool_of_text, of_text

Op = Literal["eq", "ne", "lt", "le", "gt", "ge", "null"]
# Those that are spelled; "eq" is what stands without one.
SPELLED: Final[dict[str, Op]] = {"ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "null": "null"}
_OPS = ", ".join(SPELLED)

PREFIX: Final = "where."


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition. As in SQL, null compares with nothing: neither `eq` nor `ne` nor an order matches it, only
    `null` does, whose value says whether null is asked for or all else.
    """

    column: Column
    op: Op
    value: object


def filters_of_pairs(table: Table, pairs: Iterable[tuple[str, str]]) -> tuple[Filter, ...]:
    """Of `where.C=V` and `where.C.OP=V`, decoded; names that begin otherwise are not looked at. Raises ValueError."""
    found: dict[tuple[str, Op], Filter] = {}
    for name, text in pairs:
        if not name.startswith(PREFIX):
            continue
        column_name, dot, op_name = name.removeprefix(PREFIX).partition(".")
        if dot and op_name not in SPELLED:
            raise ValueError(f"{shown(name)}: {shown(op_name)} is no operator; allowed: {_OPS}, or none for equal")
        op = SPELLED[op_name] if dot else "eq"
        column = column_named(table, column_name, name)
        if (column.name, op) in found:
            raise ValueError(f"{name} is there twice; allowed: once")
        try:
            value = bool_of_text(text) if op == "null" else of_text(column, text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        found[column.name, op] = Filter(column, op, value)
    return tuple(found.values())


def filters_of_python(table: Table, where: Mapping[str, object] | None) -> tuple[Filter, ...]:
    """Of {"likes": {"gt": 3, "lt": 9}, "author": "ada", "body": {"null": True}}. Raises ValueError."""
    filters = []
    for column_name, given in (where or {}).items():
        column = column_named(table, column_name, f"where {column_name!r}")
        if not isinstance(given, Mapping):
            filters.append(_filter(column, "eq", given))
            continue
        if not given:
            raise ValueError(f"where {column_name!r}: no operator; allowed: {_OPS}, or a value alone for equal")
        for name, value in given.items():
            if name not in SPELLED:
                raise ValueError(f"where {column_name!r}: {shown(name)} is no operator; allowed: {_OPS}, or a value "
                                 "alone for equal")
            filters.append(_filter(column, SPELLED[name], value))
    return tuple(filters)


def _filter(column: Column, op: Op, value: object) -> Filter:
    try:
        if op == "null":
            if not isinstance(value, bool):
                raise ValueError(f"{shown(value)} is not allowed; allowed: True or False")
            return Filter(column, op, value)
        if value is None:
            raise ValueError('null compares with nothing; allowed: {"null": True}')
        if column.kind == "json":
            raise ValueError("JSON cannot be compared; allowed: null")
        return Filter(column, op, checked(column, value))
    except ValueError as error:
        raise ValueError(f"where {column.name!r} {op}: {error}") from None


def column_named(table: Table, name: object, where: str) -> Column:
    """The column. Raises ValueError, which begins with `where`."""
    for column in table.columns:
        if column.name == name:
            return column
    raise ValueError(f"{where}: {shown(name)} is no column of {table.name}; allowed: {listed(table.columns)}")
