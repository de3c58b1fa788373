"""The table and its slow twin, given the same calls, answer the same."""
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from hotpath.core.data import lww
from hotpath.core.data.lww import KeyExists, LWWTable, StampMismatch
from tests.crdt import twin as slow
from tests.crdt.oracle import state_of
from tests.crdt.strategies import BIAS, KEYS, PAYLOADS, WORLDS
from tests.crdt.twinbytes import bundle

OPS = st.sampled_from(["add", "replace", "put", "remove"])


def plain(stamp):
    return stamp and str(stamp)


def write(table, mismatch, exists, op, key, payload, expect):
    """The cell written, or what was raised."""
    try:
        return table.write(op, key, payload, expect=expect)
    except mismatch as error:
        return "mismatch", plain(error.stamp)
    except exists as error:
        return "exists", plain(error.stamp)
    except KeyError:
        return "absent"


def of_hlc(cell):
    return lww.parse(cell)[1].hlc


class BothTables(RuleBasedStateMachine):
    """Each rule goes to both; wall clocks are one and jump both ways."""

    stamps = Bundle("stamps")

    @initialize(bias=BIAS)
    def start(self, bias):
        self.now_ms = 1000
        self.bias = bias
        self.real = LWWTable("m", bias=bias, wall_ms=lambda: self.now_ms)
        self.twin = slow.Table("m", bias=bias, wall_ms=lambda: self.now_ms)

    @rule(to_ms=st.integers(0, 2000))
    def jump(self, to_ms):
        self.now_ms = to_ms

    def write_both(self, op, key, payload, expect):
        payload = b"" if op == "remove" else payload
        real = write(self.real, StampMismatch, KeyExists, op, key, payload, expect and lww.Stamp.parse(expect))
        if isinstance(real, bytes):
            # A table that grows amid a write takes the stamp again; a stamp may be left out, never given twice.
            left_out = of_hlc(real) - max(self.twin.clock + 1, self.now_ms << 16)
            assert left_out in (0, 1)
            if left_out:
                self.twin.observe(of_hlc(real) - 1)
        assert real == write(self.twin, slow.StampMismatch, slow.KeyExists, op, key, payload,
                             expect and slow.Stamp.parse(expect))
        return real

    @rule(target=stamps, op=OPS, key=KEYS, payload=PAYLOADS)
    def write(self, op, key, payload):
        real = self.write_both(op, key, payload, None)
        return str(lww.parse(real)[1]) if isinstance(real, bytes) else str(lww.Stamp(7, "zz"))

    @rule(op=OPS.filter("add".__ne__), key=KEYS, payload=PAYLOADS, stamp=stamps)
    def write_if(self, op, key, payload, stamp):
        self.write_both(op, key, payload, stamp)

    @rule(op=OPS.filter("add".__ne__), key=KEYS, payload=PAYLOADS)
    def write_if_it_is_what_it_is(self, op, key, payload):
        found = self.real.stamp(key)
        if found is not None:
            self.write_if(op, key, payload, str(found))

    @rule(world=WORLDS)
    def merge(self, world):
        delta = bundle(world, self.bias)
        assert self.real.merged(delta) == self.twin.merged(delta)

    @rule(world=WORLDS)
    def what_would_win(self, world):
        delta = bundle(world, self.bias)
        winners, *counts = self.real.winning(delta)
        expected, *expected_counts = self.twin.winning(delta)
        assert (sorted(lww.split(winners)), counts) == (sorted(slow.split(expected)), expected_counts)

    @rule(upto=st.integers(0, 2000).map(lambda ms: ms << 16) | st.integers(0, 8))
    def collect(self, upto):
        assert self.real.collect(upto) == self.twin.collect(upto)
        assert self.real.floor == self.twin.floor

    @rule(hlc=st.integers(0, 2000 << 16))
    def observe(self, hlc):
        self.real.observe(hlc)
        self.twin.observe(hlc)

    @rule()
    def tick(self):
        assert self.real.tick() == self.twin.tick()

    @rule(prefix=KEYS | st.just(b""), after=st.none() | KEYS, limit=st.integers(1, 5))
    def page(self, prefix, after, limit):
        expected = [(key, str(stamp), *rest) for key, stamp, *rest in self.twin.page(prefix, after, limit)]
        assert [(key, str(stamp), *rest) for key, stamp, *rest in self.real.page(prefix, after, limit)] == expected

    @rule(key=KEYS)
    def read(self, key):
        real, twin = self.real.read(key), self.twin.read(key)
        assert (real and (str(real[0]), *real[1:])) == (twin and (str(twin[0]), *twin[1:]))
        assert self.real.lookup(key, "none") == self.twin.lookup(key, "none")
        assert (key in self.real) is (key in self.twin)
        assert plain(self.real.stamp(key)) == plain(self.twin.stamp(key))

    @invariant()
    def both_are_one(self):
        if not hasattr(self, "real"):
            return
        assert state_of(self.real) == state_of(self.twin)
        assert self.real.clock == self.twin.clock
        assert len(self.real) == len(self.twin)
        assert sorted(self.real) == sorted(self.twin)
        counted, expected = self.real.stats(), self.twin.stats()
        assert [counted[name] for name in ("live", "tombstones", "applied", "ignored", "stale")] \
            == [expected[name] for name in ("live", "tombstones", "applied", "ignored", "stale")]

    @invariant()
    def the_digest_is_that_of_a_fresh_copy(self):
        if hasattr(self, "real"):
            copy = LWWTable("z", bias=self.bias)
            copy.merge(self.real.delta())
            assert copy.digest() == self.real.digest()


TestBothTables = BothTables.TestCase
TestBothTables.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
