"""Frames: what comes of them, what is refused, and that neither depends on how the bytes arrive."""
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire.ws import scan_frame
from hotpath.core.wire.ws.probe import Broken, FrameHead, Receiver, is_close_code, read_frame_head, write_frame_head
from tests.core.wire.cases import places
from tests.core.wire.page import page
from tests.core.wire.ws.cases import BINARY, CASES, FIN, LARGEST, MASK, PING, TEXT, Case, Frame

BOTH = [pytest.param(case, is_client, id=f"to a {side}: {case.name}")
        for is_client, side in ((False, "server"), (True, "client")) for case in CASES]
SHORT = [case for case in CASES if sum(len(frame.payload) for frame in case.frames) < 300]
BEHIND = Frame(FIN | TEXT, b"x").encode(MASK)


def receiver_of(case: Case, *, is_client: bool) -> Receiver:
    return Receiver(is_client=is_client, deflate=case.deflate, max_frame=case.max_frame, max_message=case.max_message)


def names(piece) -> str:
    kind = piece.kind
    if kind == "close":
        return f"close {piece.close_code}"
    if kind != "data":
        return kind
    return ("compressed " if piece.compressed else "") + {TEXT: "text", BINARY: "binary"}[piece.opcode]


def run(receiver: Receiver, pieces):
    """What comes of bytes that arrive in `pieces`: (whole messages and control frames, the open message, the refusal).

    What is not taken comes again in front of the next piece, as from a buffer. The pieces' flags must fit together.
    """
    events, message, kept, frame = [], None, b"", None
    for arrived in pieces:
        data = kept + arrived
        taken, found = receiver.feed(data)
        kept = data[taken:]
        for piece in found:
            if piece.kind != "data":
                events.append((names(piece), piece.payload))
                continue
            assert piece.starts == (message is None)
            assert piece.frame_starts == (frame is None)
            assert piece.payload or piece.frame_ends
            message = (message or b"") + piece.payload
            frame = (frame or b"") + piece.payload
            assert piece.frame_ends == (len(frame) == piece.frame_size)
            if piece.frame_ends:
                frame = None
            if piece.ends:
                assert piece.frame_ends
                events.append((names(piece), message))
                message = None
        if receiver.broken or receiver.closed:
            # What has come of a message that is refused depends on the cut.
            return events, None, receiver.broken
        assert len(kept) < 14 + 125
    return events, message, receiver.broken


def cut(data: bytes, at) -> list[bytes]:
    ends = [*sorted(at), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(("case", "is_client"), BOTH)
def test_the_verdict_is_that_of_the_table(case: Case, is_client: bool):
    events, _, broken = run(receiver_of(case, is_client=is_client), [case.encode(masked=not is_client)])
    assert tuple(events) == case.events
    assert (broken.close_code if broken else 0) == case.broken
    if broken:
        assert broken.error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_name_has_one_row(case: Case):
    assert [other.name for other in CASES].count(case.name) == 1


@pytest.mark.parametrize(("case", "is_client"), BOTH)
def test_two_pieces_make_the_same(case: Case, is_client: bool):
    data = case.encode(masked=not is_client)
    whole = run(receiver_of(case, is_client=is_client), [data])
    for place in places(data):
        assert run(receiver_of(case, is_client=is_client), cut(data, [place])) == whole, place


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
@pytest.mark.parametrize("is_client", [False, True])
def test_dripped_bytes_make_the_same(case: Case, is_client: bool):
    data = case.encode(masked=not is_client)
    whole = run(receiver_of(case, is_client=is_client), [data])
    assert run(receiver_of(case, is_client=is_client), cut(data, range(1, len(data)))) == whole


@given(st.lists(st.sampled_from(SHORT), min_size=1, max_size=4), st.booleans(), st.sets(st.integers(1, 1200)))
def test_any_pieces_make_the_same(cases: list[Case], is_client: bool, cuts: set[int]):
    data = b"".join(case.encode(masked=not is_client) for case in cases)
    settings = Case("all", (), deflate=True, max_frame=1 << 20, max_message=1 << 21)
    whole = run(receiver_of(settings, is_client=is_client), [data])
    pieces = cut(data, [place for place in cuts if place < len(data)])
    assert run(receiver_of(settings, is_client=is_client), pieces) == whole


@pytest.mark.parametrize(("case", "is_client"), BOTH)
def test_nothing_is_read_behind_the_input(case: Case, is_client: bool):
    data = case.encode(masked=not is_client)
    with page(len(data)) as guarded:
        for place in [*places(data), len(data)]:
            receiver_of(case, is_client=is_client).feed(guarded.holding(data[:place]))


@pytest.mark.parametrize(("case", "is_client"), BOTH)
def test_the_other_side_may_not_send_so(case: Case, is_client: bool):
    receiver = receiver_of(case, is_client=is_client)
    receiver.feed(case.encode(masked=is_client))
    assert receiver.broken
    assert receiver.broken.close_code == 1002


@pytest.mark.parametrize(("frame", "size", "options"), [
    (Frame(FIN | BINARY | 0x10, b"xx"), 1, {}),
    (Frame(FIN | 3, b"xx"), 1, {}),
    (Frame(PING, b"xx"), 1, {}),
    (Frame(FIN, b"xx"), 1, {}),
    (Frame(FIN | PING, claim=126), 2, {}),
    (Frame(FIN | 8, b"x"), 2, {}),
    (Frame(FIN | BINARY, claim=125, form=2), 4, {}),
    (Frame(FIN | BINARY, claim=65535, form=8), 10, {}),
    (Frame(FIN | BINARY, claim=6), 2, {"max_frame": 5}),
    (Frame(FIN | BINARY, claim=600), 4, {"max_message": 5}),
    (Frame(FIN | BINARY, claim=LARGEST), 10, {"max_frame": 1 << 40}),
    (Frame(FIN | TEXT, b"ab\xc0\xaf"), 2 + 4 + 3, {}),
    (Frame(FIN | TEXT, b"ab\xed\xa0\x80"), 2 + 4 + 4, {}),
])
def test_a_refusal_comes_with_the_byte_that_deserves_it(frame: Frame, size: int, options):
    data = frame.encode(MASK)
    before = Receiver(**options)
    before.feed(data[:size - 1])
    assert before.broken is None
    receiver = Receiver(**options)
    receiver.feed(data[:size])
    assert receiver.broken


def test_what_is_broken_stays_broken():
    receiver = Receiver()
    receiver.feed(Frame(FIN | 3).encode(MASK))
    first = receiver.broken
    assert isinstance(first, Broken)
    assert receiver.feed(BEHIND) == (0, [])
    assert receiver.broken == first


def test_a_closed_receiver_takes_nothing():
    receiver = Receiver()
    receiver.feed(Frame(FIN | 8).encode(MASK))
    assert receiver.closed
    assert receiver.feed(BEHIND) == (0, [])
    assert receiver.broken is None


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 1 << 32, LARGEST])
@pytest.mark.parametrize("mask", [None, MASK])
def test_a_head_is_written_in_its_shortest_form_and_read_back(size: int, mask: bytes | None):
    head = write_frame_head(FIN | BINARY, size, mask)
    assert head == Frame(FIN | BINARY, claim=size).encode(mask)
    assert read_frame_head(head) == FrameHead(len(head), FIN | BINARY, BINARY, size, mask)
    assert read_frame_head(head + b"x") == read_frame_head(head)
    for place in range(len(head)):
        assert read_frame_head(head[:place]) == -2


@pytest.mark.parametrize("frame", [
    Frame(FIN | TEXT, claim=125, form=2), Frame(FIN | TEXT, claim=65535, form=8), Frame(FIN | TEXT, claim=1 << 63)])
def test_a_wrong_length_is_broken_before_its_mask_is_here(frame: Frame):
    data = frame.encode(MASK)
    assert read_frame_head(data) == -1
    assert read_frame_head(data[:-4]) == -1


def test_codes_of_a_close_frame():
    assert [code for code in range(-1, 65537) if is_close_code(code)] == [
        *range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


@pytest.mark.parametrize("mask", [None, MASK])
def test_a_frame_is_scanned_to_its_end(mask: bytes | None):
    data = Frame(FIN | TEXT, b"x" * 300).encode(mask)
    assert scan_frame(data) == scan_frame(data + BEHIND) == len(data)
    assert {scan_frame(data[:place]) for place in range(len(data))} == {-2}
    assert scan_frame(bytes([FIN | 3, 0])) == -1
    assert scan_frame(Frame(FIN | BINARY).encode(mask), repeat=3) == (2 if mask is None else 6)


def test_random_bytes_are_pieces_or_a_refusal():
    generator = random.Random(6455)
    for _ in range(2000):
        data = generator.randbytes(generator.randrange(1, 60))
        for is_client in (False, True):
            # A first head that may be, or all ends at the first byte.
            head = bytes([generator.choice((0x81, 0x01, 0x82, 0x89, 0x88)), len(data) | (0 if is_client else 0x80)])
            opened = head + data
            whole = run(Receiver(is_client=is_client), [opened])
            assert run(Receiver(is_client=is_client), cut(opened, range(1, len(opened)))) == whole


def test_a_large_message_is_the_same_in_pieces_of_any_size():
    payload = "Żółw, 日本語 and 😀. ".encode() * 3000
    data = Frame(FIN | TEXT, payload).encode(os.urandom(4))
    for size in (7, 63, 64, 65, 127, 128, 129, 255, 256, 257, 4096, 65536):
        pieces = [data[at:at + size] for at in range(0, len(data), size)]
        assert run(Receiver(), pieces) == ([("text", payload)], None, None), size
