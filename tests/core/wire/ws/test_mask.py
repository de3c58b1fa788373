"""Unmasking: the same as a plain loop, wherever the bytes lie and however many they are."""
import random

import pytest

from hotpath.core.wire.ws.probe import unmask, unmask_in_place
from tests.core.wire.page import page

MASK = b"\x37\xfa\x21\x3d"
GENERATOR = random.Random(53)
BYTES = GENERATOR.randbytes(1 << 17)


def plain(data, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i & 3] for i, byte in enumerate(data))


@pytest.mark.parametrize("at", range(33))
def test_every_size_at_every_alignment(at: int):
    for size in range(201):
        data = memoryview(BYTES)[at:at + size]
        assert unmask(data, MASK) == plain(data, MASK), size


@pytest.mark.parametrize("at", range(33))
def test_in_place_every_size_at_every_alignment(at: int):
    for size in (*range(201), *range(250, 400)):
        room = bytearray(BYTES[:size + at + 40])
        unmask_in_place(memoryview(room)[at:at + size], MASK)
        assert room == BYTES[:at] + plain(BYTES[at:at + size], MASK) + BYTES[at + size:at + size + 40], size


@pytest.mark.parametrize("mask", [bytes(4), b"\xff\xff\xff\xff", MASK])
def test_large_ones(mask: bytes):
    for _ in range(20):
        at = GENERATOR.randrange(64)
        data = BYTES[at:at + GENERATOR.randrange(200, 1 << 16)]
        assert unmask(data, mask) == plain(data, mask)
        assert unmask(unmask(data, mask), mask) == data


def test_nothing_is_read_behind_the_input():
    with page() as guarded:
        for size in range(400):
            assert unmask(guarded.holding(BYTES[:size]), MASK) == plain(BYTES[:size], MASK)


def test_nothing_is_written_behind_the_room():
    with page() as guarded:
        for size in range(400):
            room = guarded.holding(BYTES[:size])
            unmask_in_place(room, MASK)
            assert room == plain(BYTES[:size], MASK)
