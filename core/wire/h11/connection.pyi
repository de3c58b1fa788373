"""One end of an HTTP/1.1 connection: bytes in, events out, and back. No socket, no clock."""
from typing import overload

from typing_extensions import Buffer, disjoint_base

from hotpath.core.wire.h11.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    InformationalResponse,
    Request,
    Response,
)
from hotpath.core.wire.h11.sentinels import NEED_DATA as NEED_DATA
from hotpath.core.wire.h11.sentinels import PAUSED as PAUSED
from hotpath.core.wire.h11.sentinels import Sentinel

DEFAULT_MAX_INCOMPLETE_EVENT_SIZE: int

@disjoint_base
class Connection:
    """One end of a connection. `our_role`: CLIENT or SERVER, else ValueError.

    `max_incomplete_event_size`: bytes that a head, trailers or the extensions of a chunk may have however they arrive,
    else RemoteProtocolError with 431. Once next_event() or send() has raised, the state of the side at fault is ERROR.
    """

    client_is_waiting_for_100_continue: bool

    def __init__(self, our_role: type[Sentinel], max_incomplete_event_size: int = 16384) -> None: ...
    @property
    def our_role(self) -> type[Sentinel]: ...
    @property
    def their_role(self) -> type[Sentinel]: ...
    @property
    def their_http_version(self) -> bytes | None: ...
    @property
    def states(self) -> dict[type[Sentinel], type[Sentinel]]:
        """{CLIENT: its state, SERVER: its state}."""

    @property
    def our_state(self) -> type[Sentinel]:
        """The state of our role."""

    @property
    def their_state(self) -> type[Sentinel]:
        """The state of the other role."""

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """A client waits for our 100, or for any other answer, before it sends the body."""

    @property
    def trailing_data(self) -> tuple[bytes, bool]:
        """(what has arrived and was not read, whether they have closed behind it)."""

    def start_next_cycle(self) -> None:
        """Make ready for the next request; LocalProtocolError unless both sides are DONE."""

    def send_failed(self) -> None:
        """Say that what send() answered did not get out: we are in ERROR."""

    def receive_data(self, data: Buffer) -> None:
        """Keep `data`, bytes or the like, for next_event(). Empty: they have closed; more then is a RuntimeError."""

    def next_event(self) -> Event | type[NEED_DATA] | type[PAUSED]:
        """The next event in what was received; NEED_DATA: there is no whole one; PAUSED: not before this cycle ends.

        RemoteProtocolError: they broke the protocol; `error_status_hint` is what a server should answer.
        """

    @overload
    def send(self, event: ConnectionClosed) -> None: ...
    @overload
    def send(self, event: Request | InformationalResponse | Response | Data | EndOfMessage) -> bytes: ...
    @overload
    def send(self, event: Event) -> bytes | None:
        """The bytes that say `event`; None for ConnectionClosed. LocalProtocolError: not now, or not like that."""

    def send_with_data_passthrough(self, event: Event) -> list[bytes] | None:
        """As send(), in pieces; Data.data is one of them, the object itself, of which only len() is asked."""
