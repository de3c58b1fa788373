"""A history's lines, sorted by what they are about."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Send:
    """One message that somebody wanted to send."""

    user: int
    cmid: str
    channel: int
    text: str
    root: int | None
    tries: int = 0                          # that had no final answer
    acked: list[tuple[int, dict[str, Any]]] = field(default_factory=list)       # (status, message)
    refused: int = 0


@dataclass(slots=True)
class Connection:
    """One websocket's life."""

    number: int
    client: int
    user: int
    gateway: str
    since: dict[int, int] = field(default_factory=dict)
    ready: list[dict[str, Any]] | None = None
    # As they came: ("e", channel, seq, digest), ("frame", {…}), ("ready",).
    items: list[tuple[Any, ...]] = field(default_factory=list)
    code: int | None = None                 # None: still open at the end


@dataclass(slots=True)
class Page:
    """Events as HTTP gave them."""

    client: int
    user: int
    channel: int
    after: int
    head: int
    frames: list[dict[str, Any]]


@dataclass(slots=True)
class Story:
    """All of a run."""

    people: dict[int, tuple[str, str]] = field(default_factory=dict)        # user: name, token
    sends: dict[tuple[int, str], Send] = field(default_factory=dict)        # (user, client_msg_id)
    connections: dict[int, Connection] = field(default_factory=dict)
    # (channel, seq): {digest: frame}; one digest, if all is well.
    frames: dict[tuple[int, int], dict[int, dict[str, Any]]] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)       # clients that must have everything


def read_story(lines: Iterable[list[Any]]) -> Story:
    """Raises ValueError for a line of an unknown kind."""
    story = Story()
    for kind, *rest in lines:
        match kind:
            case "e":
                number, channel, seq, digest = rest
                story.connections[number].items.append(("e", channel, seq, digest))
            case "E":
                channel, seq, digest, frame = rest
                story.frames.setdefault((channel, seq), {})[digest] = frame
            case "frame":
                story.connections[rest[0]].items.append(("frame", rest[1]))
            case "person":
                story.people[rest[0]] = rest[1], rest[2]
            case "sent":
                user, cmid, channel, text, root = rest
                story.sends.setdefault((user, cmid), Send(user, cmid, channel, text, root))
            case "tried":
                story.sends[rest[0], rest[1]].tries += 1
            case "acked":
                user, cmid, status, message = rest
                story.sends[user, cmid].acked.append((status, message))
            case "refused":
                story.sends[rest[0], rest[1]].refused = rest[2]
            case "opened":
                story.connections[rest[0]] = Connection(*rest)
            case "start":
                story.connections[rest[0]].since = {int(channel): seq for channel, seq in rest[1].items()}
            case "ready":
                connection = story.connections[rest[0]]
                connection.ready = rest[1]
                connection.items.append(("ready",))
            case "closed":
                story.connections[rest[0]].code = rest[1]
            case "page":
                story.pages.append(Page(*rest))
            case "end":
                story.finished = rest[1]
            case _:
                raise ValueError(f"a line of kind {kind!r}")
    return story
