"""Bulk inserts: rows stand alone, whoever is in the way, wherever the row belongs by now."""
from __future__ import annotations

from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotpath.core.errors import DuplicateKey, InvalidRow, PoolTimeout, ShardUnavailable, UncertainOutcome
from hotpath.shard.directory import raise_fence
from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import NoSuchTable
from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.scatter import Lanes, Scatter, bulk
from hotpath.shard.scatter.lanes import ForeignEpoch
from hotpath.shard.schema import slot_of
from hotpath.shard.topology import MoveState

from .byhand import HandMap, key_of, row_of
from .states import map_of, moves_of


class Singles:
    """The single-key protocol as far as bulk inserts need it."""

    def __init__(self, shards, errors=()):
        self.shards = shards
        self.inserted = []
        self.errors = dict(errors)
        self._ids = count(10**9)

    def insert(self, row):
        if row["key"] in self.errors:
            raise self.errors[row["key"]]
        if row["key"] is None:
            row = {**row, "key": next(self._ids)}
        self.inserted.append(row["key"])


class Failing:
    """A shard that answers transactions with one error after the other, then as it is."""

    def __init__(self, shard, *errors):
        self._shard = shard
        self._errors = list(errors)
        self.dialect, self.name = shard.dialect, shard.name
        self.n_writes = 0

    def rows(self, *asked):
        return self._shard.rows(*asked)

    def write(self, work):
        self.n_writes += 1
        if self._errors:
            raise self._errors.pop(0)
        return self._shard.write(work)


def fresh(shards, **epochs):
    for name in shards.shards:
        shards.fill(name, [], {}, epochs.get(name, 1))


def of(shards, topology, store=None, **over):
    table_map = HandMap(topology, {**shards.shards, **over})
    return table_map, Scatter(shards.table, table_map, Lanes(4, 2.0), store or Singles(shards), count(500).__next__,
                              2.0)


def there(shards):
    """Keys by shard."""
    return {name: {key for key, in shard.rows(Statement("SELECT `key` FROM `order`"))}
            for name, shard in shards.shards.items()}


def check_of(shards):
    return partial(row_of_python, shards.table)


STABLE = map_of([])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_row_is_inserted_or_said_why_not(all_files, data, small_pieces):
    shards = all_files["bigint"]
    fresh(shards)
    numbers = st.integers(0, 60)
    before = {key_of("bigint", n) for n in data.draw(st.sets(numbers))}
    for name, shard in shards.shards.items():
        mine = [key for key in before if STABLE.owner(slot_of(key)) == name]
        shard.write(lambda session, mine=mine: [shards.put(session, row_of(shards.table, key, 1)) for key in mine])
    rows, wanted, seen = [], {}, set(before)
    for i, n in enumerate(data.draw(st.lists(st.one_of(numbers, st.none(), st.just("bad")), max_size=80))):
        key = None if n is None else key_of("bigint", 1000 + i) if n == "bad" else key_of("bigint", n)
        row = row_of(shards.table, key, i % 30)
        if key is None:
            del row["key"]
        if n == "bad":
            row["n"] = "no number"
            wanted[i] = 422
        elif key in seen:
            wanted[i] = 409
        elif key is not None:
            seen.add(key)
        rows.append(row)
    _, scatter = of(shards, STABLE)
    found = scatter.insert_many(rows, check_of(shards))
    assert {one.index: one.status for one in found.failed} == wanted
    assert [one.index for one in found.failed] == sorted(wanted)
    assert found.inserted == len(rows) - len(wanted)
    by_shard = there(shards)
    assert sum(map(len, by_shard.values())) == len(before) + found.inserted
    assert set().union(*by_shard.values()) >= seen
    assert all(STABLE.owner(slot_of(key)) == name for name, keys in by_shard.items() for key in keys)


@pytest.fixture
def small_pieces(monkeypatch):
    """Small pieces, so that there are several."""
    monkeypatch.setattr(bulk, "ROWS_AT_ONCE", 7)


def rows_on(shards, topology, name, n):
    """So many rows that belong to one shard."""
    keys = (key for key in map(partial(key_of, "bigint"), count()) if topology.routes[slot_of(key)].shard == name)
    return [row_of(shards.table, next(keys), i) for i in range(n)]


def test_rows_that_move_go_by_the_single_key_protocol_and_others_do_not(all_files):
    shards = all_files["bigint"]
    fresh(shards)
    topology = map_of(moves_of("add", [MoveState.DUAL] * 3), epochs=dict.fromkeys(shards.shards, 1))
    store = Singles(shards)
    _, scatter = of(shards, topology, store)
    rows = [row_of(shards.table, key_of("bigint", n), n % 30) for n in range(100)]
    assert scatter.insert_many(rows, check_of(shards)).inserted == 100
    moving = {row["key"] for row in rows if topology.routes[slot_of(row["key"])].kind == "dual"}
    assert set(store.inserted) == moving
    assert set().union(*there(shards).values()) == {row["key"] for row in rows} - moving
    assert 20 < len(moving) < 80


def test_a_foreign_epoch_sends_the_rows_to_whom_they_belong_by_then(all_files):
    shards = all_files["bigint"]
    fresh(shards, s0=2, s1=2, s2=2, s3=2)
    old = map_of([])
    new = map_of(moves_of("add", [MoveState.COMPLETE] * 3), version=2, epochs=dict.fromkeys(shards.shards, 2))
    hand, scatter = of(shards, old)
    hand.turns.append(lambda: setattr(hand, "topology", new))
    rows = [row_of(shards.table, key_of("bigint", n), n % 30) for n in range(60)]
    found = scatter.insert_many(rows, check_of(shards))
    assert (found.inserted, found.failed, hand.n_stale) == (60, [], 1)
    for name, keys in there(shards).items():
        assert keys == {row["key"] for row in rows if new.owner(slot_of(row["key"])) == name}


def test_what_was_never_begun_is_sent_again_or_refused(all_files, monkeypatch):
    shards = all_files["bigint"]
    rows = rows_on(shards, STABLE, "s0", 3) + rows_on(shards, STABLE, "s1", 3)
    for error, refused in ((ForeignEpoch("s0", "has left"), []), (PoolTimeout("s0", "full"), [0, 1, 2])):
        fresh(shards)
        hand, scatter = of(shards, STABLE)
        hand.turns.append(lambda hand=hand: setattr(hand, "topology", map_of([], version=2)))
        errors, real = [error], Lanes.ask

        def ask(self, questions, errors=errors, real=real):
            if errors:
                questions["s1"]()
                raise errors.pop()
            return real(self, questions)

        monkeypatch.setattr(Lanes, "ask", ask)
        found = scatter.insert_many(rows, check_of(shards))
        monkeypatch.undo()
        assert [(one.index, one.status) for one in found.failed] == [(i, 503) for i in refused]
        assert found.inserted == 6 - len(refused)


def test_a_map_that_stays_foreign_fails_the_rows_and_no_others(all_files):
    shards = all_files["bigint"]
    fresh(shards, s0=9)
    hand, scatter = of(shards, STABLE)

    def stuck(*_):
        raise ShardUnavailable("s0", "a transition is stuck")

    hand.stale = stuck
    rows = rows_on(shards, STABLE, "s0", 5) + rows_on(shards, STABLE, "s1", 5)
    found = scatter.insert_many(rows, check_of(shards))
    assert found.inserted == 5
    assert [(one.index, one.status, one.outcome) for one in found.failed] == [(i, 503, "none") for i in range(5)]


def test_nobody_raises_the_fence_between_the_proof_and_the_commit(all_servers):
    shards = all_servers["bigint"]
    fresh(shards)
    tried = []

    class Between(Failing):
        def write(self, work):
            def watched(session):
                found = work(session)
                with pytest.raises(PoolTimeout):
                    raise_fence(self._shard, 2, wait_s=0.01)
                tried.append(1)
                return found
            return self._shard.write(watched)

    _, scatter = of(shards, STABLE, s1=Between(shards.shards["s1"]))
    assert scatter.insert_many(rows_on(shards, STABLE, "s1", 1), check_of(shards)).inserted == 1
    assert tried == [1]


def test_a_shard_that_is_away_fails_its_rows_after_one_try(all_files, monkeypatch):
    shards = all_files["bigint"]
    fresh(shards)
    monkeypatch.setattr(bulk, "ROWS_AT_ONCE", 5)
    away = Failing(shards.shards["s1"], *[ShardUnavailable("s1", "away")] * 9)
    _, scatter = of(shards, STABLE, s1=away)
    rows = rows_on(shards, STABLE, "s0", 20) + rows_on(shards, STABLE, "s1", 20)
    found = scatter.insert_many(rows, check_of(shards))
    assert (found.inserted, away.n_writes) == (20, 1)
    assert [(one.index, one.status, one.outcome, one.shard) for one in found.failed] == [
        (i, 503, "none", "s1") for i in range(20, 40)]


@pytest.mark.parametrize("error", [ShardUnavailable("s1", "away"), NoSuchTable("order")])
def test_a_shard_that_has_left_the_map_sends_its_rows_to_whom_they_belong_by_then(all_files, error):
    shards = all_files["bigint"]
    fresh(shards)
    old = map_of([])
    new = map_of(moves_of("add", [MoveState.COMPLETE] * 3), version=2)
    hand, scatter = of(shards, old, s1=Failing(shards.shards["s1"], error))
    hand.turns.append(lambda: setattr(hand, "topology", new))
    rows = rows_on(shards, old, "s1", 20)
    found = scatter.insert_many(rows, check_of(shards))
    assert (found.inserted, found.failed) == (20, [])
    for name, keys in there(shards).items():
        assert keys == {row["key"] for row in rows if new.owner(slot_of(row["key"])) == name}


def test_a_lost_commit_is_unknown_for_its_piece_alone(all_files, monkeypatch):
    shards = all_files["bigint"]
    fresh(shards)
    monkeypatch.setattr(bulk, "ROWS_AT_ONCE", 5)
    _, scatter = of(shards, STABLE, s1=Failing(shards.shards["s1"], UncertainOutcome("s1", "connection lost")))
    found = scatter.insert_many(rows_on(shards, STABLE, "s1", 12), check_of(shards))
    assert [one.outcome for one in found.failed] == ["unknown"] * 5 + ["none"] * 7
    assert found.inserted == 0


def test_one_row_that_somebody_holds_does_not_stop_the_next_piece(all_files, monkeypatch):
    shards = all_files["bigint"]
    fresh(shards)
    monkeypatch.setattr(bulk, "ROWS_AT_ONCE", 5)
    held = Failing(shards.shards["s1"], PoolTimeout("s1", "locked"))
    _, scatter = of(shards, STABLE, s1=held)
    found = scatter.insert_many(rows_on(shards, STABLE, "s1", 12), check_of(shards))
    assert [one.index for one in found.failed] == [0, 1, 2, 3, 4]
    assert found.inserted == 7
    held = Failing(shards.shards["s1"], *[PoolTimeout("s1", "locked")] * 9)
    _, scatter = of(shards, STABLE, s1=held)
    assert scatter.insert_many(rows_on(shards, STABLE, "s1", 25), check_of(shards)).inserted == 0
    assert held.n_writes == bulk.MAX_TIMEOUTS


def test_a_race_for_a_key_is_tried_again_and_then_fought_one_by_one(all_files):
    shards = all_files["bigint"]
    fresh(shards)
    rows = rows_on(shards, STABLE, "s1", 4)
    lost = Failing(shards.shards["s1"], *[bulk.Duplicate("k")] * (bulk.MAX_RACES - 1))
    _, scatter = of(shards, STABLE, s1=lost)
    assert scatter.insert_many(rows, check_of(shards)).inserted == 4
    fresh(shards)
    lost = Failing(shards.shards["s1"], *[bulk.Duplicate("k")] * bulk.MAX_RACES)
    store = Singles(shards, {rows[2]["key"]: DuplicateKey("order", rows[2]["key"])})
    _, scatter = of(shards, STABLE, store, s1=lost)
    found = scatter.insert_many(rows, check_of(shards))
    assert [(one.index, one.status) for one in found.failed] == [(2, 409)]
    assert store.inserted == [row["key"] for i, row in enumerate(rows) if i != 2]


def test_a_value_that_only_the_database_refuses_fails_its_row_alone(all_files):
    shards = all_files["bigint"]
    fresh(shards)
    rows = rows_on(shards, STABLE, "s1", 4)
    refused = InvalidRow([{"path": "n", "message": "out of range"}])
    store = Singles(shards, {rows[1]["key"]: refused})
    _, scatter = of(shards, STABLE, store, s1=Failing(shards.shards["s1"], bulk.OutOfRange("n")))
    found = scatter.insert_many(rows, check_of(shards))
    assert [(one.index, one.status, one.errors) for one in found.failed] == [(1, 422, refused.errors)]


def test_a_generated_key_that_stands_already_is_made_anew(all_files):
    shards = all_files["bigint"]
    fresh(shards)
    for name, shard in shards.shards.items():
        mine = [key for key in range(500, 520) if STABLE.owner(slot_of(key)) == name]
        shard.write(lambda session, mine=mine: [shards.put(session, row_of(shards.table, key, 1)) for key in mine])
    store = Singles(shards)
    _, scatter = of(shards, STABLE, store)      # whose ids begin at 500
    rows = [{name: value for name, value in row_of(shards.table, 0, i).items() if name != "key"} for i in range(30)]
    assert scatter.insert_many(rows, check_of(shards)).inserted == 30
    assert len(store.inserted) == 20


def test_a_row_as_large_as_a_piece_goes_alone(all_files, monkeypatch):
    shards = all_files["bigint"]
    fresh(shards)
    monkeypatch.setattr(bulk, "BYTES_AT_ONCE", 1)
    writes = Failing(shards.shards["s1"])
    _, scatter = of(shards, STABLE, s1=writes)
    assert scatter.insert_many(rows_on(shards, STABLE, "s1", 6), check_of(shards)).inserted == 6
    assert writes.n_writes == 6
