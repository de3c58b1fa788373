"""Chapters 1 to 4: frames of every length, pings, reserved bits, reserved opcodes."""
from __future__ import annotations

from tests.wsclient import BINARY, CLOSE, PING, PONG, RSV1, RSV2, RSV3, TEXT, close_frame, frame

from .play import Case, Event, answers, binary, closes, fails, numbered, pong, text

# On either side of each change in how a length is written: 7 bits, 16 bits, 64 bits.
LENGTHS = (0, 125, 126, 127, 128, 65535, 65536)
CHOP = 997          # divides no length above, so packets end inside heads and payloads

HELLO = b"Good morning!"
BYTES = bytes(range(0, 256, 17))    # no UTF-8
UNASKED = frame(PONG, b"nobody asked")

# Two messages of which the second breaks a rule: the first is answered, the ping behind them is not.
GOOD = frame(TEXT, HELLO)
AFTER = frame(PING)

MESSAGES = [
    *numbered("1.1", [answers(frame(TEXT, b"*" * n), events=[text(b"*" * n)]) for n in LENGTHS]),
    Case("1.1.8", answers(frame(TEXT, b"*" * 65536), events=[text(b"*" * 65536)], chop=CHOP)),
    *numbered("1.2", [answers(frame(BINARY, b"\xfe" * n), events=[binary(b"\xfe" * n)]) for n in LENGTHS]),
    Case("1.2.8", answers(frame(BINARY, b"\xfe" * 65536), events=[binary(b"\xfe" * 65536)], chop=CHOP)),
]

TEN = [b"ping %d" % i for i in range(10)]
LONGEST = b"\xfe" * 125     # that a control frame may carry


def pinged(payload: bytes) -> list[Event]:
    """The pong that a ping asks for."""
    return [pong(payload)]


PINGS = numbered("2", [
    answers(frame(PING), events=pinged(b"")),
    answers(frame(PING, HELLO), events=pinged(HELLO)),
    answers(frame(PING, BYTES), events=pinged(BYTES)),
    answers(frame(PING, LONGEST), events=pinged(LONGEST)),
    fails(frame(PING, LONGEST + b"\xfe")),
    answers(frame(PING, LONGEST), events=pinged(LONGEST), chop=1),
    closes(frame(PONG), close_frame()),
    closes(UNASKED, close_frame()),
    answers(UNASKED, frame(PING, HELLO), events=pinged(HELLO)),
    answers(*(frame(PING, payload) for payload in TEN), events=[pong(payload) for payload in TEN]),
    answers(*(frame(PING, payload) for payload in TEN), events=[pong(payload) for payload in TEN], chop=1),
])

RESERVED_BITS = numbered("3", [
    fails(frame(TEXT, HELLO, rsv=RSV3)),
    # As one packet, as three, byte by byte.
    fails(GOOD + frame(TEXT, HELLO, rsv=RSV2) + AFTER, events=[text(HELLO)]),
    fails(GOOD, frame(TEXT, HELLO, rsv=RSV2 | RSV3), AFTER, events=[text(HELLO)]),
    fails(GOOD, frame(TEXT, HELLO, rsv=RSV1), AFTER, events=[text(HELLO)], chop=1),
    fails(frame(BINARY, BYTES, rsv=RSV1 | RSV3)),
    fails(frame(BINARY, HELLO, rsv=RSV1 | RSV2)),
    fails(frame(CLOSE, rsv=RSV1 | RSV2 | RSV3)),
])


def reserved_opcodes(prefix: str, first: int) -> list[Case]:
    """The five opcodes from `first` on that RFC 6455 keeps for later."""
    return numbered(prefix, [
        fails(frame(first)),
        fails(frame(first + 1, b"what is this")),
        fails(GOOD, frame(first + 2), AFTER, events=[text(HELLO)]),
        fails(GOOD, frame(first + 3, HELLO), AFTER, events=[text(HELLO)]),
        fails(GOOD, frame(first + 4, HELLO), AFTER, events=[text(HELLO)], chop=1),
    ])


OPCODES = reserved_opcodes("4.1", 3) + reserved_opcodes("4.2", 11)

CASES = [*MESSAGES, *PINGS, *RESERVED_BITS, *OPCODES]
