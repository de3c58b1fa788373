"""What is asked of the shards while rows move: per table and dialect, built once."""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import cast

from hotpath.shard.engine import Dialect, Statement, Value
from hotpath.shard.schema import Column, Key, Table

# A row of columns no longer than this needs no weighing: a chunk of them is small enough.
SMALL = 1024
# SQLite takes 32,766 values in a statement.
MAX_VALUES = 30_000
# And 127 for a function.
MAX_ARGUMENTS = 100
# Characters of a statement, and more only for a single row: servers take 16 MB (max_allowed_packet) or more.
MAX_TEXT = 2 * 1024**2

# A shared lock on each stripe until the transaction ends. SQLite's writer is alone anyhow.
LOCKED = {"mysql": Statement("SELECT epoch FROM _hp_fence LOCK IN SHARE MODE"),
          "sqlite": Statement("SELECT DISTINCT epoch FROM _hp_fence")}

CURSOR = Statement("SELECT slot, k, copied, deleted, done FROM _hp_cursor WHERE move = ? AND tbl = ?")
NEW_CURSOR = Statement("INSERT INTO _hp_cursor (move, tbl, slot, k, copied, deleted, done) "
                       "VALUES (?, ?, ?, ?, 0, 0, 0)")
# By compare-and-set: of two movers at the same chunk, one finds that the other was faster.
STEP = Statement("UPDATE _hp_cursor SET slot = ?, k = ?, copied = copied + ?, deleted = deleted + ?, done = ? "
                 "WHERE move = ? AND tbl = ? AND slot = ? AND k = ? AND done = 0")
DROP_CURSOR = Statement("DELETE FROM _hp_cursor WHERE move = ? AND tbl = ?")
DROP_CURSORS = Statement("DELETE FROM _hp_cursor")

MARKS = Statement("SELECT COUNT(*), SUM(CASE WHEN pulled > 0 THEN 1 ELSE 0 END), "
                  "SUM(CASE WHEN dirty > 0 THEN 1 ELSE 0 END) FROM _hp_moved "
                  "WHERE tbl = ? AND slot BETWEEN ? AND ?")
DIRTY = Statement("SELECT slot, k FROM _hp_moved WHERE tbl = ? AND slot = ? AND k > ? AND dirty > 0 "
                  "ORDER BY k LIMIT ?")
DIRTY_RUN = Statement("SELECT slot, k FROM _hp_moved WHERE tbl = ? AND slot BETWEEN ? AND ? AND dirty > 0 "
                      "ORDER BY slot, k LIMIT ?")
DROP_MARKS = {
    "mysql": Statement("DELETE FROM _hp_moved WHERE tbl = ? AND slot BETWEEN ? AND ? ORDER BY slot, k LIMIT ?"),
    "sqlite": Statement("DELETE FROM _hp_moved WHERE (tbl, slot, k) IN (SELECT tbl, slot, k FROM _hp_moved "
                        "WHERE tbl = ? AND slot BETWEEN ? AND ? ORDER BY slot, k LIMIT ?)"),
}
# For every mark: one that is there is not made again, and the transaction that tried is undone.
NEW_MARKS = "INSERT INTO _hp_moved (tbl, slot, k, dirty, pulled) VALUES "


@lru_cache(maxsize=512)
def known_marks(n: int) -> Statement:
    """Which of `n` marks of a table are there: values are tbl, slots' range, marks."""
    return Statement(f"SELECT k, dirty FROM _hp_moved WHERE tbl = ? AND slot BETWEEN ? AND ? AND k IN ({_places(n)})")


@lru_cache(maxsize=512)
def new_marks(n: int) -> Statement:
    """`n` clean marks: tbl, slot, k of each."""
    return Statement(NEW_MARKS + ", ".join(["(?, ?, ?, 0, 0)"] * n))


class TableSql:
    """The statements of one table in one dialect. A place in a table is (slot, key)."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        """Build them."""
        self.table = table
        self.dialect = dialect
        self.tbl = table.name.encode()
        self.columns = (*(column.name for column in table.columns), "_hp_slot")
        name, key = f"`{table.name}`", f"`{table.key.name}`"
        self._name, self._key = name, key
        # The server would rather sort a whole table than believe that the index is in order.
        t = f"{name} AS t FORCE INDEX (`_hp_slot`)" if dialect == "mysql" else f"{name} AS t"
        run = "t._hp_slot BETWEEN ? AND ?"
        weight = " + ".join(_weight(column, dialect) for column in table.columns if _is_long(column)) or "0"
        listed = f"SELECT t._hp_slot, t.{key}, {weight} FROM {t} WHERE "
        self.keys_in_slot = Statement(listed + f"t._hp_slot = ? AND t.{key} > ? ORDER BY t.{key} LIMIT ?")
        self.keys_in_run = Statement(listed + f"{run} ORDER BY t._hp_slot, t.{key} LIMIT ?")
        self.any = Statement(f"SELECT 1 FROM {name} LIMIT 1")
        self.count = Statement(f"SELECT COUNT(*) FROM {t} WHERE {run}")
        self.delete = Statement(
            f"DELETE FROM {name} WHERE _hp_slot BETWEEN ? AND ? "
            f"ORDER BY _hp_slot, {key} LIMIT ?" if dialect == "mysql" else
            f"DELETE FROM {name} WHERE {key} IN (SELECT t.{key} FROM {t} WHERE {run} LIMIT ?)")
        self._row = _row(table, dialect)
        self._crc = crc = _crc(table, dialect)
        marked = (f"{t} LEFT JOIN _hp_moved AS m ON m.tbl = ? AND m.slot = t._hp_slot "
                  f"AND m.k = {_mark(f't.{key}', table.key, dialect)} WHERE {run}")
        # All rows, those with a mark, and of those with a clean one how many and the sum of their checks.
        self.clean_sum = Statement(f"SELECT COUNT(*), COUNT(m.k), COUNT(CASE WHEN m.dirty = 0 THEN 1 END), "
                                   f"SUM(CASE WHEN m.dirty = 0 THEN {crc} END) FROM {marked}")
        self.clean_rows = Statement(f"SELECT t._hp_slot, t.{key}, {crc}, m.dirty FROM {marked}")
        self.sum = Statement(f"SELECT COUNT(*), SUM({crc}) FROM {t} WHERE {run}")
        self.crcs = Statement(f"SELECT t._hp_slot, t.{key}, {crc} FROM {t} WHERE {run}")

    @property
    def batch(self) -> int:
        """Keys, or rows, that a statement takes at most."""
        return MAX_VALUES if self.dialect == "mysql" else MAX_VALUES // len(self.columns)

    def key_of(self, mark: bytes) -> Key:
        """The key of a mark, as the driver takes it."""
        if self.table.key.kind == "bigint":
            return int.from_bytes(mark, "big") - 2**63
        if self.table.key.kind == "string" and self.dialect == "sqlite":
            return mark.decode()
        return mark         # MySQL has string keys as bytes

    def shown(self, key: Value) -> str:
        """A key, for people."""
        return repr(key.decode(errors="replace") if self.table.key.kind == "string" and isinstance(key, bytes) else key)

    def rows_of(self, n: int) -> Statement:
        """The whole rows of `n` keys: on MySQL as text, ready for VALUES, so that no value is touched on the way."""
        return _cached(self, "rows", n)

    def sum_of(self, n: int) -> Statement:
        """Count and sum of checks of `n` keys."""
        return _cached(self, "sum", n)

    def crcs_of(self, n: int) -> Statement:
        """Key and check of `n` keys."""
        return _cached(self, "crcs", n)

    def delete_of(self, n: int) -> Statement:
        """Delete `n` keys."""
        return _cached(self, "delete", n)

    def there(self, n: int) -> Statement:
        """Which of `n` keys have a row."""
        return _cached(self, "there", n)

    def insert(self, rows: list[tuple[Value, ...]]) -> Iterable[tuple[Statement, tuple[Value, ...]]]:
        """Statements and their values, for rows as `rows_of` gave them."""
        head = f"INSERT INTO {self._name} ({', '.join(f'`{column}`' for column in self.columns)}) VALUES "
        if self.dialect == "mysql":
            for texts in _bites([cast(str, row[0]) for row in rows]):
                yield Statement.verbatim(head + ", ".join(texts)), ()
            return
        for first in range(0, len(rows), self.batch):
            some = rows[first:first + self.batch]
            yield _insert(head, len(self.columns), len(some)), tuple(value for row in some for value in row)

    def build(self, kind: str, n: int) -> Statement:
        """For `_cached`."""
        if kind == "delete":
            return Statement(f"DELETE FROM {self._name} WHERE {self._key} IN ({_places(n)})")
        where = f" FROM {self._name} AS t WHERE t.{self._key} IN ({_places(n)})"
        if kind == "rows":
            return Statement(f"SELECT {self._row}" + where)
        if kind == "sum":
            return Statement(f"SELECT COUNT(*), SUM({self._crc})" + where)
        if kind == "crcs":
            return Statement(f"SELECT t.{self._key}, {self._crc}" + where)
        return Statement(f"SELECT t.{self._key}" + where)


@lru_cache(maxsize=512)
def _cached(of: TableSql, kind: str, n: int) -> Statement:
    return of.build(kind, n)


@lru_cache(maxsize=512)
def _insert(head: str, columns: int, n: int) -> Statement:
    return Statement(head + ", ".join([f"({_places(columns)})"] * n))


def _bites(texts: list[str]) -> Iterable[list[str]]:
    """So many at once that a server takes them in one statement."""
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > MAX_TEXT:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


def _places(n: int) -> str:
    return ", ".join("?" * n)


def _is_long(column: Column) -> bool:
    return column.kind in ("text", "blob", "json") or column.n * (4 if column.kind == "string" else 1) > SMALL


def _weight(column: Column, dialect: Dialect) -> str:
    name = f"t.`{column.name}`"
    return f"IFNULL(LENGTH({name}), 0)" if dialect == "mysql" else f"IFNULL(LENGTH(CAST({name} AS BLOB)), 0)"


def _row(table: Table, dialect: Dialect) -> str:
    """What `rows_of` selects."""
    if dialect == "sqlite":
        return ", ".join(f"t.`{column}`" for column in (*(one.name for one in table.columns), "_hp_slot"))
    literals = ", ',', ".join(_literal(column, is_key=column is table.key) for column in table.columns)
    return f"CONCAT('(', {literals}, ',', t._hp_slot, ')')"


def _literal(column: Column, *, is_key: bool) -> str:
    """MySQL: the value as it is written in a statement."""
    name = f"t.`{column.name}`"
    if column.kind in ("binary", "blob") or (is_key and column.kind == "string"):
        text = f"CONCAT('x''', HEX({name}), '''')"
    elif column.kind in ("string", "text", "json"):
        return f"QUOTE({name})"         # NULL for null
    elif column.kind == "datetime":
        text = f"CONCAT('''', {name}, '''')"
    elif column.kind == "double":
        # Without an exponent it would be read as a DECIMAL.
        text = f"IF(LOCATE('e', {name}), {name}, CONCAT({name}, 'e0'))"
    else:
        text = name
    return f"IFNULL({text}, 'NULL')" if column.nullable else text


def _mark(key: str, column: Column, dialect: Dialect) -> str:
    """The mark of a key."""
    if column.kind == "bigint":
        return f"UNHEX(LPAD(HEX({key} ^ {2**63}), 16, '0'))" if dialect == "mysql" else f"hp_mark({key})"
    return key if dialect == "mysql" or column.kind == "binary" else f"CAST({key} AS BLOB)"


def _crc(table: Table, dialect: Dialect) -> str:
    """A check of the row. Both shards speak the same dialect, so that a value has the same text on both."""
    if dialect == "mysql":
        # No string has U+0000 in it: what stands between them is not part of one, and alone it is null.
        texts = [f"HEX(t.`{column.name}`)" if column.kind in ("binary", "blob") else f"t.`{column.name}`"
                 for column in table.columns]
        known = [f"IFNULL({text}, '\\0')" if column.nullable else text
                 for text, column in zip(texts, table.columns, strict=True)]
        return f"CRC32(CONCAT_WS('\\0', {', '.join(known)}, t._hp_slot))"
    values = [f"t.`{column.name}`" for column in table.columns]
    while len(values) > MAX_ARGUMENTS:
        values = [f"hp_crc({', '.join(values[:MAX_ARGUMENTS])})", *values[MAX_ARGUMENTS:]]
    return f"hp_crc({', '.join(values)}, t._hp_slot)"
