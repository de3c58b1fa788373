"""The single-key protocol on real files, against a dict: slots move to and fro under routers with old maps."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hotpath.core.errors import DuplicateKey, InvalidRow, ShardUnavailable
from hotpath.shard import steps
from hotpath.shard.directory import Superseded, raise_fence
from hotpath.shard.rows.checks import Changes
from hotpath.shard.schema import slot_of
from hotpath.shard.topology import MoveState

from .moves import Cluster, applied

# Half of them in slots of each of the first two shards.
KEYS = tuple(range(8))
SLOTS = sorted({slot_of(key) for key in KEYS})
GOING = [slot for slot in SLOTS if slot % 2 == 0]
MOVING = [key for key in KEYS if slot_of(key) in GOING]
GOING_KEY = MOVING[0]


def row_of(key: int | None, text: str | None = "x", likes: int = 0) -> dict[str, object]:
    return {"id": key, "group": text, "likes": likes}


@pytest.fixture(params=[True, False], ids=["fenced", "plain"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = Cluster("s0", "s1", "s2", fenced=request.param)
    yield made
    made.close()


@pytest.fixture
def fenced() -> Iterator[Cluster]:
    made = Cluster("s0", "s1", "s2")
    yield made
    made.close()


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Do something the next time a step is reached."""
    def arm(step: str, do: Callable[[], None]) -> None:
        def reached(name: str) -> None:
            if name == step:
                monkeypatch.setattr(steps, "reached", lambda _name: None)
                do()
        monkeypatch.setattr(steps, "reached", reached)
    return arm


class Crash(BaseException):
    """The router dies here."""


def crash() -> None:
    raise Crash


# ---- at rest


def test_each_outcome_is_exact(cluster):
    store = cluster.store()
    for key in KEYS:
        owner = cluster.topology.owner(slot_of(key))
        assert store.get(key) == (None, owner)
        assert store.update(key, Changes({"group": "y"}, {})) == (False, owner)
        assert store.delete(key) == (False, owner)
        assert store.insert(row_of(key)) == (row_of(key), owner)
        with pytest.raises(DuplicateKey, match=f"'?order'?: a row with the key {key} exists"):
            store.insert(row_of(key, "other"))
        assert store.get(key) == (row_of(key), owner)
        assert store.update(key, Changes({"group": None}, {"likes": 3})) == (True, owner)
        assert store.update(key, Changes({"group": None}, {})) == (True, owner)     # to what it is already
        assert store.update(key, Changes({}, {})) == (True, owner)
        assert store.get(key) == (row_of(key, None, 3), owner)
        assert store.put(row_of(key, "z", 9)) == (False, owner)
        assert store.put(row_of(key, "z", 9)) == (False, owner)
        assert store.delete(key) == (True, owner)
        assert store.put(row_of(key, "new", 1)) == (True, owner)
        assert cluster.on(owner)[key] == row_of(key, "new", 1)
    assert sorted((*cluster.on("s0"), *cluster.on("s1"))) == list(KEYS)


def test_a_key_that_is_not_given_is_generated_and_one_that_stands_is_passed_over(cluster):
    store = cluster.store()
    store.insert(row_of(1))
    row, _ = store.insert(row_of(None))
    assert row == row_of(2)
    assert store.get(2)[0] == row_of(2)


def test_a_sum_out_of_range_is_refused_and_nothing_is_applied(cluster):
    store = cluster.store()
    store.insert(row_of(1, likes=2**31 - 1))
    with pytest.raises(InvalidRow) as refused:
        store.update(1, Changes({"group": "changed"}, {"likes": 1}))
    assert [error["path"] for error in refused.value.errors] == ["likes"]
    assert store.get(1)[0] == row_of(1, likes=2**31 - 1)


# ---- a router whose map is old


def test_a_router_with_an_old_map_neither_misreads_nor_miswrites(fenced):
    fresh, old = fenced.store(), fenced.store()
    key = GOING_KEY
    fresh.insert(row_of(key))
    before = old.directory.topology
    fenced.plan(GOING, "s0", "s2")
    fenced.open()
    fresh.directory.refresh()
    assert fresh.update(key, Changes({"group": "new"}, {})) == (True, "s2")
    assert old.directory.topology is before
    assert old.get(key) == (row_of(key, "new"), "s2")
    assert old.directory.topology.version > before.version
    assert fenced.on("s0")[key] == row_of(key)                 # frozen since its fence


@pytest.mark.parametrize("operation", ["insert", "put", "update", "delete"])
def test_each_write_of_a_router_with_an_old_map_lands_where_the_key_is_now(fenced, operation):
    store = fenced.store()
    key = GOING_KEY
    if operation != "insert":
        store.insert(row_of(key))
    fenced.plan(GOING, "s0", "s2")
    fenced.open()
    fenced.copy(key)
    fenced.complete()
    fenced.clean()
    if operation != "insert":
        fenced.drop("s0", key)
    fenced.drop_marks()
    fenced.settle()
    if operation == "insert":
        assert store.insert(row_of(key)) == (row_of(key), "s2")
    elif operation == "put":
        assert store.put(row_of(key, "new")) == (False, "s2")
    elif operation == "update":
        assert store.update(key, Changes({"group": "new"}, {})) == (True, "s2")
    else:
        assert store.delete(key) == (True, "s2")
    assert key not in fenced.on("s0")


def test_an_epoch_that_no_map_explains_is_503_and_nothing_is_applied(fenced):
    store = fenced.store()
    store.insert(row_of(0))
    store._wait_s = 0.05
    owner = fenced.topology.owner(slot_of(0))
    raise_fence(fenced.mover.aside(owner), 99)
    with pytest.raises(ShardUnavailable, match="epoch") as refused:
        store.put(row_of(0, "new"))
    assert refused.value.outcome == "none"
    assert fenced.on(owner)[0] == row_of(0)


@pytest.mark.parametrize(("before", "turn", "fence"), [
    ((), "open", "s0"), ((), "open", "s2"), (("open",), "complete", "s2"), (("open", "complete"), "clean", "s0"),
    (("open",), "reverse", "s2"), (("open",), "reverse", "s0"), (("open", "reverse"), "back", "s0"),
    (("open", "reverse"), "back", "s2")])
def test_whoever_meets_a_fence_whose_maker_died_finishes_the_transition(fenced, at_step, before, turn, fence):
    store = fenced.store()
    for key in KEYS:
        store.insert(row_of(key))
    fenced.plan(GOING, "s0", "s2")
    for step in before:
        getattr(fenced, step)()
        if step == "open":
            store.put(row_of(GOING_KEY, "new"))
            # A move that is taken back may have copied any of them, one that is completed has copied all.
            for slot_key in MOVING if turn in ("complete", "clean") else MOVING[:2]:
                fenced.copy(slot_key)
        if step == "reverse":
            fenced.bring_back(GOING_KEY)
    store.directory.refresh()
    at_step(f"transition: {fence} fenced", crash)
    with pytest.raises(Crash):
        getattr(fenced, turn)()
    for key in KEYS:
        assert store.get(key)[0] == row_of(key, "new" if before and key == GOING_KEY else "x")


def test_what_was_proposed_and_no_more_is_finished_by_whoever_turns_the_map_next(fenced, at_step):
    fenced.plan(GOING, "s0", "s2")
    at_step("transition: proposed", crash)
    with pytest.raises(Crash):
        fenced.open()
    fenced.mover.refresh()
    with pytest.raises(Superseded):
        fenced.open()
    assert fenced.topology.moves[0].state is MoveState.DUAL


def test_a_router_that_slept_until_a_shard_had_left_asks_for_the_map_and_answers(fenced):
    stores = {operation: fenced.store() for operation in ("get", "update", "put", "insert", "delete")}
    for key in KEYS:
        stores["get"].insert(row_of(key))
    for store in stores.values():
        store.get(GOING_KEY)                                    # its connections are open
    leaving = [slot for slot in range(65536) if slot % 2 == 0]
    fenced.plan(leaving, "s0", "s2")
    fenced.open()
    for key in KEYS:
        if slot_of(key) in GOING:
            fenced.copy(key)
    fenced.complete()
    fenced.clean()
    fenced.settle(gone="s0")
    fenced.end("s0")
    assert stores["get"].get(GOING_KEY) == (row_of(GOING_KEY), "s2")
    assert stores["update"].update(GOING_KEY, Changes({"group": "a"}, {})) == (True, "s2")
    assert stores["put"].put(row_of(GOING_KEY, "b")) == (False, "s2")
    with pytest.raises(DuplicateKey):
        stores["insert"].insert(row_of(GOING_KEY))
    assert stores["delete"].delete(GOING_KEY) == (True, "s2")


def test_a_shard_that_is_away_is_503_as_long_as_the_map_has_it(fenced):
    store = fenced.store()
    fenced.end("s0")
    with pytest.raises(ShardUnavailable, match="s0") as refused:
        store.put(row_of(GOING_KEY))
    assert refused.value.outcome == "none"
    assert store.put(row_of(next(key for key in KEYS if slot_of(key) not in GOING))) == (True, "s1")


# ---- in the middle of an operation


@pytest.mark.parametrize("step", ["write: fence held", "write: row read there", "write: row pulled"])
def test_a_router_that_dies_before_its_commit_has_done_nothing(fenced, at_step, step):
    store = fenced.store()
    key = GOING_KEY
    store.insert(row_of(key))
    fenced.plan(GOING, "s0", "s2")
    fenced.open()
    store.directory.refresh()
    at_step(step, crash)
    with pytest.raises(Crash):
        store.update(key, Changes({"group": "new"}, {}))
    assert fenced.on("s2") == {}
    assert fenced.marks("s2") == {}
    assert store.get(key) == (row_of(key), "s0")
    assert store.update(key, Changes({"group": "new"}, {})) == (True, "s2")


def test_a_read_that_falls_back_after_the_row_has_gone_starts_over(fenced, at_step):
    store, other = fenced.store(), fenced.store()
    key = GOING_KEY
    store.insert(row_of(key))
    fenced.plan(GOING, "s0", "s2")
    fenced.open()
    store.directory.refresh()

    def meanwhile() -> None:
        fenced.copy(key)
        fenced.complete()
        fenced.clean()
        fenced.drop("s0", key)
        other.directory.refresh()
        other.update(key, Changes({"group": "new"}, {}))

    at_step("read: no mark here", meanwhile)
    assert store.get(key) == (row_of(key, "new"), "s2")
    assert store.directory.counts.fallback_reads == 1
    assert store.directory.counts.epoch_retries == 1


def test_an_operation_that_changes_nothing_leaves_no_mark(fenced):
    store = fenced.store()
    here, absent = MOVING[:2]
    store.insert(row_of(here))
    fenced.plan(GOING, "s0", "s2")
    fenced.open()
    assert store.update(absent, Changes({"group": "new"}, {})) == (False, "s2")
    assert store.delete(absent) == (False, "s2")
    with pytest.raises(DuplicateKey):
        store.insert(row_of(here, "other"))
    assert fenced.marks("s2") == {}
    assert store.delete(here) == (True, "s2")
    assert fenced.marks("s2") == {here: 1}
    assert store.get(here) == (None, "s2")                      # and not the old one's
    assert store.insert(row_of(here, "again")) == (row_of(here, "again"), "s2")
    assert fenced.marks("s2") == {here: 2}
    assert fenced.on("s0") == {here: row_of(here)}


# ---- everything, in any order


class Operations(RuleBasedStateMachine):
    """Three routers, each with the map it last had to read, against one dict."""

    keys = st.sampled_from(KEYS)
    routers = st.integers(0, 2)
    texts = st.sampled_from(["a", "b", "c", None])

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster("s0", "s1", "s2")
        self.stores = [self.cluster.store() for _ in range(3)]
        self.rows: dict[int, dict[str, object]] = {}
        self.frozen: dict[str, dict] = {}

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            try:
                self.finish()
            finally:
                self.cluster.close()

    # -- operations

    @rule(router=routers, key=keys)
    def get(self, router, key):
        assert self.stores[router].get(key)[0] == self.rows.get(key)

    @rule(router=routers, key=keys, text=texts)
    def insert(self, router, key, text):
        assert applied(self.stores[router], row_of(key, text)) == (key not in self.rows)
        self.rows.setdefault(key, row_of(key, text))

    @rule(router=routers, key=keys, text=texts, likes=st.integers(0, 3))
    def put(self, router, key, text, likes):
        assert self.stores[router].put(row_of(key, text, likes))[0] == (key not in self.rows)
        self.rows[key] = row_of(key, text, likes)

    @rule(router=routers, key=keys, text=texts)
    def update(self, router, key, text):
        done = self.stores[router].update(key, Changes({"group": text}, {"likes": 1}))[0]
        assert done == (key in self.rows)
        if done:
            self.rows[key] = row_of(key, text, self.rows[key]["likes"] + 1)

    @rule(router=routers, key=keys)
    def delete(self, router, key):
        assert self.stores[router].delete(key)[0] == (self.rows.pop(key, None) is not None)

    # -- the move

    @property
    def state(self) -> MoveState | None:
        moves = self.cluster.topology.moves
        return moves[0].state if moves else None

    @precondition(lambda self: self.state is None)
    @rule(there=st.sampled_from(["s1", "s2"]))
    def plan(self, there):
        self.cluster.drop_marks()
        topology = self.cluster.topology
        source = "s0" if topology.owner(GOING[0]) == "s0" else topology.owner(GOING[0])
        target = there if there != source else "s0"
        if target in topology.kept:
            for key in list(self.cluster.on(target)):
                if slot_of(key) in topology.kept[target]:
                    self.cluster.drop(target, key)
            self.cluster.purged(target)
        self.cluster.plan(GOING, source, target)

    @precondition(lambda self: self.state is MoveState.PLANNED)
    @rule()
    def open(self):
        self.cluster.open()
        self.freeze()

    def freeze(self) -> None:
        source = self.cluster.topology.moves[0].source
        self.frozen = {source: {key: row for key, row in self.cluster.on(source).items() if slot_of(key) in GOING}}

    @precondition(lambda self: self.state is MoveState.DUAL)
    @rule(key=st.sampled_from(MOVING))
    def copy(self, key):
        self.cluster.copy(key)

    @precondition(lambda self: self.state is MoveState.DUAL)
    @rule()
    def complete(self):
        for key in KEYS:
            if slot_of(key) in GOING:
                self.cluster.copy(key)
        self.cluster.complete()

    @precondition(lambda self: self.state is MoveState.COMPLETE)
    @rule()
    def clean(self):
        self.cluster.clean()
        self.frozen = {}

    @precondition(lambda self: self.state is MoveState.CLEANING)
    @rule(keep=st.booleans())
    def settle(self, keep):
        source = self.cluster.topology.moves[0].source
        for key in self.cluster.on(source):
            if slot_of(key) in GOING and not keep:
                self.cluster.drop(source, key)
        self.cluster.drop_marks()
        self.cluster.settle(keep=keep)

    @precondition(lambda self: self.state is MoveState.DUAL)
    @rule()
    def cancel(self):
        self.frozen = {}
        self.cluster.reverse()

    @precondition(lambda self: self.state is MoveState.REVERSE)
    @rule(key=st.sampled_from(MOVING))
    def bring_back(self, key):
        self.cluster.bring_back(key)

    @precondition(lambda self: self.state is MoveState.REVERSE)
    @rule()
    def back(self):
        for key in KEYS:
            if slot_of(key) in GOING:
                self.cluster.bring_back(key)
        self.cluster.back()

    @precondition(lambda self: self.state is MoveState.BACK)
    @rule()
    def settle_back(self):
        target = self.cluster.topology.moves[0].target
        for key in self.cluster.on(target):
            if slot_of(key) in GOING:
                self.cluster.drop(target, key)
        self.cluster.drop_marks()
        self.cluster.settle()

    @invariant()
    def what_is_frozen_stays(self):
        for name, rows in getattr(self, "frozen", {}).items():
            assert {key: row for key, row in self.cluster.on(name).items() if slot_of(key) in GOING} == rows

    def finish(self) -> None:
        """Every row on its owner, and nowhere else but where it was kept."""
        steps_of = {MoveState.PLANNED: self.open, MoveState.DUAL: self.complete, MoveState.COMPLETE: self.clean,
                    MoveState.CLEANING: lambda: self.settle(keep=False), MoveState.REVERSE: self.back,
                    MoveState.BACK: self.settle_back}
        while self.state is not None:
            steps_of[self.state]()
        topology = self.cluster.topology
        found = {}
        for member in topology.members:
            for key, row in self.cluster.on(member.name).items():
                if slot_of(key) not in topology.kept.get(member.name, ()):
                    assert topology.owner(slot_of(key)) == member.name
                    assert key not in found
                    found[key] = row
        assert found == self.rows
        for key in KEYS:
            assert self.stores[0].get(key)[0] == self.rows.get(key)


TestOperations = Operations.TestCase
TestOperations.settings = settings(max_examples=20, stateful_step_count=40, deadline=None,
                                   suppress_health_check=list(HealthCheck))
