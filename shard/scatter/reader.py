"""Some columns of a table, as one dialect has them, made once: their SQL, and rows of them in Python."""
from __future__ import annotations

from functools import lru_cache

from hotpath.shard.engine import Dialect, Value
from hotpath.shard.rows.codec import Codec
from hotpath.shard.schema import Key, Table, quoted


class Reader:
    """Of the columns `names`, one of which is the key."""

    __slots__ = ("_key_at", "codec", "columns", "row")

    def __init__(self, table: Table, codec: Codec, names: tuple[str, ...]) -> None:
        self.codec = codec
        self._key_at = names.index(table.key.name)
        self.columns = ", ".join(map(quoted, names))
        # Of values in the order of `names`; what stands behind them is left out.
        self.row = codec.picker(names)

    def key(self, values: tuple[Value, ...]) -> Key:
        """That of a row as the engine gives it."""
        return self.codec.key_back(values[self._key_at])


class Readers:
    """Those of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.codecs: dict[Dialect, Codec] = {"mysql": Codec(table, "mysql"), "sqlite": Codec(table, "sqlite")}
        self.names = tuple(column.name for column in table.columns)
        # By the fields that callers ask for: they use few sets, but could ask for any.
        self.of = lru_cache(maxsize=64)(self._of)

    def _of(self, dialect: Dialect, names: tuple[str, ...]) -> Reader:
        return Reader(self._table, self.codecs[dialect], names)
