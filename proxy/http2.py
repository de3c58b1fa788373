"""HTTP/2 towards clients (RFC 9113): each stream becomes an HTTP/1.1 request of a client of its own.

The relay behind sees one HTTP/1.1 connection per request and judges it as any other: routes, limits, time-outs,
strictness and logs are the same. Here live frames, HPACK, flow control and what a peer may not do with them; h2 does
the first two.

What is kept is bounded. Of a request: what its stream's window lets in (64 KiB), for the window opens as the relay
takes. Of an answer: one read of 64 KiB, for no more is read until the client's window and its connection have taken it.
What we answer by ourselves (PING, SETTINGS) is unsent like the rest, and above a bound of that the client is not read.
"""
from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import h2.config
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from hotpath.core.errors import LocalProtocolError, ProtocolError
from hotpath.core.net.loop import Loop, Timer
from hotpath.core.net.stream import Stream
from hotpath.core.wire import http1

from .frames import Connection
from .translation import Fields, Malformed, fields_of, request_of

log = logging.getLogger(__name__)

MAX_STREAMS = 100               # at once: h2's and nginx's order of magnitude
WINDOW_BYTES = 65535            # of a stream, as RFC 9113 6.9.2 starts with
MAX_STREAM_ID = 2**31 - 1
SLICE_BYTES = 16384             # parsed at once: a read of many tiny frames must not become thousands of events

# A client may change its mind, but opening streams only to have them reset makes us work for nothing (CVE-2023-44487,
# CVE-2025-8671). Each reset counts one, each answer that came to its end counts one back.
MAX_RESETS = 100
# Frames that neither ask nor move anything, between two that do: PING, SETTINGS, empty DATA, whatever comes for streams
# that are over, and so on (CVE-2019-9512).
MAX_IDLE_FRAMES = 1000
MOVING_BYTES = 256              # fewer, of an answer that goes on, move nothing: a window of crumbs (CVE-2019-9511)

T = TypeVar("T")


class Carrier(Protocol):
    """The client's connection, decrypted."""

    def write(self, data: bytes) -> bool:
        """Send all of it. False: wait for Session.drained before more of an answer; or closed."""

    def open(self) -> Stream:
        """The near end of a new connection to the relay, as this client. Raises OSError."""

    def refuse(self) -> None:
        """Count and log a request that the relay never sees. Raises OSError."""

    def end(self) -> None:
        """Close, once what was written has left."""


class Session:
    """One client's connection: its streams, and its manners."""

    def __init__(self, carrier: Carrier, *, max_head: int, send_s: float, max_requests: int) -> None:
        """`max_head`: bytes of a request's fields (as RFC 9113 6.5.2 counts); `send_s`: how long a client may close a
        stream's window on an answer, 0 for ever; `max_requests`: 0 for any number."""
        logging.getLogger("hpack").setLevel(logging.INFO)   # at debug it tells every field, credentials too
        self._carrier = carrier
        self._send_s = send_s
        self._n_left = max_requests
        self._h2 = Connection(h2.config.H2Configuration(client_side=False, header_encoding=None), max_block=max_head)
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: max_head,
        })
        self._h2.decoder.max_header_list_size = max_head
        self._exchanges: dict[int, Exchange] = {}   # in the order in which they may send next
        self._clogged = False
        self._ended = False
        self._last_id: int | None = None            # once told: no stream above it is answered
        self._draining = False
        self._n_resets = 0
        self._h2.initiate_connection()
        # Streams shall wait for their own windows only.
        self._h2.increment_flow_control_window((MAX_STREAMS - 1) * WINDOW_BYTES)
        self._flush()

    @property
    def n_exchanges(self) -> int:
        """How many are under way."""
        return len(self._exchanges)

    def receive(self, data: bytes) -> None:
        """What the client sent."""
        for at in range(0, len(data), SLICE_BYTES):
            if self._ended:
                return
            try:
                events = self._h2.receive_data(data[at:at + SLICE_BYTES])
                for event in events:
                    if not self._ended:
                        self._take(event)
                if self._h2.n_idle_frames > MAX_IDLE_FRAMES and not self._ended:
                    self._refuse("frames that move nothing")
            except h2.exceptions.ProtocolError as error:
                log.debug("HTTP/2 client broke the protocol cause=%s", error)
                self._note_refused()
                self._end()     # h2 has written the GOAWAY
        self._flush()

    def drained(self) -> None:
        """The client's connection takes more."""
        self._clogged = False
        for exchange in list(self._exchanges.values()):
            if self._clogged:
                break
            self._try(exchange, exchange.go_on)
            if exchange.stream_id in self._exchanges:    # the others first, next time
                self._exchanges[exchange.stream_id] = self._exchanges.pop(exchange.stream_id)
            self._flush()

    def drain(self) -> None:
        """Ask the client to go elsewhere (section 6.8). What is on the wire still counts, until it is said again."""
        if self._ended:
            return
        if self._draining and self._last_id is None:
            self._last_id = self._h2.highest_inbound_stream_id
        # h2 would take its own GOAWAY for the end, also of streams under way.
        told = GoAwayFrame(0, last_stream_id=MAX_STREAM_ID if self._last_id is None else self._last_id)
        self._draining = True
        self._carrier.write(told.serialize())
        self._end_when_empty()

    def lost(self) -> None:
        """The client is gone."""
        self._ended = True
        for exchange in list(self._exchanges.values()):
            exchange.close()
        self._exchanges.clear()

    def _take(self, event: h2.events.Event) -> None:
        exchange = self._exchanges.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.RequestReceived):
            self._h2.n_idle_frames = 0
            self._open(event)
        elif isinstance(event, h2.events.DataReceived):
            if event.data:
                self._h2.n_idle_frames = 0
            size = event.flow_controlled_length
            if exchange is None or not self._try(exchange, lambda: exchange.take(event.data, size)):
                self.acknowledge(size, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            if exchange is not None:
                self._try(exchange, exchange.finish)
        elif isinstance(event, h2.events.StreamReset):
            if exchange is not None:
                self.forget(exchange)
            self._count_reset()
        elif isinstance(event, h2.events.WindowUpdated):
            for one in [exchange] if event.stream_id else list(self._exchanges.values()):
                if one is not None:
                    self._try(one, one.go_on)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            for one in list(self._exchanges.values()):  # the initial window is one of them
                self._try(one, one.go_on)
        elif isinstance(event, h2.events.ConnectionTerminated):
            if event.error_code == h2.errors.ErrorCodes.NO_ERROR:   # it asks no more, and waits for what it asked
                self._last_id = self._h2.highest_inbound_stream_id
                self._end_when_empty()
            else:
                self._end()

    def _open(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._last_id is not None and stream_id > self._last_id:
            self._reset(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            self._count_reset()
            return
        http = http1.Connection(http1.CLIENT)
        try:
            head = http.send(request_of(event.headers, ended=event.stream_ended is not None))
        except (Malformed, ProtocolError) as error:
            log.debug("HTTP/2 request malformed cause=%s", error)
            self._note_refused()
            self._reset(stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
            self._count_reset()
            return
        try:
            stream = self._carrier.open()
        except OSError as error:
            log.warning("no connection for an HTTP/2 stream cause=%s", error)
            self._reset(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            self._count_reset()
            return
        self._exchanges[stream_id] = Exchange(self, stream_id, http, stream)
        stream.write(head or b"")
        if self._n_left:
            self._n_left -= 1
            if self._n_left == 0:
                self.drain()
                self.drain()

    def _note_refused(self) -> None:
        with contextlib.suppress(OSError):      # no more files, most likely: then it is only not logged
            self._carrier.refuse()

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        # Frames that were read together were all parsed before the first of them came here: it may be closed by now.
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self._h2.reset_stream(stream_id, code)

    def _count_reset(self) -> None:
        self._n_resets += 1
        if self._n_resets > MAX_RESETS:
            self._refuse("resets")

    def _refuse(self, what: str) -> None:
        log.info("HTTP/2 client closed cause=too many %s", what)
        self._h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        self._end()

    def _end(self) -> None:
        self._flush()
        self.lost()
        self._carrier.end()

    def _end_when_empty(self) -> None:
        if self._last_id is not None and not self._exchanges and not self._ended:
            self._end()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._ended:
            self._clogged = not self._carrier.write(data) or self._clogged

    # What an Exchange needs of its session.

    @property
    def clogged(self) -> bool:
        """The client's connection takes no more for now."""
        return self._clogged

    def later(self, loop: Loop, exchange: Exchange) -> Timer | None:
        """Cut the stream when its window stays as it is."""
        if not self._send_s:
            return None
        return loop.call_later(self._send_s, self.guarded, exchange, lambda: self.broken(exchange))

    def acknowledge(self, size: int, stream_id: int) -> None:
        """These bytes of a request are out of our hands: the client may send as many again."""
        if size and not self._ended:
            self._h2.acknowledge_received_data(size, stream_id)

    def send_head(self, stream_id: int, fields: Fields, *, last: bool) -> None:
        """The head of an answer, or an interim one."""
        self._h2.send_headers(stream_id, fields, end_stream=last)
        self._h2.n_idle_frames = 0

    def send_body(self, stream_id: int, body: bytearray, *, last: bool) -> bool:
        """Send of `body` what the client's windows take, and remove it. True: all, and the end if it is the `last`."""
        if last and not body:
            self._h2.end_stream(stream_id)      # whatever the window: it may be below zero
        while body:
            size = min(len(body), self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if size <= 0:
                return False
            self._h2.send_data(stream_id, bytes(body[:size]), end_stream=last and size == len(body))
            del body[:size]
            if size >= MOVING_BYTES or not body:
                self._h2.n_idle_frames = 0
        return True

    def answered(self, exchange: Exchange, *, whole: bool) -> None:
        """The answer is complete. Unless the `whole` request came, the rest is not wanted (section 8.1)."""
        self._n_resets = max(0, self._n_resets - 1)
        if not whole:
            self._reset(exchange.stream_id, h2.errors.ErrorCodes.NO_ERROR)
        self.forget(exchange)

    def broken(self, exchange: Exchange) -> None:
        """The relay broke its answer off, so we do."""
        self._reset(exchange.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self.forget(exchange)

    def forget(self, exchange: Exchange) -> None:
        """It is over."""
        if self._exchanges.pop(exchange.stream_id, None) is not None:
            self.acknowledge(exchange.n_owed, exchange.stream_id)
            exchange.close()
            self._end_when_empty()

    def guarded(self, exchange: Exchange, step: Callable[[], None]) -> None:
        """Run a step that a stream of the relay caused; then send what came of it."""
        if not self._ended and exchange.stream_id in self._exchanges:
            self._try(exchange, step)
            self._flush()

    def _try(self, exchange: Exchange, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except LocalProtocolError as error:     # of the request: its length was another
            log.debug("HTTP/2 request malformed cause=%s", error)
            self._reset(exchange.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
            self.forget(exchange)
            self._count_reset()
        except (ProtocolError, h2.exceptions.ProtocolError) as error:
            log.debug("HTTP/2 stream broken cause=%s", error)
            self.broken(exchange)
        return None


class Exchange:
    """One stream: a request on its way to the relay, and its answer on the way back."""

    def __init__(self, session: Session, stream_id: int, http: http1.Connection, stream: Stream) -> None:
        """`http` has sent the request's head, into `stream`."""
        self.stream_id = stream_id
        self.n_owed = 0                     # bytes of the request that the client may not send again yet
        self._session = session
        self._stream = stream
        self._http = http
        self._sent_whole = False            # the request
        self._head: Fields | None = None    # of the answer: not sent yet
        self._body = bytearray()            # of the answer: the client's window is closed
        self._ended = False                 # the answer is all here
        self._due: Timer | None = None      # the client's window is closed, and how long it may be
        stream.set_water(high=WINDOW_BYTES, low=WINDOW_BYTES // 2)
        stream.on_data = lambda _stream, data: session.guarded(self, lambda: self._receive(data))
        stream.on_end = lambda _stream: session.guarded(self, lambda: self._receive(b""))
        stream.on_drain = lambda _stream: session.guarded(self, self._pay)
        stream.on_close = lambda _stream, _error: session.guarded(self, lambda: session.broken(self))

    def take(self, data: bytes, size: int) -> bool:
        """A piece of the request, `size` bytes with its padding. False: it counts as taken already."""
        if not self._stream.write(self._http.send(http1.Data(data=data)) or b""):
            if self._stream.closed:
                return False
            self.n_owed += size
            return True
        return False

    def finish(self) -> None:
        """The request is whole."""
        self._sent_whole = True
        self._stream.write(self._http.send(http1.EndOfMessage()) or b"")

    def go_on(self) -> None:
        """The client's windows may have opened, or its connection."""
        if self._body or self._ended:
            self._send()
        if not self._body and not self._session.clogged:
            self._stream.resume()

    def close(self) -> None:
        """Leave the relay: an answer under way breaks off."""
        self._stop_waiting()
        self._stream.close()

    def _pay(self) -> None:
        self._session.acknowledge(self.n_owed, self.stream_id)
        self.n_owed = 0

    def _receive(self, data: bytes) -> None:
        self._http.receive_data(data)
        while not self._ended and (event := self._http.next_event()) not in (http1.NEED_DATA, http1.PAUSED):
            if isinstance(event, http1.InformationalResponse):
                self._session.send_head(self.stream_id, fields_of(event), last=False)
            elif isinstance(event, http1.Response):
                self._head = fields_of(event)
            elif isinstance(event, http1.Data):
                self._send_head(last=False)
                self._body += event.data
            elif isinstance(event, http1.EndOfMessage):
                self._ended = True
            else:
                raise http1.RemoteProtocolError("the relay broke off")
        self._send()

    def _send_head(self, *, last: bool) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._session.send_head(self.stream_id, head, last=last)

    def _send(self) -> None:
        if self._head is not None:
            self._send_head(last=self._ended)
            if self._ended:
                self._session.answered(self, whole=self._sent_whole)
            return
        if self._session.clogged:
            self._stream.pause()
        elif self._body or self._ended:
            before = len(self._body)
            sent = self._session.send_body(self.stream_id, self._body, last=self._ended)
            if sent or len(self._body) < before:
                self._stop_waiting()
            if not sent:
                self._stream.pause()    # while it is, the end of the relay's patience cannot be seen
                self._due = self._due or self._session.later(self._stream.loop, self)
            elif self._ended:
                self._session.answered(self, whole=self._sent_whole)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
