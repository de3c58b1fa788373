"""Cells and deltas out of tiny domains, so that stamps collide, names are cloned and payloads decide."""
from hypothesis import strategies as st

from tests.crdt.twinbytes import BIASES, LAST_HLC, Stamp, encode

KEYS = st.sampled_from([b"a", b"b", b"ab", b"\xff\x00", "é".encode(), b""])
HLCS = st.integers(1, 6)                # 0 is at the floor that every table begins with
NAMES = st.sampled_from(["a", "b", "zz999999"])
STAMPS = st.builds(Stamp, HLCS, NAMES)
PAYLOADS = st.sampled_from([b"\0", b"\0x", b"\0xy", b"\1null", b"\1[1]", b'\1{"k":"v"}'])
BIAS = st.sampled_from(BIASES)


@st.composite
def cells(draw, hlcs=HLCS, keys=KEYS):
    """One encoded cell; every third is a tombstone."""
    live = draw(st.sampled_from([True, True, False]))
    stamp = Stamp(draw(hlcs), draw(NAMES))
    return encode(draw(keys), stamp, live, draw(PAYLOADS) if live else b"")


CELLS = cells()
WORLDS = st.lists(CELLS, max_size=12)        # what one replica has seen


def wide_cells():
    """Cells whose every field may be anything that is legal."""
    payloads = st.one_of(st.binary(max_size=40).map(b"\0".__add__), PAYLOADS)
    stamps = st.builds(Stamp, st.integers(1, LAST_HLC), st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True))
    keys = st.binary(max_size=40)
    return st.one_of(st.builds(lambda key, stamp, payload: encode(key, stamp, True, payload), keys, stamps, payloads),
                     st.builds(lambda key, stamp: encode(key, stamp, False, b""), keys, stamps))

