import importlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from hotpath import locking
from hotpath.locking.errors import LockTimeout, LostLease, Unusable
from hotpath.locking.tables import ensure_tables
from tests.locking import jobs
from tests.locking.databases import SERVERS, running, waiting
from tests.locking.jobs import LEASE, Register, wait_until, worker
from tests.waiting import DEADLINE_S, send_signal, wait_for

leasing = importlib.import_module("hotpath.locking.lease")      # the package has the function under this name

LONG_S = 600.0
SHORT_S = 0.05
NAME = "the nightly run"


def micro(seconds):
    return round(seconds * 1e6)


def expired(engine, held):
    """Return behind its time."""
    wait_until(engine, micro(held.expires))
    return held


def short(engine, owner="ann"):
    """One whose time is over."""
    return expired(engine, locking.lease(engine, NAME, owner=owner, ttl=SHORT_S))


@pytest.fixture
def leased(engine):
    """The engine; its table is there."""
    ensure_tables(engine, leasing.metadata)
    jobs.create(engine)
    yield engine
    assert engine.pool.checkedout() == 0


# ---- who has it, and for how long

def test_its_time_is_the_databases(leased, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    before_us = jobs.now(leased)
    held = locking.lease(leased, NAME, owner="ann", ttl=30)
    assert (held.name, held.owner, held.token, held.ttl) == (NAME, "ann", 1, 30)
    assert before_us + 30_000_000 <= micro(held.expires) <= jobs.now(leased) + 30_000_000


@pytest.mark.parametrize("owner", ["bob", "ann"])
def test_while_one_has_it_neither_another_nor_itself_gets_it(leased, owner):
    held = locking.lease(leased, NAME, owner="ann", ttl=LONG_S)
    with pytest.raises(LockTimeout, match="ann") as refused:
        locking.lease(leased, NAME, owner=owner, ttl=1)
    assert (refused.value.owner, refused.value.expires) == ("ann", held.expires)
    with leased.connect() as connection:
        assert connection.execute(text("SELECT owner, token FROM hotpath_leases")).all() == [("ann", 1)]


def test_names_are_told_apart_by_case_and_accent(leased):
    for name in ("job-a", "Job-a", "jöb-a"):
        assert locking.lease(leased, name, owner="ann", ttl=LONG_S).token == 1


def test_the_token_rises_with_each_holder(leased):
    held = locking.lease(leased, NAME, owner="ann", ttl=LONG_S)
    held.release()
    assert locking.lease(leased, NAME, owner="ann", ttl=SHORT_S).token == 2
    expired(leased, locking.lease(leased, "other", owner="ann", ttl=SHORT_S))
    assert locking.lease(leased, NAME, owner="bob", ttl=LONG_S, wait=DEADLINE_S).token == 3


@pytest.mark.parametrize("backend", SERVERS)
def test_the_token_rises_over_a_killed_server(backend):
    with running(backend) as server:
        engine = locking.engine(server.new_url())
        held = locking.lease(engine, NAME, owner="ann", ttl=SHORT_S)
        server.kill()
        server.start()
        assert locking.lease(engine, NAME, owner="bob", ttl=LONG_S, wait=DEADLINE_S).token == 2
        with Session(engine) as session, pytest.raises(LostLease):
            held.fence(session)
        engine.dispose()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_token_rises_over_a_new_process(url):
    for token in (1, 2):
        engine = locking.engine(url)
        held = locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
        assert held.token == token
        held.release()
        engine.dispose()


@pytest.mark.parametrize("given", [
    {"name": ""}, {"name": "x" * 256}, {"owner": ""}, {"owner": "x" * 256}, {"ttl": 0}, {"ttl": -1},
    {"ttl": float("nan")}, {"ttl": float("inf")}], ids=lambda given: next(iter(given)))
@pytest.mark.parametrize("backend", ["sqlite"])
def test_nonsense_is_refused(leased, given):
    with pytest.raises(ValueError, match="allowed"):
        locking.lease(leased, **{"name": NAME, "owner": "ann", "ttl": 1.0} | given)


# ---- waiting for it

def polls(engine):
    """A list that grows with each look at the lease."""
    seen = []

    @event.listens_for(engine, "after_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        if statement.startswith("SELECT hotpath_leases"):
            seen.append(statement)

    return seen


def test_who_waits_gets_it_when_it_is_released(leased, url):
    other = locking.engine(url)
    seen = polls(other)
    held = locking.lease(leased, NAME, owner="ann", ttl=LONG_S)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(locking.lease, other, NAME, owner="bob", ttl=LONG_S, wait=DEADLINE_S)
        wait_for(lambda: len(seen) > 2, "it to ask a third time")
        assert not waiter.done()
        held.release()
        assert waiter.result().token == 2
    other.dispose()


def test_who_waits_gets_it_when_its_time_is_over(leased):
    locking.lease(leased, NAME, owner="ann", ttl=SHORT_S)
    assert locking.lease(leased, NAME, owner="bob", ttl=LONG_S, wait=DEADLINE_S).token == 2


def test_who_waits_in_vain_is_told_who_has_it(leased):
    seen = polls(leased)
    locking.lease(leased, NAME, owner="ann", ttl=LONG_S)
    before = len(seen)
    with pytest.raises(LockTimeout, match="ann"):
        locking.lease(leased, NAME, owner="bob", ttl=LONG_S, wait=2)
    assert len(seen) > before + 1


def test_who_waits_holds_no_connection_meanwhile(url):
    engine = locking.engine(url, pool_size=1, pool_timeout=DEADLINE_S)
    held = locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(locking.lease, engine, NAME, owner="bob", ttl=LONG_S, wait=DEADLINE_S)
        held.release()
        assert waiter.result().token == 2
    engine.dispose()


# ---- renewed, released, lost

def test_a_renewal_is_from_now_for_as_long_as_asked_or_as_before(leased):
    held = locking.lease(leased, NAME, owner="ann", ttl=30)
    for ttl, lasts_s in ((None, 30), (60, 60), (None, 60)):
        before_us = jobs.now(leased)
        held.renew(ttl)
        assert before_us + lasts_s * 1_000_000 <= micro(held.expires) <= jobs.now(leased) + lasts_s * 1_000_000
    assert held.token == 1
    with pytest.raises(ValueError, match="allowed"):
        held.renew(0)


def superseded(engine):
    """One that another has now."""
    held = short(engine)
    locking.lease(engine, NAME, owner="bob", ttl=LONG_S)
    return held


def released(engine):
    held = locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
    held.release()
    return held


def released_and_taken(engine):
    held = released(engine)
    locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
    return held


LOST = pytest.mark.parametrize("lost", [short, superseded, released, released_and_taken])


@LOST
def test_what_is_lost_is_neither_renewed_nor_released_nor_passes_the_fence(leased, lost):
    held = lost(leased)
    for attempt in (held.renew, held.release):
        with pytest.raises(LostLease) as error:
            attempt()
        assert (error.value.name, error.value.token) == (NAME, held.token)
    with Session(leased) as session, pytest.raises(LostLease):
        held.fence(session)
    assert leased.pool.checkedout() == 0


def test_a_block_gives_it_back(leased):
    with locking.lease(leased, NAME, owner="ann", ttl=LONG_S) as held:
        assert held.token == 1
    with locking.lease(leased, NAME, owner="ann", ttl=LONG_S) as held:
        held.release()
    with pytest.raises(KeyError), locking.lease(leased, NAME, owner="ann", ttl=LONG_S):
        raise KeyError
    assert locking.lease(leased, NAME, owner="bob", ttl=LONG_S).token == 4


def test_a_block_that_outlives_it_says_so(leased):
    with pytest.raises(LostLease), locking.lease(leased, NAME, owner="ann", ttl=SHORT_S) as held:
        expired(leased, held)


def test_a_lost_lease_does_not_hide_what_went_wrong_in_the_block(leased):
    with pytest.raises(KeyError), locking.lease(leased, NAME, owner="ann", ttl=SHORT_S) as held:
        raise KeyError(expired(leased, held))


# ---- the fence

def test_who_passed_the_fence_is_not_overtaken_before_its_commit(url):
    engine = locking.engine(url, lock_timeout=1)
    jobs.create(engine)
    with Session(engine) as session:
        def passed() -> locking.Lease | None:
            held = locking.lease(engine, NAME, owner="ann", ttl=1, wait=DEADLINE_S)
            try:
                held.fence(session)
            except LostLease:           # this machine stalled for all of its time
                session.rollback()
                return None
            return held

        held = wait_for(passed, "a fence that is passed in time")
        session.add(Register(id=1, writer="ann"))
        expired(engine, held)
        with pytest.raises(LockTimeout, match="ann"):
            locking.lease(engine, NAME, owner="bob", ttl=LONG_S)
        session.commit()
    assert locking.lease(engine, NAME, owner="bob", ttl=LONG_S).token == held.token + 1
    engine.dispose()


@pytest.mark.parametrize("backend", SERVERS)
def test_units_of_one_holder_pass_the_fence_together(url):
    engine = locking.engine(url, lock_timeout=1)
    held = locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
    with Session(engine) as one, Session(engine) as other:
        held.fence(one)
        held.fence(other)
    engine.dispose()


@pytest.mark.parametrize("backend", SERVERS)
def test_its_time_may_end_while_the_fence_is_waited_for(leased, backend, server):
    held = locking.lease(leased, NAME, owner="ann", ttl=1)

    def guarded():
        with Session(leased) as session:
            held.fence(session)

    with ThreadPoolExecutor(1) as pool, Session(leased) as session:
        leasing.holder(session, NAME)           # locks the row, and changes nothing
        waiter = pool.submit(guarded)
        wait_for(lambda: waiting(server, backend), "the fence to wait")
        expired(leased, held)
        session.rollback()
        with pytest.raises(LostLease):
            waiter.result()


def test_a_paused_process_is_refused_when_it_wakes_up(leased, url):
    assert overtaken(leased, url, "write") == ("refused 1", "bob")


def test_without_the_fence_it_overwrites(leased, url):
    assert overtaken(leased, url, "overwrite") == ("wrote", "ann")


def overtaken(engine, url, what):
    """ann's process stops for longer than its lease; bob writes meanwhile. What it says afterwards, and what stands."""
    with Session(engine) as session, session.begin():
        session.add(Register(id=1, writer="nobody"))
    process = worker(what, url, "ann", "1")
    try:
        process.wait_for_output("^holds 1$")
        send_signal(process.pid, signal.SIGSTOP)
        held = locking.lease(engine, LEASE, owner="bob", ttl=LONG_S, wait=DEADLINE_S)
        with Session(engine) as session:
            held.fence(session)
            session.get_one(Register, 1).writer = "bob"
            session.commit()
        os.kill(process.pid, signal.SIGUSR1)
        os.kill(process.pid, signal.SIGCONT)
        says = process.wait_for_output(r"^(refused \d|wrote)$")[1]
    finally:
        process.kill()
    with Session(engine) as session:
        return says, session.get_one(Register, 1).writer


# ---- many at once

def together(n, work):
    """What each of n threads got that began in one moment: a value, or its error."""
    start = threading.Barrier(n, timeout=DEADLINE_S)

    def one(i):
        start.wait()
        try:
            return work(i)
        except Exception as error:
            return error

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


def test_of_many_that_begin_with_no_table_one_gets_it(engine):
    got = together(8, lambda i: locking.lease(engine, NAME, owner=f"w{i}", ttl=LONG_S))
    held = [each for each in got if isinstance(each, locking.Lease)]
    assert len(held) == 1, got
    assert {type(each) for each in got if each not in held} == {leasing.Held}
    assert {each.owner for each in got} == {held[0].owner}
    assert engine.pool.checkedout() == 0


def test_many_new_names_do_not_disturb_each_other(leased):
    got = together(8, lambda i: [locking.lease(leased, f"{i}-{n}", owner="ann", ttl=LONG_S).token for n in range(5)])
    assert got == [[1] * 5] * 8


def test_what_it_guards_needs_no_other_lock(leased):
    with Session(leased) as session, session.begin():
        session.add(Register(id=1, writer="0"))

    def count(i):
        for _ in range(5):
            with locking.lease(leased, NAME, owner=f"w{i}", ttl=LONG_S, wait=3 * DEADLINE_S) as held:
                with Session(leased) as session:
                    held.fence(session)
                    number = int(session.get_one(Register, 1).writer)
                with Session(leased) as session:
                    session.get_one(Register, 1).writer = str(number + 1)
                    session.commit()

    assert together(4, count) == [None] * 4
    with Session(leased) as session:
        assert session.get_one(Register, 1).writer == "20"
    assert locking.lease(leased, NAME, owner="ann", ttl=LONG_S).token == 21


# ---- inside the caller's transaction

def test_it_is_acquired_with_the_transaction(leased):
    with Session(leased) as session:
        leasing.acquire(session, NAME, owner="ann", ttl=LONG_S)
        session.rollback()
    with Session(leased) as session:
        assert leasing.holder(session, NAME) is None
        held = leasing.acquire(session, NAME, owner="ann", ttl=LONG_S)
        session.commit()
        with pytest.raises(leasing.Held, match="ann"):
            leasing.acquire(session, NAME, owner="bob", ttl=LONG_S)
    held.release()


def test_the_holder_stays_the_holder_until_the_transaction_ends(url):
    engine = locking.engine(url, lock_timeout=1)
    ensure_tables(engine, leasing.metadata)
    with Session(engine) as session:
        assert leasing.holder(session, NAME) is None
        with pytest.raises(LockTimeout):
            locking.lease(engine, NAME, owner="bob", ttl=LONG_S)
    held = locking.lease(engine, NAME, owner="ann", ttl=LONG_S)
    with Session(engine) as session:
        found = leasing.holder(session, NAME)
        assert (found.owner, found.token, found.expires) == ("ann", held.token, held.expires)
        with pytest.raises(LockTimeout):
            held.release()
    engine.dispose()


def test_all_holders_are_seen_and_nothing_is_locked(leased):
    short(leased)
    held = {name: locking.lease(leased, name, owner=name, ttl=LONG_S) for name in ("a", "b")}
    locking.lease(leased, "c", owner="c", ttl=LONG_S).release()
    with Session(leased) as session:
        found = leasing.holders(session, [NAME, "a", "b", "c", "never"])
        assert {name: (each.owner, each.token) for name, each in found.items()} == {"a": ("a", 1), "b": ("b", 1)}
        held["a"].release()
        assert leasing.holders(session, []) == {}


def test_it_is_renewed_and_released_by_its_token_alone(leased):
    token = locking.lease(leased, NAME, owner="ann", ttl=30).token
    with Session(leased) as session:
        before_us = jobs.now(leased)
        renewed = leasing.renew(session, NAME, token)
        assert (renewed.owner, renewed.token, renewed.ttl) == ("ann", token, 30)
        assert micro(renewed.expires) >= before_us + 30_000_000
        for wrong in (token - 1, token + 1):
            for attempt in (leasing.renew, leasing.release, leasing.fence):
                with pytest.raises(LostLease):
                    attempt(session, NAME, wrong)
        leasing.release(session, NAME, token)
        session.commit()
        assert leasing.holder(session, NAME) is None


def test_whoever_holds_it_it_is_revoked_and_the_token_rises_all_the_same(leased):
    held = locking.lease(leased, NAME, owner="ann", ttl=LONG_S)
    with Session(leased) as session:
        leasing.revoke(session, NAME)
        leasing.revoke(session, "never")
        session.commit()
    with Session(leased) as session, pytest.raises(LostLease):
        held.fence(session)
    assert locking.lease(leased, NAME, owner="bob", ttl=LONG_S).token == 2


@pytest.mark.parametrize("backend", SERVERS)
def test_new_names_are_acquired_in_open_transactions_side_by_side(url):
    engine = locking.engine(url, lock_timeout=1)
    ensure_tables(engine, leasing.metadata)
    with Session(engine) as one, Session(engine) as other:
        for name in ("b", "d"):
            leasing.acquire(one, name, owner="ann", ttl=LONG_S)
        for name in ("a", "c", "e"):
            leasing.acquire(other, name, owner="bob", ttl=LONG_S)
    engine.dispose()


@pytest.mark.parametrize("backend", SERVERS)
def test_those_that_wait_for_a_new_name_do_not_deadlock(leased, backend, server):
    def acquire(i):
        with Session(leased) as session:
            leasing.acquire(session, NAME, owner=f"w{i}", ttl=LONG_S)

    with Session(leased) as session:
        leasing.acquire(session, NAME, owner="ann", ttl=LONG_S)
        with ThreadPoolExecutor(3) as pool:
            waiters = [pool.submit(acquire, i) for i in range(3)]
            wait_for(lambda: waiting(server, backend) == 3, "three to wait")
            session.commit()
            assert [type(waiter.exception()) for waiter in waiters] == [leasing.Held] * 3


# ---- its table

@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_table_that_may_not_be_made_is_asked_for_with_its_statement(engine):
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(Unusable, match=r"^[^\n]*hotpath_leases[^\n]*CREATE TABLE hotpath_leases [^\n]*$"):
        locking.lease(engine, NAME, owner="ann", ttl=1)


@pytest.mark.parametrize("backend", ["mariadb"])
def test_a_right_that_is_missing_is_asked_for_with_the_statement(url, server):
    database = url.rpartition("/")[2]
    server.execute(f"GRANT SELECT, INSERT, UPDATE ON {database}.* TO reader@'127.0.0.1' IDENTIFIED BY 'x'")
    engine = locking.engine(url.replace("root@", "reader:x@"))
    with pytest.raises(Unusable, match=r"^[^\n]*denied[^\n]*CREATE TABLE hotpath_leases [^\n]*$"):
        locking.lease(engine, NAME, owner="ann", ttl=1)
    engine.dispose()
