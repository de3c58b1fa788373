"""permessage-deflate: what zlib makes is read, what we make zlib reads, no message takes more room than it is given."""
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire.ws.probe import Deflate, Inflate

TAIL = b"\x00\x00\xff\xff"
GENERATOR = random.Random(7692)
BITS = range(9, 16)
MESSAGES = [
    b"Hello", b"", b"Hello", b"", b"", GENERATOR.randbytes(70_000), b"\x00" * 300_000, b"Hello " * 20_000,
    GENERATOR.randbytes(1), bytes(GENERATOR.choices(b"abc", k=50_000)), GENERATOR.randbytes(5000) * 9,
]


def theirs(message: bytes, compressor) -> bytes:
    """A message as zlib compresses it."""
    whole = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert whole.endswith(TAIL)
    return whole[:-4]


def inflated(inflate: Inflate, parts, room: int = 4096) -> bytes:
    """A whole message, in steps of `room` bytes."""
    out = b""
    for number, part in enumerate(parts):
        verdict = "more"
        while verdict == "more":
            verdict, taken, made = inflate.feed(part, ends=number == len(parts) - 1, room=room)
            part = part[taken:]
            out += made
            assert len(made) <= room
        assert verdict == "fed"
        assert not part
    return out


def refused(inflate: Inflate, data: bytes, *, ends: bool = True) -> bool:
    verdict = "more"
    while verdict == "more":
        verdict, taken, _ = inflate.feed(data, ends=ends, room=1000)
        data = data[taken:]
    return verdict == "broken"


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("keeps_context", [True, False])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_what_zlib_compresses_is_read(bits: int, keeps_context: bool, level: int):
    inflate = Inflate(window_bits=bits, keeps_context=keeps_context)
    compressor = zlib.compressobj(level, zlib.DEFLATED, -bits)
    for message in MESSAGES:
        if not keeps_context:
            compressor = zlib.compressobj(level, zlib.DEFLATED, -bits)
        assert inflated(inflate, [theirs(message, compressor)]) == message


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("keeps_context", [True, False])
@pytest.mark.parametrize(("level", "mem_level"), [(1, 1), (6, 8), (9, 9), (9, 1)])
def test_what_we_compress_zlib_reads(bits: int, keeps_context: bool, level: int, mem_level: int):
    deflate = Deflate(window_bits=bits, keeps_context=keeps_context, level=level, mem_level=mem_level)
    decompressor = zlib.decompressobj(-bits)
    for message in MESSAGES:
        if not keeps_context:
            decompressor = zlib.decompressobj(-bits)
        assert decompressor.decompress(deflate.feed(message, ends=True) + TAIL) == message


@pytest.mark.parametrize("room", [1, 100, 100_000])
def test_a_distance_beyond_the_agreed_window_gets_one_verdict_whatever_the_room(room: int):
    message = random.Random(1).randbytes(5000) * 2
    payload = theirs(message, zlib.compressobj(9, zlib.DEFLATED, -15))
    inflate, made, verdict = Inflate(window_bits=9), b"", "more"
    while verdict == "more":
        verdict, used, piece = inflate.feed(payload, ends=True, room=room)
        payload, made = payload[used:], made + piece
    assert verdict == "fed"
    assert made == message


def test_a_window_of_eight_bits_is_read():
    # A window of 512 bytes serves for one of 256 as long as nothing is longer.
    message = b"Hello, " * 30
    assert inflated(Inflate(window_bits=8), [theirs(message, zlib.compressobj(9, zlib.DEFLATED, -9))]) == message


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 400)), max_size=8), st.integers(9, 15), st.booleans(),
       st.sets(st.integers(0, 3000)), st.integers(1, 5000))
def test_messages_come_back_through_any_cuts_and_rooms(recipe, bits, keeps_context, cuts, room):
    deflate = Deflate(window_bits=bits, keeps_context=keeps_context)
    inflate = Inflate(window_bits=bits, keeps_context=keeps_context)
    for seed, times in recipe:
        message = seed * times
        ends = [*sorted(cut for cut in cuts if cut < len(message)), len(message)]
        parts = [message[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        compressed = [deflate.feed(part, ends=number == len(parts) - 1) for number, part in enumerate(parts)]
        assert inflated(inflate, compressed, room) == message


def test_compressed_bytes_may_be_cut_anywhere():
    message = b"Hello " * 50 + GENERATOR.randbytes(50)
    whole = theirs(message, zlib.compressobj(9, zlib.DEFLATED, -15))
    for place in range(len(whole) + 1):
        assert inflated(Inflate(), [whole[:place], whole[place:]]) == message
    assert inflated(Inflate(), [b"", *(bytes([byte]) for byte in whole), b""], 3) == message


def test_every_part_of_a_message_comes_out_with_its_bytes():
    deflate, decompressor = Deflate(), zlib.decompressobj(-15)
    for part in (b"one", b"two", b"", b"three"):
        assert decompressor.decompress(deflate.feed(part, ends=False)) == part
    assert decompressor.decompress(deflate.feed(b"four", ends=True) + TAIL) == b"four"


# RFC 7692 section 7.2.3.
@pytest.mark.parametrize(("payload", "message"), [
    ("f248cdc9c90700", b"Hello"),                                   # one block
    ("000500faff48656c6c6f00", b"Hello"),                           # no compression
    ("f348cdc9c9070000", b"Hello"),                                 # BFINAL
    ("f248050000 00ffffcac9c90700", b"Hello"),                      # two blocks
    ("00", b""),
], ids=["compressed", "stored", "final", "two blocks", "empty"])
def test_the_examples_of_the_rfc(payload: str, message: bytes):
    data = bytes.fromhex(payload)
    inflate = Inflate()
    assert inflated(inflate, [data]) == message
    assert inflated(inflate, [bytes([byte]) for byte in data], 1) == message


def test_the_second_message_of_the_rfc_looks_back_into_the_first():
    inflate = Inflate()
    assert inflated(inflate, [bytes.fromhex("f248cdc9c90700")]) == b"Hello"
    assert inflated(inflate, [bytes.fromhex("f200110000")]) == b"Hello"
    assert refused(Inflate(), bytes.fromhex("f200110000"))
    forgetful = Inflate(keeps_context=False)
    assert inflated(forgetful, [bytes.fromhex("f248cdc9c90700")]) == b"Hello"
    assert refused(forgetful, bytes.fromhex("f200110000"))


def test_inflating_goes_on_behind_final_blocks():
    final = bytes.fromhex("f348cdc9c90700")
    inflate = Inflate()
    assert inflated(inflate, [final + final + final + b"\x00"]) == b"HelloHelloHello"
    assert inflated(inflate, [bytes([byte]) for byte in final * 3 + b"\x00"], 2) == b"HelloHelloHello"
    # The window outlives a final block, too.
    assert inflated(inflate, [bytes.fromhex("f200110000")]) == b"Hello"


def test_a_great_many_final_blocks_are_no_great_work():
    assert inflated(Inflate(), [b"\x03\x00" * 500_000 + b"\x00"]) == b""


@pytest.mark.parametrize("data", [
    pytest.param(b"", id="no block"),
    pytest.param(b"\xf2\x48\xcd", id="half a block"),
    pytest.param(bytes.fromhex("f200110000"), id="a distance too far"),
    pytest.param(b"\x07", id="a reserved type"),
    pytest.param(theirs(b"Hello " * 50, zlib.compressobj(9, zlib.DEFLATED, -15))[:-3], id="the end is missing"),
    pytest.param(bytes.fromhex("f248cdc9c90700") + TAIL, id="a tail that is kept"),
    pytest.param(bytes.fromhex("f348cdc9c90700"), id="no block behind a final one"),
])
def test_a_message_that_is_none_is_refused_wherever_it_is_cut(data: bytes):
    assert refused(Inflate(), data)
    for place in range(len(data) + 1):
        inflate = Inflate()
        assert refused(inflate, data[:place], ends=False) or refused(inflate, data[place:])


def test_a_bomb_makes_no_more_than_its_room():
    bomb = theirs(b"\x00" * (1 << 26), zlib.compressobj(9, zlib.DEFLATED, -15))
    inflate = Inflate()
    assert len(bomb) < 1 << 17
    verdict, taken, made = inflate.feed(bomb, ends=True, room=1 << 16)
    assert (verdict, made) == ("more", b"\x00" * (1 << 16))
    assert taken < 1000


def test_a_message_that_fits_exactly_is_fed():
    for room in (5, 6):
        assert Inflate().feed(bytes.fromhex("f248cdc9c90700"), ends=True, room=room) == ("fed", 7, b"Hello")
    assert Inflate().feed(bytes.fromhex("f248cdc9c90700"), ends=True, room=4)[::2] == ("more", b"Hell")
    assert Inflate().feed(bytes.fromhex("f248cdc9c90700"), ends=True, room=0)[::2] == ("more", b"")
    assert Inflate().feed(b"\x00", ends=True, room=0) == ("fed", 1, b"")


def test_memory_is_taken_at_first_use_and_without_context_given_back_after_each_message():
    for keeps_context in (True, False):
        inflate, deflate = Inflate(keeps_context=keeps_context), Deflate(keeps_context=keeps_context)
        assert not inflate.is_open
        assert not deflate.is_open
        for _ in range(2):
            first, last = deflate.feed(b"Hel", ends=False), deflate.feed(b"lo", ends=True)
            assert deflate.is_open is keeps_context
            assert inflated(inflate, [first, last]) == b"Hello"
            assert inflate.is_open is keeps_context


def test_random_bytes_are_a_message_or_a_refusal():
    for _ in range(3000):
        data = GENERATOR.randbytes(GENERATOR.randrange(40))
        whole = refused(Inflate(), data)
        dripped = Inflate()
        assert whole == (any(refused(dripped, bytes([byte]), ends=False) for byte in data) or refused(dripped, b""))
