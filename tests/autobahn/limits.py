"""Chapters 9 and 10: messages up to 16 MiB, in frames and packets of every size, and a thousand round trips."""
from __future__ import annotations

from functools import cache

from tests.wsclient import BINARY, TEXT, Client, cut, fragments, frame

from .play import Case, Event, Play, answers, close_cleanly, expect, numbered, send

KIB, MIB = 1024, 1024 * 1024

SIZES = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
FRAGMENTED = 4 * MIB
FRAGMENTS = (64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB)
CHOPPED = MIB
CHOPS = (64, 128, 256, 512, KIB, 2 * KIB)
ROUND_TRIPS = 1000
ROUND_TRIP_SIZES = (0, 16, 64, 256, KIB, 4 * KIB)

AUTO_FRAGMENTED, AUTO_FRAGMENT = 64 * KIB, 1300

# Seven and eleven bytes: no size above is a multiple of them, so a piece in the wrong place shows.
PATTERNS = {TEXT: b"hotpath", BINARY: b"\x00\xfe\xff\x80hotpath"}
KINDS = {TEXT: "text", BINARY: "binary"}


@cache
def filled(opcode: int, size: int) -> bytes:
    """A payload of this size."""
    pattern = PATTERNS[opcode]
    return (pattern * (size // len(pattern) + 1))[:size]


def echoed(opcode: int, size: int, *, fragment: int | None = None, chop: int | None = None) -> Play:
    """One message of `size` bytes, in frames of `fragment` bytes or in packets of `chop` bytes, comes back."""
    def play(client: Client) -> None:
        payload = filled(opcode, size)
        # One string: 65,536 frames in a packet each would be a test of this client's patience.
        client_bytes = b"".join(fragments(opcode, cut(payload, fragment or size)))
        send(client, [client_bytes], chop)
        expect(client, Event(KINDS[opcode], payload))
        close_cleanly(client)

    return play


def round_trips(opcode: int, size: int) -> Play:
    """The next message goes out once the last one is back."""
    def play(client: Client) -> None:
        payload = filled(opcode, size)
        data, event = frame(opcode, payload), Event(KINDS[opcode], payload)
        for _ in range(ROUND_TRIPS):
            client.send(data)
            expect(client, event)
        close_cleanly(client)

    return play


def auto_fragmented() -> Play:
    """50 full frames and the rest of a text."""
    payload = filled(TEXT, AUTO_FRAGMENTED)
    pieces = cut(payload, AUTO_FRAGMENT)
    assert len(pieces) == 51
    return answers(*fragments(TEXT, pieces), events=[Event("text", payload)])


CASES: list[Case] = [
    *numbered("9.1", [echoed(TEXT, size) for size in SIZES]),
    *numbered("9.2", [echoed(BINARY, size) for size in SIZES]),
    *numbered("9.3", [echoed(TEXT, FRAGMENTED, fragment=fragment) for fragment in FRAGMENTS]),
    *numbered("9.4", [echoed(BINARY, FRAGMENTED, fragment=fragment) for fragment in FRAGMENTS]),
    *numbered("9.5", [echoed(TEXT, CHOPPED, chop=chop) for chop in CHOPS]),
    *numbered("9.6", [echoed(BINARY, CHOPPED, chop=chop) for chop in CHOPS]),
    *numbered("9.7", [round_trips(TEXT, size) for size in ROUND_TRIP_SIZES]),
    *numbered("9.8", [round_trips(BINARY, size) for size in ROUND_TRIP_SIZES]),
    Case("10.1.1", auto_fragmented()),
]
