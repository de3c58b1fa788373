"""Names that are their own type: roles, states and the two answers that are no event."""
from __future__ import annotations

from typing import Any


class Sentinel(type):
    """`type(x) is x` holds for each, as for h11's, so that a dispatch by `type(event)` takes them along."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Sentinel:
        """A class that becomes its own metaclass."""
        made = super().__new__(mcs, name, bases, namespace)
        made.__class__ = made   # type: ignore[assignment]
        return made

    def __repr__(self) -> str:
        return self.__name__


class CLIENT(Sentinel, metaclass=Sentinel):
    """Sends requests."""


class SERVER(Sentinel, metaclass=Sentinel):
    """Sends responses."""


class IDLE(Sentinel, metaclass=Sentinel):
    """Nothing of this cycle has been sent."""


class SEND_RESPONSE(Sentinel, metaclass=Sentinel):
    """The server owes a response."""


class SEND_BODY(Sentinel, metaclass=Sentinel):
    """The head was sent; the body is under way."""


class DONE(Sentinel, metaclass=Sentinel):
    """The message is whole; another may follow on this connection."""


class MUST_CLOSE(Sentinel, metaclass=Sentinel):
    """The message is whole; nothing may follow but the end of the connection."""


class CLOSED(Sentinel, metaclass=Sentinel):
    """This side has closed."""


class ERROR(Sentinel, metaclass=Sentinel):
    """This side broke the protocol."""


class MIGHT_SWITCH_PROTOCOL(Sentinel, metaclass=Sentinel):
    """The client proposed another protocol and waits for the answer."""


class SWITCHED_PROTOCOL(Sentinel, metaclass=Sentinel):
    """What follows is not HTTP."""


class _SWITCH_UPGRADE(Sentinel, metaclass=Sentinel):
    """The 101 that accepts an Upgrade."""


class _SWITCH_CONNECT(Sentinel, metaclass=Sentinel):
    """The 2xx that accepts a CONNECT."""


class NEED_DATA(Sentinel, metaclass=Sentinel):
    """No event without more bytes."""


class PAUSED(Sentinel, metaclass=Sentinel):
    """What has arrived is for after this cycle."""
