"""What happens on a WebSocket connection, or shall happen: frozen values."""
from collections.abc import Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Generic, TypeVar

from typing_extensions import disjoint_base

from hotpath.core.wire.ws.extensions import Extension
from hotpath.core.wire.ws.typing import Headers

T = TypeVar("T", bytes | bytearray, str)

class Event:
    """Whatever goes into send() or comes out of events()."""

@disjoint_base
@dataclass(frozen=True)
class Request(Event):
    """A client asks for a WebSocket: sent by a client, received by a server."""

    host: str
    target: str
    extensions: Sequence[Extension] | Sequence[str] = ...
    extra_headers: Headers = ...
    subprotocols: list[str] = ...

@disjoint_base
@dataclass(frozen=True)
class AcceptConnection(Event):
    """The server agrees: 101. Frames follow."""

    subprotocol: str | None = None
    extensions: list[Extension] = ...
    extra_headers: Headers = ...

@disjoint_base
@dataclass(frozen=True)
class RejectConnection(Event):
    """The server refuses with a status; with `has_body`, RejectData follows."""

    status_code: int = 400
    headers: Headers = ...
    has_body: bool = False

@disjoint_base
@dataclass(frozen=True)
class RejectData(Event):
    """A part of the body of a refusal."""

    data: bytes
    body_finished: bool = True

@disjoint_base
@dataclass(frozen=True)
class CloseConnection(Event):
    """A close frame, or the end of the connection without one (1006), or what the peer did wrong."""

    code: int
    reason: str | None = None

    def response(self) -> CloseConnection:
        """The close frame to answer with."""

@disjoint_base
@dataclass(frozen=True)
class Message(Event, Generic[T]):
    """A part of a message: the rest of its frame and of the message may follow."""

    data: T
    frame_finished: bool = True
    message_finished: bool = True

    @classmethod
    def __class_getitem__(cls, data_type: object) -> GenericAlias:
        """`Message[str]`, for annotations."""

@dataclass(frozen=True)
class TextMessage(Message[str]):
    """A part of a text, cut between characters."""

@dataclass(frozen=True)
class BytesMessage(Message[bytearray | bytes]):
    """A part of a binary message."""

@disjoint_base
@dataclass(frozen=True)
class Ping(Event):
    """A ping frame; the peer wants a pong."""

    payload: bytes = b""

    def response(self) -> Pong:
        """The pong to answer with."""

@disjoint_base
@dataclass(frozen=True)
class Pong(Event):
    """A pong frame, asked for or not."""

    payload: bytes = b""
