"""Channels: made, changed, hidden; one direct message for each set of members."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hotpath.chat.models import NAME_LENGTH

from .errors import Refused, invalid
from .members import add_member, append_changed, hide
from .operation import NoChannel
from .shapes import Shape, channel_shape
from .statements import is_text, marks
from .transaction import ChannelRow, Member, Transaction, outside

MAX_DM_MEMBERS = 20         # their ids fit into dm_key
MAX_FIRST_MEMBERS = 1000    # invited with the channel's birth; more come by PUT
MAX_TOPIC = 1000


def _check_members(tx: Transaction, members: Sequence[int]) -> None:
    found = {row[0] for row in tx.rows.all(
        f"SELECT id FROM users WHERE active AND id IN ({marks(members)})", members)} if members else set()
    if unknown := [user for user in members if user not in found]:
        raise invalid("members", f"{unknown[0]} is no active user")


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise invalid("name", f"is not allowed; allowed: 1 to {NAME_LENGTH} printable characters")


def _check_topic(topic: str) -> None:
    if len(topic) > MAX_TOPIC or not is_text(topic):
        raise invalid("topic", f"is not allowed; allowed: up to {MAX_TOPIC} characters")


def _insert(tx: Transaction, kind: str, name: str | None, topic: str, dm_key: str | None) -> ChannelRow:
    channel = tx.rows.insert(
        "INSERT INTO channels (kind, name, live_name, dm_key, topic, archived, deleted, last_seq, published_seq, "
        "created_at) VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, ?)", (kind, name, name, dm_key, topic, tx.now_ms))
    row = ChannelRow(channel, kind, name, topic, False, False, 0, 0, tx.now_ms)
    tx.created(row)
    return row


def _shape(channel: ChannelRow) -> Shape:
    return channel_shape(channel.id, channel.kind, channel.name, channel.topic, channel.archived, channel.last_seq,
                         channel.created_at)


@dataclass(frozen=True, slots=True)
class CreateChannel(NoChannel):
    """-> channel. `by` owns it; `members` are invited."""

    by: int
    kind: Literal["public", "private"]
    name: str
    topic: str = ""
    members: tuple[int, ...] = ()

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 409, 422."""
        _check_name(self.name)
        _check_topic(self.topic)
        tx.member(0, self.by)
        if tx.rows.one("SELECT 1 FROM channels WHERE live_name = ?", (self.name,)):
            raise Refused(409, f"the name {self.name} is taken")
        channel = _insert(tx, self.kind, self.name, self.topic, None)
        add_member(tx, channel, self.by, self.by, "owner")
        others = [user for user in dict.fromkeys(self.members) if user != self.by]
        if len(others) > MAX_FIRST_MEMBERS:
            raise invalid("members", f"are too many; allowed: {MAX_FIRST_MEMBERS}")
        _check_members(tx, others)
        for user in others:
            add_member(tx, channel, self.by, user, "member")
        return _shape(channel)


@dataclass(frozen=True, slots=True)
class OpenDm(NoChannel):
    """-> (channel, created). The one of `by` and `members`; it may be of oneself alone."""

    by: int
    members: tuple[int, ...]

    def apply(self, tx: Transaction) -> tuple[Shape, bool]:
        """Refused 403, 422."""
        tx.member(0, self.by)
        users = sorted({self.by, *self.members})
        if len(users) > MAX_DM_MEMBERS:
            raise invalid("members", f"are too many; allowed: {MAX_DM_MEMBERS} with oneself")
        key = ",".join(map(str, users))
        if (row := tx.rows.one("SELECT id FROM channels WHERE dm_key = ?", (key,))) is not None:
            return _shape(tx.channel(row[0])), False
        _check_members(tx, users)
        channel = _insert(tx, "dm", None, "", key)
        for user in users:
            add_member(tx, channel, self.by, user, "member")
        return _shape(channel), True


def _governed(tx: Transaction, channel: int, by: int) -> ChannelRow:
    """A channel that `by` may change. Refused 403, 404."""
    row = tx.channel(channel)
    member: Member = tx.member(channel, by)
    if not member.role and not (member.is_admin and row.kind == "public"):
        raise outside(row.kind, channel)
    if row.kind == "dm":
        raise Refused(403, "a direct message has no name, no topic and no end")
    if member.role != "owner" and not member.is_admin:
        raise Refused(403, "only an owner or an admin changes a channel")
    return row


@dataclass(frozen=True, slots=True)
class ChangeChannel:
    """-> channel. By an owner or an admin; nothing new is no event."""

    by: int
    channel: int
    name: str | None = None
    topic: str | None = None
    archived: bool | None = None

    def channel_of(self, tx: Transaction) -> int:
        """Its own."""
        return self.channel

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 404, 409, 422."""
        channel = _governed(tx, self.channel, self.by)
        name = channel.name if self.name is None else self.name
        topic = channel.topic if self.topic is None else self.topic
        archived = bool(channel.archived) if self.archived is None else self.archived
        if (name, topic, archived) == (channel.name, channel.topic, bool(channel.archived)):
            return _shape(channel)
        assert name is not None
        _check_name(name)
        _check_topic(topic)
        if name != channel.name and tx.rows.one("SELECT 1 FROM channels WHERE live_name = ?", (name,)):
            raise Refused(409, f"the name {name} is taken")
        tx.rows.run("UPDATE channels SET name = ?, live_name = ?, topic = ?, archived = ? WHERE id = ?",
                    (name, name, topic, int(archived), channel.id))
        # From here on nothing is refused: the row in memory is not undone.
        channel.name, channel.topic, channel.archived = name, topic, archived
        return append_changed(tx, channel, self.by)


@dataclass(frozen=True, slots=True)
class DeleteChannel:
    """Every member leaves, then it is hidden from all and its name is free."""

    by: int
    channel: int

    def channel_of(self, tx: Transaction) -> int:
        """Its own."""
        return self.channel

    def apply(self, tx: Transaction) -> None:
        """Refused 403, 404."""
        hide(tx, _governed(tx, self.channel, self.by), self.by)
