"""What the API and the gateways say to each other over Redis: topics, and the head before an event's bytes.

    PREFIX + c:CHANNEL      events of the channel's log, and typing: a head, then the client's frame as it is sent
    PREFIX + u:USER         JSON for the sockets of one user: a read marker, a channel joined, a session that ended
    PREFIX + gw             JSON between gateways: whose users are online
    PREFIX + ctl:GATEWAY    JSON for one gateway: drain

Nothing here is needed for a message to arrive: what is lost, doubled or swapped, a gateway mends from the database.
"""
from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

VERSION = 1
# Little-endian: version, kind, flags, five bytes of nothing, channel, seq, actor (who types, or did it), subject (whose
# membership changed). fanout.pyx reads the same.
HEAD = struct.Struct("<BBB5xQQQQ")


class Kind(IntEnum):
    """What follows the head."""

    EVENT = 1           # of the log, with a seq
    TYPING = 2          # transient: no seq, not for the actor's own sockets


class Flag(IntFlag):
    """Of an event."""

    JOINED = 1          # `subject` became a member with this event
    LEFT = 2            # it is the last event for `subject`


def payload(frame: bytes, *, kind: Kind, channel: int, seq: int, actor: int, subject: int = 0, flags: int = 0) -> bytes:
    """What is published on the channel's topic."""
    return HEAD.pack(VERSION, kind, flags, channel, seq, actor, subject) + frame


def channel_topic(prefix: str, channel: int) -> str:
    """Of a channel's events and typing."""
    return f"{prefix}c:{channel}"


def user_topic(prefix: str, user: int) -> str:
    """Of what concerns one user's sockets."""
    return f"{prefix}u:{user}"


def gateways_topic(prefix: str) -> str:
    """Of what gateways tell each other."""
    return f"{prefix}gw"


def control_topic(prefix: str, gateway: str) -> str:
    """Of what one gateway is told to do."""
    return f"{prefix}ctl:{gateway}"


def registry_ids(prefix: str) -> str:
    """The set into which gateways put their id along with it: nobody must search all keys."""
    return f"{prefix}gws"


def registry_key(prefix: str, gateway: str) -> str:
    """Where a gateway writes every second that it lives."""
    return f"{prefix}gw:{gateway}"
