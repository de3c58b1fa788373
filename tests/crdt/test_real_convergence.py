"""The real parts, whatever they go through, keep and agree on all that was acknowledged, and resurrect nothing."""
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotpath.crdt.replica import Wish
from tests.crdt.oracle import state_of
from tests.crdt.realcluster import AFTER_MS, RealCluster
from tests.crdt.strategies import BIAS
from tests.crdt.twinbytes import Stamp, encode

NAMES = "abc"
WHO = st.sampled_from(NAMES)
KEYS = st.sampled_from([b"x", b"y", b"z"])
PAYLOADS = st.sampled_from([b"\0", b"\0x", b"\1[1]"])


def by_key(wish):
    return wish.key


@st.composite
def wishes(draw):
    op = draw(st.sampled_from(["put", "put", "add", "replace", "remove", "remove"]))
    return Wish(op, draw(KEYS), b"" if op == "remove" else draw(PAYLOADS))


@st.composite
def puts(draw):
    return Wish("put", draw(KEYS), draw(PAYLOADS))


class RealReplicas(RuleBasedStateMachine):
    """Three replicas in one process."""

    @initialize(bias=BIAS)
    def begin(self, bias):
        self.folder = Path(tempfile.mkdtemp())
        self.cluster = RealCluster(self.folder, NAMES, bias)

    @rule(who=WHO, wish=wishes())
    def write(self, who, wish):
        self.cluster.write(who, wish)

    @rule(who=WHO, key=KEYS, payload=PAYLOADS, live=st.booleans(), back_ms=st.integers(-5, 2 * AFTER_MS))
    def client_merges_an_old_stamp(self, who, key, payload, live, back_ms):
        stamp = Stamp(self.cluster.true_ms - back_ms << 16, "import")
        self.cluster.client_merge(who, [encode(key, stamp, live, payload if live else b"")])

    @rule(who=WHO, to=WHO, lost=st.integers(0, 8), twice=st.booleans())
    def exchange(self, who, to, lost, twice):
        if who != to:
            self.cluster.exchange(who, to, lost=lost, twice=twice)

    # Drawn without a look at the state: what a crash leaves is not the same each time.
    @rule(who=WHO, to=WHO, picks=st.lists(st.integers(0, 5), min_size=1, max_size=3))
    def push(self, who, to, picks):
        held = [encode(key, Stamp(write.hlc, write.replica), write.live, write.payload)
                for key, write in sorted(state_of(self.cluster.nodes[who].replica.table).items())]
        if who != to and held:
            self.cluster.push(who, to, [held[pick % len(held)] for pick in picks])

    @rule(ms=st.integers(1, 2 * AFTER_MS))
    def time_passes(self, ms):
        self.cluster.true_ms += ms

    @rule(who=WHO, offset_ms=st.integers(-5_000, 5_000))
    def clock_jumps(self, who, offset_ms):
        self.cluster.nodes[who].offset_ms = offset_ms

    @rule(who=WHO)
    def tend(self, who):
        self.cluster.nodes[who].group.tend()

    @rule(who=WHO, pending=st.lists(puts(), max_size=2, unique_by=by_key),
          before=st.sampled_from(["write", "sync"]), key=KEYS, back_ms=st.integers(1, AFTER_MS))
    def crash(self, who, pending, before, key, back_ms):
        node = self.cluster.nodes[who]
        # Of a peer's import: it may lose to what is pending here.
        hlc = max(node.wall_ms() - back_ms << 16, node.replica.table.floor + 1)
        told = encode(key, Stamp(hlc, "peer"), True, b"\0")
        node.crash(pending, before, told)

    @rule(who=WHO)
    def compact(self, who):
        replica = self.cluster.nodes[who].replica
        replica.journal.compact(replica.snapshot)

    @invariant()
    def every_replica_keeps_what_it_acknowledged(self):
        if hasattr(self, "cluster"):
            self.cluster.check_kept()

    def teardown(self):
        if not hasattr(self, "cluster"):
            return
        try:
            self.heal()
        finally:
            self.cluster.close()
            shutil.rmtree(self.folder)

    def heal(self):
        cluster = self.cluster
        for node in cluster.nodes.values():
            node.offset_ms = 0
        cluster.settle(4)
        cluster.check_all()
        cluster.true_ms += 20_000 + 2 * AFTER_MS
        for node in cluster.nodes.values():
            node.group.tend()
        cluster.settle(4)
        for node in cluster.nodes.values():
            node.group.tend()
        cluster.settle(1)
        cluster.check_all()
        assert {node.replica.table.stats()["tombstones"] for node in cluster.nodes.values()} == {0}


TestRealReplicas = RealReplicas.TestCase
TestRealReplicas.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
