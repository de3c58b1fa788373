"""What does a driver's exception mean? By number, never by its class or text."""
from __future__ import annotations

import sqlite3
import sys
from enum import Enum, auto

from sqlalchemy import exc


class Failure(Enum):
    """What there is to do about it."""

    AGAIN = auto()          # a deadlock or a lock's time-out: roll back, and the same may succeed at once
    LOST = auto()           # the connection is no more
    AWAY = auto()           # the database cannot now: locked, full, read-only, starting
    TAKEN = auto()          # a unique key is there already
    BUG = auto()            # ours

    @property
    def ends_transaction(self) -> bool:
        """Whether nothing can be saved by going back to a savepoint: InnoDB rolls the whole back after a deadlock."""
        return self in (Failure.AGAIN, Failure.LOST, Failure.AWAY)


# From sqlite3.h: PERM BUSY LOCKED NOMEM READONLY IOERR CORRUPT FULL CANTOPEN PROTOCOL NOTADB.
_SQLITE_AWAY = frozenset((3, 5, 6, 7, 8, 10, 11, 13, 14, 15, 26))
# SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE and _ROWID; other constraints are broken by mistakes of ours.
_SQLITE_TAKEN = frozenset((1555, 2067, 2579))

# Server and client error numbers of MySQL and MariaDB.
_AGAIN = frozenset((1205, 1213))
_LOST = frozenset((1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 2000, 2002, 2003, 2005, 2006,
                   2012, 2013, 2026, 2055, 3024, 4031))
_AWAY = frozenset((1020, 1021, 1026, 1030, 1036, 1037, 1038, 1040, 1041, 1044, 1045, 1049, 1114, 1129, 1130, 1135, 1180,
                   1181, 1203, 1206, 1226, 1290, 1792, 1836, 3))
_TAKEN = frozenset((1022, 1062, 1169, 1586))


def meaning(error: BaseException) -> Failure:
    """What `error`, of a driver or of the pool, means for the one who ran a statement."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, exc.TimeoutError):
        return Failure.AWAY         # the pool's
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _SQLITE_TAKEN:
            return Failure.TAKEN
        return Failure.AWAY if code & 0xFF in _SQLITE_AWAY else Failure.BUG
    # Imported by SQLAlchemy if it is used: without it a part of the chat starts sooner.
    mysql = sys.modules.get("mysql.connector")
    if mysql is not None and isinstance(error, mysql.Error):
        number = error.errno
        if number in _AGAIN:
            return Failure.AGAIN
        if number in _TAKEN:
            return Failure.TAKEN
        if number in _AWAY:
            return Failure.AWAY
        # The pure driver says -1 for what its socket met.
        return Failure.LOST if number in _LOST or number == -1 else Failure.BUG
    return Failure.LOST if isinstance(error, OSError) else Failure.BUG
