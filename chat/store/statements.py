"""SQL on one connection, written once for both engines with `?` for each value."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.pool import PoolProxiedConnection

Value = int | float | str | bytes | None
Row = tuple[Any, ...]       # what a driver answers; `shapes` gives it types


class Statements:
    """A cursor that knows how its engine spells parameters and locks."""

    __slots__ = ("_cursor", "_texts", "for_update", "id_step", "is_sqlite")

    def __init__(self, connection: PoolProxiedConnection, *, is_sqlite: bool) -> None:
        self._cursor = connection.cursor()
        self._texts: dict[str, str] = {}
        self.is_sqlite = is_sqlite
        self.id_step = 1        # between the ids of one INSERT: @@auto_increment_increment
        # SQLite's writer has the whole file; InnoDB locks the rows it is told to.
        self.for_update = "" if is_sqlite else " FOR UPDATE"

    def _spelled(self, sql: str) -> str:
        if self.is_sqlite:
            return sql
        text = self._texts.get(sql)
        if text is None:
            text = sql.replace("%", "%%").replace("?", "%s")
            if len(self._texts) < 1000:     # lists of many lengths make many texts
                self._texts[sql] = text
        return text

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run it; how many rows it changed."""
        self._cursor.execute(self._spelled(sql), values)
        return self._cursor.rowcount

    def insert(self, sql: str, values: Sequence[Value]) -> int:
        """Run an INSERT of one row; the id it was given."""
        self._cursor.execute(self._spelled(sql), values)
        return self._cursor.lastrowid or 0

    def insert_many(self, target: str, rows: Sequence[Sequence[Value]]) -> int:
        """INSERT INTO `target`, `TABLE (COLUMNS)`, all `rows`, ROWS in a statement; MySQL: the first id of the last."""
        first = 0
        for start in range(0, len(rows), ROWS):
            some = rows[start:start + ROWS]
            one = f"({marks(some[0])})"
            self._cursor.execute(self._spelled(f"INSERT INTO {target} VALUES {','.join([one] * len(some))}"),
                                 [value for row in some for value in row])
            first = self._cursor.lastrowid or 0
        return first

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row, or None."""
        cursor = self._cursor
        cursor.execute(self._spelled(sql), values)
        row: Row | None = cursor.fetchone()
        if row is not None and not self.is_sqlite:
            cursor.fetchall()       # the pure driver refuses the next statement while rows are unread
        return row

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows."""
        self._cursor.execute(self._spelled(sql), values)
        return list(self._cursor.fetchall())

    def close(self) -> None:
        """No more statements."""
        self._cursor.close()


def is_text(text: str) -> bool:
    """Whether both engines can keep it: no NUL, which ends a text in C, and nothing that UTF-8 cannot say."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def marks(values: Sequence[object]) -> str:
    """`?,?,?` for the values of an IN list, which must not be empty."""
    return ",".join("?" * len(values))


# Rows in one INSERT.
ROWS = 250
# An IN list no longer than that: SQLite takes 32,766 values, and a packet of MySQL 16 MB.
SLICE = 1000


def slices(values: Iterable[int]) -> Iterable[list[int]]:
    """`values` in lists short enough for an IN."""
    listed = list(values)
    return (listed[start:start + SLICE] for start in range(0, len(listed), SLICE))
