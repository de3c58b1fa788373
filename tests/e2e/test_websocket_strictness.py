"""Is a server strict where RFC 6455 and 7692 leave it a choice, and at the first byte that shows a fault?"""
from __future__ import annotations

import socket
import struct

import pytest

from tests.echoing import EchoServer, echo_servers
from tests.wsclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    NAMES,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Ended,
    close_frame,
    cut,
    fragments,
    frame,
    frame_head,
    masked,
)
from tests.wspeer import DEFLATE, FIN, deflated, opened, text

MAX_FRAME = 600
MAX_MESSAGE = 1024


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with echo_servers(tmp_path_factory.mktemp("echo")) as start:
        yield start


@pytest.fixture(scope="module")
def server(start) -> EchoServer:
    return start()


@pytest.fixture
def peer(server):
    with opened(server.address) as peer:
        yield peer


@pytest.fixture
def squeezing(server):
    """A connection that agreed on permessage-deflate."""
    with opened(server.address, DEFLATE) as peer:
        yield peer


@pytest.fixture(scope="module")
def narrow(start) -> EchoServer:
    return start("--max-frame", str(MAX_FRAME), "--max-message", str(MAX_MESSAGE))


@pytest.fixture
def bounded(narrow):
    with opened(narrow.address) as peer:
        yield peer


# IANA's "WebSocket Close Code Number Registry"; RFC 6455 section 7.4 for the ranges.
SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
NEVER_SENT = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", SENDABLE)
def test_a_close_code_that_may_be_sent_is_answered_with_itself(peer, code):
    peer.send(close_frame(code, "why — because".encode()))
    assert peer.closing() == code
    peer.is_over()


@pytest.mark.parametrize("code", NEVER_SENT)
def test_a_close_code_that_must_not_be_sent_is_a_protocol_error(peer, code):
    peer.send(close_frame(code, b"why"))
    peer.refused(1002)


def test_a_close_without_a_code_is_answered(peer):
    peer.send(frame(CLOSE))
    assert peer.closing() in (None, 1000)
    peer.is_over()


def test_half_a_close_code_is_a_protocol_error(peer):
    peer.send(frame(CLOSE, b"\x03"))
    peer.refused(1002)


def test_a_close_reason_that_is_no_text_is_invalid_data(peer):
    peer.send(frame(CLOSE, struct.pack(">H", 1000) + b"caf\xe9"))
    peer.refused(1007)


def test_the_longest_reason_is_heard_out(peer):
    peer.send(close_frame(4000, b"x" * 123))
    assert peer.closing() == 4000
    peer.is_over()


# Each is the beginning of a frame that shows the fault; nothing follows it.
BAD_HEADS = {
    "a fragmented ping": bytes([PING, 0x80]),
    "a fragmented close": bytes([CLOSE, 0x80]),
    "a ping of 126 bytes": bytes([FIN | PING, 0xFE]),
    "a pong of 64 KiB": bytes([FIN | PONG, 0xFF]),
    "a close of 126 bytes": bytes([FIN | CLOSE, 0xFE]),
    "a continuation of nothing": bytes([FIN | CONTINUATION, 0x81]),
    **{f"opcode {opcode:x}": bytes([FIN | opcode, 0x80]) for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)},
    **{f"reserved bit {bit:x}": bytes([FIN | bit << 4 | TEXT, 0x81]) for bit in (RSV1, RSV2, RSV3)},
    "a reserved bit on a ping": bytes([FIN | RSV1 << 4 | PING, 0x80]),
    "an unmasked text": bytes([FIN | TEXT, 0x05]),
    "an unmasked empty text": bytes([FIN | TEXT, 0x00]),
    "an unmasked ping": bytes([FIN | PING, 0x00]),
    "an unmasked close": bytes([FIN | CLOSE, 0x02]),
    "125 bytes in 16 bits": bytes([FIN | BINARY, 0xFE]) + struct.pack(">H", 125),
    "no bytes in 16 bits": bytes([FIN | TEXT, 0xFE]) + struct.pack(">H", 0),
    "65535 bytes in 64 bits": bytes([FIN | BINARY, 0xFF]) + struct.pack(">Q", 0xFFFF),
    "5 bytes in 64 bits": bytes([FIN | TEXT, 0xFF]) + struct.pack(">Q", 5),
    "a 64-bit length with its top bit": bytes([FIN | BINARY, 0xFF]) + struct.pack(">Q", 1 << 63),
    "a 64-bit length of ones": bytes([FIN | BINARY, 0xFF]) + b"\xff" * 8,
}


@pytest.mark.parametrize("case", BAD_HEADS)
def test_a_bad_head_is_a_protocol_error_before_its_payload(peer, case):
    peer.send(BAD_HEADS[case])
    peer.refused(1002)


def test_a_message_within_a_message_is_a_protocol_error_at_its_head(peer):
    peer.send(frame(TEXT, b"half", fin=False) + bytes([FIN | TEXT, 0x85]))
    peer.refused(1002)


@pytest.mark.parametrize("first", [
    FIN | RSV1 << 4 | CONTINUATION, FIN | RSV2 << 4 | CONTINUATION, RSV1 << 4 | CONTINUATION])
def test_a_fragment_cannot_begin_to_be_compressed(squeezing, first):
    squeezing.send(frame(TEXT, deflated(b"hello")[:3], fin=False, rsv=RSV1) + bytes([first, 0x81]))
    squeezing.refused(1002)


@pytest.mark.parametrize("first", [
    FIN | RSV1 << 4 | PING, FIN | RSV1 << 4 | CLOSE, FIN | RSV2 << 4 | TEXT, FIN | (RSV1 | RSV3) << 4 | TEXT])
def test_deflate_allows_its_own_bit_on_messages_only(squeezing, first):
    squeezing.send(bytes([first, 0x80]))
    squeezing.refused(1002)


def test_a_frame_cannot_be_compressed_unless_that_was_agreed(peer):
    peer.send(frame(TEXT, deflated(b"hello"), rsv=RSV1))
    peer.refused(1002)


BROKEN_DEFLATE = {
    "a block of no kind": b"\x07\x00\x00",
    "a stored block whose length lies": b"\x00\x05\x00\x05\x00hello",
    "a distance before the beginning": b"\x03\x01\x81\x00" + b"\xff" * 8,
}


@pytest.mark.parametrize("case", BROKEN_DEFLATE)
def test_what_does_not_inflate_fails_the_connection(squeezing, case):
    # RFC 7692 names no code: 1007 blames the payload, 1002 the peer.
    squeezing.send(frame(BINARY, BROKEN_DEFLATE[case], rsv=RSV1))
    code = squeezing.closing()
    assert code in (1002, 1007)
    squeezing.send(close_frame(code))
    squeezing.is_over()


def test_compressed_text_is_checked_too(squeezing):
    squeezing.send(frame(TEXT, deflated(b"caf\xe9 au lait"), rsv=RSV1))
    squeezing.refused(1007)


# Each ends with the first byte that no text can hold at its place (RFC 3629 section 4).
IMPOSSIBLE = {
    "a continuation first": b"abc\x80",
    "an overlong slash": b"\xc0",
    "an overlong of three": b"\xe0\x9f",
    "an overlong of four": b"\xf0\x8f",
    "a surrogate": b"h\xed\xa0",
    "beyond Unicode": b"\xf4\x90",
    "a lead that cannot be": b"\xf5",
    "ff": b"ok\xff",
    "two leads": b"\xc3\xc3",
    "cut short by ASCII": b"\xe2\x82a",
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_text_is_refused_at_its_first_impossible_byte(peer, case):
    peer.send(frame_head(TEXT, 1000) + masked(IMPOSSIBLE[case], MASK))     # the rest of the frame never comes
    peer.refused(1007)


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_text_in_fragments_is_refused_at_its_first_impossible_byte(peer, case):
    *sent, _last = fragments(TEXT, [*cut(IMPOSSIBLE[case], 1), b"never sent"])
    peer.send(b"".join(sent))
    peer.refused(1007)


def test_text_that_ends_within_a_character_is_refused(peer):
    peer.send(frame(TEXT, "€".encode()[:2]))
    peer.refused(1007)


def test_a_character_may_be_cut_over_fragments_and_packets(peer):
    payload = "κόσμε 🦀".encode()
    peer.drip(b"".join(fragments(TEXT, cut(payload, 1))))
    assert peer.read() == ("text", payload)


def test_binary_may_hold_anything(peer):
    peer.send(frame(BINARY, bytes(range(256))))
    assert peer.read() == ("binary", bytes(range(256)))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_at_the_limit_is_echoed_and_one_above_is_refused_by_its_head(bounded, opcode):
    bounded.send(frame(opcode, b"x" * MAX_FRAME))
    assert bounded.read() == (NAMES[opcode], b"x" * MAX_FRAME)
    bounded.send(frame_head(opcode, MAX_FRAME + 1))
    bounded.refused(1009)


@pytest.mark.parametrize("size", [1 << 16, 1 << 32, (1 << 63) - 1])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_vast_claim_is_refused_by_its_head(bounded, opcode, size):
    bounded.send(frame_head(opcode, size))
    bounded.refused(1009)


@pytest.mark.parametrize("size", [(16 << 20) + 1, (1 << 63) - 1])
def test_a_claim_above_the_default_limit_is_refused_by_its_head(peer, size):
    peer.send(frame_head(BINARY, size))
    peer.refused(1009)


def test_a_first_fragment_cannot_claim_too_much_either(bounded):
    bounded.send(frame_head(BINARY, MAX_FRAME + 1, fin=False))
    bounded.refused(1009)


def test_a_message_of_fragments_is_bounded_by_their_sum(bounded):
    rest = MAX_MESSAGE - MAX_FRAME
    bounded.send(frame(BINARY, b"a" * MAX_FRAME, fin=False) + frame(CONTINUATION, b"b" * rest))
    assert bounded.read() == ("binary", b"a" * MAX_FRAME + b"b" * rest)
    bounded.send(frame(BINARY, b"a" * MAX_FRAME, fin=False) + frame_head(CONTINUATION, rest + 1))
    bounded.refused(1009)


def test_an_endless_message_of_small_fragments_is_refused(bounded):
    pieces = [frame(CONTINUATION, b"0123456789abcdef", fin=False)] * (MAX_MESSAGE // 16)
    bounded.send(frame(TEXT, b"", fin=False) + b"".join(pieces) + frame_head(CONTINUATION, 1, fin=False))
    bounded.refused(1009)


def test_what_inflates_beyond_the_limit_is_refused(narrow):
    with opened(narrow.address, DEFLATE) as peer:
        peer.send(frame(TEXT, deflated(b"x" * MAX_MESSAGE), rsv=RSV1))
        assert peer.read_frame().opcode == TEXT
    with opened(narrow.address, DEFLATE) as peer:
        peer.send(frame(TEXT, deflated(b"x" * (MAX_MESSAGE + 1)), rsv=RSV1))
        peer.refused(1009)


def test_limits_count_messages_not_the_connection(bounded):
    for _ in range(10):
        bounded.send(frame(BINARY, b"x" * MAX_FRAME))
        assert bounded.read() == ("binary", b"x" * MAX_FRAME)


def test_whole_messages_are_answered_before_a_close_in_the_same_packet(peer):
    peer.send(text("one") + text("two") + frame(BINARY, b"three") + close_frame(1000, b"bye"))
    assert [peer.read() for _ in range(3)] == [("text", b"one"), ("text", b"two"), ("binary", b"three")]
    assert peer.closing() == 1000
    peer.is_over()


def test_whole_messages_are_answered_before_a_fault_in_the_same_packet(peer):
    peer.send(text("one") + text("two") + bytes([FIN | 3, 0x80]))
    assert [peer.read() for _ in range(2)] == [("text", b"one"), ("text", b"two")]
    peer.refused(1002)


def test_an_unfinished_message_dies_with_the_close(peer):
    # A control frame may stand within a message (RFC 6455 section 5.4), so this close is no fault.
    peer.send(frame(TEXT, b"half", fin=False) + close_frame(1000))
    assert peer.closing() == 1000
    peer.is_over()


def test_what_comes_behind_a_close_is_ignored(peer):
    peer.send(close_frame(4001) + text("late") + frame(PING, b"late") + close_frame(4002) + b"\xff\xff")
    assert peer.closing() == 4001
    peer.is_over()


def test_a_ping_is_answered_between_fragments(peer):
    peer.send(frame(TEXT, b"one ", fin=False) + frame(PING, b"there?"))
    assert peer.read() == ("pong", b"there?")      # the message is not over yet
    peer.send(frame(CONTINUATION, b"two ", fin=False) + frame(PING) + frame(CONTINUATION, b"three"))
    assert peer.read() == ("pong", b"")
    assert peer.read() == ("text", b"one two three")


def test_a_pong_that_nobody_asked_for_is_ignored(peer):
    peer.send(frame(PONG, b"hello") + text("still here"))
    assert peer.read() == ("text", b"still here")


def test_a_message_may_end_with_an_empty_fragment(peer):
    peer.send(frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"all", fin=False) + frame(CONTINUATION, b""))
    assert peer.read() == ("text", b"all")


@pytest.mark.parametrize("left", [b"", frame(TEXT, b"half", fin=False), text("cut in its payload")[:-3], text("x")[:1],
                                  frame_head(BINARY, 100_000)])
def test_a_client_that_ends_without_a_close_frame_is_let_go(peer, left):
    peer.send(text("hello") + left)
    assert peer.read() == ("text", b"hello")
    peer.sock.shutdown(socket.SHUT_WR)
    try:
        peer.closing()      # it may say something before it goes
    except Ended:
        return
    peer.is_over()


def test_a_client_that_waits_for_the_end_after_both_closes_gets_it(peer):
    peer.send(close_frame(1000))
    assert peer.closing() == 1000
    peer.is_over()            # RFC 6455 section 7.1.1: the server closes TCP first
