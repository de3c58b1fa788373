"""All SQL of the single-key protocol, written once for each table and dialect.

The fence is the first line of each: a statement of a router whose map is old finds no fence of its epoch, and does
nothing. InnoDB share-locks the fence row that an UPDATE or DELETE joins; an INSERT … SELECT must ask for it. SQLite
has one writer at a time, whose lock is the fence's.

Every statement's values come in this order: what is set or inserted, the key, (table, slot, key) of the mark, stripe,
epoch.
"""
from __future__ import annotations

from hotpath.shard.engine import Dialect, Statement
from hotpath.shard.schema import Table, quoted

EPOCH = Statement("SELECT epoch FROM _hp_fence WHERE stripe = ?")
# Until the transaction is over nobody can raise it. MariaDB has no FOR SHARE; both servers have this.
LOCKED_EPOCH = {
    "mysql": Statement("SELECT epoch FROM _hp_fence WHERE stripe = ? LOCK IN SHARE MODE"),
    "sqlite": EPOCH,
}
# Matches 1 row for a new mark and 2 for a known one, and locks it either way. A plain INSERT that fails would leave a
# shared lock, and two such writers then a deadlock.
MARK = Statement("INSERT INTO _hp_moved (tbl, slot, k, dirty, pulled) VALUES (?, ?, ?, 1, 0) "
                 "ON DUPLICATE KEY UPDATE dirty = dirty + 1")
# SQLite counts an upsert as 1 either way, and its one writer has nothing to lock.
NEW_MARK = Statement("INSERT OR IGNORE INTO _hp_moved (tbl, slot, k, dirty, pulled) VALUES (?, ?, ?, 1, 0)")
KNOWN_MARK = Statement("UPDATE _hp_moved SET dirty = dirty + 1 WHERE tbl = ? AND slot = ? AND k = ?")
PULLED = Statement("UPDATE _hp_moved SET pulled = 1 WHERE tbl = ? AND slot = ? AND k = ?")

# What a program changes at once are a few combinations of columns; what a stranger asks for may be any.
KEPT_UPDATES = 256


class Statements:
    """Those of one table. `fenced` is False in a cluster that never moves rows."""

    def __init__(self, table: Table, dialect: Dialect, *, fenced: bool) -> None:
        self.dialect = dialect
        self._t = t = quoted(table.name)
        self._key = key = quoted(table.key.name)
        self._fenced = fenced
        self._updates: dict[tuple[tuple[str, ...], tuple[str, ...], bool], Statement] = {}
        self._others = tuple(column.name for column in table.columns if column is not table.key)
        columns = ", ".join(f"t.{quoted(column.name)}" for column in table.columns)
        names = ", ".join((*(quoted(column.name) for column in table.columns), "_hp_slot"))
        places = ", ".join("?" * (len(table.columns) + 1))
        row = f"LEFT JOIN {t} t ON t.{key} = ?"
        mark = "LEFT JOIN _hp_moved m ON m.tbl = ? AND m.slot = ? AND m.k = ?"
        # (epoch, *columns), of nulls without a row.
        self.read = Statement(f"SELECT f.epoch, {columns} FROM _hp_fence f {row} WHERE f.stripe = ?")
        # The same without a fence: no row, or (0, *columns).
        self.plain_read = Statement(f"SELECT 0, {columns} FROM {t} t WHERE t.{key} = ?")
        # (epoch, dirty, *columns): dirty is null without a mark.
        self.marked_read = Statement(f"SELECT f.epoch, m.dirty, {columns} FROM _hp_fence f {row} {mark} "
                                     "WHERE f.stripe = ?")
        lock = " LOCK IN SHARE MODE" if dialect == "mysql" else ""
        self.insert = Statement(f"INSERT INTO {t} ({names}) SELECT {places} FROM _hp_fence "
                                f"WHERE stripe = ? AND epoch = ?{lock}")
        self.plain_insert = Statement(f"INSERT INTO {t} ({names}) VALUES ({places})")
        if dialect == "mysql":
            self.delete = Statement(f"DELETE t FROM _hp_fence f JOIN {t} t "
                                    f"WHERE t.{key} = ? AND f.stripe = ? AND f.epoch = ?")
        else:
            self.delete = Statement(f"DELETE FROM {t} WHERE {key} = ? AND EXISTS "
                                    "(SELECT 1 FROM _hp_fence f WHERE f.stripe = ? AND f.epoch = ?)")
        self.plain_delete = Statement(f"DELETE FROM {t} WHERE {key} = ?")
        self.replace = self.update(self._others, (), fenced=True)
        self.plain_replace = self.update(self._others, (), fenced=False)

    def update(self, sets: tuple[str, ...], adds: tuple[str, ...], *, fenced: bool) -> Statement:
        """Set the columns `sets`, and add to the columns `adds`, in which null counts as 0."""
        statement = self._updates.get((sets, adds, fenced))
        if statement is None:
            if len(self._updates) >= KEPT_UPDATES:
                self._updates.clear()
            statement = self._updates[sets, adds, fenced] = self._update(sets, adds, fenced=fenced)
        return statement

    def _update(self, sets: tuple[str, ...], adds: tuple[str, ...], *, fenced: bool) -> Statement:
        t, key = self._t, self._key
        joined = fenced and self.dialect == "mysql"
        of = "t." if joined else ""
        assignments = ", ".join((*(f"{of}{quoted(name)} = ?" for name in sets),
                                 *(f"{of}{quoted(name)} = COALESCE({of}{quoted(name)}, 0) + ?" for name in adds)))
        # A table may be a key and nothing else, and SQL has no empty SET.
        assignments = assignments or f"{of}_hp_slot = {of}_hp_slot"
        if joined:
            return Statement(f"UPDATE _hp_fence f JOIN {t} t SET {assignments} "
                             f"WHERE t.{key} = ? AND f.stripe = ? AND f.epoch = ?")
        exists = " AND EXISTS (SELECT 1 FROM _hp_fence f WHERE f.stripe = ? AND f.epoch = ?)" if fenced else ""
        return Statement(f"UPDATE {t} SET {assignments} WHERE {key} = ?{exists}")
