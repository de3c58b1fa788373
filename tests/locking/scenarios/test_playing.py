"""Each anomaly happens and each cure holds, on every database; and the verdict is that of the data."""
from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import pytest
from sqlalchemy import Engine, inspect, text

from hotpath import locking
from hotpath.locking.scenarios import (
    SCENARIOS,
    Result,
    Step,
    UnknownPolicy,
    UnknownScenario,
    deadlock,
    play,
    playing,
    seat_booking,
    write_skew,
)
from tests.locking.databases import SERVERS, running

# What the contract promises: scenario, policy, verdict, measure.
PLAYS = [
    ("lost-update", "naive", "anomaly", {"start": 100, "deltas": [30, 50], "final": 150, "lost": 30}),
    *(("lost-update", policy, "safe", {"start": 100, "deltas": [30, 50], "final": 180, "lost": 0})
      for policy in ("optimistic", "pessimistic", "escalating", "atomic")),
    *(("write-skew", policy, "anomaly", {"on_call": 0}) for policy in ("naive", "version-only")),
    *(("write-skew", policy, "safe", {"on_call": 1}) for policy in ("unchanged", "pessimistic")),
    *(("deadlock", policy, "safe", {"completed": 2}) for policy in ("retried", "ordered")),
    ("seat-booking", "naive", "anomaly", {"seats": 1, "clients": 3, "sold": 3}),
    *(("seat-booking", policy, "safe", {"seats": 1, "clients": 3, "sold": 1})
      for policy in ("optimistic", "pessimistic")),
    ("bank-transfer", "naive", "anomaly", {"start": 300, "final": 290}),
    *(("bank-transfer", policy, "safe", {"start": 300, "final": 300}) for policy in ("optimistic", "pessimistic")),
]
EACH = pytest.mark.parametrize(("name", "policy", "verdict", "measure"), PLAYS, ids=[
    f"{name}-{policy}" for name, policy, *_ in PLAYS])
# No lock is waited for in these, so nothing depends on how fast anything is.
STEADY = [(name, policy) for name, policy, *_ in PLAYS
          if policy in ("naive", "version-only", "optimistic", "unchanged", "escalating")]
TABLES = ("stock", "doctor", "till", "flight", "booking", "account")


def told(result: Result) -> list[tuple[str, str | None, str]]:
    return [(step.actor, step.sql, step.outcome) for step in result.steps]


def rows(engine: Engine) -> int:
    """Of all scenarios, that are left."""
    with engine.connect() as connection:
        there = [f"hotpath_scene_{name}" for name in TABLES if inspect(connection).has_table(f"hotpath_scene_{name}")]
        return sum(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in there)


@EACH
def test_the_verdict_is_the_promised_one(engine, backend, name, policy, verdict, measure):
    shown: list[Step] = []
    result = play(engine, name, policy, on_step=shown.append)
    check(shown, SCENARIOS[name].actors)
    assert shown == list(result.steps)
    assert result.as_json(steps=False) == {
        "scenario": name, "policy": policy, "backend": backend, "verdict": verdict, "expected": verdict, "ok": True,
        "attempts": result.attempts, "measure": measure}
    assert rows(engine) == 0


def check(shown: list[Step], actors: Sequence[str]) -> None:
    """The steps are as documented."""
    assert [step.n for step in shown] == list(range(1, len(shown) + 1))
    assert [step.t_ms for step in shown] == sorted(step.t_ms for step in shown)
    assert {step.actor for step in shown} == set(actors)
    for step in shown:
        fields = {"n", "t_ms", "actor", "sql", "outcome"} | ({"note"} if step.outcome == "note" else set())
        assert set(step.as_json()) == fields
        assert step.outcome in ("ok", "wait", "retry", "conflict", "deadlock", "timeout", "note")
        assert (step.sql is None) == (step.outcome in ("note", "retry")) or step.outcome == "conflict"
        assert "hotpath_scene_" not in (step.sql or "")
        assert "#" not in (step.sql or "")
    for actor in actors:
        steps = [step for step in shown if step.actor == actor]
        for step, following in pairwise(steps):
            if step.outcome == "wait":
                assert (following.sql, following.outcome) in ((step.sql, "ok"), (step.sql, "deadlock"))
        assert steps[-1].outcome != "wait"


def test_the_scenarios_are_those_of_the_contract():
    assert [(name, policy) for name, one in SCENARIOS.items() for policy in one.policies] == [
        (name, policy) for name, policy, *_ in PLAYS]


@pytest.mark.parametrize(("name", "policy"), STEADY, ids=[f"{name}-{policy}" for name, policy in STEADY])
def test_a_play_goes_the_same_way_each_time(engine, name, policy):
    assert told(play(engine, name, policy)) == told(play(engine, name, policy))


def test_what_the_naive_ones_do_is_told_statement_by_statement(engine, backend):
    begin = [] if backend == "sqlite" else ["BEGIN"]
    write = ["BEGIN IMMEDIATE"] if backend == "sqlite" else []
    expected = []
    for actor in ("alice", "bob"):
        expected += [(actor, sql) for sql in (*begin, "SELECT amount FROM stock WHERE id = 'tea'")]
    for actor, amount in (("alice", 130), ("bob", 150)):
        expected += [(actor, sql) for sql in (*write, f"UPDATE stock SET amount={amount} WHERE id = 'tea'", "COMMIT")]
    result = play(engine, "lost-update", "naive")
    assert [(step.actor, step.sql) for step in result.steps if step.sql] == expected
    assert [step.note for step in result.steps if step.note] == [
        "read 100, adds 30: will write 130", "read 100, adds 50: will write 150"]


def test_who_comes_second_meets_a_conflict_and_begins_anew(engine):
    steps = play(engine, "lost-update", "optimistic").steps
    outcomes = [step.outcome for step in steps if step.actor == "bob" and step.outcome not in ("ok", "note")]
    assert outcomes == ["conflict", "retry"]
    (conflict,) = [step for step in steps if step.outcome == "conflict"]
    assert conflict.sql == "UPDATE stock SET amount=150, version=2 WHERE id = 'tea' AND version = 1"


def test_a_conflict_that_the_library_finds_is_told(engine):
    steps = play(engine, "write-skew", "unchanged").steps
    (conflict,) = [step for step in steps if step.outcome == "conflict"]
    assert conflict.sql is None


@pytest.mark.parametrize(("name", "policy"), [
    ("lost-update", "pessimistic"), ("lost-update", "atomic"), ("write-skew", "pessimistic"), ("deadlock", "ordered"),
    ("seat-booking", "pessimistic"), ("bank-transfer", "pessimistic")])
def test_who_needs_a_lock_that_another_has_waits_until_it_has_committed(engine, name, policy):
    steps = play(engine, name, policy).steps
    waits = [step.actor for step in steps if step.outcome == "wait"]
    assert waits == list(SCENARIOS[name].actors[1:])
    committed = next(step.n for step in steps if step.sql == "COMMIT")
    assert all(step.n > committed for step in steps
               if step.actor == waits[0] and step.outcome == "ok" and step.sql and "UPDATE " in step.sql[:7])


def test_who_is_sent_away_begins_anew(engine, backend):
    result = play(engine, "deadlock", "retried")
    refused = [step for step in result.steps if step.outcome in ("deadlock", "timeout")]
    assert {step.outcome for step in refused} == {"timeout" if backend == "sqlite" else "deadlock"}
    if backend != "postgresql":     # there whoever comes back may be faster than who waits, and be sent away anew
        assert len(refused) == 1
    retries = [step.actor for step in result.steps if step.outcome == "retry"]
    assert retries == [step.actor for step in refused]
    assert result.attempts == 2 + len(refused)


# ---- the verdict is that of the data

@contextmanager
def played_as(monkeypatch: pytest.MonkeyPatch, name: str, policy: str, other: str) -> Iterator[None]:
    """`policy` does what `other` does."""
    scenario = SCENARIOS[name]
    changed = dataclasses.replace(scenario.ways[policy], part=scenario.ways[other].part)
    with monkeypatch.context() as patch:
        patch.setattr(playing, "SCENARIOS", {name: dataclasses.replace(
            scenario, ways={**scenario.ways, policy: changed})})
        yield


@pytest.mark.parametrize(("name", "policy"), [
    (name, policy) for name, policy, verdict, _ in PLAYS if verdict == "safe" and name != "deadlock"])
def test_a_cure_that_does_nothing_is_found_out(engine, monkeypatch, name, policy):
    with played_as(monkeypatch, name, policy, "naive"):
        result = play(engine, name, policy)
    assert (result.verdict, result.expected, result.ok) == ("anomaly", "safe", False)


@pytest.mark.parametrize(("name", "policy"), [("lost-update", "optimistic"), ("write-skew", "unchanged"),
                                              ("seat-booking", "optimistic"), ("bank-transfer", "pessimistic")])
def test_an_anomaly_that_does_not_happen_is_found_out(engine, monkeypatch, name, policy):
    with played_as(monkeypatch, name, "naive", policy):
        result = play(engine, name, "naive")
    assert (result.verdict, result.expected, result.ok) == ("safe", "anomaly", False)


@pytest.mark.parametrize(("module", "function", "name", "policy"), [
    (write_skew, "ensure_unchanged", "write-skew", "unchanged"),
    (seat_booking, "force_increment", "seat-booking", "optimistic")], ids=["ensure_unchanged", "force_increment"])
def test_without_the_library_the_cure_fails(engine, monkeypatch, module, function, name, policy):
    monkeypatch.setattr(module, function, lambda *_: None)
    assert play(engine, name, policy).verdict == "anomaly"


def test_a_unit_that_gives_up_is_not_completed(engine, monkeypatch):
    once = deadlock.Pessimistic(attempts=1)
    monkeypatch.setattr(deadlock, "Pessimistic", lambda: once)
    result = play(engine, "deadlock", "retried")
    assert (result.verdict, result.measure) == ("anomaly", {"completed": 1})
    assert [step.note for step in result.steps if step.note and step.note.startswith("gives up: ")]


# ---- beside others

def test_plays_at_once_do_not_disturb_each_other(engine):
    wanted = [(name, policy) for name, policy, *_ in PLAYS]
    start = threading.Barrier(6)

    def some(which: int) -> list[Result]:
        start.wait()        # also for the tables, which nobody has made yet
        return [play(engine, *one) for one in wanted[which::6]]

    with ThreadPoolExecutor(6) as pool:
        results = [result for results in pool.map(some, range(6)) for result in results]
    assert [(result.scenario, result.policy) for result in results if not result.ok] == []
    assert len(results) == len(wanted)
    assert rows(engine) == 0


def test_tables_of_others_are_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (id INTEGER PRIMARY KEY, amount INTEGER)"))
        connection.execute(text("INSERT INTO stock VALUES (1, 7)"))
    play(engine, "lost-update", "naive")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, amount FROM stock")).all() == [(1, 7)]


def test_a_play_needs_no_connection_of_the_callers_pool(url):
    engine = locking.engine(url, pool_size=1, pool_timeout=0.1)
    with engine.connect():
        assert play(engine, "bank-transfer", "naive").ok
    engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_on_sqlite_the_callers_file_is_never_locked(engine):
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert play(engine, "lost-update", "pessimistic").ok
        assert rows(engine) == 0


def test_a_play_that_is_cut_short_leaves_nothing(engine):
    before = threading.active_count()

    def stop(step: Step) -> None:
        if step.outcome == "wait":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(engine, "lost-update", "pessimistic", on_step=stop)
    assert threading.active_count() == before
    assert rows(engine) == 0
    assert play(engine, "lost-update", "pessimistic").ok


# ---- what cannot be played

def test_names_that_are_not_known_are_answered_with_those_that_are(engine):
    with pytest.raises(UnknownScenario, match=r"'lost'.* lost-update, write-skew, deadlock, seat-booking, bank-transf"):
        play(engine, "lost", "naive")
    with pytest.raises(UnknownPolicy, match=r"deadlock .*'naive'.* retried, ordered"):
        play(engine, "deadlock", "naive")


@pytest.mark.parametrize("backend", SERVERS)
def test_a_server_that_is_not_there_is_said_in_one_line_without_the_password(backend):
    kind = {"mariadb": "mysql+mysqlconnector", "postgresql": "postgresql+psycopg"}[backend]
    engine = locking.engine(f"{kind}://me:secret@127.0.0.1:1/db")
    with pytest.raises(locking.Unusable, match="start the server") as refused:
        play(engine, "lost-update", "naive")
    assert len(str(refused.value).splitlines()) == 1
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("backend", SERVERS)
@pytest.mark.parametrize("has_tables", [False, True])
def test_a_missing_right_is_named(server, url, engine, has_tables):
    if has_tables:
        play(engine, "lost-update", "naive")
    guest = guest_of(server, engine)
    with pytest.raises(locking.Unusable, match="INSERT" if has_tables else "CREATE TABLE") as refused:
        play(locking.engine(guest), "lost-update", "naive")
    assert len(str(refused.value).splitlines()) == 1


def guest_of(server, engine: Engine):
    """The URL for somebody who may only look."""
    database = engine.url.database
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            name = f"guest_{database}"
            connection.execute(text(f"CREATE ROLE {name} LOGIN"))
            connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
        else:
            name = f"guest_{database}"
            connection.execute(text(f"CREATE USER {name}@'127.0.0.1'"))
            connection.execute(text(f"GRANT SELECT ON {database}.* TO {name}@'127.0.0.1'"))
    return engine.url.set(username=name, password=None)


@pytest.mark.parametrize("backend", SERVERS)
def test_a_server_that_dies_ends_the_play(backend):
    with running(backend) as server:
        engine = locking.engine(server.new_url())

        def kill(step: Step) -> None:
            if step.actor == "bob":
                server.kill()

        with pytest.raises((locking.Disconnected, locking.Unusable)):
            play(engine, "lost-update", "naive", on_step=kill)
        engine.dispose()


# ---- servers that refuse lost updates

@pytest.mark.parametrize("backend", ["mariadb"])
def test_the_anomaly_happens_also_where_mariadb_would_refuse_it(server, engine, monkeypatch):
    # As MariaDB from 11.6.2 on has it.
    server.execute("SET GLOBAL innodb_snapshot_isolation = ON")
    try:
        result = play(engine, "lost-update", "naive")
        assert (result.verdict, result.ok) == ("anomaly", True)
        assert "at READ COMMITTED" in (result.steps[0].note or "")
        monkeypatch.setattr(playing, "LEVEL", None)
        assert play(engine, "lost-update", "naive").measure == {"start": 100, "deltas": [30], "final": 130, "lost": 0}
    finally:
        server.execute("SET GLOBAL innodb_snapshot_isolation = OFF")


@pytest.mark.parametrize("backend", ["postgresql"])
@EACH
def test_all_is_as_promised_where_postgresql_is_strict(engine, name, policy, verdict, measure):
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET default_transaction_isolation TO "
                                "'serializable'"))
    result = play(engine, name, policy)
    assert (result.verdict, result.measure) == (verdict, measure)
    # Each is told once: by the statement that met it, else by itself.
    for step, following in pairwise(result.steps):
        assert (step.outcome, following.outcome) != ("conflict", "conflict")
