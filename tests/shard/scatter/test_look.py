"""A move goes on while somebody reads: whatever step comes between two questions, the answer is whole."""
from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotpath.core.errors import HotpathError
from hotpath.shard.rows.aggregates import summary_of_python
from hotpath.shard.rows.query import query_of_python
from hotpath.shard.scatter import Scatter, look, scanned
from hotpath.shard.topology import MoveState

from .byhand import key_of, row_of
from .states import moves_of
from .stepping import InOrder, Story

KEYS = [key_of("bigint", n) for n in range(25)]


class NotWhole(Exception):
    """An answer that no moment can explain."""


def explained(story, found):
    """Raises NotWhole if a key has a row that the cluster did not have since the question was asked."""
    for key, now in story.rows.items():
        if found.get(key) not in story.allowed.get(key, [now]):
            raise NotWhole(key)
    if found.keys() - story.rows.keys():
        raise NotWhole(found)


def read_through(shards, kind, seed, end=None):
    """A whole move, told from the seed, with all kinds of questions in between."""
    table = shards.table
    rng = random.Random(seed)
    rows = {key: row_of(table, key, n) for n, key in enumerate(KEYS)}
    story = Story(shards, rows, moves_of(kind, [MoveState.PLANNED] * 3), rng.randrange, end)
    scatter = Scatter(table, story.map, InOrder(lambda names: rng.sample(names, len(names))), None, None, 5.0)
    while not story.is_over:
        story.allowed.clear()
        match rng.randrange(3):
            case 0:
                query = query_of_python(table, order=rng.choice(["name,-at", "-key"]), limit=rng.randrange(3, 30),
                                        max_limit=30)
                listed = list(scanned(scatter.rows, query))
                if len({row["key"] for row in listed}) < len(listed):
                    raise NotWhole(listed)
                explained(story, {row["key"]: row for row in listed})
            case 1:
                found = scatter.get_many(KEYS)
                explained(story, {key: row for key, row in zip(KEYS, found, strict=True) if row is not None})
            case 2:
                found = scatter.aggregate(summary_of_python(table, ["count", "sum(n)"])).result()
                ways = [story.allowed.get(key, [now]) for key, now in story.rows.items()]
                for name, value in (("count", lambda row: 1), ("sum(n)", lambda row: row["n"])):
                    seen = [[0 if row is None else value(row) for row in way] for way in ways]
                    if not sum(map(min, seen)) <= (found[name] or 0) <= sum(map(max, seen)):
                        raise NotWhole(found)
    assert story.published.moves == ()


@pytest.mark.parametrize("kind", ["add", "remove"])
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_step_of_a_move_comes_between(all_files, kind, seed):
    read_through(all_files["bigint"], kind, seed)


def believes_any_epoch(monkeypatch):
    monkeypatch.setattr(look, "prove", lambda *_: None)


def believes_an_empty_answer(monkeypatch):
    def prove(topology, name, rows, real=look.prove):
        if len(rows) != 1 or len(rows[0]) > 2:
            real(topology, name, rows)

    monkeypatch.setattr(look, "prove", prove)


def asks_each_time_anew(monkeypatch):
    class Reading:
        def __init__(self, shard):
            self.rows = shard.rows

    monkeypatch.setattr(look.Look, "hold", lambda self, names, stack: self._held.update(
        {name: Reading(self.shard(name)) for name in names}))


def ignores_marks(monkeypatch):
    monkeypatch.setattr(look.Look, "_marked", lambda *_: {})
    monkeypatch.setattr(look.Look, "copied", lambda *_: None)


def takes_the_old_shard_for_the_owner(monkeypatch):
    def counting(self, name, items, key):
        routes = self.topology.routes
        return [item for item in items if name in (routes[look.slot_of(key(item))].source,
                                                   routes[look.slot_of(key(item))].shard)]

    monkeypatch.setattr(look.Look, "counting", counting)


def takes_no_clients_write_back(monkeypatch):
    real = look.Look._marked
    monkeypatch.setattr(look.Look, "_marked", lambda *asked: dict.fromkeys(real(*asked), 0))


def trusts_a_cursor_too_far(monkeypatch):
    real = look.Look.copied
    monkeypatch.setattr(look.Look, "copied", lambda *asked: real(*asked) and (real(*asked)[0] + 9000, b"\xff" * 8))


def forgets_what_is_left_behind(monkeypatch):
    monkeypatch.setattr(look, "is_plain", lambda topology, name: not (
        topology.moving(name, MoveState.DUAL) or topology.moving(name, MoveState.REVERSE)))


# And how a move ends in which that shows at the latest.
MUTANTS = [(believes_any_epoch, None), (believes_an_empty_answer, None), (asks_each_time_anew, None),
           (ignores_marks, None), (takes_the_old_shard_for_the_owner, None), (trusts_a_cursor_too_far, "done"),
           (takes_no_clients_write_back, "cancelled"), (forgets_what_is_left_behind, None)]


@pytest.mark.parametrize(("mutant", "end"), MUTANTS)
def test_who_reads_otherwise_is_found_out(all_files, monkeypatch, mutant, end):
    mutant(monkeypatch)
    for seed in range(40):
        try:
            read_through(all_files["bigint"], ("add", "remove")[seed % 2], seed, end)
        except (NotWhole, KeyError, HotpathError, AssertionError):
            return
    pytest.fail("nobody noticed")
