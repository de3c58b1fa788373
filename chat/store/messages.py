"""Messages: posted once whatever is retried, edited, deleted, reacted to."""
from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from hashlib import blake2b

from .errors import Refused, invalid
from .mentions import mentioned, store_mentions
from .search import index_texts, reindex_text
from .shapes import MESSAGE_COLUMNS, Shape, message_shape, message_shapes
from .statements import Row, is_text
from .transaction import ChannelRow, Member, Transaction

# Different emojis on one message.
MAX_EMOJIS = 50
MAX_EMOJI_LENGTH = 64
# Control characters, halves of surrogate pairs, white space. Joiners, which hold families together, are none of these.
NO_EMOJI = frozenset(("Cc", "Cs", "Zs", "Zl", "Zp"))


def check_text(text: str, limit: int) -> None:
    """Refused 422."""
    if not text or text.isspace():
        raise invalid("text", "is empty; allowed: something that can be seen")
    if len(text) > limit:
        raise invalid("text", f"has {len(text)} characters; allowed: {limit}")
    if not is_text(text):
        raise invalid("text", "holds a NUL character or half of a surrogate pair, which are not allowed")


def digest_of(text: str) -> str:
    """What a retry's text is compared with, however the message was edited since."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _refuse_archived(channel: ChannelRow) -> None:
    if channel.archived:
        raise Refused(409, f"channel {channel.id} is archived: nothing changes in it")


def _channel_of_message(tx: Transaction, message: int) -> int:
    row = tx.rows.one("SELECT channel_id FROM messages WHERE id = ?", (message,))
    return int(row[0]) if row else 0


def _found(tx: Transaction, message: int, user: int) -> tuple[Row, ChannelRow, Member]:
    """The message, its channel and who `user` is there. Refused 403, 404, 409."""
    # The channel's lock first: what is read behind it is what was committed last.
    channel = _channel_of_message(tx, message)
    if not channel:
        raise Refused(404, f"there is no message {message}")
    try:
        row, member = tx.entered(channel, user)
    except Refused as refused:
        raise Refused(404, f"there is no message {message}") if refused.status == 404 else refused from None
    _refuse_archived(row)
    found = tx.rows.one(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?", (message,))
    assert found is not None
    return found, row, member


def _shape_now(tx: Transaction, message: int) -> Shape:
    row = tx.rows.one(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?", (message,))
    assert row is not None
    return message_shapes(tx.rows, [row])[0]


@dataclass(frozen=True, slots=True)
class PostMessage:
    """-> (message, created). The same client_msg_id with the same channel, text and root gives the same message."""

    user: int
    channel: int
    client_msg_id: str
    text: str
    root: int | None = None

    def channel_of(self, tx: Transaction) -> int:
        """Its own."""
        return self.channel

    def apply(self, tx: Transaction) -> tuple[Shape, bool]:
        """Refused 403, 404, 409, 422."""
        check_text(self.text, tx.text_limit)
        channel, _ = tx.entered(self.channel, self.user)
        digest = digest_of(self.text)
        if (message := self.find_same(tx, digest)) is not None:
            return message, False
        _refuse_archived(channel)
        if self.root is not None:
            self._check_root(tx, self.root)
        seq = tx.next_seq(channel)
        message_id, = tx.insert_messages([(channel.id, seq, self.user, self.client_msg_id, self.text, digest, self.root,
                                           tx.now_ms, 0)])
        index_texts(tx.rows, [(message_id, self.text)])
        named = mentioned(tx.rows, channel.id, self.user, self.text)
        store_mentions(tx.rows, message_id, channel.id, seq, named)
        message = message_shape((message_id, channel.id, seq, self.user, self.text, tx.now_ms, self.client_msg_id,
                                 self.root, None, False), {}, 0, named)
        tx.append(channel, "message", self.user, message)
        return message, True

    def find_same(self, tx: Transaction, digest: str) -> Shape | None:
        """The message that an earlier try made. Refused 409: the id was used for something else."""
        row = tx.rows.one(f"SELECT {MESSAGE_COLUMNS}, digest FROM messages WHERE user_id = ? AND client_msg_id = ?",
                          (self.user, self.client_msg_id))
        if row is None:
            return None
        if (row[1], row[7], row[10]) != (self.channel, self.root, digest):
            raise Refused(409, f"client_msg_id {self.client_msg_id} was used for another message")
        return message_shapes(tx.rows, [row])[0]

    def _check_root(self, tx: Transaction, root: int) -> None:
        row = tx.rows.one("SELECT channel_id, root_id, deleted FROM messages WHERE id = ?", (root,))
        if row is None or row[0] != self.channel:
            # A field is wrong, not the path: the channel is there.
            raise invalid("root", "is no message of this channel")
        if row[1] is not None:
            raise invalid("root", "is itself a reply; allowed: the message that its thread began with")
        if row[2]:
            raise invalid("root", "was deleted")


@dataclass(frozen=True, slots=True)
class EditMessage:
    """-> message. By its author; the same text changes nothing."""

    user: int
    message: int
    text: str

    def channel_of(self, tx: Transaction) -> int:
        """The message's."""
        return _channel_of_message(tx, self.message)

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 404, 409, 422."""
        check_text(self.text, tx.text_limit)
        row, channel, _ = _found(tx, self.message, self.user)
        if row[3] != self.user:
            raise Refused(403, "only its author edits a message")
        if row[9]:
            raise Refused(409, f"message {self.message} was deleted")
        if row[4] == self.text:
            return message_shapes(tx.rows, [row])[0]
        tx.rows.run("UPDATE messages SET text = ?, edited_at = ? WHERE id = ?", (self.text, tx.now_ms, self.message))
        reindex_text(tx.rows, self.message, row[4], self.text)
        tx.rows.run("DELETE FROM mentions WHERE message_id = ?", (self.message,))
        store_mentions(tx.rows, self.message, channel.id, row[2], mentioned(tx.rows, channel.id, self.user, self.text))
        message = _shape_now(tx, self.message)
        tx.append(channel, "message.edited", self.user, message)
        return message


@dataclass(frozen=True, slots=True)
class DeleteMessage:
    """By its author or an owner of the channel. It keeps its place, without its text; doing it again is fine."""

    user: int
    message: int

    def channel_of(self, tx: Transaction) -> int:
        """The message's."""
        return _channel_of_message(tx, self.message)

    def apply(self, tx: Transaction) -> None:
        """Refused 403, 404, 409."""
        row, channel, member = _found(tx, self.message, self.user)
        if row[3] != self.user and member.role != "owner":
            raise Refused(403, "only its author or an owner of the channel deletes a message")
        if row[9]:
            return
        tx.rows.run("UPDATE messages SET text = '', deleted = 1 WHERE id = ?", (self.message,))
        reindex_text(tx.rows, self.message, row[4], "")
        tx.rows.run("DELETE FROM mentions WHERE message_id = ?", (self.message,))
        tx.rows.run("DELETE FROM reactions WHERE message_id = ?", (self.message,))
        tx.append(channel, "message.deleted", self.user, _shape_now(tx, self.message))


@dataclass(frozen=True, slots=True)
class React:
    """-> message. Adds one's reaction or, unless `on`, takes it away; doing it again is fine."""

    user: int
    message: int
    emoji: str
    on: bool

    def channel_of(self, tx: Transaction) -> int:
        """The message's."""
        return _channel_of_message(tx, self.message)

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 404, 409, 422."""
        row, channel, _ = _found(tx, self.message, self.user)
        if row[9]:
            raise Refused(409, f"message {self.message} was deleted")
        there = tx.rows.all("SELECT emoji, MAX(CASE WHEN user_id = ? THEN 1 ELSE 0 END) FROM reactions "
                            "WHERE message_id = ? GROUP BY emoji", (self.user, self.message))
        emojis = {emoji: bool(own) for emoji, own in there}
        if emojis.get(self.emoji, False) == self.on:
            return message_shapes(tx.rows, [row])[0]
        if self.on:
            self._check_emoji(emojis)
            tx.rows.run("INSERT INTO reactions (message_id, emoji, user_id, seq) VALUES (?, ?, ?, ?)",
                        (self.message, self.emoji, self.user, tx.next_seq(channel)))
        else:
            tx.rows.run("DELETE FROM reactions WHERE message_id = ? AND emoji = ? AND user_id = ?",
                        (self.message, self.emoji, self.user))
        message = message_shapes(tx.rows, [row])[0]
        tx.append(channel, "reaction.added" if self.on else "reaction.removed", self.user, message)
        return message

    def _check_emoji(self, there: dict[str, bool]) -> None:
        emoji = self.emoji
        if not 0 < len(emoji) <= MAX_EMOJI_LENGTH or any(unicodedata.category(one) in NO_EMOJI for one in emoji):
            raise invalid("emoji", f"is none; allowed: 1 to {MAX_EMOJI_LENGTH} characters without white space")
        if emoji not in there and len(there) >= MAX_EMOJIS:
            raise invalid("emoji", f"the message has {MAX_EMOJIS} different ones already")
