"""A query in SQL: conditions, order, and what is behind a cursor."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hotpath.shard.engine import Dialect, Value
from hotpath.shard.schema import Column, quoted

from .codec import Codec
from .decimals import COLLATION
from .filters import Filter, Op
from .query import Query
from .sorting import Order

_SIGNS: Final[dict[Op, str]] = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
ALL: Final = "1 = 1"


@dataclass(frozen=True, slots=True)
class Sql:
    """What stands behind WHERE and ORDER BY. `condition` is never empty, and can be joined to others by AND."""

    condition: str
    values: tuple[Value, ...]       # of the "?" in `condition`, in order
    order: str


def sql_of(query: Query, codec: Codec) -> Sql:
    """`query` for the dialect of `codec`."""
    condition, values = where_sql(query.where, codec)
    if query.after is not None:
        behind, more = _behind(query.order, query.after, codec)
        condition = behind if condition == ALL else f"{condition} AND {behind}"
        values += more
    order = ", ".join(_sorted(one, codec.dialect) + (" DESC" if one.descending else "") for one in query.order)
    return Sql(condition, values, order)


def where_sql(where: tuple[Filter, ...], codec: Codec) -> tuple[str, tuple[Value, ...]]:
    """The condition of some filters, and its values."""
    terms: list[str] = []
    values: list[Value] = []
    for one in where:
        if one.op == "null":
            terms.append(f"{quoted(one.column.name)} IS {'' if one.value else 'NOT '}NULL")
            continue
        terms.append(f"{compared(one.column, codec.dialect, equal=one.op in ('eq', 'ne'))} {_SIGNS[one.op]} ?")
        values.append(codec.value(one.column.name, one.value))
    return " AND ".join(terms) or ALL, tuple(values)


def compared(column: Column, dialect: Dialect, *, equal: bool = False) -> str:
    """A column where values of it are compared; `equal`: only whether they are the same."""
    name = quoted(column.name)
    # The text of a decimal is canonical: equal values have equal texts, for which an index can serve.
    return f"{name} COLLATE {COLLATION}" if dialect == "sqlite" and column.kind == "decimal" and not equal else name


def _sorted(order: Order, dialect: Dialect) -> str:
    name = compared(order.column, dialect)
    if order.cut is None:
        return name
    if dialect == "mysql":
        return f"LEFT({name}, {order.cut})"
    # What SQLite's substr() makes of an empty blob is null.
    return f"CASE WHEN length({name}) > {order.cut} THEN substr({name}, 1, {order.cut}) ELSE {name} END"


def _behind(orders: tuple[Order, ...], after: tuple[object, ...], codec: Codec) -> tuple[str, tuple[Value, ...]]:
    """Behind a place: behind in the first column, or the same there and behind in the rest."""
    order, place = orders[0], after[0]
    name = _sorted(order, codec.dialect)
    value = codec.value(order.column.name, place)
    here: tuple[Value, ...] = (value,)
    if len(orders) == 1:                # the key, of which no row has null
        return f"{name} {'<' if order.descending else '>'} ?", here
    rest, values = _behind(orders[1:], after[1:], codec)
    if value is None:
        # Null is smaller than all else: what is not null is behind it, or turned round, nothing is.
        return (f"({name} IS NULL AND {rest})" if order.descending else f"({name} IS NOT NULL OR {rest})"), values
    if not order.descending:
        # The first term says nothing new: it gives an index of this column a range to read.
        return f"({name} >= ? AND ({name} > ? OR {rest}))", here + here + values
    if not order.column.nullable:
        return f"({name} <= ? AND ({name} < ? OR {rest}))", here + here + values
    return f"({name} < ? OR {name} IS NULL OR ({name} = ? AND {rest}))", here + here + values
