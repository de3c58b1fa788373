"""`run`: a fresh transaction for each try, and who must act when none of them ends well."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from hotpath import locking as L
from tests.locking.databases import SERVERS, Server
from tests.locking.rows import Plain, Tally, set_value, store, value_of
from tests.waiting import DEADLINE_S

AT_ONCE = {"base": 0.0, "cap": 0.0}


@pytest.fixture
def one(stored: Engine) -> Engine:
    """A row 1 of each kind, at 0."""
    store(stored, Tally(id=1), Plain(id=1))
    return stored


def beaten(engine: Engine, times: int) -> Callable[[L.Tx], int]:
    """Work that adds 1, but is overtaken so often by somebody who adds 100."""
    def add(tx: L.Tx) -> int:
        row = tx.load(Tally, 1)
        if tx.attempt <= times:
            set_value(engine, Tally, 1, row.value + 100)
        row.value += 1
        return tx.attempt
    return add


def test_what_the_work_returns_comes_back_and_its_changes_stand(one: Engine) -> None:
    def work(tx: L.Tx) -> Tally:
        row = tx.load(Tally, 1)
        row.value = 7
        return row

    row = L.run(one, work)
    assert (row.value, row.version) == (7, 2)       # still to be read, though its session is closed
    assert value_of(one, Tally, 1) == 7


def test_an_overtaken_try_is_made_again_on_what_is_committed_then(one: Engine) -> None:
    stats = L.Stats()
    assert L.run(one, beaten(one, 2), L.Optimistic(**AT_ONCE), stats=stats) == 3
    assert value_of(one, Tally, 1) == 201
    assert (stats.attempts, stats.commits, stats.conflicts) == (3, 1, 2)


def test_each_try_has_a_session_and_a_transaction_of_its_own(one: Engine) -> None:
    seen: list[Session] = []

    def work(tx: L.Tx) -> None:
        assert not tx.session.new
        assert not tx.session.identity_map
        seen.append(tx.session)
        tx.session.add(Tally(id=10 + tx.attempt))
        tx.session.flush()
        if tx.attempt < 3:
            raise L.Conflict(1, 1, 2)

    L.run(one, work, L.Optimistic(**AT_ONCE))
    assert len(set(map(id, seen))) == 3
    with Session(one) as session:
        assert [session.get(Tally, 10 + n) is not None for n in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("error", [ValueError("mine"), L.Missing(Tally, 9), L.LostLease("job", 3), KeyError("k")],
                         ids=lambda error: type(error).__name__)
def test_an_error_of_the_work_itself_rolls_back_and_is_not_tried_again(one: Engine, error: Exception) -> None:
    tries = []
    stats = L.Stats()

    def work(tx: L.Tx) -> None:
        tries.append(tx.attempt)
        tx.load(Tally, 1).value = 5
        tx.session.flush()
        raise error

    with pytest.raises(type(error)) as caught:
        L.run(one, work, stats=stats)
    assert caught.value is error
    assert tries == [1]
    assert value_of(one, Tally, 1) == 0
    assert (stats.attempts, stats.commits) == (1, 0)
    assert one.pool.checkedout() == 0


def test_an_error_of_the_database_that_no_other_try_mends_is_raised_at_once(one: Engine) -> None:
    tries = []

    def work(tx: L.Tx) -> None:
        tries.append(tx.attempt)
        tx.session.add(Tally(id=1))

    with pytest.raises(IntegrityError):
        L.run(one, work)
    assert tries == [1]


def test_when_the_tries_run_out_the_last_error_says_how_many_there_were(one: Engine) -> None:
    with pytest.raises(L.Conflict) as caught:
        L.run(one, beaten(one, 99), L.Optimistic(attempts=4, **AT_ONCE))
    assert caught.value.attempts == 4
    assert value_of(one, Tally, 1) == 400


def test_no_try_begins_behind_the_deadline(one: Engine) -> None:
    with pytest.raises(L.Conflict) as caught:
        L.run(one, beaten(one, 99), L.Optimistic(attempts=99, **AT_ONCE), deadline=0.0)
    assert caught.value.attempts == 1
    # Nor is a wait begun that would end behind it: three weeks, if chance does not say less than an hour.
    with pytest.raises(L.Conflict) as caught:
        L.run(one, beaten(one, 99), L.Optimistic(attempts=99, base=2e9, cap=2e9), deadline=3600.0)
    assert caught.value.attempts == 1


def test_a_lock_is_waited_for_no_longer_than_the_deadline(one: Engine, url: str) -> None:
    """Whoever waits as long as the engine allows gets it here, in the end."""
    patient = L.engine(url, lock_timeout=10 * DEADLINE_S)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Session(one) as session:
            L.locked(session, Tally, [1])
            held.set()
            done.wait(DEADLINE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(DEADLINE_S)
        with pytest.raises(L.LockTimeout):
            L.run(patient, lambda tx: tx.load(Tally, 1), L.Pessimistic(**AT_ONCE), deadline=0.05)
    finally:
        done.set()
        holder.join()
        patient.dispose()


def test_load_locks_when_the_try_locks(one: Engine) -> None:
    def work(tx: L.Tx) -> bool:
        tx.load(Tally, 1)
        with Session(one) as other:
            try:
                L.locked(other, Tally, [1], nowait=True)
            except L.LockTimeout:
                return True
        return False

    assert L.run(one, work, L.Pessimistic())
    assert not L.run(one, work, L.Optimistic())


@pytest.mark.parametrize("policy", [L.Optimistic(), L.Pessimistic()], ids=lambda policy: type(policy).__name__)
def test_load_says_which_row_is_missing(one: Engine, policy: L.Optimistic) -> None:
    with pytest.raises(L.Missing) as caught:
        L.run(one, lambda tx: tx.load(Tally, 404), policy)
    assert (caught.value.model, caught.value.key) == (Tally, 404)


def test_a_change_of_a_row_that_nothing_guards_is_refused(one: Engine) -> None:
    def work(tx: L.Tx) -> None:
        tx.load(Plain, 1).value += 1

    with pytest.raises(TypeError, match="no version"):
        L.run(one, work)
    L.run(one, work, L.Pessimistic())
    assert value_of(one, Plain, 1) == 1


def test_so_is_its_deletion(one: Engine) -> None:
    def work(tx: L.Tx) -> None:
        tx.session.delete(tx.load(Plain, 1))

    with pytest.raises(TypeError, match="no version"):
        L.run(one, work)
    assert value_of(one, Plain, 1) == 0
    L.run(one, work, L.Pessimistic())


def test_so_is_one_that_a_query_would_write_in_passing(one: Engine) -> None:
    def work(tx: L.Tx) -> None:
        tx.load(Plain, 1).value += 1
        tx.session.query(Plain).count()         # autoflush

    with pytest.raises(TypeError, match="no version"):
        L.run(one, work)
    assert one.pool.checkedout() == 0


def test_a_sessionmaker_makes_the_sessions(one: Engine) -> None:
    class Ours(Session):
        """Told from others by its class."""

    def work(tx: L.Tx) -> None:
        assert isinstance(tx.session, Ours)
        tx.load(Tally, 1).value = 3

    L.run(sessionmaker(one, class_=Ours), work)
    assert value_of(one, Tally, 1) == 3


def test_a_session_that_the_work_keeps_has_no_connection(one: Engine) -> None:
    kept: list[Session] = []

    def work(tx: L.Tx) -> None:
        kept.append(tx.session)
        tx.load(Tally, 1)
        if tx.attempt < 3:
            raise L.Deadlock("as if")

    L.run(one, work, L.Optimistic(**AT_ONCE))
    assert len(kept) == 3
    assert one.pool.checkedout() == 0
    assert not any(session.in_transaction() for session in kept)


def test_a_pool_of_one_connection_is_enough(url: str) -> None:
    engine = L.engine(url, pool_size=1, pool_timeout=5)
    try:
        Tally.metadata.create_all(engine)
        store(engine, Tally(id=1))
        L.run(engine, lambda tx: beat_once(tx), L.Optimistic(**AT_ONCE))
        assert value_of(engine, Tally, 1) == 1
        assert engine.pool.checkedout() == 0
    finally:
        engine.dispose()


def beat_once(tx: L.Tx) -> None:
    """Add 1 in the second try."""
    tx.load(Tally, 1).value += 1
    if tx.attempt == 1:
        raise L.Deadlock("as if")


def test_work_within_work_is_a_transaction_of_its_own(one: Engine) -> None:
    store(one, Tally(id=2))

    def inner(tx: L.Tx) -> None:
        tx.load(Tally, 2).value = 8

    def outer(tx: L.Tx) -> None:
        L.run(one, inner)
        tx.load(Tally, 1).value = 9
        raise ValueError

    with pytest.raises(ValueError):     # noqa: PT011   our own, two lines above
        L.run(one, outer)
    assert (value_of(one, Tally, 2), value_of(one, Tally, 1)) == (8, 0)


def test_work_within_work_that_gets_no_connection_fails_and_leaks_none(url: str) -> None:
    engine = L.engine(url, pool_size=1, pool_timeout=0.05)
    try:
        Tally.metadata.create_all(engine)
        store(engine, Tally(id=1))

        def outer(tx: L.Tx) -> None:
            tx.load(Tally, 1)
            L.run(engine, lambda tx: tx.load(Tally, 1))

        with pytest.raises(PoolTimeoutError):
            L.run(engine, outer)
        assert engine.pool.checkedout() == 0
    finally:
        engine.dispose()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whoever_ends_the_program_within_the_work_leaks_nothing(one: Engine, stop: type[BaseException]) -> None:
    def work(tx: L.Tx) -> None:
        tx.load(Tally, 1).value = 5
        tx.session.flush()
        raise stop

    with pytest.raises(stop):
        L.run(one, work, L.Pessimistic())
    assert one.pool.checkedout() == 0
    L.run(one, lambda tx: tx.load(Tally, 1), L.Pessimistic())       # nor is the row still locked
    assert value_of(one, Tally, 1) == 0


async def never_awaited(tx: L.Tx) -> None:
    """A coroutine function by mistake."""
    tx.load(Tally, 1)


def never_begun(tx: L.Tx) -> Any:
    """So is a function with a yield."""
    tx.load(Tally, 1).value = 5
    yield


async def never_iterated(tx: L.Tx) -> Any:
    """And both at once."""
    tx.load(Tally, 1).value = 5
    yield


@pytest.mark.parametrize("work", [never_awaited, never_begun, never_iterated])
def test_work_that_would_begin_behind_the_commit_is_refused(one: Engine, work: Callable[[L.Tx], object]) -> None:
    with pytest.raises(TypeError, match="nothing of it was done"):
        L.run(one, work)
    assert one.pool.checkedout() == 0


# ---- a connection that is lost

@pytest.fixture
def cut(backend: str, server: Server | None) -> Callable[[Session], Callable[[], None]]:
    """`cut(session)` is what ends the session's connection, at the server."""
    assert server is not None
    own, end = {
        "mariadb": ("SELECT connection_id()", "KILL {}"),
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 10000)"),
    }[backend]

    def cut(session: Session) -> Callable[[], None]:
        number = session.scalar(text(own))
        return lambda: server.execute(end.format(number))
    return cut


@pytest.mark.parametrize("backend", SERVERS)
@pytest.mark.parametrize("when", ["read", "flushed"])
def test_a_connection_lost_before_the_commit_is_another_try(
        one: Engine, cut: Callable[[Session], Callable[[], None]], when: str) -> None:
    stats = L.Stats()

    def work(tx: L.Tx) -> int:
        row = tx.load(Tally, 1)
        end = cut(tx.session)
        if tx.attempt == 1 and when == "read":
            end()
        row.value += 1
        tx.session.flush()
        if tx.attempt == 1:
            end()
            tx.load(Plain, 1)       # the next statement notices
        return tx.attempt

    assert L.run(one, work, L.Optimistic(**AT_ONCE), stats=stats) == 2
    assert value_of(one, Tally, 1) == 1
    assert (stats.disconnects, stats.commits, stats.attempts) == (1, 1, 2)
    assert one.pool.checkedout() == 0


@pytest.mark.parametrize("backend", SERVERS)
@pytest.mark.parametrize("arrived", [False, True], ids=["not-arrived", "arrived"])
def test_a_connection_lost_during_the_commit_is_not_tried_again(
        one: Engine, cut: Callable[[Session], Callable[[], None]], monkeypatch: pytest.MonkeyPatch,
        arrived: bool) -> None:
    tries = []
    commit = one.dialect.do_commit

    def work(tx: L.Tx) -> None:
        tries.append(tx.attempt)
        tx.load(Tally, 1).value += 1
        end = cut(tx.session)

        def lost(connection: Any) -> None:
            monkeypatch.setattr(one.dialect, "do_commit", commit)
            if arrived:
                commit(connection)
            end()
            connection.cursor().execute("SELECT 1")     # fails, as the answer to the commit would

        monkeypatch.setattr(one.dialect, "do_commit", lost)

    stats = L.Stats()
    with pytest.raises(L.Disconnected) as caught:
        L.run(one, work, L.Optimistic(**AT_ONCE), stats=stats)
    assert caught.value.unknown
    assert (caught.value.attempts, tries) == (1, [1])
    assert (stats.disconnects, stats.attempts) == (1, 1)
    # Another try would have counted twice where the commit had arrived: the outcome is not ours to guess.
    assert value_of(one, Tally, 1) == arrived
    assert one.pool.checkedout() == 0
