"""One client's WebSocket: from a ticket to live, and every event checked."""
from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Event
from hotpath.core.wire.ws.connection import CLIENT, Connection
from hotpath.core.wire.ws.events import CloseConnection, Ping, TextMessage

from .checks import Logs, Position
from .http import connecting, encode
from .report import Report
from .target import Target

MAX_MESSAGE = 16 * 1024 * 1024
MAX_HEAD_BYTES = 16 * 1024
ABNORMAL = 1006                 # RFC 6455 section 7.4.1: ended without a close frame
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Data(msgspec.Struct):
    """Of an event: who sent the message that it is about."""

    client_msg_id: str | None = None


class Joined(msgspec.Struct):
    """A channel in `ready`."""

    id: int
    head: int
    status: str
    first: int = msgspec.field(name="from")


class Frame(msgspec.Struct):
    """What we look at of whatever a gateway sends."""

    type: str
    channel: int = 0
    seq: int = 0
    kind: str = ""
    data: Data | None = None
    epoch: str | None = None
    channels: list[Joined] = []
    head: int = 0
    after_ms: int = 0
    detail: str = ""


decode = msgspec.json.Decoder(Frame).decode


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a socket tells those who run it."""

    down: Callable[[Socket, int], None]                 # it was ready and is no more: the close code
    behind: Callable[[Socket, int, int, int], None]     # these of a channel must be fetched: first and last
    move: Callable[[Socket, float], None]               # the gateway asks us to come back elsewhere, so many seconds on
    word: Callable[[str], None]                         # something a person should read


class Socket:
    """A client over all its connections, one at a time."""

    __slots__ = ("_changed", "_epoch", "_head", "_hooks", "_is_ready", "_key", "_logs", "_loop", "_report", "_stream",
                 "_ws", "attempt", "code", "exclude", "is_counted", "positions", "refusal", "user")

    def __init__(self, loop: Loop, user: int, logs: Logs, report: Report, hooks: Hooks) -> None:
        """`user`: an index, for who runs it."""
        self._loop = loop
        self.user = user
        self._logs = logs
        self._report = report
        self._hooks = hooks
        self._stream: Stream | None = None
        self._ws: Connection | None = None
        self._head = b""                # of the answer to the handshake, as far as here
        self._key = b""
        self._epoch: str | None = None
        self._is_ready = False
        self._changed = Event()
        self.positions: dict[int, Position] = {}    # by channel
        self.attempt = 0                # to come back, since it was ready
        self.exclude: str | None = None     # the gateway that failed us last
        self.is_counted = False         # it was ready once
        self.code = 0                   # of its last close
        self.refusal = ""               # to its last handshake

    @property
    def is_ready(self) -> bool:
        """Whether it gets events."""
        return self._is_ready

    def connect(self, url: str, ticket: str) -> bool:
        """Connect, start, wait until `ready`; whether it came to that. In a task; raises OSError."""
        target = Target.of(url, "ws")
        sep = "&" if "?" in target.path else "?"
        self._key = base64.b64encode(os.urandom(16))
        self._ws, self._head, self.refusal = None, b"", ""
        self._changed.clear()
        stream = self._stream = connecting(self._loop, target)
        stream.on_data = self._on_data
        stream.on_end = self._on_end
        stream.on_close = self._on_close
        stream.write(f"GET {target.path}{sep}ticket={ticket} HTTP/1.1\r\nHost: {target.authority}\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     f"Sec-WebSocket-Key: {self._key.decode()}\r\n\r\n".encode())
        try:
            self._changed.wait()
        except BaseException:       # too late
            self.cut()
            raise
        return self._is_ready

    def cut(self) -> None:
        """Drop the connection without a word, as a network does. What was under way is lost to us."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._is_ready = False

    def leave(self) -> None:
        """Close as one should."""
        if self._stream is not None and self._ws is not None and not self._stream.closed:
            self._stream.write(self._ws.send(CloseConnection(1000)))
        self.cut()

    def _on_data(self, stream: Stream, data: bytes) -> None:
        if stream is not self._stream:
            return
        ws = self._ws
        if ws is None:
            self._on_head(stream, data)
            return
        now_s = time.monotonic()
        ws.receive_data(data)
        for event in ws.events():
            if type(event) is TextMessage:
                self._on_text(event.data, now_s)
                if self._stream is None:        # cut meanwhile
                    return
            elif type(event) is Ping:
                stream.write(ws.send(event.response()))
            elif type(event) is CloseConnection:
                self.code = event.code
                stream.write(ws.send(event.response()))
                stream.close(1.0)
                self._gone()
                return

    def _on_head(self, stream: Stream, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > MAX_HEAD_BYTES:
                self.refusal = "no end of its head"
                stream.close()
                self._gone()
            return
        accept = base64.b64encode(hashlib.sha1(self._key + GUID).digest())
        if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
            self.refusal = head.partition(b"\r\n")[0].decode(errors="replace")
            stream.close()
            self._gone()
            return
        self._head = b""
        self._ws = Connection(CLIENT, max_message=MAX_MESSAGE, whole_messages=True)
        since = {str(channel): position.next - 1 for channel, position in self.positions.items()}
        start = encode({"type": "start", "epoch": self._epoch, "since": since})
        stream.write(self._ws.send(TextMessage(start.decode())))
        if rest:
            self._on_data(stream, rest)

    def _on_text(self, text: str, now_s: float) -> None:
        try:
            frame = decode(text)
        except msgspec.DecodeError as error:
            self._hooks.word(f"a frame that cannot be read: {error}: {text[:200]}")
            return
        if frame.type == "event":
            self._on_event(frame, now_s)
        elif frame.type == "ready":
            self._on_ready(frame)
        elif frame.type == "reset":
            position = self.positions.get(frame.channel)
            if position is not None:
                self._behind(frame.channel, position, frame.head)
        elif frame.type == "reconnect":
            self._hooks.move(self, frame.after_ms / 1000)
        elif frame.type == "error":
            self._hooks.word(f"a gateway says error: {frame.detail}")

    def _on_event(self, frame: Frame, now_s: float) -> None:
        position = self.positions.get(frame.channel)
        if position is None:        # not ours, or before `ready`
            self._report.tally.out_of_order += 1
            return
        is_new = position.arrived(frame.seq, self._report.tally)
        if frame.kind != "message":
            return
        known = self._logs.delivered(frame.channel, frame.seq, frame.data.client_msg_id if frame.data else None)
        if is_new:
            report = self._report
            report.delivered += 1
            report.last_delivered_s = now_s
            report.deliver.add(0.0 if known.acked_s is None else now_s - known.acked_s)

    def _on_ready(self, frame: Frame) -> None:
        is_same_epoch = frame.epoch == self._epoch
        self._epoch = frame.epoch
        for channel in frame.channels:
            position = self.positions.get(channel.id)
            if position is None or not is_same_epoch:
                self.positions[channel.id] = Position(channel.first)
            elif channel.status == "resumed":
                if channel.first > position.next:       # a hole, and nobody said so
                    position.skipped(channel.first, self._report.tally)
            else:
                self._behind(channel.id, position, channel.head)
        self._is_ready = self.is_counted = True
        self.attempt, self.exclude, self.code = 0, None, 0
        self._changed.set()

    def _behind(self, channel: int, position: Position, head: int) -> None:
        """Events go on behind `head`; those up to it are in the log for whoever asks."""
        first, position.next = position.next, max(position.next, head + 1)
        if first <= head:
            self._hooks.behind(self, channel, first, head)

    def _on_end(self, stream: Stream) -> None:
        stream.close()
        if stream is self._stream:
            self._gone()

    def _on_close(self, stream: Stream, error: OSError | None) -> None:
        if stream is self._stream:
            if self._ws is None and not self.refusal:
                self.refusal = str(error or "closed during the handshake")
            self._gone()

    def _gone(self) -> None:
        """The connection ended, by the other side."""
        was_ready, self._is_ready = self._is_ready, False
        self._stream = None
        self._changed.set()
        if was_ready:
            self._hooks.down(self, self.code or ABNORMAL)
