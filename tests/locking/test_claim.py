import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace

import pytest
from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from hotpath import locking
from hotpath.locking.errors import LockTimeout, LostLease
from hotpath.locking.models import FINISHED_US
from tests.locking import jobs
from tests.locking.databases import SERVERS
from tests.locking.jobs import Job, add, complaints, create, give, take, unfinished, wait_until, worker
from tests.waiting import DEADLINE_S, wait_for

claiming = importlib.import_module("hotpath.locking.claim")     # the package has the function under this name

LONG_S = 600.0
SHORT_S = 0.05


@pytest.fixture
def impatient(url):
    """An engine on which nobody waits long: who is blocked says so soon."""
    opened = locking.engine(url, lock_timeout=1)
    yield opened
    opened.dispose()


def opened(engine):
    return Session(engine, expire_on_commit=False)


def ids(found):
    return [job.id for job in found]


# ---- what a claim gives

def test_jobs_come_oldest_first_with_owner_time_and_token(engine):
    create(engine, 3)
    before_us = jobs.now(engine)
    with opened(engine) as session:
        found = locking.claim(session, Job, 2, owner="ann", ttl=10)
        assert not session.dirty
        session.commit()
    assert [(job.id, job.owner, job.token, job.finished) for job in found] == [
        (1, "ann", 1, False), (2, "ann", 1, False)]
    assert {job.claimed_until for job in found} == {found[0].claimed_until}
    assert before_us + 10_000_000 <= found[0].claimed_until <= jobs.now(engine) + 10_000_000
    with opened(engine) as session:
        stored = [session.get_one(Job, job.id) for job in found]
        assert [(job.owner, job.token, job.claimed_until) for job in stored] == [
            (job.owner, job.token, job.claimed_until) for job in found]


def test_there_may_be_fewer_or_none(engine):
    create(engine, 2)
    assert ids(take(engine, 5, "ann", LONG_S)) == [1, 2]
    assert take(engine, 5, "bob", LONG_S) == []
    assert engine.pool.checkedout() == 0


def test_it_is_a_unit_of_work(engine):
    create(engine, 1)
    (job,) = locking.run(engine, lambda tx: locking.claim(tx.session, Job, 1, owner="ann", ttl=LONG_S))
    locking.run(engine, lambda tx: locking.finish(tx.session, job))
    assert job.finished
    assert unfinished(engine) == 0


def test_behind_other_statements_of_its_transaction_it_works_too(engine):
    create(engine, 2)
    with opened(engine) as session:
        session.get_one(Job, 2)
        assert ids(locking.claim(session, Job, 2, owner="ann", ttl=LONG_S)) == [1, 2]
        session.commit()
    assert take(engine, 1, "bob", LONG_S) == []


@pytest.mark.parametrize(("n", "ttl"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0), (1, float("nan")), (1, 1e12)])
def test_nonsense_is_refused(n, ttl):
    with pytest.raises(ValueError, match="allowed"):
        locking.claim(Session(), Job, n, owner="ann", ttl=ttl)


# ---- nobody is in another's way

# MariaDB's optimizer would read the smaller table from end to end for the UPDATE, the larger one for the SELECT.
@pytest.mark.parametrize("n_jobs", [10, 2000])
@pytest.mark.parametrize("begun", [False, True], ids=["new", "begun"])       # True: REPEATABLE READ in MariaDB
@pytest.mark.parametrize("backend", SERVERS)
def test_two_open_claims_share_no_job_and_do_not_wait(impatient, begun, n_jobs):
    create(impatient, n_jobs)
    with opened(impatient) as one, opened(impatient) as other:
        if begun:
            assert one.get(Job, 1) is not other.get(Job, 1)
        assert ids(locking.claim(one, Job, 5, owner="ann", ttl=LONG_S)) == [1, 2, 3, 4, 5]
        assert ids(locking.claim(other, Job, 5, owner="bob", ttl=LONG_S)) == [6, 7, 8, 9, 10]
        one.commit()
        other.commit()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_where_one_writes_at_a_time_the_turn_is_waited_for(url):
    first, second = locking.engine(url), locking.engine(url, lock_timeout=0.01)
    create(first, 2)
    with opened(first) as one, opened(second) as other:
        locking.claim(one, Job, 1, owner="ann", ttl=LONG_S)
        with pytest.raises(LockTimeout):
            locking.claim(other, Job, 1, owner="bob", ttl=LONG_S)
        one.commit()
        other.rollback()
        assert ids(locking.claim(other, Job, 1, owner="bob", ttl=LONG_S)) == [2]
    first.dispose()
    second.dispose()


def others_meanwhile(engine):
    """A claim that came to the end of what is free is open; others finish a job, add one, and claim that."""
    create(engine, 3)
    # In InnoDB the claim locks what it saw behind the free ones: the index's entry of the first.
    _, mine = take(engine, 2, "ann", LONG_S)
    with opened(engine) as other:
        assert ids(locking.claim(other, Job, 9, owner="bob", ttl=LONG_S)) == [3]
        assert give(engine, mine)
        add(engine, 1)
        assert ids(take(engine, 9, "cid", LONG_S)) == [4]


@pytest.mark.parametrize("backend", SERVERS)
def test_an_open_claim_blocks_nobody_who_finishes_or_adds_a_job(impatient):
    others_meanwhile(impatient)


@pytest.mark.parametrize("backend", ["mariadb"])
def test_under_repeatable_read_it_would(impatient, monkeypatch):
    monkeypatch.setattr(claiming, "_read_committed", lambda session: None)
    with pytest.raises(LockTimeout):
        others_meanwhile(impatient)


# ---- time

@pytest.mark.parametrize("new_owner", ["bob", "ann"])       # ann: the worker began anew, under its old name
def test_when_its_time_is_over_another_gets_it_and_its_owner_cannot_finish_it(engine, new_owner):
    create(engine, 1)
    (mine,) = take(engine, 1, "ann", SHORT_S)
    wait_until(engine, mine.claimed_until)
    (theirs,) = take(engine, 1, new_owner, LONG_S)
    assert (theirs.id, theirs.token, theirs.owner) == (mine.id, 2, new_owner)
    with opened(engine) as session, pytest.raises(LostLease) as lost:
        locking.finish(session, mine)
    assert lost.value.token == 1
    assert give(engine, theirs)
    assert complaints(engine) == []


def test_what_the_session_reads_anew_does_not_make_its_former_owner_the_new_one(engine):
    create(engine, 1)
    with Session(engine) as session:        # expires all attributes at the commit
        (mine,) = locking.claim(session, Job, 1, owner="ann", ttl=SHORT_S)
        until_us = mine.claimed_until
        session.commit()
        wait_until(engine, until_us)
        take(engine, 1, "bob", LONG_S)
        session.refresh(mine)
        assert (mine.owner, mine.token) == ("bob", 2)
        with pytest.raises(LostLease):
            locking.finish(session, mine)


def test_past_its_time_a_job_that_none_took_is_finished(engine):
    create(engine, 1)
    (mine,) = take(engine, 1, "ann", SHORT_S)
    wait_until(engine, mine.claimed_until)
    assert give(engine, mine)
    assert take(engine, 1, "bob", LONG_S) == []


def test_a_finished_job_is_neither_handed_out_nor_finished_again(engine):
    create(engine, 1)
    (mine,) = take(engine, 1, "ann", SHORT_S)
    assert give(engine, mine)
    assert (mine.finished, mine.claimed_until) == (True, FINISHED_US)
    wait_until(engine, jobs.now(engine) + round(SHORT_S * 1e6))
    assert take(engine, 1, "bob", LONG_S) == []
    with opened(engine) as session, pytest.raises(LostLease):
        locking.finish(session, mine)


def test_a_claim_that_is_rolled_back_gives_nothing(engine):
    create(engine, 1)
    with opened(engine) as session:
        (unreal,) = locking.claim(session, Job, 1, owner="ann", ttl=LONG_S)
        session.rollback()
    (real,) = take(engine, 1, "bob", LONG_S)
    assert real.token == 1                  # as the other's would have been
    with opened(engine) as session, pytest.raises(LostLease):
        locking.finish(session, unreal)


def test_who_claimed_nothing_finishes_nothing(engine):
    create(engine, 2)
    take(engine, 1, "ann", LONG_S)
    with opened(engine) as session:
        with pytest.raises(LostLease):
            locking.finish(session, session.get_one(Job, 2))
        locking.finish(session, session.get_one(Job, 1))        # read anew, but as it was claimed
        session.commit()
    assert unfinished(engine) == 1


def test_what_is_written_with_the_finish_is_not_written_by_who_lost_the_job(engine):
    create(engine, 1)
    (mine,) = take(engine, 1, "ann", SHORT_S)
    wait_until(engine, mine.claimed_until)
    take(engine, 1, "bob", LONG_S)
    with opened(engine) as session:
        session.add(jobs.Register(id=1, writer="ann"))
        with pytest.raises(LostLease):
            locking.finish(session, mine)
    with opened(engine) as session:
        assert session.get(jobs.Register, 1) is None


# ---- many workers, and a record of all hand-outs

def crew(engine, *, n_jobs, n_workers=4):
    """Workers until all is done; the first job of each is put aside until another had it, and finished then."""
    create(engine, n_jobs)
    all_have_one = threading.Barrier(n_workers, timeout=DEADLINE_S)

    def work(name):
        (late,) = take(engine, 1, name, SHORT_S)
        all_have_one.wait()

        def step():
            for job in take(engine, 2, name, LONG_S):
                give(engine, job)
            return unfinished(engine) == 0

        wait_for(step, "all jobs to be done")
        assert not late.finished
        return give(engine, late)

    with ThreadPoolExecutor(n_workers) as pool:
        return list(pool.map(work, [f"w{n}" for n in range(n_workers)]))


def test_no_job_has_two_live_owners_and_each_is_finished_once(engine):
    late = crew(engine, n_jobs=30)
    assert complaints(engine) == []
    assert late == [False] * len(late)
    with opened(engine) as session:
        assert len(session.query(jobs.Finish).all()) == 30
        assert len(session.query(jobs.HandOut).all()) == 30 + len(late)


def test_the_record_shows_a_finish_that_does_not_look_at_the_token(engine, monkeypatch):
    def blind(session, row):
        session.get_one(Job, row.id).finished = True

    monkeypatch.setattr(locking, "finish", blind)
    crew(engine, n_jobs=8, n_workers=2)
    assert any("finished 2 times" in each for each in complaints(engine))


def test_the_record_shows_a_claim_that_does_not_lock(engine, monkeypatch):
    create(engine, 2)
    both_looked = threading.Barrier(2, timeout=DEADLINE_S)

    def keys(rows):                         # between the SELECT and the UPDATE
        both_looked.wait()
        return given(rows)

    def unlocked(*which):
        found = statements(*which)
        free = copy(found.free)
        free._for_update_arg = None
        return replace(found, free=free)

    given, statements = claiming._keys, claiming._statements
    monkeypatch.setattr(claiming, "_keys", keys)
    monkeypatch.setattr(claiming, "_statements", unlocked)
    monkeypatch.setattr(claiming, "begin_write", lambda session: None)
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(take, engine, 1, name, LONG_S) for name in ("ann", "bob")]:
            assert ids(each.result()) == [1]
    assert any("two owners" in each for each in complaints(engine))


def test_the_job_of_a_killed_worker_is_handed_out_again_behind_its_time(engine, url):
    create(engine, 2)
    process = worker("claim", url, "ann", "1.5")
    try:
        job, until_us = map(int, process.wait_for_output(r"^claimed (\d+) (\d+)$").groups())
    finally:
        process.kill()
    early = take(engine, 2, "bob", LONG_S)
    if jobs.now(engine) < until_us:         # else this machine stalled for its whole time
        assert ids(early) == [2]
    wait_until(engine, until_us)
    assert ids(early + take(engine, 1, "bob", LONG_S)) == [3 - job, job] == [2, 1]
    assert complaints(engine) == []


# ---- models

class Base(DeclarativeBase):
    pass


class Part(locking.Versioned, locking.Claimable, Base):
    __tablename__ = "parts"
    __table_args__ = (UniqueConstraint("name"),)
    product: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(20))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "part"}     # noqa: RUF012


class Sender(Base):
    __tablename__ = "senders"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))


class Parcel(locking.Claimable, Base):
    __tablename__ = "parcels"
    id: Mapped[int] = mapped_column(primary_key=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("senders.id"))
    sender: Mapped[Sender] = relationship(lazy="joined")


class Screw(Part):
    __mapper_args__ = {"polymorphic_identity": "screw"}      # noqa: RUF012


def test_keys_of_two_columns_versions_and_inheritance(engine):
    Base.metadata.create_all(engine)
    with opened(engine) as session, session.begin():
        session.add_all([Part(product=1, number=2, name="b"), Screw(product=1, number=3, name="c"),
                         Screw(product=2, number=1, name="d"), Part(product=2, number=2, name="e")])
    with opened(engine) as session:
        found = locking.claim(session, Screw, 9, owner="ann", ttl=LONG_S)
        assert [(part.product, part.number, part.version) for part in found] == [(1, 3, 2), (2, 1, 2)]
        session.commit()
        found[0].name = "f"
        locking.finish(session, found[0])
        session.commit()
        assert (found[0].name, found[0].version) == ("f", 4)
        found[1].name = "g"                 # its version is the stored one
        session.commit()
    with opened(engine) as session:
        found = locking.claim(session, Part, 9, owner="bob", ttl=LONG_S)
        assert [(part.product, part.number) for part in found] == [(1, 2), (2, 2)]


def test_what_is_loaded_along_by_a_join_is_there_and_not_locked(engine):
    Base.metadata.create_all(engine)
    with opened(engine) as session, session.begin():
        session.add(Parcel(id=1, sender=Sender(id=1, name="ann")))
    with opened(engine) as session, opened(engine) as other:
        (parcel,) = locking.claim(session, Parcel, 1, owner="bob", ttl=LONG_S)
        if engine.dialect.name != "sqlite":     # which has one lock
            locking.locked(other, Sender, [1], nowait=True)
        session.commit()
    assert parcel.sender.name == "ann"


def test_whoever_read_a_versioned_job_before_it_was_claimed_cannot_change_it(engine):
    Base.metadata.create_all(engine)
    with opened(engine) as session, session.begin():
        session.add(Part(product=1, number=2, name="b"))
    with opened(engine) as session:
        part = session.get_one(Part, (1, 2))
        session.rollback()
        assert part.name == "b"
        with opened(engine) as other, other.begin():
            locking.claim(other, Part, 1, owner="ann", ttl=LONG_S)
        part.name = "c"
        with pytest.raises(locking.Conflict), locking.translating():
            session.commit()


@pytest.mark.parametrize("model", [Job, Part])
def test_one_index_has_what_may_be_claimed_in_its_order(model):
    table = inspect(model).local_table
    assert [[column.name for column in index.columns] for index in table.indexes if isinstance(index, Index)] == [
        ["claimed_until", *(column.name for column in table.primary_key)]]
