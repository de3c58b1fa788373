"""What time is it? The database's clock says, the only one that all who share it agree on."""
from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, literal_column
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

# Integers, since MariaDB keeps a FLOAT of SQLAlchemy's with 24 bits: it would round to minutes.
MICROSECONDS = {
    # Up to SQLite 3.41 unixepoch() has whole seconds only; a Julian day has milliseconds there.
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)",
    # By UTC: what UNIX_TIMESTAMP makes of a local time is an hour wrong in the hour that autumn has twice.
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
    "mariadb": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
    # clock_timestamp() would be asked for each row, so no index could serve; now() is when the transaction began.
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)",
}


def now_us(session: Session) -> ColumnElement[Any]:
    """An expression: microseconds since 1970 when the statement began; within one statement it is a constant.

    A statement that waited for a lock began before that: whoever needs the time behind the wait asks in the next one.
    """
    return now_us_of(session.get_bind().dialect.name)


def now_us_of(dialect: str) -> ColumnElement[Any]:
    """The same, for a statement that is made before there is a session."""
    return literal_column(MICROSECONDS[dialect], BigInteger)
