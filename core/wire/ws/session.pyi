"""A WebSocket connection from its first byte: the handshake, then the frames behind it."""
from collections.abc import Generator

from typing_extensions import disjoint_base

from hotpath.core.wire.ws.connection import Connection, Events
from hotpath.core.wire.ws.events import Event
from hotpath.core.wire.ws.handshake import H11Handshake
from hotpath.core.wire.ws.states import ConnectionState, ConnectionType
from hotpath.core.wire.ws.typing import Headers

@disjoint_base
class WSConnection:
    """The local end of it. The limits are those of Connection."""

    def __init__(self, connection_type: ConnectionType, *, max_message: int | None = None, max_frame: int | None = None,
                 whole_messages: bool = False) -> None: ...
    @property
    def client(self) -> bool: ...
    @property
    def handshake(self) -> H11Handshake: ...
    @property
    def connection(self) -> Connection | None: ...
    @property
    def state(self) -> ConnectionState:
        """How far is it?"""

    def initiate_upgrade_connection(self, headers: Headers, path: bytes | str) -> None:
        """Take a request that somebody else has read already. LocalProtocolError for a client."""

    def send(self, event: Event) -> bytes:
        """The bytes that say `event`. LocalProtocolError when it cannot be said now."""

    def receive_data(self, data: bytes | None) -> None:
        """What the peer sent; None: the connection is gone. RemoteProtocolError when the handshake fails."""

    def events(self) -> Generator[Event]:
        """What came of it."""

class WholeEvents(Events):
    """The events of one call of WSConnection.events()."""
