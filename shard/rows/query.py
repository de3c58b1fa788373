"""A list that is asked for: which rows, in which order, how many, from where on, and what of them."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hotpath.shard.schema import Row, Table

from .cursor import cursor_of, last_of, place_of
from .filters import PREFIX, Filter, column_named, filters_of_pairs, filters_of_python
from .kinds import shown
from .sorting import Order, orders_of, sort_key

DEFAULT_LIMIT: Final = 50

_PARAMETERS = ("order", "limit", "cursor", "fields")


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list."""

    table: Table
    where: tuple[Filter, ...]
    order: tuple[Order, ...]                        # ends with the key
    limit: int
    after: tuple[object, ...] | None = None         # what the row before the first has in the columns of `order`
    fields: tuple[str, ...] | None = None           # None: all

    @property
    def columns(self) -> tuple[str, ...]:
        """Which columns are to be read: those shown, and those sorted by."""
        if self.fields is None:
            return tuple(column.name for column in self.table.columns)
        needed = {*self.fields, *(order.column.name for order in self.order)}
        return tuple(column.name for column in self.table.columns if column.name in needed)

    def shown(self, row: Row) -> Row:
        """What is asked for of a row of `columns`."""
        return row if self.fields is None else {name: row[name] for name in self.fields}

    def sort_key(self) -> Callable[[Row], Any]:
        """What sorts rows of `columns` as the engines do."""
        return sort_key(self.order)

    def cursor(self, row: Row) -> str:
        """The text that asks for what follows `row`, of `columns`."""
        return cursor_of(self.table, self.where, self.order, last_of(self.order, row))

    def behind(self, row: Row) -> Query:
        """The same, from behind `row`, of `columns`, on."""
        return replace(self, after=last_of(self.order, row))


def query_of_pairs(table: Table, pairs: Iterable[tuple[str, str]], *, max_limit: int) -> Query:
    """Of the parameters `where.C=V`, `where.C.OP=V`, `order=-C,D`, `limit`, `cursor`, `fields=C,D`, decoded.

    Raises ValueError: what is wrong; what is allowed.
    """
    pairs = list(pairs)
    given = single(pairs, _PARAMETERS)
    limit = given.get("limit")
    if limit is not None and not (limit.isascii() and limit.isdigit() and len(limit) <= 9):
        raise ValueError(f"limit: {shown(limit)} is no number; allowed: 1 to {max_limit}")
    return _query(table, filters_of_pairs(table, pairs), given.get("order"), None if limit is None else int(limit),
                  given.get("cursor"), given.get("fields"), max_limit)


def query_of_python(table: Table, *, where: Mapping[str, object] | None = None,
                    order: str | Sequence[str] | None = None, limit: int | None = None, cursor: str | None = None,
                    fields: str | Sequence[str] | None = None, max_limit: int) -> Query:
    """Of {"likes": {"gt": 3}, "author": "ada"}, "-created,title" or a list, a cursor, and names. Raises ValueError.

    `limit` None: 50, or `max_limit` if that is less.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise ValueError(f"limit: {shown(limit)} is no integer; allowed: 1 to {max_limit}")
    if cursor is not None and not isinstance(cursor, str):
        raise ValueError(f"cursor: {shown(cursor)} is no string; allowed: `next` of the page before")
    return _query(table, filters_of_python(table, where), order, limit, cursor, fields, max_limit)


def single(pairs: Iterable[tuple[str, str]], names: tuple[str, ...]) -> dict[str, str]:
    """The parameters that are no condition. Raises ValueError for what is unknown or there twice."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name.startswith(PREFIX):
            continue
        if name not in names:
            raise ValueError(f"{shown(name)} is no parameter; allowed: where.COLUMN, where.COLUMN.OP, "
                             f"{', '.join(names)}")
        if name in found:
            raise ValueError(f"{name} is there twice; allowed: once")
        found[name] = text
    return found


def _query(table: Table, where: tuple[Filter, ...], order: str | Sequence[str] | None, limit: int | None,
           cursor: str | None, fields: str | Sequence[str] | None, max_limit: int) -> Query:
    if limit is None:
        limit = min(DEFAULT_LIMIT, max_limit)
    if not 1 <= limit <= max_limit:
        raise ValueError(f"limit: {limit} is out of range; allowed: 1 to {max_limit}")
    orders = orders_of(table, order)
    after = None if cursor is None else place_of(table, where, orders, cursor)
    return Query(table, where, orders, limit, after, None if fields is None else _fields_of(table, fields))


def _fields_of(table: Table, names: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        names = names.split(",")
    if not names:
        raise ValueError("fields: there is none; allowed: one or more names of columns")
    found = tuple(column_named(table, name, "fields").name for name in names)
    if len(set(found)) < len(found):
        raise ValueError("fields: a name is there twice; allowed: once")
    return found
