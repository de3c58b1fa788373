"""UTF-8 in pieces: what Python's decoder takes, and refused at the first byte that no text has there."""
import random
from itertools import product

import pytest

from hotpath.core.wire.ws.probe import Receiver, Utf8
from tests.core.wire.page import page
from tests.core.wire.ws.cases import FIN, TEXT, Frame

# The ends of every class of bytes that RFC 3629 section 4 tells apart.
EDGES = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff")
CHARACTERS = ["a", "\x7f", "\x80", "é", "߿", "ࠀ", "€", "퟿", "\ue000", "\uffff", "𐀀", "😀", "\U0010ffff"]
WRONG = [bytes.fromhex(wrong) for wrong in (
    "80", "c0af", "c1bf", "c3", "e09fbf", "e282", "e228a1", "eda080", "f08fbfbf", "f09f98", "f09f2880", "f4908080",
    "f5808080", "f888808080", "ff", "e282acac", "fe", "c3a9a9")]
# Of these one completes whatever can be completed.
ENDINGS = [bytes.fromhex(ending) for ending in ("80", "bf", "8080", "bf80", "808080", "908080", "bf8080")]
GENERATOR = random.Random(3629)


def verdict(*pieces) -> tuple[bool, bool]:
    """(no impossible byte among them, and whole characters only)."""
    utf8 = Utf8()
    fits = all(utf8.feed(piece) for piece in pieces)
    return fits, fits and utf8.between


def expected(data: bytes) -> tuple[bool, bool]:
    """As Python says it: what can still become text is what some continuation completes."""
    whole = is_text(data)
    return whole or any(is_text(data + ending) for ending in ENDINGS), whole


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_every_sequence_of_one_and_two_bytes():
    for first in range(256):
        assert verdict(bytes([first])) == expected(bytes([first])), hex(first)
        for second in range(256):
            data = bytes([first, second])
            assert verdict(data) == verdict(data[:1], data[1:]) == expected(data), data


def test_every_class_of_bytes_behind_every_other():
    fours = (GENERATOR.choices(EDGES, k=4) for _ in range(40_000))
    for sequence in (*product(EDGES, repeat=3), *fours):
        data = bytes(sequence)
        wanted = expected(data)
        assert verdict(data) == wanted, data
        assert verdict(*(data[i:i + 1] for i in range(len(data)))) == wanted, data


def test_every_character_there_is():
    everything = "".join(chr(code) for code in range(0x110000) if not 0xd800 <= code < 0xe000).encode()
    assert verdict(everything) == (True, True)
    assert verdict(*(everything[at:at + 1009] for at in range(0, len(everything), 1009))) == (True, True)


@pytest.mark.parametrize("filling", ["a", "é", "€", "😀"])
@pytest.mark.parametrize("wrong", [b"", *WRONG], ids=lambda wrong: wrong.hex() or "nothing wrong")
def test_what_is_wrong_is_found_in_whichever_lane_of_a_register_it_lies(wrong: bytes, filling: str):
    for before in range(150):
        # Long enough for whole blocks behind it, and also as the very end.
        front = b"x" * (before % 7) + filling.encode() * (before // len(filling.encode()))
        for data in (front + wrong + filling.encode() * 40, front + b"." * 130 + wrong):
            whole = expected_long(data, wrong)
            assert verdict(data) == whole, before
            assert verdict(data[:before], data[before:]) == whole, before


def expected_long(data: bytes, wrong: bytes) -> tuple[bool, bool]:
    return expected(data) if data.endswith(wrong) else (is_text(data), is_text(data))


def test_all_cuts_of_mixed_text():
    for _ in range(60):
        data = "".join(GENERATOR.choices(CHARACTERS, k=GENERATOR.randrange(1, 90))).encode()
        if GENERATOR.random() < 0.5:
            at = GENERATOR.randrange(len(data))
            data = data[:at] + bytes([GENERATOR.choice(EDGES)]) + data[at + GENERATOR.randrange(2):]
        wanted = expected(data)
        for place in range(len(data) + 1):
            assert verdict(data[:place], data[place:]) == wanted, (data, place)


def test_a_refusal_is_for_ever():
    utf8 = Utf8()
    assert not utf8.feed(b"\xff")
    assert not utf8.feed(b"a")
    assert not utf8.feed(b"a" * 1000)
    assert not utf8.between


def test_nothing_is_read_behind_the_input():
    text = "aé€😀".encode() * 60
    with page() as guarded:
        for size in range(len(text)):
            assert Utf8().feed(guarded.holding(text[:size]))
            assert Utf8().feed(guarded.holding(text[len(text) - size:])) == is_text(text[len(text) - size:])


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\x37\xfa\x21\x3d", b"\x80\x80\x80\x80"])
def test_text_that_is_unmasked_on_the_way_is_judged_the_same(mask: bytes):
    for size in (*range(20), *range(120, 330)):
        for _ in range(4):
            data = "".join(GENERATOR.choices(CHARACTERS, k=size)).encode()
            if GENERATOR.random() < 0.3 and data:
                at = GENERATOR.randrange(len(data))
                data = data[:at] + bytes([GENERATOR.choice(EDGES)]) + data[at + 1:]
            frame = Frame(FIN | TEXT, data).encode(mask)
            cut = GENERATOR.randrange(len(frame) + 1)
            receiver = Receiver()
            taken, pieces = receiver.feed(frame[:cut])
            pieces += receiver.feed(frame[taken:])[1] if not receiver.broken else []
            if is_text(data):
                assert b"".join(piece.payload for piece in pieces) == data
                assert pieces[-1].ends
            else:
                assert receiver.broken
