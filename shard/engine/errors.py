"""Why did a database not do what it was told?

    StatementRefused        whoever wrote the statement or its values; only this statement is undone
    ├── Duplicate           a row with this primary key stands already
    ├── OutOfRange          a value does not fit its column
    └── NoSuchTable         the table is not there
    Conflict                nobody: another transaction holds or won the row; all is undone, and can be done again
    ShardUnavailable        (core.errors)
    ├── Full                the operator: no room on the disk; the statement is undone
    └── Lost                the connection is gone, and an open transaction undone with it
    Unreachable             no connection can be made; its pool makes a ShardUnavailable of it
"""
from __future__ import annotations

from hotpath.core.errors import HotpathError, ShardUnavailable


class StatementRefused(HotpathError):
    """The database does not take this statement. It changed nothing; a transaction around it goes on."""


class Duplicate(StatementRefused):
    """A row with this primary key stands already."""


class OutOfRange(StatementRefused):
    """A value, given or computed, does not fit its column."""


class NoSuchTable(StatementRefused):
    """There is no such table."""


class Conflict(HotpathError):
    """A deadlock, or a lock not had in time: roll back, and do it again."""


class Full(ShardUnavailable):
    """The disk of the shard is full. Nothing of the statement was applied."""


class Lost(ShardUnavailable):
    """The connection died. What ran in a transaction is undone; a lone statement that changes may have been applied."""


class Unreachable(HotpathError):
    """A connection cannot be made; the text says why."""
