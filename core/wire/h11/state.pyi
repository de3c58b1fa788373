"""Where the two sides of an HTTP/1.1 connection are: who may do what now?"""
from typing_extensions import disjoint_base

from hotpath.core.wire.h11.events import Event
from hotpath.core.wire.h11.sentinels import CLIENT as CLIENT
from hotpath.core.wire.h11.sentinels import CLOSED as CLOSED
from hotpath.core.wire.h11.sentinels import DONE as DONE
from hotpath.core.wire.h11.sentinels import ERROR as ERROR
from hotpath.core.wire.h11.sentinels import IDLE as IDLE
from hotpath.core.wire.h11.sentinels import MIGHT_SWITCH_PROTOCOL as MIGHT_SWITCH_PROTOCOL
from hotpath.core.wire.h11.sentinels import MUST_CLOSE as MUST_CLOSE
from hotpath.core.wire.h11.sentinels import SEND_BODY as SEND_BODY
from hotpath.core.wire.h11.sentinels import SEND_RESPONSE as SEND_RESPONSE
from hotpath.core.wire.h11.sentinels import SERVER as SERVER
from hotpath.core.wire.h11.sentinels import SWITCHED_PROTOCOL as SWITCHED_PROTOCOL
from hotpath.core.wire.h11.sentinels import Sentinel

@disjoint_base
class ConnectionState:
    """The two states on their own, as h11's tests and the makers of diagrams know them."""

    @property
    def states(self) -> dict[type[Sentinel], type[Sentinel]]:
        """A copy: {CLIENT: state, SERVER: state}."""

    @property
    def keep_alive(self) -> bool:
        """Nobody has said: close."""

    @property
    def pending_switch_proposals(self) -> set[type[Sentinel]]:
        """A copy: the switches the client proposed and the server has not answered."""

    def process_error(self, role: type[Sentinel]) -> None:
        """That side is in ERROR."""

    def process_keep_alive_disabled(self) -> None:
        """Somebody said: close."""

    def process_client_switch_proposal(self, switch_event: type[Sentinel]) -> None:
        """The client proposes another protocol."""

    def process_event(
        self, role: type[Sentinel], event_type: type[Event], server_switch_event: type[Sentinel] | None = None,
    ) -> None:
        """`role` sent an event of that type; LocalProtocolError if it must not now."""

    def start_next_cycle(self) -> None:
        """From DONE to IDLE, on both sides; LocalProtocolError if they are not both DONE."""
