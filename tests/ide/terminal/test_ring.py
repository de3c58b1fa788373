"""Ring and windows against a list: each byte is seen once, or its loss is told."""
from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from hotpath.ide.terminal.probe import Ring, View

ROOM, WINDOW = 4096, 1024
STEPS = st.lists(st.one_of(
    st.tuples(st.just("flood"), st.integers(1, 3 * ROOM)),
    st.tuples(st.just("attach"), st.integers(0, 2), st.integers(0, 2 * ROOM)),
    st.tuples(st.just("take"), st.integers(0, 2), st.integers(1, 2 * WINDOW)),
    st.tuples(st.just("ack"), st.integers(0, 2), st.floats(0, 1)),
), max_size=80)


class Model:
    """One client, as a list would have it."""

    def __init__(self, offset: int) -> None:
        self.next = self.acked = offset
        self.held = False


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_each_client_sees_every_byte_once_or_is_told_of_a_gap(steps):
    ring, whole = Ring(ROOM), bytearray()
    clients: dict[int, tuple[View, Model]] = {}
    for step in steps:
        if step[0] == "flood":
            data = bytes((len(whole) + i) * 7 % 251 for i in range(step[1]))
            ring.put(data)
            whole += data
            assert (ring.start, ring.end) == (max(0, len(whole) - ROOM), len(whole))
            continue
        if step[0] == "attach":
            offset = max(ring.start, min(ring.end, step[2]))
            clients[step[1]] = View(WINDOW, offset), Model(offset)
            continue
        if step[1] not in clients:
            continue
        view, model = clients[step[1]]
        if step[0] == "take":
            fell, offset, data = view.take(ring, step[2])
            assert fell == (not model.held and model.next < ring.start)
            if fell:
                assert model.next < offset <= ring.end
                assert ring.end - offset <= WINDOW // 4
                model.next = model.acked = offset
            allowed = 0 if model.held else min(ring.end - model.next, model.acked + WINDOW - model.next, step[2])
            assert (offset, data) == (model.next, bytes(whole[model.next:model.next + allowed]))
            model.next += allowed
            model.held = model.held or model.next - model.acked == WINDOW
        else:
            offset = model.acked + round((model.next - model.acked) * step[2])
            assert view.ack(offset)
            model.acked = offset
            if model.next - offset <= WINDOW // 4:
                model.held = False
            assert not view.ack(model.next + 1)
        assert view.is_behind(ring, 64) == (
            model.held or ring.end - model.acked >= WINDOW or ring.end - model.next + 64 > ROOM)


@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.binary(max_size=9000), max_size=12), room=st.integers(4096, 9000))
def test_a_ring_is_the_end_of_a_list(pieces, room):
    ring, whole = Ring(room), b""
    for piece in pieces:
        ring.put(piece)
        whole += piece
        assert ring.read(ring.start, ring.end - ring.start) == whole[-room:]
    with pytest.raises(ValueError, match="there is"):
        ring.read(ring.end, 1)


def test_a_picture_begins_with_a_line_if_one_is_near():
    ring = Ring(4096)
    ring.put(b"first\nsecond\n" + b"x" * 4090)
    assert ring.start == 7
    assert ring.line(ring.start) == 13
    ring.put(b"y" * 4096)
    assert ring.line(ring.start) == ring.start
    assert ring.line(0) == 0
