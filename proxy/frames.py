"""h2's connection, and the bounds that it lacks.

A peer's frames are measured before h2 sees them. For h2 keeps a frame of 16 MiB until all of it is here, and only then
finds it too long; undoes the Huffman coding of a field before it looks at its size; and says nothing at all of frames
that it ignores, so that nobody could count them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from h2.connection import ConnectionInputs, ConnectionState
from h2.settings import SettingCodes

if TYPE_CHECKING:
    from h2._typing import Buffer

PREFACE_BYTES = 24
HEAD_BYTES = 9
FRAME_BYTES = 16384             # SETTINGS_MAX_FRAME_SIZE, as RFC 9113 6.5.2 starts with
HEADERS, SETTINGS, CONTINUATION = 1, 4, 9
END_HEADERS = 4
SETTINGS_BYTES = 600            # a hundred: h2 is slow with thousands, and there are ten that mean something
TABLE_BYTES = 4096              # of HPACK for answers: RFC 9113's. It is searched one entry after the other


class Excess(h2.exceptions.ProtocolError):
    """More than we take."""

    def __init__(self, code: h2.errors.ErrorCodes, message: str) -> None:
        """`code` is told to the peer."""
        super().__init__(message)
        self.error_code = code


class States(h2.connection.H2ConnectionStateMachine):
    """A client that says GOAWAY still wants its answers (section 6.8); h2 takes it for the end of everything."""

    def process_input(self, input_: ConnectionInputs) -> list[h2.events.Event]:
        """As h2's, but for one arrow: from open to open."""
        if self.state is ConnectionState.SERVER_OPEN and input_ is ConnectionInputs.RECV_GOAWAY:
            return []
        return super().process_input(input_)


class Connection(h2.connection.H2Connection):
    """A server's."""

    # Who sends on a stream that is over does so soon. h2's 65536 would be 9 MiB of each connection that lives long.
    MAX_CLOSED_STREAMS = 1000

    def __init__(self, config: h2.config.H2Configuration, *, max_block: int) -> None:
        """`max_block`: bytes of a block of fields, as it is encoded."""
        super().__init__(config)
        self.state_machine = States()
        self.n_idle_frames = 0          # counts every frame; who sees one that moves something sets it back
        self._max_block = max_block
        self._n_block = 0               # of the block that has begun
        self._n_left = PREFACE_BYTES    # until the next frame begins
        self._head = bytearray()

    def receive_data(self, data: Buffer) -> list[h2.events.Event]:
        """What the peer sent. Raises ProtocolError, and has a GOAWAY to send then."""
        try:
            self._measure(bytes(data))
        except Excess as error:
            self.close_connection(error.error_code)
            raise
        events = super().receive_data(data)
        for event in events:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                for code in event.changed_settings:
                    if not isinstance(code, SettingCodes):      # section 6.5.2: to be ignored; h2 keeps them
                        self.remote_settings.pop(code, None)
                self.encoder.header_table_size = min(self.encoder.header_table_size, TABLE_BYTES)
        return events

    def clear_outbound_data_buffer(self) -> None:
        """Nothing: what was to be said is said also to a peer that is about to leave."""

    def _measure(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._n_left:
                step = min(self._n_left, len(data) - at)
                self._n_left -= step
            else:
                step = min(HEAD_BYTES - len(self._head), len(data) - at)
                self._head += data[at:at + step]
                if len(self._head) == HEAD_BYTES:
                    self._begin()
            at += step

    def _begin(self) -> None:
        """A frame whose head is here."""
        length, kind, flags = int.from_bytes(self._head[:3], "big"), self._head[3], self._head[4]
        self._head.clear()
        self._n_left = length
        self.n_idle_frames += 1
        if length > FRAME_BYTES:
            raise Excess(h2.errors.ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        if kind == SETTINGS and length > SETTINGS_BYTES:
            raise Excess(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, f"settings of {length} bytes")
        if kind in (HEADERS, CONTINUATION):
            self._n_block += length
            if self._n_block > self._max_block:
                raise Excess(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, "a block of fields too large")
            if flags & END_HEADERS:
                self._n_block = 0
