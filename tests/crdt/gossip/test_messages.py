"""Every message survives the way; any other bytes are a BadMessage and nothing else."""
from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.crc32c import crc32c
from hotpath.crdt.gossip.membership import MAX_MEMBERS, MAX_VERSION, Entry, Life
from hotpath.crdt.gossip.messages import Ask, BadMessage, Give, Hello, Speaker, Taken, Told, Want, decode_cells

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
NAMES = st.text("abcxyz019", min_size=1, max_size=8)
ROWS = st.dictionaries(NAMES, U64, max_size=5)
SPEAKERS = st.builds(Speaker, NAMES, U64, U32)
URLS = st.text(max_size=20)
ENTRIES = st.lists(
    st.builds(Entry, NAMES, st.integers(0, MAX_VERSION), st.booleans(),
              st.builds(Life, st.integers(0, MAX_VERSION), U64), URLS, URLS),
    max_size=4, unique_by=lambda entry: entry.name).map(tuple)
HELLOS = st.builds(Hello, SPEAKERS, st.sampled_from(("add", "remove")), st.booleans(), U64, U64,
                   st.integers(0, 2**48 - 1), U64, ROWS, st.dictionaries(NAMES, ROWS, max_size=3), ENTRIES,
                   st.binary(max_size=64))
ASKS = st.builds(Ask, SPEAKERS, U32, st.binary(max_size=64))
TOLDS = st.builds(Told, st.integers(1, 4096), st.lists(U64, max_size=4).map(lambda prints: struct.pack(
    f">{len(prints)}Q", *prints)), st.binary(max_size=64), st.booleans())
WANTS = st.builds(Want, SPEAKERS, st.lists(st.binary(max_size=20), min_size=1, max_size=5).map(tuple))
GIVES = st.one_of(st.builds(Give, SPEAKERS, st.binary(max_size=64)),
                  st.builds(Give, SPEAKERS, st.binary(max_size=64), st.just(True), st.booleans(), U64, ROWS))
TAKENS = st.builds(Taken, U64, U64, U64, st.binary(max_size=64))
KINDS = (Hello, Ask, Told, Want, Give, Taken)
MESSAGES = st.one_of(HELLOS, ASKS, TOLDS, WANTS, GIVES, TAKENS)


def sealed(body: bytes) -> bytes:
    """`body` with the right checksum: what lets a hostile body past the first check."""
    return body + struct.pack(">I", crc32c(body))


@given(message=MESSAGES)
def test_every_message_is_read_as_it_was_written(message):
    read = type(message).decode(message.encode())
    if isinstance(message, Give) and not message.complete:
        assert (read.speaker, read.delta, read.complete, read.row) == (message.speaker, message.delta, False, None)
    else:
        assert read == message


@given(message=st.one_of(ASKS, WANTS, GIVES))
def test_requests_to_cells_tell_themselves_apart(message):
    assert type(decode_cells(message.encode())) is type(message)


def read_or_refuse(body: bytes) -> None:
    for kind in KINDS:
        with contextlib.suppress(BadMessage):
            kind.decode(body)
    with contextlib.suppress(BadMessage):
        decode_cells(body)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_bad_message(body):
    for kind in KINDS:
        with pytest.raises(BadMessage):
            kind.decode(body)
    with pytest.raises(BadMessage):
        decode_cells(body)


@given(kind=st.integers(0, 8), body=st.binary(max_size=300))
def test_hostile_fields_behind_a_sound_head_and_checksum_raise_nothing_else(kind, body):
    read_or_refuse(sealed(b"LWWX\x01" + bytes([kind]) + b"\0\0" + body))


@given(message=MESSAGES, place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_under_a_right_checksum_raises_nothing_else(message, place, byte):
    body = bytearray(message.encode()[:-4])
    body[place % len(body)] = byte
    read_or_refuse(sealed(bytes(body)))


@given(message=MESSAGES, cut=st.integers(0, 10_000))
def test_a_cut_message_is_refused(message, cut):
    whole = message.encode()
    with pytest.raises(BadMessage):
        type(message).decode(whole[:cut % len(whole)])


@given(message=MESSAGES, place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_flipped_bit_is_refused(message, place, flip):
    body = bytearray(message.encode())
    body[place % len(body)] ^= flip
    with pytest.raises(BadMessage):
        type(message).decode(bytes(body))


def test_counts_beyond_the_bounds_are_refused_before_anything_is_read():
    speaker = Speaker("a", 1, 1)
    rows = {f"m{i}": {"a": 1} for i in range(MAX_MEMBERS + 1)}
    with pytest.raises(BadMessage, match="at most"):
        Hello.decode(Hello(speaker, "add", False, 1, 2, 3, 4, {}, rows, ()).encode())
    with pytest.raises(BadMessage, match="0 done"):
        Told.decode(Told(0, b"", b"").encode())
    with pytest.raises(BadMessage, match="wanted"):
        Told.decode(Told(1, b"1234567", b"").encode())
    with pytest.raises(BadMessage, match="out of range"):
        Hello.decode(Hello(speaker, "add", False, 1, 2, 3, 4, {}, {}, (Entry("a", MAX_VERSION + 1),)).encode())


def test_a_name_twice_is_refused():
    one = b"a".ljust(8, b"\0") + struct.pack(">Q", 5)
    body = Give(Speaker("a", 1, 1)).encode()[:8 + 20]
    with pytest.raises(BadMessage, match="twice"):
        Give.decode(sealed(body + b"\1" + bytes(8) + struct.pack(">H", 2) + one + one))
