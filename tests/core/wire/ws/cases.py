"""Frames with what must come of them, to a server and to a client: one table for the tests and the fuzzer's seeds."""
import struct
from typing import NamedTuple

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """One frame as it is sent. `claim`: the length it states, if not the true one; `form`: its bytes, if not fewest."""

    first: int
    payload: bytes = b""
    claim: int | None = None
    form: int | None = None

    def encode(self, mask: bytes | None) -> bytes:
        """RFC 6455 section 5.2, byte by byte, so that the kernel has something to be compared with."""
        size = len(self.payload) if self.claim is None else self.claim
        form = self.form or (1 if size < 126 else 2 if size < 1 << 16 else 8)
        length = {1: size, 2: 126, 8: 127}[form]
        head = bytes([self.first, length | (0x80 if mask is not None else 0)])
        head += {1: b"", 2: struct.pack("!H", size & 0xffff), 8: struct.pack("!Q", size)}[form]
        if mask is None:
            return head + self.payload
        return head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(self.payload))


class Case(NamedTuple):
    """What comes in, and what must come of it: whole messages, control frames, the code of the refusal (0: none)."""

    name: str
    frames: tuple[Frame, ...]
    events: tuple[tuple[str, bytes], ...] = ()
    broken: int = 0
    deflate: bool = False
    max_frame: int = 0
    max_message: int = 0

    def encode(self, *, masked: bool) -> bytes:
        """All its frames, in one."""
        return b"".join(frame.encode(MASK if masked else None) for frame in self.frames)


def text(payload: bytes | str) -> Frame:
    return Frame(FIN | TEXT, payload.encode() if isinstance(payload, str) else payload)


def close(code: int, reason: bytes = b"") -> Frame:
    return Frame(FIN | CLOSE, struct.pack("!H", code) + reason)


def refused_close(code: int) -> Case:
    return Case(f"close {code}", (close(code),), (), 1002)


def taken_close(code: int) -> Case:
    return Case(f"close {code}", (close(code, b"bye"),), ((f"close {code}", b"bye"),))


def bad_text(name: str, payload: bytes) -> Case:
    return Case(name, (text(payload),), (), 1007)


HELLO = (("text", b"Hello"),)
EURO = b"\xe2\x82\xac"
EDGES = "\uffff\U0010ffff\ud7ff\ue000".encode()
LARGEST = (1 << 63) - 1

CASES = (
    # Data.
    Case("text", (text("Hello"),), HELLO),
    Case("empty text", (text(""),), (("text", b""),)),
    Case("binary", (Frame(FIN | BINARY, b"\xff\x00\xc0"),), (("binary", b"\xff\x00\xc0"),)),
    Case("125 bytes", (Frame(FIN | BINARY, b"x" * 125),), (("binary", b"x" * 125),)),
    Case("126 bytes", (Frame(FIN | BINARY, b"x" * 126),), (("binary", b"x" * 126),)),
    Case("65535 bytes", (Frame(FIN | BINARY, b"x" * 65535),), (("binary", b"x" * 65535),)),
    Case("65536 bytes", (Frame(FIN | BINARY, b"x" * 65536),), (("binary", b"x" * 65536),)),
    Case("two messages", (text("Hello"), Frame(FIN | BINARY, b"\x01")), (*HELLO, ("binary", b"\x01"))),
    # Fragments.
    Case("two fragments", (Frame(TEXT, b"Hel"), Frame(FIN, b"lo")), HELLO),
    Case("empty fragments", (Frame(TEXT), Frame(0), Frame(0, b"Hello"), Frame(0), Frame(FIN)), HELLO),
    Case("fragments that cut a character", (Frame(TEXT, b"\xe2\x82"), Frame(0, b""), Frame(FIN, b"\xac")),
         (("text", EURO),)),
    Case("a ping between fragments", (Frame(TEXT, b"Hel"), Frame(FIN | PING, b"\xff"), Frame(FIN, b"lo")),
         (("ping", b"\xff"), *HELLO)),
    Case("a ping within a character", (Frame(TEXT, b"\xe2\x82"), Frame(FIN | PING), Frame(FIN, b"\xac")),
         (("ping", b""), ("text", EURO))),
    Case("a close between fragments", (Frame(TEXT, b"\xe2\x82"), close(1000, EURO)), (("close 1000", EURO),)),
    Case("a message that stays open", (Frame(BINARY, b"x"), Frame(0, b"y"))),
    Case("continuation of nothing", (Frame(FIN, b"x"),), (), 1002),
    Case("continuation behind the end", (text("Hello"), Frame(0, b"x")), HELLO, 1002),
    Case("a text within a text", (Frame(TEXT, b"x"), Frame(FIN | TEXT, b"y")), (), 1002),
    Case("a binary within a text", (Frame(TEXT, b"x"), Frame(FIN | BINARY, b"y")), (), 1002),
    # Reserved bits and opcodes.
    Case("RSV1", (Frame(FIN | RSV1 | TEXT, b"x"),), (), 1002),
    Case("RSV2", (Frame(FIN | RSV2 | TEXT, b"x"),), (), 1002),
    Case("RSV3", (Frame(FIN | RSV3 | BINARY, b"x"),), (), 1002),
    Case("RSV2 with compression", (Frame(FIN | RSV1 | RSV2 | TEXT, b"x"),), (), 1002, deflate=True),
    Case("RSV1 on a ping", (Frame(FIN | RSV1 | PING),), (), 1002, deflate=True),
    Case("RSV1 on a continuation", (Frame(RSV1 | TEXT, b"x"), Frame(FIN | RSV1, b"y")), (), 1002, deflate=True),
    Case("a compressed message", (Frame(FIN | RSV1 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),),
         (("compressed text", b"\xf2\x48\xcd\xc9\xc9\x07\x00"),), deflate=True),
    Case("a compressed message in fragments", (Frame(RSV1 | TEXT, b"\xf2\x48\xcd"), Frame(FIN, b"\xc9\xc9\x07\x00")),
         (("compressed text", b"\xf2\x48\xcd\xc9\xc9\x07\x00"),), deflate=True),
    Case("a plain message where compression is agreed", (text("Hello"),), HELLO, deflate=True),
    Case("a plain message behind a compressed one", (Frame(FIN | RSV1 | TEXT, b"\x00"), text(b"\xc0")),
         (("compressed text", b"\x00"),), 1007, deflate=True),
    *(Case(f"opcode {opcode}", (Frame(FIN | opcode),), (), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    # Control frames.
    Case("ping", (Frame(FIN | PING, b"are you there"),), (("ping", b"are you there"),)),
    Case("pong", (Frame(FIN | PONG, b"x" * 125),), (("pong", b"x" * 125),)),
    Case("a ping is not text", (Frame(FIN | PING, b"\xc0\xff"),), (("ping", b"\xc0\xff"),)),
    Case("a fragmented ping", (Frame(PING, b"x"),), (), 1002),
    Case("a fragmented close", (Frame(CLOSE),), (), 1002),
    Case("a ping of 126 bytes, from its head", (Frame(FIN | PING, claim=126),), (), 1002),
    Case("a pong of 65536 bytes, from its head", (Frame(FIN | PONG, claim=65536),), (), 1002),
    Case("a ping with a long length", (Frame(FIN | PING, b"x", form=2),), (), 1002),
    Case("a ping is no part of the limits", (Frame(FIN | PING, b"x" * 125),), (("ping", b"x" * 125),),
         max_frame=5, max_message=5),
    # Close.
    Case("close without a code", (Frame(FIN | CLOSE),), (("close 1005", b""),)),
    Case("half a code", (Frame(FIN | CLOSE, b"\x03"),), (), 1002),
    Case("half a code, from its head", (Frame(FIN | CLOSE, claim=1),), (), 1002),
    Case("close with the longest reason", (close(1000, b"x" * 123),), (("close 1000", b"x" * 123),)),
    Case("a reason that is no text", (close(1000, b"bye\xff"),), (), 1007),
    Case("a reason that stops within a character", (close(1000, b"\xe2\x82"),), (), 1007),
    Case("nothing behind a close is looked at", (close(1000), Frame(0xff, b"x")), (("close 1000", b""),)),
    *(taken_close(code) for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)),
    *(refused_close(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)),
    # Text.
    bad_text("a continuation byte first", b"\x80"),
    bad_text("overlong", b"x\xc0\xaf"),
    bad_text("overlong in three", b"\xe0\x9f\xbf"),
    bad_text("overlong in four", b"\xf0\x8f\xbf\xbf"),
    bad_text("a surrogate", b"\xed\xa0\x80"),
    bad_text("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
    bad_text("stops within a character", b"Hello \xf0\x9f\x98"),
    bad_text("bad far behind", b"x" * 1000 + b"\xff" + b"x" * 1000),
    Case("the last characters there are", (text(EDGES),), (("text", EDGES),)),
    Case("an impossible byte, before its frame is whole", (Frame(FIN | TEXT, b"\xf4\x90", claim=4),), (), 1007),
    Case("an impossible byte, before its message is whole", (Frame(TEXT, b"\xed\xa0"),), (), 1007),
    Case("stops within a character of another frame", (Frame(TEXT, b"\xe2"), Frame(FIN, b"\x82")), (), 1007),
    # Lengths.
    Case("two bytes for 125", (Frame(FIN | BINARY, claim=125, form=2),), (), 1002),
    Case("two bytes for 0", (Frame(FIN | BINARY, form=2),), (), 1002),
    Case("eight bytes for 65535", (Frame(FIN | BINARY, claim=65535, form=8),), (), 1002),
    Case("the highest bit of eight bytes", (Frame(FIN | BINARY, claim=1 << 63),), (), 1002),
    Case("the largest length there is", (Frame(FIN | BINARY, claim=LARGEST),)),
    Case("the largest length twice", (Frame(BINARY, b"x"), Frame(FIN, claim=LARGEST))),
    # Limits.
    Case("a frame at its limit", (text("Hello"),), HELLO, max_frame=5, max_message=5),
    Case("a frame over its limit, from its head", (Frame(FIN | TEXT, claim=6),), (), 1009, max_frame=5),
    Case("the largest frame over a limit", (Frame(FIN | BINARY, claim=LARGEST),), (), 1009, max_frame=1 << 20),
    Case("a message at its limit", (Frame(TEXT, b"Hel"), Frame(FIN, b"lo")), HELLO, max_message=5),
    Case("a message over its limit, from a head", (Frame(TEXT, b"Hel"), Frame(FIN, claim=3)), (), 1009, max_message=5),
    Case("a sum that would overflow", (Frame(BINARY, b"x"), Frame(FIN, claim=LARGEST)), (), 1009, max_message=LARGEST),
    Case("each message has its own sum", (text("Hello"), text("Hello")), HELLO * 2, max_message=5),
    Case("a wrong length goes before a limit", (Frame(FIN | BINARY, claim=100, form=2),), (), 1002, max_frame=5),
)
