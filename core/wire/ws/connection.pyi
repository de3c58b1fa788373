"""An open WebSocket connection as wsproto has it: bytes in, events out, and back.

Where it differs from wsproto, it refuses more, or sooner: a bad frame as soon as its first wrong byte is here, a
compressed message that is empty or cut. The reasons of refusals are worded otherwise.
"""
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self

from typing_extensions import disjoint_base

from hotpath.core.wire.ws.events import Event
from hotpath.core.wire.ws.extensions import Extension
from hotpath.core.wire.ws.states import (
    CLIENT as CLIENT,
)
from hotpath.core.wire.ws.states import (
    SERVER as SERVER,
)
from hotpath.core.wire.ws.states import (
    ConnectionState as ConnectionState,
)
from hotpath.core.wire.ws.states import (
    ConnectionType as ConnectionType,
)

@disjoint_base
class Events:
    """The events of one call of events(); a generator in all but its type."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...
    def send(self, value: None) -> Event:
        """As of a generator: the next event, whatever `value`."""

    def throw(self, exception: BaseException | type[BaseException], value: object = None,
              traceback: TracebackType | None = None) -> Event:
        """As of a generator: close, raise."""

    def close(self) -> None:
        """As of a generator: nothing more comes."""

@disjoint_base
class Connection:
    """Frames both ways, without the handshake.

    `max_message` and `max_frame` limit payloads in bytes, a message's behind decompression: more becomes a
    CloseConnection with 1009, from the frame's head where that tells. With `whole_messages` there is one event per
    message.
    """

    def __init__(self, connection_type: ConnectionType, extensions: Sequence[Extension] | None = None,
                 trailing_data: bytes = b"", *, max_message: int | None = None, max_frame: int | None = None,
                 whole_messages: bool = False) -> None: ...
    @property
    def client(self) -> bool: ...
    @property
    def state(self) -> ConnectionState:
        """How far is it?"""

    def send(self, event: Event) -> bytes:
        """The bytes that say `event`. LocalProtocolError when it cannot be said now."""

    def receive_data(self, data: bytes | None) -> None:
        """What the peer sent; None: the connection is gone. LocalProtocolError once it is closed."""

    def events(self) -> Generator[Event]:
        """What came of it; a fault of the peer comes as a CloseConnection, to be sent back."""
