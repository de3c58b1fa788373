"""The chat's tables, read through a connection of one's own: plain SQL, nothing of the product's code."""
from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mysql.connector


class Database:
    """Short reads, each of what is committed by now."""

    def __init__(self, url: str, data: Path) -> None:
        """`url` as in run.json; `data`: where SQLite's file lies."""
        self.url, self.data = url, data
        self._connection: Any = None

    def _open(self) -> Any:
        if self.url.startswith("mysql"):
            parts = urlsplit(self.url)
            return mysql.connector.connect(
                host=parts.hostname, port=parts.port or 3306, user=unquote(parts.username or ""),
                password=unquote(parts.password or ""), database=parts.path[1:], autocommit=True, use_pure=True,
                charset="utf8mb4", collation="utf8mb4_general_ci", connection_timeout=5)
        # isolation_level None: no transaction stays open, so each SELECT sees what is committed when it begins.
        return sqlite3.connect(f"file:{self.data / 'chat.db'}?mode=ro", uri=True, isolation_level=None, timeout=10)

    def select(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows. Raises the driver's error when the database is away."""
        if self._connection is None:
            self._connection = self._open()
        try:
            with closing(self._connection.cursor()) as cursor:
                if self.url.startswith("mysql") and values:
                    text = text.replace("%", "%%").replace("?", "%s")
                cursor.execute(text, tuple(values))
                return list(cursor.fetchall())
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Leave the connection; the next read makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One of a channel's log; `data` is JSON text."""

    channel: int
    seq: int
    kind: str
    data: str
    at: int


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message as it is now."""

    id: int
    channel: int
    seq: int
    user: int
    cmid: str
    text: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Table:
    """All that is committed."""

    heads: dict[int, int]                               # channel: last_seq
    events: dict[int, list[EventRow]]                   # channel: ascending by seq
    messages: list[MessageRow]
    members: set[tuple[int, int]]                       # (channel, user)
    unread: dict[tuple[int, int], tuple[int, int]]      # (channel, user): unread, mentions
    epoch: str = ""


# Straight from the contract's sentence; `mentions` are those among the same rows.
UNREAD = """
SELECT m.channel_id, m.user_id,
    (SELECT COUNT(*) FROM messages p WHERE p.channel_id = m.channel_id AND p.seq > m.last_read
        AND p.user_id <> m.user_id AND p.deleted = 0 AND p.root_id IS NULL),
    (SELECT COUNT(*) FROM messages p JOIN mentions n ON n.message_id = p.id WHERE p.channel_id = m.channel_id
        AND p.seq > m.last_read AND p.user_id <> m.user_id AND p.deleted = 0 AND n.user_id = m.user_id)
FROM memberships m
"""


def text_of(value: Any) -> str:
    """Of a text or a binary column."""
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


def read_table(database: Database) -> Table:
    """Everything, while nobody writes."""
    select = database.select
    events = defaultdict(list)
    for channel, seq, kind, data, at in select("SELECT channel_id, seq, kind, data, at FROM events "
                                               "ORDER BY channel_id, seq"):
        events[channel].append(EventRow(channel, seq, text_of(kind), text_of(data), at))
    messages = [MessageRow(id_, channel, seq, user, text_of(cmid), text_of(text), bool(deleted))
                for id_, channel, seq, user, cmid, text, deleted in select(
                    "SELECT id, channel_id, seq, user_id, client_msg_id, text, deleted FROM messages ORDER BY id")]
    unread = {(channel, user): (int(n), int(named)) for channel, user, n, named in select(UNREAD)}
    return Table(
        heads=dict(select("SELECT id, last_seq FROM channels")), events=dict(events), messages=messages,
        members=set(unread), unread=unread)
