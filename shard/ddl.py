"""The tables on a shard: made as declared, and compared with what is declared."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hotpath.core.errors import SchemaDrift

from .columns import SLOT, Flavour, Shape, definitions, shapes
from .engine import Session, Shard, Statement, Value
from .schema import STRIPES, Table, quoted

OWNER = "hotpath.shard="        # in the fence's comment, on MySQL: which cluster the database belongs to

_SIDECARS = {
    "mysql": (
        "CREATE TABLE IF NOT EXISTS _hp_fence (stripe INT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL) "
        "ENGINE=InnoDB COMMENT='{owner}'",
        "CREATE TABLE IF NOT EXISTS _hp_moved (tbl VARBINARY(48) NOT NULL, slot INT NOT NULL, "
        "k VARBINARY(1020) NOT NULL, dirty INT NOT NULL, pulled INT NOT NULL, PRIMARY KEY (tbl, slot, k)) "
        "ENGINE=InnoDB",
        "CREATE TABLE IF NOT EXISTS _hp_cursor (move VARBINARY(80) NOT NULL, tbl VARBINARY(48) NOT NULL, "
        "slot INT NOT NULL, k VARBINARY(1020) NOT NULL, copied BIGINT NOT NULL, deleted BIGINT NOT NULL, "
        "done INT NOT NULL, PRIMARY KEY (move, tbl)) ENGINE=InnoDB",
    ),
    "sqlite": (
        "CREATE TABLE IF NOT EXISTS _hp_fence (stripe INTEGER NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS _hp_moved (tbl BLOB NOT NULL, slot INTEGER NOT NULL, k BLOB NOT NULL, "
        "dirty INTEGER NOT NULL, pulled INTEGER NOT NULL, PRIMARY KEY (tbl, slot, k)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS _hp_cursor (move BLOB NOT NULL, tbl BLOB NOT NULL, slot INTEGER NOT NULL, "
        "k BLOB NOT NULL, copied INTEGER NOT NULL, deleted INTEGER NOT NULL, done INTEGER NOT NULL, "
        "PRIMARY KEY (move, tbl)) WITHOUT ROWID",
    ),
}
_FILL = " INTO _hp_fence (stripe, epoch) VALUES " + ", ".join(f"({stripe}, 0)" for stripe in range(STRIPES))
FILL = {"mysql": Statement("INSERT IGNORE" + _FILL), "sqlite": Statement("INSERT OR IGNORE" + _FILL)}

COMMENT = Statement("SELECT table_comment FROM information_schema.tables "
                    "WHERE table_schema = DATABASE() AND table_name = '_hp_fence'")
VERSION = Statement("SELECT VERSION()")
COLUMNS = {
    "mysql": Statement("SELECT column_name, column_type, is_nullable = 'YES', collation_name "
                       "FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? "
                       "ORDER BY ordinal_position"),
    "sqlite": Statement("SELECT name, type, NOT \"notnull\", NULL FROM pragma_table_info(?) ORDER BY cid"),
}
# (name, unique, column) in the order of the columns.
INDEXES = {
    "mysql": Statement("SELECT index_name, non_unique = 0, column_name FROM information_schema.statistics "
                       "WHERE table_schema = DATABASE() AND table_name = ? ORDER BY index_name, seq_in_index"),
    "sqlite": Statement("SELECT l.name, l.\"unique\", i.name FROM pragma_index_list(?) l, pragma_index_info(l.name) i "
                        "WHERE l.origin = 'c' ORDER BY l.name, i.seqno"),
}
KEY = Statement("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
# MariaDB shows a width that means nothing, MySQL shows none.
_WIDTH = re.compile(r"^(tinyint|int|bigint)\(\d+\)")


def sidecars(shard: Shard, owner: str = "") -> None:
    """Make what is missing of our own tables; `owner`: the cluster that the database is to belong to."""
    for text in _SIDECARS[shard.dialect]:
        shard.run(Statement(text.format(owner=OWNER + owner if owner else "")))

    def fill(session: Session) -> None:
        session.run(FILL[shard.dialect])

    shard.write(fill)


def owner_of(shard: Shard) -> str | None:
    """The cluster that the database belongs to; None: it does not say."""
    rows = shard.rows(COMMENT) if shard.dialect == "mysql" else []
    comment = _text(rows[0][0]) if rows else ""
    return comment.removeprefix(OWNER) if comment.startswith(OWNER) else None


def create(shard: Shard, tables: Iterable[Table]) -> None:
    """Make those that are missing. One that is there stays as it is."""
    flavour = flavour_of(shard)
    for table in tables:
        for text in statements(table, flavour):
            shard.run(Statement(text))


def drop(shard: Shard, name: str) -> None:
    """Delete a table with its rows, if it is there."""
    shard.run(Statement(f"DROP TABLE IF EXISTS {quoted(name)}"))


def statements(table: Table, flavour: Flavour) -> list[str]:
    """What makes the table."""
    lines = [*definitions(table, flavour), f"PRIMARY KEY ({quoted(table.key.name)})"]
    head = f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} (%s)"
    indexes = {name: _names(columns) for name, columns in index_columns(table).items()}
    if flavour != "sqlite":
        lines += [f"INDEX {quoted(name)} ({columns})" for name, columns in indexes.items()]
        return [head % ", ".join(lines) + " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4"]
    # The names of SQLite's indexes are those of the whole file.
    return [head % ", ".join(lines),
            *(f"CREATE INDEX IF NOT EXISTS {quoted(_sqlite_index(table, name))} ON {quoted(table.name)} ({columns})"
              for name, columns in indexes.items())]


def index_columns(table: Table) -> dict[str, tuple[str, ...]]:
    """The indexes beside the key's: ours finds the rows of a slot."""
    return {SLOT: (SLOT, table.key.name),
            **{f"i_{'_'.join(columns)}"[:64]: columns for columns in table.indexes}}


def drift(shard: Shard, table: Table) -> list[str]:
    """What is not as declared: `likes: is bigint, declared int`; indexes that were added are nobody's harm."""
    flavour = flavour_of(shard)
    with shard.reading() as session:
        there = {_text(name): Shape(_WIDTH.sub(r"\1", _text(type_)), bool(nullable),
                                    None if collation is None else _text(collation))
                 for name, type_, nullable, collation in session.rows(COLUMNS[shard.dialect], (table.name,))}
        if not there:
            return ["the table is missing"]
        wanted = shapes(table, flavour)
        if not differences(there, wanted) and list(there) != list(wanted):
            return [f"the columns stand in another order: {', '.join(there)}; declared {', '.join(wanted)}"]
        return [*differences(there, wanted), *_index_drift(session, shard, table)]


def differences(there: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> list[str]:
    """Of the columns."""
    found = [f"{name}: the column is missing; declared {shape}" for name, shape in wanted.items() if name not in there]
    found += [f"{name}: there is such a column, {there[name]}; none is declared"
              for name in there if name not in wanted]
    return found + [f"{name}: is {there[name]}, declared {shape}" for name, shape in wanted.items()
                    if name in there and there[name] != shape]


def _index_drift(session: Session, shard: Shard, table: Table) -> list[str]:
    columns: dict[str, list[str]] = {}
    unique: set[str] = set()
    for name, is_unique, column in session.rows(INDEXES[shard.dialect], (table.name,)):
        columns.setdefault(_text(name), []).append(_text(column))
        if is_unique:
            unique.add(_text(name))
    if shard.dialect == "sqlite":
        key = [_text(row[0]) for row in session.rows(KEY, (table.name,))]
    else:
        key = columns.pop("PRIMARY", [])
        unique.discard("PRIMARY")
    found = [] if key == [table.key.name] else [f"the key is ({', '.join(key)}); declared {table.key.name}"]
    found += [f"{', '.join(columns[name])}: the index {name} is unique; allowed: none, a shard cannot see its "
              "neighbours"
              for name in sorted(unique)]
    there = list(columns.values())
    return found + [f"{', '.join(wanted)}: the index {name} is missing" for name, wanted in index_columns(table).items()
                    if list(wanted) not in there]


def check(shard: Shard, tables: Iterable[Table]) -> None:
    """Raises SchemaDrift if one is not as declared."""
    found = [f"{table.name}.{what}" if not what.startswith("the ") else f"{table.name}: {what}"
             for table in tables for what in drift(shard, table)]
    if found:
        raise SchemaDrift(f"shard {shard.name} is not as declared: {'; '.join(found)}. Change `tables` to what is "
                          "there, or the table to what is declared, on each shard")


def described(tables: Iterable[Table]) -> dict[str, object]:
    """What must never change of them, for the meta database."""
    return {table.name: {"key": table.key.name, "columns": {column.name: column.type for column in table.columns},
                         "indexes": [list(index) for index in table.indexes]} for table in tables}


def flavour_of(shard: Shard) -> Flavour:
    """Whose SQL it is. Raises ShardUnavailable."""
    if shard.dialect == "sqlite":
        return "sqlite"
    return "mariadb" if "mariadb" in _text(shard.rows(VERSION)[0][0]).lower() else "mysql"


def _sqlite_index(table: Table, name: str) -> str:
    return f"{table.name}.{name}"       # no table can be called so


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))


def _text(value: Value) -> str:
    # The catalogue's words are bytes to some versions of the driver.
    return value.decode() if isinstance(value, bytes) else str(value)
