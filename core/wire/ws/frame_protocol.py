"""Frames one by one, past extensions written in Python: the slow path, and the names of wsproto's module.

A connection without extensions, or with none but our PerMessageDeflate, does not come here.
"""
from __future__ import annotations

import codecs
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from .codes import (
    LOCAL_ONLY_CLOSE_REASONS,
    MAX_CLOSE_REASON,
    MAX_LIBRARY_CLOSE_REASON,
    MAX_PAYLOAD_NORMAL,
    MAX_PRIVATE_CLOSE_REASON,
    MAX_PROTOCOL_CLOSE_REASON,
    MIN_CLOSE_REASON,
    MIN_LIBRARY_CLOSE_REASON,
    MIN_PRIVATE_CLOSE_REASON,
    MIN_PROTOCOL_CLOSE_REASON,
    CloseReason,
    Opcode,
    ParseFailed,
    close_payload,
    read_close_payload,
)
from .probe import unmask, write_frame_head

if TYPE_CHECKING:
    from .extensions import Extension

__all__ = [
    "FIN_MASK", "LOCAL_ONLY_CLOSE_REASONS", "MASK_MASK", "MAX_CLOSE_REASON", "MAX_FRAME_PAYLOAD",
    "MAX_LIBRARY_CLOSE_REASON", "MAX_PAYLOAD_EIGHT_BYTE", "MAX_PAYLOAD_NORMAL", "MAX_PAYLOAD_TWO_BYTE",
    "MAX_PRIVATE_CLOSE_REASON", "MAX_PROTOCOL_CLOSE_REASON", "MIN_CLOSE_REASON", "MIN_LIBRARY_CLOSE_REASON",
    "MIN_PRIVATE_CLOSE_REASON", "MIN_PROTOCOL_CLOSE_REASON", "NULL_MASK", "OPCODE_MASK",
    "PAYLOAD_LENGTH_EIGHT_BYTE", "PAYLOAD_LENGTH_TWO_BYTE", "PAYLOAD_LEN_MASK", "RSV1_MASK", "RSV2_MASK",
    "RSV3_MASK", "Buffer", "CloseReason", "Frame", "FrameDecoder", "FrameProtocol", "Header", "MessageDecoder",
    "Opcode", "ParseFailed", "RsvBits", "XorMaskerNull", "XorMaskerSimple",
]

# RFC 6455 section 5.2: the first byte of a frame, the second, and the lengths.
FIN_MASK, RSV1_MASK, RSV2_MASK, RSV3_MASK, OPCODE_MASK = 0x80, 0x40, 0x20, 0x10, 0x0f
MASK_MASK, PAYLOAD_LEN_MASK = 0x80, 0x7f
PAYLOAD_LENGTH_TWO_BYTE, PAYLOAD_LENGTH_EIGHT_BYTE = 126, 127
MAX_PAYLOAD_TWO_BYTE, MAX_PAYLOAD_EIGHT_BYTE = 2**16 - 1, 2**64 - 1
MAX_FRAME_PAYLOAD = MAX_PAYLOAD_EIGHT_BYTE
NULL_MASK = bytes(4)
# By what the length in the second byte says: bytes of the real one, and the smallest it may be.
LONGER = {
    PAYLOAD_LENGTH_TWO_BYTE: (2, MAX_PAYLOAD_NORMAL + 1),
    PAYLOAD_LENGTH_EIGHT_BYTE: (8, MAX_PAYLOAD_TWO_BYTE + 1),
}
MAX_HEAD = 14

Answer = TypeVar("Answer")


class RsvBits(NamedTuple):
    """The three reserved bits of a frame."""

    rsv1: bool
    rsv2: bool
    rsv3: bool


class Header(NamedTuple):
    """The head of a frame, without its mask: payload is unmasked as it comes."""

    fin: bool
    rsv: RsvBits
    opcode: Opcode
    payload_len: int
    masking_key: bytes | None


class Frame(NamedTuple):
    """What came of a frame; `payload` of a close frame is code and reason, of a text `str`."""

    opcode: Opcode
    payload: bytes | str | tuple[int, str]
    frame_finished: bool
    message_finished: bool


class Masker(Protocol):
    """Masks, or unmasks, a payload piece by piece."""

    def process(self, data: bytearray) -> bytearray:
        """The next piece."""


class XorMaskerSimple:
    """Lays a key of four bytes over all data, again and again (section 5.3)."""

    def __init__(self, masking_key: bytes | bytearray) -> None:
        """Begin with the key's first byte."""
        self._key = bytes(masking_key)

    def process(self, data: bytes | bytearray) -> bytearray:
        """The next piece; the one behind it goes on in the key where this one ends."""
        turn = len(data) % len(self._key)
        masked = bytearray(unmask(data, self._key))
        self._key = self._key[turn:] + self._key[:turn]
        return masked


class XorMaskerNull:
    """For a server's frames, which are not masked."""

    def process(self, data: bytearray) -> bytearray:
        """`data` itself."""
        return data


class Buffer:
    """Received bytes, read ahead and then either taken out (commit) or read again (rollback)."""

    def __init__(self, initial_bytes: bytes | None = None) -> None:
        """Begin with `initial_bytes`."""
        self.buffer = bytearray(initial_bytes or b"")
        self.bytes_used = 0

    def feed(self, new_bytes: bytes) -> None:
        """Put more at the end."""
        self.buffer += new_bytes

    def peek(self, nbytes: int) -> bytes:
        """Up to `nbytes` of what comes next, still unread."""
        return bytes(self.buffer[self.bytes_used:self.bytes_used + nbytes])

    def consume_at_most(self, nbytes: int) -> bytearray:
        """Read up to `nbytes`."""
        data = self.buffer[self.bytes_used:self.bytes_used + nbytes]
        self.bytes_used += len(data)
        return data

    def consume_exactly(self, nbytes: int) -> bytearray | None:
        """Read `nbytes`, or nothing and None while there are fewer."""
        return self.consume_at_most(nbytes) if len(self.buffer) - self.bytes_used >= nbytes else None

    def commit(self) -> None:
        """Take out what was read."""
        del self.buffer[:self.bytes_used]
        self.bytes_used = 0

    def rollback(self) -> None:
        """Read it again."""
        self.bytes_used = 0

    def __len__(self) -> int:
        """Bytes in it, read or not."""
        return len(self.buffer)


class MessageDecoder:
    """Frames to parts of messages: continuations get their message's opcode, text becomes str."""

    def __init__(self) -> None:
        """Between messages."""
        self.opcode: Opcode | None = None
        self.decoder: codecs.IncrementalDecoder | None = None

    def process_frame(self, frame: Frame) -> Frame:
        """The next data frame, or a part of one. ParseFailed when it does not follow, or its text is none."""
        if (self.opcode is None) is (frame.opcode is Opcode.CONTINUATION):
            raise ParseFailed(f"{frame.opcode.name} {'outside' if self.opcode is None else 'within'} a message")
        if self.opcode is None:
            self.opcode = frame.opcode
            self.decoder = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
        finished = frame.frame_finished and frame.message_finished
        payload = frame.payload
        if self.decoder is not None:
            assert isinstance(payload, bytes | bytearray)
            try:
                payload = self.decoder.decode(payload, finished)
            except UnicodeDecodeError as error:
                raise ParseFailed(str(error), CloseReason.INVALID_FRAME_PAYLOAD_DATA) from error
        part = Frame(self.opcode, payload, frame.frame_finished, finished)
        if finished:
            self.opcode = self.decoder = None
        return part


class FrameDecoder:
    """Bytes to frames, each past the extensions; a data frame comes in parts, as its bytes do."""

    def __init__(self, client: bool, extensions: list[Extension] | None = None, *, max_message: int | None = None,
                 max_frame: int | None = None) -> None:
        """`max_frame`: bytes of payload; `max_message` is for extensions, so that they can stop in time."""
        self.client = client
        self.extensions = extensions or []
        self.max_message = max_message
        self.max_frame = max_frame
        self.buffer = Buffer()
        self.header: Header | None = None
        self.effective_opcode: Opcode | None = None
        self.masker: Masker | None = None
        self.payload_consumed = 0
        self._asked_extensions = False

    def receive_bytes(self, data: bytes) -> None:
        """What the peer sent."""
        self.buffer.feed(data)

    def process_buffer(self) -> Frame | None:
        """The next frame or part of one; None: it takes more bytes. ParseFailed when there can be none."""
        if self.header is None and not self.parse_header():
            return None
        header, opcode, masker = self.header, self.effective_opcode, self.masker
        assert header is not None
        assert opcode is not None
        assert masker is not None
        if opcode.iscontrol() and len(self.buffer) < header.payload_len:
            return None
        payload = self.buffer.consume_at_most(header.payload_len - self.payload_consumed)
        if not payload and header.payload_len > 0:
            return None
        self.buffer.commit()
        self.payload_consumed += len(payload)
        finished = self.payload_consumed == header.payload_len
        plain = self._past_extensions(bytes(masker.process(payload)), finished, header.fin)
        if finished:
            self.header = self.effective_opcode = self.masker = None
        else:
            self.effective_opcode = Opcode.CONTINUATION
        return Frame(opcode, plain, finished, header.fin)

    def _past_extensions(self, payload: bytes, finished: bool, fin: bool) -> bytes:
        for extension in self.extensions:
            payload = bytes(accepted(extension.frame_inbound_payload_data(self, payload)))
        if finished:
            for extension in self.extensions:
                payload += accepted(extension.frame_inbound_complete(self, fin)) or b""
        return payload

    def parse_header(self) -> bool:
        """Take a frame's head out of the buffer; False: it is not whole yet. A fault shows as soon as it is here."""
        head = self.buffer.peek(MAX_HEAD)
        if len(head) < 2:
            return False
        fin = bool(head[0] & FIN_MASK)
        rsv = RsvBits(bool(head[0] & RSV1_MASK), bool(head[0] & RSV2_MASK), bool(head[0] & RSV3_MASK))
        try:
            opcode = Opcode(head[0] & OPCODE_MASK)
        except ValueError as error:
            raise ParseFailed(f"opcode {head[0] & OPCODE_MASK:#x}") from error
        if opcode.iscontrol() and not fin:
            raise ParseFailed("a control frame in fragments")
        length_ends, payload_len = self._read_length(opcode, head)
        if payload_len is None:
            return False
        if not self._asked_extensions:
            self._ask_extensions(opcode, rsv, payload_len)
            self._asked_extensions = True
        masked = bool(head[1] & MASK_MASK)
        if masked is self.client:
            raise ParseFailed("a server's frame is masked" if masked else "a client's frame is not masked")
        if self.max_frame is not None and payload_len > self.max_frame and not opcode.iscontrol():
            raise ParseFailed(f"a frame of more than {self.max_frame} bytes", CloseReason.MESSAGE_TOO_BIG)
        head_ends = length_ends + (len(NULL_MASK) if masked else 0)
        if len(head) < head_ends:
            return False
        self.buffer.consume_exactly(head_ends)
        self.buffer.commit()
        self.masker = XorMaskerSimple(head[length_ends:head_ends]) if masked else XorMaskerNull()
        self.header = Header(fin, rsv, opcode, payload_len, None)
        self.effective_opcode = opcode
        self.payload_consumed = 0
        self._asked_extensions = False
        return True

    def _read_length(self, opcode: Opcode, head: bytes) -> tuple[int, int | None]:
        """Where the length ends, and what it is; None: it is not whole yet."""
        said = head[1] & PAYLOAD_LEN_MASK
        if said not in LONGER:
            return 2, said
        if opcode.iscontrol():
            raise ParseFailed(f"a control frame of more than {MAX_PAYLOAD_NORMAL} bytes")
        size, least = LONGER[said]
        if len(head) < 2 + size:
            return 2 + size, None
        length = int.from_bytes(head[2:2 + size], "big")
        if length < least:
            raise ParseFailed("a length not in its shortest form")
        if length >> 63:
            raise ParseFailed("a length with its highest bit set")
        return 2 + size, length

    def _ask_extensions(self, opcode: Opcode, rsv: RsvBits, payload_len: int) -> None:
        claimed = [accepted(extension.frame_inbound_header(self, opcode, rsv, payload_len))
                   for extension in self.extensions]
        for bit, is_set in enumerate(rsv):
            if is_set and not any(bits[bit] for bits in claimed):
                raise ParseFailed("a reserved bit that no extension claims")


def accepted(answer: Answer | CloseReason) -> Answer:
    """An extension's answer, unless it is a reason to close."""
    if isinstance(answer, CloseReason):
        raise ParseFailed("refused by an extension", answer)
    return answer


class FrameProtocol:
    """Frames both ways, past those extensions that are enabled."""

    def __init__(self, client: bool, extensions: list[Extension], *, max_message: int | None = None,
                 max_frame: int | None = None, whole_messages: bool = False) -> None:
        """Limits in bytes of payload, beyond which 1009; a message's counts behind the extensions."""
        self.client = client
        self.extensions = [extension for extension in extensions if extension.enabled()]
        self.max_message = max_message
        self._frames = FrameDecoder(client, self.extensions, max_message=max_message, max_frame=max_frame)
        self._messages = MessageDecoder()
        self._message_bytes = 0
        self._gathered = bytearray() if whole_messages else None
        self._over = False
        self._outbound_opcode: Opcode | None = None

    def receive_bytes(self, data: bytes) -> None:
        """What the peer sent; nothing counts behind a close frame or a fault."""
        if not self._over:
            self._frames.receive_bytes(data)

    def received_frames(self) -> Generator[Frame, None, None]:
        """What came of it. ParseFailed, once, when the peer broke the protocol."""
        while (frame := self.next_frame()) is not None:
            yield frame

    def next_frame(self) -> Frame | None:
        """The next of them; None: it takes more bytes, or nothing more comes."""
        while not self._over:
            try:
                frame = self._frames.process_buffer()
                if frame is None:
                    return None
                if frame.opcode.iscontrol():
                    return self._control(frame)
                part = self._gather(self._messages.process_frame(self._counted(frame)))
            except BaseException:
                self._over = True
                raise
            if part is not None:
                return part
        return None

    def _control(self, frame: Frame) -> Frame:
        if frame.opcode is not Opcode.CLOSE:
            return frame
        self._over = True
        assert isinstance(frame.payload, bytes)
        return frame._replace(payload=read_close_payload(frame.payload))

    def _counted(self, frame: Frame) -> Frame:
        self._message_bytes += len(frame.payload)
        if self.max_message is not None and self._message_bytes > self.max_message:
            raise ParseFailed(f"a message of more than {self.max_message} bytes", CloseReason.MESSAGE_TOO_BIG)
        if frame.frame_finished and frame.message_finished:
            self._message_bytes = 0
        return frame

    def _gather(self, part: Frame) -> Frame | None:
        if self._gathered is None:
            return part
        assert isinstance(part.payload, bytes | str)
        self._gathered += part.payload.encode() if isinstance(part.payload, str) else part.payload
        if not part.message_finished:
            return None
        whole = bytes(self._gathered)
        self._gathered.clear()
        return Frame(part.opcode, whole.decode() if part.opcode is Opcode.TEXT else whole, True, True)

    def close(self, code: int | None = None, reason: str | None = None) -> bytes:
        """A close frame; see close_payload."""
        return self._serialize_frame(Opcode.CLOSE, close_payload(code, reason))

    def ping(self, payload: bytes = b"") -> bytes:
        """A ping frame. ValueError when it is longer than 125 bytes."""
        return self._serialize_frame(Opcode.PING, payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """A pong frame. ValueError when it is longer than 125 bytes."""
        return self._serialize_frame(Opcode.PONG, payload)

    def send_data(self, payload: bytes | bytearray | memoryview | str = b"", fin: bool = True) -> bytes:
        """A frame of a message, the last with `fin`. TypeError for neither text nor bytes, or both in one message."""
        if isinstance(payload, str):
            opcode, data = Opcode.TEXT, payload.encode()
        elif isinstance(payload, bytes | bytearray | memoryview):
            opcode, data = Opcode.BINARY, bytes(payload)
        else:
            raise TypeError(f"a message is str or bytes, not {type(payload).__name__}")
        if self._outbound_opcode not in (None, opcode):
            raise TypeError("text and bytes in one message")
        follows = self._outbound_opcode is not None
        self._outbound_opcode = None if fin else opcode
        return self._serialize_frame(Opcode.CONTINUATION if follows else opcode, data, fin)

    def _serialize_frame(self, opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
        rsv, payload = RsvBits(False, False, False), bytes(payload)
        for extension in reversed(self.extensions):
            rsv, payload = extension.frame_outbound(self, opcode, rsv, payload, fin)
            payload = bytes(payload)
        if opcode.iscontrol() and len(payload) > MAX_PAYLOAD_NORMAL:
            raise ValueError(f"a control frame holds {MAX_PAYLOAD_NORMAL} bytes, not {len(payload)}")
        first = FIN_MASK * fin | RSV1_MASK * rsv.rsv1 | RSV2_MASK * rsv.rsv2 | RSV3_MASK * rsv.rsv3 | opcode
        if not self.client:
            return write_frame_head(first, len(payload)) + payload
        mask = os.urandom(len(NULL_MASK))       # nobody may guess it (section 5.3)
        return write_frame_head(first, len(payload), mask) + unmask(payload, mask)
