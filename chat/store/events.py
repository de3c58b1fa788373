"""What goes out after a commit: events of a channel's log with the client's bytes, notices to one user's sockets."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

JOINED = "member.joined"
LEFT = "member.left"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a channel's log."""

    channel: int
    seq: int
    kind: str
    actor: int
    frame: bytes            # UTF-8 JSON: what a client is sent
    subject: int = 0        # whose membership changed
    joined: bool = False    # `subject` became a member with this event
    left: bool = False      # it is the last event for `subject`


@dataclass(frozen=True, slots=True)
class Notice:
    """For all sockets of one user: {"read": …}, {"joined": {channel, seq}} or {"session_over": session}."""

    user: int
    body: dict[str, Any]


class _Membership(msgspec.Struct):
    user: int


_MEMBERSHIP = msgspec.json.Decoder(_Membership)


def event_frame(channel: int, seq: int, kind: str, actor: int, data: str, at: int) -> bytes:
    """The client's bytes; the same ones whenever they are made from the same row."""
    return (f'{{"type":"event","channel":{channel},"seq":{seq},"kind":"{kind}","at":{at},"actor":{actor},'
            f'"data":{data}}}').encode()


def event_of(channel: int, seq: int, kind: str, actor: int, data: str, at: int) -> Event:
    """The event that the row tells of."""
    frame = event_frame(channel, seq, kind, actor, data, at)
    if kind not in (JOINED, LEFT):
        return Event(channel, seq, kind, actor, frame)
    return Event(channel, seq, kind, actor, frame, subject=_MEMBERSHIP.decode(data).user, joined=kind == JOINED,
                 left=kind == LEFT)
