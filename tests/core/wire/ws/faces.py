"""wsproto and ours under one roof: the same calls on either, the events as plain values that can be compared."""
from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from types import SimpleNamespace

import wsproto
import wsproto.connection
import wsproto.events
import wsproto.extensions
import wsproto.utilities

from hotpath.core.wire import ws
from hotpath.core.wire.ws import connection, events, extensions, utilities

THEIRS = SimpleNamespace(connection=wsproto.connection, events=wsproto.events, extensions=wsproto.extensions,
                         utilities=wsproto.utilities, WSConnection=wsproto.WSConnection)
OURS = SimpleNamespace(connection=connection, events=events, extensions=extensions, utilities=utilities,
                       WSConnection=ws.WSConnection)

MESSAGES = ("TextMessage", "BytesMessage")


def deflate(module: SimpleNamespace, *, bits: int = 15, takeover: bool = True):
    """permessage-deflate, agreed on, the same for both directions."""
    extension = module.extensions.PerMessageDeflate()
    both = "" if takeover else "; client_no_context_takeover; server_no_context_takeover"
    extension.finalize(f"permessage-deflate; client_max_window_bits={bits}; server_max_window_bits={bits}{both}")
    return extension


def connect(module: SimpleNamespace, *, client: bool, extensions: Iterable = (), **options):
    """An open connection."""
    side = module.connection.CLIENT if client else module.connection.SERVER
    return module.connection.Connection(side, list(extensions), **options)


def plain(event) -> tuple:
    """An event by its class's name and what it holds; a close without its reason where that only explains a fault."""
    name = type(event).__name__
    if name in MESSAGES:
        return name, event.data, event.frame_finished, event.message_finished
    if name in ("Ping", "Pong"):
        return name, bytes(event.payload)
    if name == "CloseConnection":
        return name, int(event.code), event.reason
    return name, event


def told(conn, pieces: Iterable[bytes | None]) -> list[tuple]:
    """What comes of these bytes, fed piece by piece; parts of a message that follow each other are joined."""
    out: list[tuple] = []
    for piece in pieces:
        conn.receive_data(piece)
        for event in conn.events():
            add(out, plain(event))
    return out


def add(out: list[tuple], event: tuple) -> None:
    """Join it with a part before it that was not its frame's last, else put it behind."""
    if event[0] in MESSAGES and out and out[-1][0] == event[0] and not out[-1][2]:
        _, data, _, _ = out.pop()
        event = (event[0], data + event[1], event[2], event[3])
    out.append(event)


def whole(told: list[tuple]) -> list[tuple]:
    """Messages with all their frames joined: who compresses may keep bytes back until a message's end."""
    out: list[tuple] = []
    for event in told:
        if event[0] in MESSAGES and out and out[-1][0] == event[0] and not out[-1][3]:
            event = (event[0], out.pop()[1] + event[1], event[2], event[3])
        out.append(event)
    return out


def without_fault(events: list[tuple]) -> list[tuple]:
    """A refusal by its code alone: its words are each library's own."""
    if events and events[-1][0] == "CloseConnection" and events[-1][1] in (1002, 1007, 1009):
        return [*events[:-1], ("CloseConnection", events[-1][1])]
    return events


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(edges)] or [b""]
