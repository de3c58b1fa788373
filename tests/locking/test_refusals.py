"""What is refused, in words that say who must act; and a deadline that holds for every wait."""
from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from hotpath import locking as L
from tests.locking.rows import Letter, Plain, Seat, Tally, set_value, store, value_of
from tests.waiting import DEADLINE_S

WAITS = {"sqlite": "PRAGMA busy_timeout", "mariadb": "SELECT @@SESSION.innodb_lock_wait_timeout",
         "postgresql": "SHOW lock_timeout"}


def add(tx: L.Tx) -> None:
    tx.load(Tally, 1).value += 1


@pytest.mark.parametrize("policy", [L.Optimistic(), L.Pessimistic()], ids=lambda policy: type(policy).__name__)
def test_no_wait_outlasts_the_deadline_and_the_next_unit_waits_as_before(
        url: str, backend: str, policy: L.Optimistic) -> None:
    engine = L.engine(url, lock_timeout=10 * DEADLINE_S, pool_size=1)
    Tally.metadata.create_all(engine)
    store(engine, Tally(id=1))
    holders = L.engine(url)

    def waits() -> Any:
        with engine.connect() as connection:
            return connection.execute(text(WAITS[backend])).scalar_one()

    before = waits()
    with ThreadPoolExecutor(1) as pool, Session(holders) as holder:
        L.locked(holder, Tally, [1])
        late = pool.submit(L.run, engine, add, policy, deadline=0.5)
        with pytest.raises(L.LockTimeout):
            late.result(DEADLINE_S)
    assert waits() == before
    L.run(engine, add, policy, deadline=DEADLINE_S)
    assert waits() == before
    assert value_of(engine, Tally, 1) == 1
    engine.dispose()
    holders.dispose()


@pytest.mark.parametrize("end", [Session.commit, Session.rollback, Session.close], ids=lambda end: end.__name__)
def test_work_that_ends_its_transaction_by_itself_is_refused(stored: Engine, end: Callable[[Session], None]) -> None:
    store(stored, Tally(id=1))
    stats = L.Stats()

    def work(tx: L.Tx) -> None:
        add(tx)
        end(tx.session)

    with pytest.raises(TypeError, match="ended its transaction"):
        L.run(stored, work, stats=stats)
    assert stats.commits == 0
    assert stored.pool.checkedout() == 0


def test_the_work_is_told_when_adaptive_has_locked(stored: Engine) -> None:
    store(stored, Tally(id=1), Tally(id=2))
    policy = L.Adaptive(base=0.0, cap=0.0)
    told = []

    def overtaken(tx: L.Tx) -> None:
        row = tx.load(Tally, 1)
        told.append((tx.locking, stats.locked_attempts))
        if not tx.locking:
            set_value(stored, Tally, 1, row.value + 100)
        row.value += 1

    stats = L.Stats()
    for _ in range(4):
        L.run(stored, overtaken, policy, stats=stats)
    assert {locking for locking, _ in told} == {False, True}
    assert stats.locked_attempts == sum(locking for locking, _ in told)


def test_a_table_that_is_not_there_is_one_line_that_names_the_cure(engine: Engine) -> None:
    def locked() -> None:
        with Session(engine) as session:
            L.locked(session, Tally, [1])

    for attempt in (locked, lambda: L.run(engine, add), lambda: L.run(engine, add, L.Pessimistic())):
        with pytest.raises(L.Unusable, match="create_all") as caught:
            attempt()
        assert "tallies" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert engine.pool.checkedout() == 0


def test_a_sqlite_file_in_no_folder_is_said(tmp_path) -> None:
    engine = L.engine(f"sqlite:///{tmp_path / 'none' / 'file.db'}")
    with pytest.raises(L.Unusable, match="folder"):
        L.run(engine, add)


@pytest.mark.parametrize("change", [lambda tx, row: setattr(row, "value", 9), lambda tx, row: tx.session.delete(row)],
                         ids=["changed", "deleted"])
def test_a_conflict_names_the_row_in_our_words(stored: Engine, change: Callable[[L.Tx, Tally], None]) -> None:
    store(stored, Tally(id=1))

    def overtaken(tx: L.Tx) -> None:
        row = tx.load(Tally, 1)
        set_value(stored, Tally, 1, row.value + 1)
        change(tx, row)

    with pytest.raises(L.Conflict, match="a row of tallies was changed since it was read") as caught:
        L.run(stored, overtaken, L.Optimistic(attempts=1))
    assert caught.value.key == 1
    assert "confirm_deleted_rows" not in str(caught.value)


def test_it_names_the_row_of_a_class_that_inherits_its_version_and_in_the_middle_of_the_work(stored: Engine) -> None:
    store(stored, Letter(id=1, text="a"), Tally(id=1))

    def overtaken(tx: L.Tx, then: Callable[[], object]) -> None:
        letter = tx.load(Letter, 1)
        with Session(stored) as other:
            other.get_one(Letter, 1).subject += "x"
            other.commit()
        letter.subject = "y"
        then()

    for then in (lambda _tx: None, lambda tx: L.locked(tx.session, Tally, [1])):
        with pytest.raises(L.Conflict) as caught:
            L.run(stored, lambda tx, then=then: overtaken(tx, lambda: then(tx)), L.Optimistic(attempts=1))
        assert caught.value.key == 1


@pytest.mark.parametrize("policy", [L.Optimistic, "optimistic"])
def test_a_policy_is_an_object(stored: Engine, policy: Any) -> None:
    with pytest.raises(TypeError, match=r"Optimistic\(\)"):
        L.run(stored, add, policy)


@pytest.mark.parametrize("deadline", [-1, math.nan, math.inf])
def test_a_deadline_is_a_number_of_seconds(stored: Engine, deadline: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        L.run(stored, add, deadline=deadline)


@pytest.mark.parametrize("key", [1, (1,), (1, "a", 2)], ids=str)
def test_a_key_of_the_wrong_length_names_the_columns(stored: Engine, key: Any) -> None:
    with Session(stored) as session, pytest.raises(ValueError, match=r"number.*row|row.*number"):
        L.locked(session, Seat, [key])


def test_what_needs_a_version_says_so(stored: Engine) -> None:
    store(stored, Plain(id=1))
    with Session(stored) as session:
        row = session.get(Plain, 1)
        for attempt in (lambda: L.cas_update(session, Plain, 1, 1, value=2), lambda: L.force_increment(session, row),
                        lambda: L.ensure_unchanged(session, row)):
            with pytest.raises(TypeError, match="no version"):
                attempt()
