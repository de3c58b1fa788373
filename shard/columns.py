"""A declared column as a database has it: its definition, and how the database describes it afterwards."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .schema import Column, Table, quoted

Flavour = Literal["mariadb", "mysql", "sqlite"]

SLOT = "_hp_slot"

# No padding, no folding: `a`, `A` and `a ` differ, and sort by their UTF-8 bytes.
COLLATION = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}

# A row's bytes in its page, long texts aside, are at most 65,535 on MySQL. What is longer than these is kept beside it,
# and all that is in no index when the table would come near that.
LONG_STRING, LONG_BINARY = 1000, 4000
ROW_BYTES = 60_000

_MYSQL = {"int": "int", "bigint": "bigint", "double": "double", "bool": "tinyint", "text": "longtext",
          "json": "longtext", "blob": "longblob", "datetime": "datetime(6)"}
_SQLITE = {"int": "INTEGER", "bigint": "INTEGER", "bool": "INTEGER", "double": "REAL", "decimal": "TEXT",
           "string": "TEXT", "text": "TEXT", "datetime": "TEXT", "json": "TEXT", "binary": "BLOB", "blob": "BLOB"}
# What arithmetic could make of a number, and no column may hold. A sum that overflows becomes a REAL, or infinite.
_SQLITE_CHECKS = {
    "int": "typeof({c}) = 'integer' AND {c} BETWEEN -2147483648 AND 2147483647",
    "bigint": "typeof({c}) = 'integer'",
    "bool": "{c} IN (0, 1)",
    "double": "typeof({c}) = 'real' AND abs({c}) <= 1.7976931348623157e308",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What can differ from the declaration."""

    type: str
    nullable: bool
    collation: str | None = None

    def __str__(self) -> str:
        collation = f" collate {self.collation}" if self.collation else ""
        return f"{self.type}{collation}{'' if self.nullable else ' not null'}"


def shapes(table: Table, flavour: Flavour) -> dict[str, Shape]:
    """Of each column in order, ours last."""
    found = {column.name: _shape(table, column, flavour) for column in table.columns}
    found[SLOT] = Shape("INTEGER" if flavour == "sqlite" else "int", nullable=False)
    return found


def definitions(table: Table, flavour: Flavour) -> list[str]:
    """The lines of CREATE TABLE, keys and indexes aside."""
    kinds = {column.name: column.kind for column in table.columns}
    return [_definition(name, shape, kinds.get(name), flavour) for name, shape in shapes(table, flavour).items()]


def _definition(name: str, shape: Shape, kind: str | None, flavour: Flavour) -> str:
    words = f"{quoted(name)} {shape.type}"
    if shape.collation:
        words += f" CHARACTER SET utf8mb4 COLLATE {shape.collation}"
    words += " NULL" if shape.nullable else " NOT NULL"
    if flavour == "sqlite":
        check = _SQLITE_CHECKS.get(kind or "")
        if check is not None:
            check = check.format(c=quoted(name))
            words += f" CHECK ({quoted(name)} IS NULL OR {check})" if shape.nullable else f" CHECK ({check})"
    elif name == SLOT:
        # MariaDB wants a default of what is invisible. A row that somebody inserts past us is in no slot, and `verify`
        # finds it.
        words += " DEFAULT -1 INVISIBLE"
    return words


def _shape(table: Table, column: Column, flavour: Flavour) -> Shape:
    if flavour == "sqlite":
        return Shape(_SQLITE[column.kind], column.nullable)
    collation = None
    if column.kind == "decimal":
        type_ = f"decimal({column.n},{column.s})"
    elif column.kind == "string" and column is table.key:
        type_ = f"varbinary({4 * column.n})"
    elif column.kind == "string":
        collation = COLLATION[flavour]
        type_ = "mediumtext" if _is_long(table, column) else f"varchar({column.n})"
    elif column.kind == "binary":
        type_ = "mediumblob" if _is_long(table, column) else f"varbinary({column.n})"
    else:
        type_ = _MYSQL[column.kind]
        collation = COLLATION[flavour] if column.kind in ("text", "json") else None
    return Shape(type_, column.nullable, collation)


def _is_long(table: Table, column: Column) -> bool:
    if column is table.key or any(column.name in index for index in table.indexes):
        return False
    too_long = column.n > (LONG_STRING if column.kind == "string" else LONG_BINARY)
    return too_long or sum(one.index_bytes or 0 for one in table.columns) > ROW_BYTES
