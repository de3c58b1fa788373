"""Tables as the configuration declares them."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import msgspec

from hotpath.core.config import Problem, Section

from .rows.values import of_json
from .schema import MAX_INDEX_BYTES, MAX_KEY, NAME, NAMES, Column, Table, parse_type

KEY_KINDS = ("bigint", "string", "binary")
NOW = "now"

# What InnoDB takes in a table, our own column aside; MySQL has 64 indexes, of which two are ours.
MAX_COLUMNS = 1000
MAX_INDEXES = 60
MAX_INDEX_COLUMNS = 15      # and the key behind them


class ColumnConfig(Section, frozen=True):
    """One column; in short its type: `author: string(64)`."""

    short: ClassVar = "type"

    type: str           # as string(64); with ? behind it, it may be null
    default: str | int | float | bool | None = None     # of a row that does not say; `now` for a datetime
    generate: bool = False                              # a rising 64-bit id, where the row does not give one

    def check(self) -> Iterator[Problem]:
        """Type, default and generate fit."""
        try:
            kind, _, _, nullable = parse_type(self.type)
        except ValueError as error:
            yield Problem(("type",), str(error))
            return
        if self.generate and (kind != "bigint" or nullable or self.default is not None):
            yield Problem(("generate",), "only a bigint that is never null and has no default can be generated")
        if self.default is not None and not (kind == "datetime" and self.default == NOW):
            try:
                of_json(column_of("", self, bare=True), self.default)
            except ValueError as error:
                yield Problem(("default",), str(error))


class TableConfig(Section, frozen=True):
    """One table."""

    key: str            # the column by which rows are placed; it never changes
    columns: Annotated[Mapping[str, ColumnConfig], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]    # by name
    # each a list of columns; none is unique
    indexes: Annotated[tuple[Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_INDEX_COLUMNS)], ...],
                       msgspec.Meta(max_length=MAX_INDEXES)] = ()

    def check(self) -> Iterator[Problem]:
        """Names are names, the key can be one, indexes are possible."""
        for name in self.columns:
            if re.fullmatch(NAME, name) is None:
                yield Problem(("columns", name), f"{name!r} is no name; allowed: {NAMES}")
                return
        columns = {name: column_of(name, declared) for name, declared in self.columns.items()}
        key = columns.get(self.key)
        if key is None:
            yield Problem(("key",), f"{self.key!r} is no column; allowed: {', '.join(columns)}")
            return
        if key.kind not in KEY_KINDS or key.nullable or key.n > MAX_KEY:
            yield Problem(("columns", self.key), f"{key.type} cannot be the key; allowed: bigint, or string(n) or "
                                                 f"binary(n) with n up to {MAX_KEY}, never null")
        if key.has_default:
            yield Problem(("columns", self.key), "the key can have no default; allowed: generate: true for a bigint")
        for name, column in columns.items():
            if column.generate and name != self.key:
                yield Problem(("columns", name), "only the key can be generated")
        for i, index in enumerate(self.indexes):
            yield from self._check_index(i, index, columns, key)

    def _check_index(self, i: int, index: tuple[str, ...], columns: Mapping[str, Column], key: Column
                     ) -> Iterator[Problem]:
        size = key.index_bytes or 0
        for k, name in enumerate(index):
            column = columns.get(name)
            if column is None or name in index[:k]:
                what = "there twice" if column else "no column"
                yield Problem(("indexes", i, k), f"{name!r} is {what}; allowed: each of {', '.join(columns)} once")
                return
            if column.index_bytes is None:
                yield Problem(("indexes", i, k), f"{column.type} cannot be in an index; allowed: all types but text, "
                                                 "blob and json")
                return
            size += column.index_bytes
        if index in self.indexes[:i]:
            yield Problem(("indexes", i), "there twice")
        if size > MAX_INDEX_BYTES:
            yield Problem(("indexes", i), f"{size} bytes with the key; allowed: {MAX_INDEX_BYTES}, 4 a character")


def column_of(name: str, declared: ColumnConfig, *, bare: bool = False) -> Column:
    """The column that `declared`, whose type is one, means; `bare`: without its default. Raises ValueError."""
    kind, n, s, nullable = parse_type(declared.type)
    column = Column(name, kind, n, s, nullable, generate=declared.generate)
    if bare or declared.default is None:
        return column
    if kind == "datetime" and declared.default == NOW:
        return Column(name, kind, n, s, nullable, is_now=True)
    return Column(name, kind, n, s, nullable, has_default=True, default=of_json(column, declared.default))


def table_of(name: str, declared: TableConfig) -> Table:
    """The table that `declared`, which was checked, means."""
    columns = tuple(column_of(column, one) for column, one in declared.columns.items())
    key_at = next(i for i, column in enumerate(columns) if column.name == declared.key)
    return Table(name, columns, key_at, declared.indexes)
