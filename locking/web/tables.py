"""What the server keeps: items, whose version is their ETag, and counters."""
from __future__ import annotations

from typing import cast

from sqlalchemy import BigInteger, Integer, String, Table, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hotpath.locking.models import Versioned

# Characters.
MAX_TITLE = 200
MAX_BODY = 65536
MAX_COUNTER = 64

# Whatever the database's own default: any text fits, and a lock is a row's.
ON_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


class Base(DeclarativeBase):
    """The tables of the server."""


class Item(Versioned, Base):
    """A text with a title."""

    __tablename__ = "hotpath_items"
    # Without it SQLite gives a deleted item's id to the next one.
    __table_args__ = ON_MYSQL | {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    title: Mapped[str] = mapped_column(String(MAX_TITLE))
    body: Mapped[str] = mapped_column(Text().with_variant(MEDIUMTEXT, "mysql", "mariadb"))


class Counter(Versioned, Base):
    """A number that is only ever incremented; one that has no row is 0."""

    __tablename__ = "hotpath_counters"
    __table_args__ = ON_MYSQL

    # In MySQL's usual collation "a" and "A" would be one counter.
    id: Mapped[str] = mapped_column(
        String(MAX_COUNTER).with_variant(String(MAX_COUNTER, collation="utf8mb4_bin"), "mysql", "mariadb"),
        primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


# The same without its mapping: a version that nobody checks.
COUNTERS = cast("Table", Counter.__table__)
