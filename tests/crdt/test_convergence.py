"""Whatever replicas go through, after healing all hold what the oracle holds, and nothing came back from the dead."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotpath.core.data import lww
from tests.crdt.cluster import AFTER_MS, Cluster
from tests.crdt.strategies import BIAS
from tests.crdt.twinbytes import Stamp, encode

NAMES = ["a", "b", "c", "d"]
KEYS = [b"x", b"y", b"z"]
OPS = st.sampled_from(["put", "put", "add", "replace", "remove", "remove"])
PAYLOADS = st.sampled_from([b"\0", b"\0x", b"\1[1]"])
WHO = st.integers(0, 3)


class Replicas(RuleBasedStateMachine):
    """Three replicas that become two, four, and three again."""

    @initialize(bias=BIAS)
    def begin(self, bias):
        self.cluster = Cluster(NAMES[:3], bias)
        self.under_way = []
        self.forgotten = set()

    def one(self, number):
        names = sorted(self.cluster.nodes)
        return self.cluster.nodes[names[number % len(names)]]

    def other(self, number, than):
        names = [name for name in sorted(self.cluster.nodes) if name != than.name]
        return self.cluster.nodes[names[number % len(names)]]

    def someone_joins(self):
        return any(node.joining for node in self.cluster.nodes.values())

    @rule(who=WHO, op=OPS, key=st.sampled_from(KEYS), payload=PAYLOADS, commit=st.booleans())
    def write(self, who, op, key, payload, commit):
        node = self.one(who)
        node.write(op, key, payload)
        if commit:
            node.commit()

    @rule(who=WHO, key=st.sampled_from(KEYS))
    def read(self, who, key):
        self.one(who).read(key)

    @rule(who=WHO, key=st.sampled_from(KEYS), payload=PAYLOADS, live=st.booleans(),
          back_ms=st.integers(-5, 2 * AFTER_MS))
    def client_merges_an_old_stamp(self, who, key, payload, live, back_ms):
        hlc = (self.cluster.true_ms - back_ms) << 16
        self.one(who).client_merge([encode(key, Stamp(hlc, "import"), live, payload if live else b"")])

    @rule(who=WHO, to=WHO, data=st.data())
    def push(self, who, to, data):
        """Committed cells, some twice, in any order, to any other replica, or to nobody."""
        sender = self.one(who)
        receiver = self.other(to, sender)
        if sender.disk.cells:
            cells = data.draw(st.lists(st.sampled_from(sender.disk.cells), max_size=4))
            self.cluster.push(lww.bundle(cells, self.cluster.bias), sender.name, receiver.name)

    @rule(who=WHO, to=WHO)
    def exchange(self, who, to):
        one = self.one(who)
        self.cluster.exchange(one.name, self.other(to, one).name)

    @rule(who=WHO, to=WHO)
    def say_hello(self, who, to):
        one = self.one(who)
        exchange = self.cluster.hello(one.name, self.other(to, one).name)
        if exchange is not None:
            self.under_way.append(exchange)

    @precondition(lambda self: getattr(self, "under_way", None))
    @rule(data=st.data(), told=st.booleans(), given=st.booleans())
    def go_on_later(self, data, told, given):
        place = data.draw(st.integers(0, len(self.under_way) - 1))
        self.cluster.finish(self.under_way.pop(place), told=told, given=given)

    @rule(ms=st.integers(1, 2 * AFTER_MS))
    def time_passes(self, ms):
        self.cluster.true_ms += ms

    @rule(who=WHO, offset_ms=st.integers(-5000, 5000))
    def clock_jumps(self, who, offset_ms):
        self.one(who).offset_ms = offset_ms

    @rule(who=WHO)
    def promise(self, who):
        self.one(who).promise()

    @rule(who=WHO)
    def collect(self, who):
        self.one(who).collect_seen()

    @rule(who=WHO)
    def crash(self, who):
        self.cluster.crash(self.one(who).name)

    @precondition(lambda self: len(self.cluster.nodes) < 4 and not self.forgotten)
    @rule(who=WHO)
    def join(self, who):
        """A new one is added at one member, and told of it."""
        host = self.one(who)
        if host.joining:
            return
        name = next(name for name in NAMES if name not in self.cluster.nodes)
        host.know(host.membership.add(name, ""))
        self.cluster.start(name, [host.name])

    def all_know_each_other(self, but):
        """Whether without `but` everybody knows of everybody: else who joined at `but` alone is nobody's member now."""
        left = [node for node in self.cluster.nodes.values() if node is not but]
        return all(one.name in other.membership.present for one in left for other in left)

    # A joiner whose only sponsor is forgotten would be nobody's member.
    @precondition(lambda self: len(self.cluster.nodes) > 2 and not self.someone_joins())
    @rule(who=WHO, to=WHO)
    def forget(self, who, to):
        """One member is forgotten at another; what only it had is gone."""
        teller = self.one(who)
        gone = self.other(to, teller)
        if gone.name not in teller.membership.present or not self.all_know_each_other(gone):
            return
        teller.know(teller.membership.forget(gone.name))
        del self.cluster.nodes[gone.name]
        self.forgotten.add(gone.name)
        self.under_way = [one for one in self.under_way if gone not in (one.asker, one.answerer)]
        self.cluster.remember_only_what_is_left()

    @precondition(lambda self: len(self.cluster.nodes) > 2 and not self.someone_joins())
    @rule(who=WHO)
    def lose_disk(self, who):
        self.cluster.lose_disk(self.one(who).name)

    @invariant()
    def every_replica_keeps_what_it_had(self):
        for node in getattr(self, "cluster", Cluster("")).nodes.values():
            self.cluster.check_kept_by(node)

    def teardown(self):
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        cluster.heal()
        assert not any(node.joining for node in cluster.nodes.values())
        cluster.check_all()
        # That one is forgotten went with the disk of the only one who had been told: it is said again.
        for node in cluster.nodes.values():
            for name in self.forgotten & node.membership.present:
                node.know(node.membership.forget(name))
        # Every tombstone goes in the end: nobody holds the frontier back for ever.
        # Not before time has passed the stamps: each crash may have put a clock two seconds ahead.
        latest_ms = max(node.table.clock >> 16 for node in cluster.nodes.values())
        cluster.true_ms = max(cluster.true_ms, latest_ms) + 10_000 + 2 * AFTER_MS
        for node in cluster.nodes.values():
            node.promise()
        cluster.settle()
        for node in cluster.nodes.values():
            node.collect_seen()
        cluster.check_all()
        assert {node.table.stats()["tombstones"] for node in cluster.nodes.values()} == {0}


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
