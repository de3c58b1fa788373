"""Whom does a text name? `@name` each member so called, `@channel` all of them."""
from __future__ import annotations

import re

from .statements import Statements, marks

# A name ends where it cannot go on; a full stop or a dash behind it belongs to the sentence. Not inside a mail address.
MENTION = re.compile(r"(?<![\w@.-])@([a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9_])?)", re.IGNORECASE)
EVERYBODY = "channel"

# Names looked up for one message.
MAX_NAMES = 100


def mentioned(rows: Statements, channel: int, author: int, text: str) -> list[int]:
    """The active members that `text` mentions, ascending, without its author."""
    if "@" not in text:
        return []
    names = list(dict.fromkeys(name.lower() for name in MENTION.findall(text)))[:MAX_NAMES]
    if not names:
        return []
    members = "SELECT u.id FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.channel_id = ? AND u.active"
    if EVERYBODY in names:
        found = rows.all(f"{members} ORDER BY u.id", (channel,))
    else:
        found = rows.all(f"{members} AND u.name IN ({marks(names)}) ORDER BY u.id", (channel, *names))
    return [row[0] for row in found if row[0] != author]


def store_mentions(rows: Statements, message: int, channel: int, seq: int, users: list[int]) -> None:
    """Keep them as rows, which are what is counted."""
    rows.insert_many("mentions (message_id, user_id, channel_id, seq)",
                     [(message, user, channel, seq) for user in users])
