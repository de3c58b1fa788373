"""What may change frames on their way: the interface of an extension, and permessage-deflate (RFC 7692)."""
from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import Protocol

from .frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

Proto = FrameDecoder | FrameProtocol
TAIL = b"\x00\x00\xff\xff"      # every message ends with it, and no frame carries it (section 7.2.1)
EMPTY_LAST_BLOCK = b"\x03\x00"  # fixed codes, and their end at once (RFC 1951 section 3.2.6)


class Extension(ABC):
    """One extension of one connection. The handshake calls the first group, each frame the second."""

    name: str

    def enabled(self) -> bool:
        """Was it agreed on?"""
        return False

    @abstractmethod
    def offer(self) -> bool | str:
        """A client's parameters, or whether to offer it at all."""

    def accept(self, offer: str) -> bool | str | None:
        """A server's answer to `offer` (name and parameters): its parameters; None or False declines."""
        return None

    def finalize(self, offer: str) -> None:  # noqa: B027 -- nothing to learn is the usual case
        """A client learns what the server chose. ValueError when that is none of what was offered."""

    def frame_inbound_header(self, proto: Proto, opcode: Opcode, rsv: RsvBits,
                             payload_length: int) -> CloseReason | RsvBits:
        """A frame begins: which reserved bits are this extension's?"""
        return RsvBits(False, False, False)

    def frame_inbound_payload_data(self, proto: Proto, data: bytes) -> bytes | CloseReason:
        """A part of its payload."""
        return data

    def frame_inbound_complete(self, proto: Proto, fin: bool) -> bytes | CloseReason | None:
        """It is over; what belongs behind its payload. `fin`: so is its message."""
        return None

    def frame_outbound(self, proto: Proto, opcode: Opcode, rsv: RsvBits, data: bytes,
                       fin: bool) -> tuple[RsvBits, bytes]:
        """A frame to send: its bits and payload."""
        return rsv, data


class Compressor(Protocol):
    """What zlib.compressobj() makes."""

    def compress(self, data: bytes, /) -> bytes:
        """Some of `data` and of what came before."""

    def flush(self, mode: int, /) -> bytes:
        """The rest."""


class Decompressor(Protocol):
    """What zlib.decompressobj() makes."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """The plain bytes of it, `max_length` at most unless that is 0."""

    def flush(self) -> bytes:
        """What was left out."""

    def copy(self) -> Decompressor:
        """Another one that stands where this one stands."""

    @property
    def eof(self) -> bool:
        """Whether the last block is over."""


def stands_between_blocks(inflating: Decompressor) -> bool:
    """Whether a last, empty block could follow: zlib's object does not say where it stands."""
    if inflating.eof:       # behind its last block already, and `flush` has let go of what could be copied
        return True
    probe = inflating.copy()
    try:
        probe.decompress(EMPTY_LAST_BLOCK)
    except zlib.error:
        return False
    return probe.eof


class WindowBits:
    """A size of window: 9 to 15, for zlib cannot deflate with less."""

    LEAST, MOST = 9, 15

    def __set_name__(self, owner: type, name: str) -> None:
        """Keep the value beside the attribute."""
        self.name = f"_{name}"

    def __get__(self, instance: object, owner: type | None = None) -> int:
        """The size."""
        bits: int = getattr(instance, self.name)
        return bits

    def __set__(self, instance: object, value: int) -> None:
        """ValueError outside 9 to 15."""
        if not self.LEAST <= value <= self.MOST:
            raise ValueError(f"window bits {value}: {self.LEAST} to {self.MOST} are allowed")
        setattr(instance, self.name, value)


class PerMessageDeflate(Extension):
    """Compressed messages. Alone on a connection it runs in C; its frame_ methods are for the company of others."""

    name = "permessage-deflate"

    DEFAULT_CLIENT_MAX_WINDOW_BITS = 15
    DEFAULT_SERVER_MAX_WINDOW_BITS = 15

    client_max_window_bits = WindowBits()
    server_max_window_bits = WindowBits()

    def __init__(self, client_no_context_takeover: bool = False, client_max_window_bits: int | None = None,
                 server_no_context_takeover: bool = False, server_max_window_bits: int | None = None) -> None:
        """`client_...`: for what the client compresses."""
        self.client_no_context_takeover = client_no_context_takeover
        self.server_no_context_takeover = server_no_context_takeover
        self.client_max_window_bits = (
            self.DEFAULT_CLIENT_MAX_WINDOW_BITS if client_max_window_bits is None else client_max_window_bits)
        self.server_max_window_bits = (
            self.DEFAULT_SERVER_MAX_WINDOW_BITS if server_max_window_bits is None else server_max_window_bits)
        self._enabled = False
        self._compressor: Compressor | None = None
        self._decompressor: Decompressor | None = None
        self._inbound_data = False                          # this frame belongs to a message
        self._inbound_compressed: bool | None = None        # this message is compressed; None: between messages
        self._inbound_bytes = 0                             # of this message, inflated
        self._inbound_empty = True                          # no byte of this message came yet

    def enabled(self) -> bool:
        """Was it agreed on?"""
        return self._enabled

    def offer(self) -> str:
        """All four parameters, as far as they say something."""
        return "; ".join([f"client_max_window_bits={self.client_max_window_bits}",
                          f"server_max_window_bits={self.server_max_window_bits}", *self._takeovers()])

    def _takeovers(self) -> list[str]:
        return [name for name in ("client_no_context_takeover", "server_no_context_takeover") if getattr(self, name)]

    def finalize(self, offer: str) -> None:
        """Take over what the server chose; what it says beyond that is not looked at."""
        for name, bits in self._parameters(offer).items():
            if bits is not None:
                setattr(self, name, bits)
        self._enabled = True

    def accept(self, offer: str) -> str | None:
        """Agree, with the windows that the offer names in place of ours, as wsproto; None: zlib has no such window."""
        try:
            windows = self._parameters(offer)
            for name, bits in windows.items():
                if bits is not None:
                    setattr(self, name, bits)
        except ValueError:
            return None
        self._enabled = True
        return "; ".join([*self._takeovers(), *(f"{name}={getattr(self, name)}" for name in sorted(windows))])

    def _parameters(self, text: str) -> dict[str, int | None]:
        """The windows in `text`, None for one without a value; the rest is taken over at once."""
        windows: dict[str, int | None] = {}
        for parameter in text.split(";")[1:]:
            name, has_value, value = (part.strip() for part in parameter.partition("="))
            if name in ("client_no_context_takeover", "server_no_context_takeover"):
                setattr(self, name, True)
            elif name in ("client_max_window_bits", "server_max_window_bits"):
                if has_value and not (value.isascii() and value.isdigit()):
                    raise ValueError(f"{name}={value}: a number is allowed")
                windows[name] = int(value) if has_value else None
        return windows

    def frame_inbound_header(self, proto: Proto, opcode: Opcode, rsv: RsvBits,
                             payload_length: int) -> CloseReason | RsvBits:
        """The first bit marks the first frame of a compressed message, and no other."""
        if rsv.rsv1 and opcode not in (Opcode.TEXT, Opcode.BINARY):
            return CloseReason.PROTOCOL_ERROR
        self._inbound_data = not opcode.iscontrol()
        if self._inbound_data and self._inbound_compressed is None:
            self._inbound_compressed = rsv.rsv1
            self._inbound_bytes = 0
            self._inbound_empty = True
            if rsv.rsv1 and self._decompressor is None:
                bits = self.server_max_window_bits if proto.client else self.client_max_window_bits
                self._decompressor = zlib.decompressobj(-bits)
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: Proto, data: bytes) -> bytes | CloseReason:
        """Inflated, within the message's limit."""
        return self._inflate(proto, data) if self._inbound_data and self._inbound_compressed else data

    def frame_inbound_complete(self, proto: Proto, fin: bool) -> bytes | CloseReason | None:
        """The last bytes of a message."""
        if not fin or not self._inbound_data:
            return None
        was_compressed, self._inbound_compressed = self._inbound_compressed, None
        if not was_compressed:
            return None
        is_empty = self._inbound_empty      # with nothing before it the tail alone is half a block
        data = self._inflate(proto, TAIL)
        if isinstance(data, CloseReason):
            return data
        assert self._decompressor is not None
        try:
            data += self._decompressor.flush()
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if not is_empty and not stands_between_blocks(self._decompressor):
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if self.server_no_context_takeover if proto.client else self.client_no_context_takeover:
            self._decompressor = None
        return data

    def _inflate(self, proto: Proto, data: bytes) -> bytes | CloseReason:
        assert self._decompressor is not None
        self._inbound_empty = self._inbound_empty and not data
        try:
            if proto.max_message is None:
                return self._decompressor.decompress(bytes(data))
            plain = self._decompressor.decompress(bytes(data), proto.max_message - self._inbound_bytes + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._inbound_bytes += len(plain)
        return CloseReason.MESSAGE_TOO_BIG if self._inbound_bytes > proto.max_message else plain

    def frame_outbound(self, proto: Proto, opcode: Opcode, rsv: RsvBits, data: bytes,
                       fin: bool) -> tuple[RsvBits, bytes]:
        """Compressed, unless it is a control frame."""
        if opcode.iscontrol():
            return rsv, data
        if opcode is not Opcode.CONTINUATION:
            rsv = RsvBits(True, rsv.rsv2, rsv.rsv3)
        if self._compressor is None:
            bits = self.client_max_window_bits if proto.client else self.server_max_window_bits
            self._compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -bits)
        data = self._compressor.compress(bytes(data))
        if fin:
            data = (data + self._compressor.flush(zlib.Z_SYNC_FLUSH))[:-len(TAIL)]
            if self.client_no_context_takeover if proto.client else self.server_no_context_takeover:
                self._compressor = None
        return rsv, data

    def __repr__(self) -> str:
        """The parameters."""
        said = "; ".join([f"client_max_window_bits={self.client_max_window_bits}",
                          f"server_max_window_bits={self.server_max_window_bits}", *self._takeovers()])
        return f"<{type(self).__name__} {said}>"


SUPPORTED_EXTENSIONS = {PerMessageDeflate.name: PerMessageDeflate}
