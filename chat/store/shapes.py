"""Rows as the contract shows them: users, channels, messages."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .statements import Row, Statements, marks, slices

Shape = dict[str, Any]      # a JSON object

USER_COLUMNS = "id, name, display, admin, active"
MESSAGE_COLUMNS = "id, channel_id, seq, user_id, text, at, client_msg_id, root_id, edited_at, deleted"


def user_shape(row: Row) -> Shape:
    """Of USER_COLUMNS."""
    return {"id": row[0], "name": row[1], "display": row[2], "admin": bool(row[3]), "active": bool(row[4])}


def channel_shape(id: int, kind: str, name: str | None, topic: str, archived: object, head: int,
                  created_at: int) -> Shape:
    """A channel, without who one is in it."""
    return {"id": id, "kind": kind, "name": name, "topic": topic, "archived": bool(archived), "head": head,
            "created_at": created_at}


def message_shape(row: Row, reactions: dict[str, list[int]], replies: int, mentions: list[int]) -> Shape:
    """Of MESSAGE_COLUMNS, and what hangs on the message."""
    return {"id": row[0], "channel": row[1], "seq": row[2], "user": row[3], "text": row[4], "at": row[5],
            "client_msg_id": row[6], "root": row[7], "edited_at": row[8], "deleted": bool(row[9]),
            "reactions": reactions, "replies": replies, "mentions": mentions}


def message_shapes(rows: Statements, messages: Sequence[Row]) -> list[Shape]:
    """The shapes of rows of MESSAGE_COLUMNS, with three statements for all of them.

    `replies` counts those of a root that are not deleted. `reactions` are in the order in which they were added.
    """
    reactions: dict[int, dict[str, list[int]]] = defaultdict(dict)
    mentions: dict[int, list[int]] = defaultdict(list)
    replies: dict[int, int] = {}
    for ids in slices(row[0] for row in messages):
        listed = marks(ids)
        for message, emoji, user in rows.all(
                f"SELECT message_id, emoji, user_id FROM reactions WHERE message_id IN ({listed}) ORDER BY seq", ids):
            reactions[message].setdefault(emoji, []).append(user)
        for message, user in rows.all(
                f"SELECT message_id, user_id FROM mentions WHERE message_id IN ({listed}) ORDER BY user_id", ids):
            mentions[message].append(user)
        for root, count in rows.all(
                f"SELECT root_id, COUNT(*) FROM messages WHERE root_id IN ({listed}) AND NOT deleted "
                "GROUP BY root_id", ids):
            replies[root] = count
    return [message_shape(row, reactions.get(row[0], {}), replies.get(row[0], 0), mentions.get(row[0], []))
            for row in messages]
