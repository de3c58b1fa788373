"""Who comes and goes: entries of the channel's own log, so that they act at an exact seq."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import Refused
from .events import JOINED, LEFT
from .shapes import Shape, channel_shape
from .transaction import ChannelRow, Transaction, outside
from .unread import marker

Role = Literal["member", "owner"]


def add_member(tx: Transaction, channel: ChannelRow, by: int, user: int, role: Role) -> int:
    """Make `user`, who is none yet, a member; the seq of the member.joined. What lies before it counts as read."""
    seq = tx.append(channel, JOINED, by, {"user": user, "role": role})
    # rev begins at the clock, not at 0: whoever left and came back would lose to the markers of the time before.
    tx.rows.run("INSERT INTO memberships (channel_id, user_id, role, joined_seq, last_read, rev, version) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (channel.id, user, role, seq, seq, tx.now_ms, tx.next_membership_version()))
    tx.notify(user, {"joined": {"channel": channel.id, "seq": seq}})
    return seq


def remove_member(tx: Transaction, channel: ChannelRow, by: int, user: int, role: str) -> None:
    """End a membership; the member.left is the last event that `user` gets."""
    tx.append(channel, LEFT, by, {"user": user, "role": role})
    tx.rows.run("DELETE FROM memberships WHERE channel_id = ? AND user_id = ?", (channel.id, user))


def append_changed(tx: Transaction, channel: ChannelRow, by: int) -> Shape:
    """Log that the channel, or who owns it, is another now; the channel with this event as its head."""
    shape = channel_shape(channel.id, channel.kind, channel.name, channel.topic, channel.archived, tx.next_seq(channel),
                          channel.created_at)
    tx.append(channel, "channel.changed", by, shape)
    return shape


def has_owner(tx: Transaction, channel: int) -> bool:
    """Whether any active member is owner."""
    return tx.rows.one("SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id "
                       "WHERE m.channel_id = ? AND m.role = 'owner' AND u.active LIMIT 1", (channel,)) is not None


@dataclass(frozen=True, slots=True)
class Join:
    """-> ({user, role, joined_seq}, created). Oneself into a public channel; members invite others.

    Only an owner or an admin makes an owner; they may also give a member another role. Whoever comes into a channel
    without an owner becomes it.
    """

    by: int
    channel: int
    user: int
    role: Role | None = None        # None: member, or whatever it is already

    def channel_of(self, tx: Transaction) -> int:
        """Its own."""
        return self.channel

    def apply(self, tx: Transaction) -> tuple[Shape, bool]:
        """Refused 403, 404, 409."""
        channel = tx.channel(self.channel)
        actor = tx.member(self.channel, self.by)
        if not actor.role and (channel.kind != "public" or self.by != self.user):
            raise outside(channel.kind, channel.id)
        there = tx.rows.one("SELECT role, joined_seq FROM memberships WHERE channel_id = ? AND user_id = ?",
                            (self.channel, self.user))
        role = self.role or (there[0] if there else "member")
        if role == "owner" and not (actor.role == "owner" or actor.is_admin) and not (there and there[0] == "owner"):
            raise Refused(403, "only an owner or an admin makes an owner")
        if there:
            self._change_role(tx, channel, there[0], role, may=actor.role == "owner" or actor.is_admin)
            return {"user": self.user, "role": role, "joined_seq": there[1]}, False
        if channel.kind == "dm":
            raise Refused(403, "the members of a direct message do not change")
        if channel.archived:
            raise Refused(409, f"channel {channel.id} is archived: nobody joins it")
        row = tx.rows.one("SELECT active FROM users WHERE id = ?", (self.user,))
        if row is None or not row[0]:
            raise Refused(404, f"there is no active user {self.user}")
        if channel.kind == "public" and not has_owner(tx, channel.id):
            role = "owner"
        seq = add_member(tx, channel, self.by, self.user, role)
        return {"user": self.user, "role": role, "joined_seq": seq}, True

    def _change_role(self, tx: Transaction, channel: ChannelRow, old: str, new: Role, *, may: bool) -> None:
        if old == new:
            return
        if not may:
            raise Refused(403, "only an owner or an admin gives another role")
        if channel.kind == "dm":
            raise Refused(403, "a direct message has no owner")
        tx.rows.run("UPDATE memberships SET role = ? WHERE channel_id = ? AND user_id = ?",
                    (new, channel.id, self.user))
        if not has_owner(tx, channel.id):
            raise Refused(409, "the channel would have no owner: make another one first")
        append_changed(tx, channel, self.by)


@dataclass(frozen=True, slots=True)
class Leave:
    """Oneself, or, as owner or admin, somebody else. Who is no member has left already.

    When the last owner goes, the one who is a member for longest becomes owner. When the last member of a private
    channel goes, nobody could ever come in again: the channel is deleted.
    """

    by: int
    channel: int
    user: int

    def channel_of(self, tx: Transaction) -> int:
        """Its own."""
        return self.channel

    def apply(self, tx: Transaction) -> None:
        """Refused 403, 404."""
        channel, actor = self._entered(tx)
        there = tx.rows.one("SELECT role FROM memberships WHERE channel_id = ? AND user_id = ?",
                            (self.channel, self.user))
        if self.by != self.user and actor != "owner":
            raise Refused(403, "only an owner or an admin removes somebody else")
        if there is None:
            if self.by == self.user:
                return
            raise Refused(404, f"user {self.user} is no member of channel {self.channel}")
        if channel.kind == "dm":
            raise Refused(403, "the members of a direct message do not change")
        remove_member(tx, channel, self.by, self.user, there[0])
        if not has_owner(tx, channel.id):
            self._hand_over(tx, channel)

    def _entered(self, tx: Transaction) -> tuple[ChannelRow, str]:
        channel = tx.channel(self.channel)
        actor = tx.member(self.channel, self.by)
        if not actor.role and not (channel.kind == "public" and (actor.is_admin or self.by == self.user)):
            raise outside(channel.kind, channel.id)
        return channel, "owner" if actor.is_admin else actor.role

    def _hand_over(self, tx: Transaction, channel: ChannelRow) -> None:
        heir = tx.rows.one("SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id "
                           "WHERE m.channel_id = ? AND u.active ORDER BY m.joined_seq LIMIT 1", (channel.id,))
        if heir is not None:
            tx.rows.run("UPDATE memberships SET role = 'owner' WHERE channel_id = ? AND user_id = ?",
                        (channel.id, heir[0]))
            append_changed(tx, channel, self.by)
        elif channel.kind == "private":
            hide(tx, channel, self.by)


def hide(tx: Transaction, channel: ChannelRow, by: int) -> None:
    """Every member leaves, then the channel is no more: its rows stay, its name is free."""
    for user, role in tx.rows.all("SELECT user_id, role FROM memberships WHERE channel_id = ? ORDER BY joined_seq",
                                  (channel.id,)):
        remove_member(tx, channel, by, user, role)
    tx.rows.run("UPDATE channels SET deleted = 1, live_name = NULL, dm_key = NULL WHERE id = ?", (channel.id,))
    channel.deleted = True


@dataclass(frozen=True, slots=True)
class MarkRead:
    """-> {last_read, rev, unread, mentions}. It only grows, unless `back`; never beyond the head."""

    user: int
    channel: int
    seq: int
    back: bool = False

    def channel_of(self, tx: Transaction) -> int:
        """Its own: the head must not move meanwhile."""
        return self.channel

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 404."""
        channel, member = tx.entered(self.channel, self.user)
        seq, rev = min(self.seq, channel.last_seq), member.rev
        if seq == member.last_read or (seq < member.last_read and not self.back):
            return marker(tx.rows, channel.id, self.user, member.last_read, rev)
        rev += 1
        tx.rows.run("UPDATE memberships SET last_read = ?, rev = ? WHERE channel_id = ? AND user_id = ?",
                    (seq, rev, channel.id, self.user))
        shape = marker(tx.rows, channel.id, self.user, seq, rev)
        tx.notify(self.user, {"read": {"channel": channel.id, **shape}})
        return shape
