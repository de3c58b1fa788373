"""How much is unread? Counted from rows each time, so it cannot drift."""
from __future__ import annotations

from .shapes import Shape
from .statements import Statements


def counts(rows: Statements, channel: int, user: int, last_read: int) -> tuple[int, int]:
    """(unread, mentions) behind `last_read`: others' undeleted messages that are no replies; mentions of `user`."""
    unread = rows.one("SELECT COUNT(*) FROM messages WHERE channel_id = ? AND seq > ? AND root_id IS NULL "
                      "AND NOT deleted AND user_id <> ?", (channel, last_read, user))
    mentions = rows.one("SELECT COUNT(*) FROM mentions WHERE user_id = ? AND channel_id = ? AND seq > ?",
                        (user, channel, last_read))
    assert unread is not None
    assert mentions is not None
    return int(unread[0]), int(mentions[0])


def marker(rows: Statements, channel: int, user: int, last_read: int, rev: int) -> Shape:
    """What a read marker shows."""
    unread, mentions = counts(rows, channel, user, last_read)
    return {"last_read": last_read, "rev": rev, "unread": unread, "mentions": mentions}
