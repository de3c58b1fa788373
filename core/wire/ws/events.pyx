# cython: auto_pickle=False
"""What happens on a WebSocket connection, or shall happen: frozen values."""
# Fields are objects, so that whatever a caller of wsproto put there still goes in; `.pyi` has their types.
cimport cython
from cython.dataclasses cimport dataclass, field
from types import GenericAlias
from typing import TypeVar

T = TypeVar("T", bytes | bytearray, str)


cdef class Event:
    """Whatever goes into send() or comes out of events()."""

    def __reduce__(self):
        """Pickle and copy by the fields."""
        return type(self), tuple([getattr(self, name) for name in getattr(self, "__dataclass_fields__", ())])


@dataclass(frozen=True)
cdef class Request(Event):
    """A client asks for a WebSocket: sent by a client, received by a server."""

    host: object
    target: object
    extensions: object = field(default_factory=list)
    extra_headers: object = field(default_factory=list)
    subprotocols: object = field(default_factory=list)


@dataclass(frozen=True)
cdef class AcceptConnection(Event):
    """The server agrees: 101. Frames follow."""

    subprotocol: object = None
    extensions: object = field(default_factory=list)
    extra_headers: object = field(default_factory=list)


@dataclass(frozen=True)
cdef class RejectConnection(Event):
    """The server refuses with a status; with `has_body`, RejectData follows."""

    status_code: object = 400
    headers: object = field(default_factory=list)
    has_body: bool = False


@dataclass(frozen=True)
cdef class RejectData(Event):
    """A part of the body of a refusal."""

    data: object
    body_finished: bool = True


@dataclass(frozen=True)
cdef class CloseConnection(Event):
    """A close frame, or the end of the connection without one (1006), or what the peer did wrong."""

    code: object
    reason: object = None

    def response(self):
        """The close frame to answer with."""
        return CloseConnection(self.code, self.reason)


@dataclass(frozen=True)
cdef class Message(Event):
    """A part of a message: the rest of its frame and of the message may follow."""

    data: object
    frame_finished: bool = True
    message_finished: bool = True

    @classmethod
    def __class_getitem__(cls, data_type):
        """`Message[str]`, for annotations."""
        return GenericAlias(cls, data_type)


@dataclass(frozen=True)
cdef class TextMessage(Message):
    """A part of a text, cut between characters."""


@dataclass(frozen=True)
cdef class BytesMessage(Message):
    """A part of a binary message."""


@dataclass(frozen=True)
cdef class Ping(Event):
    """A ping frame; the peer wants a pong."""

    payload: object = b""

    def response(self):
        """The pong to answer with."""
        return Pong(self.payload)


@dataclass(frozen=True)
cdef class Pong(Event):
    """A pong frame, asked for or not."""

    payload: object = b""
