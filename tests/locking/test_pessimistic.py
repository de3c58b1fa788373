"""Rows that are locked: seen as they are committed now, in one order for all, until the transaction ends."""
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import ForeignKey, String, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError

from hotpath import locking as L
from hotpath.locking.pessimistic import limit_waits, locking_rows
from tests.waiting import DEADLINE_S, wait_for

from .databases import SERVERS, waiting
from .rows import Base, Plain, Seat, Tally, set_value, store, value_of

servers = pytest.mark.parametrize("backend", SERVERS)
sqlite = pytest.mark.parametrize("backend", ["sqlite"])
models = pytest.mark.parametrize("model", [Plain, Tally])


# ---- what is seen

@models
def test_a_row_that_was_read_before_is_seen_as_it_is_committed_now(stored, new_session, model):
    store(stored, model(id=1))
    session = new_session()
    row = session.get(model, 1)
    set_value(stored, model, 1, 5)
    assert L.locked(session, model, [1]) == [row]
    assert row.value == 5
    row.value += 1
    session.commit()
    assert value_of(stored, model, 1) == 6


def naive_select(session, model):
    session.scalars(select(model).where(model.id == 1).with_for_update()).one()


def naive_get(session, model):
    session.get(model, 1, with_for_update=True)


@servers
@pytest.mark.parametrize(("model", "naive"), [(Plain, naive_select), (Plain, naive_get), (Tally, naive_select)])
def test_sqlalchemys_own_lock_shows_it_as_it_was(stored, new_session, model, naive):
    """The control: the row is locked, and what the other changed is not seen."""
    store(stored, model(id=1))
    session = new_session()
    row = session.get(model, 1)
    set_value(stored, model, 1, 5)
    naive(session, model)
    assert row.value == 0


@servers
def test_or_fails_though_nothing_is_lost(stored, new_session):
    """The control, with a version."""
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    set_value(stored, Tally, 1, 5)
    with pytest.raises(StaleDataError):
        naive_get(session, Tally)
    assert row.value == 0


@pytest.mark.parametrize("autoflush", [True, False])
@models
def test_a_change_that_was_not_flushed_yet_is_kept(stored, model, autoflush):
    store(stored, model(id=1))
    with Session(stored, autoflush=autoflush) as session:
        session.get(model, 1).value = 7
        assert L.locked(session, model, [1])[0].value == 7
        session.commit()
    assert value_of(stored, model, 1) == 7


def test_unless_it_is_one_of_an_old_version(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    session.commit()
    set_value(stored, Tally, 1, 5)
    row.value = 7
    with pytest.raises(L.Conflict):
        L.locked(session, Tally, [1])
    session.rollback()
    assert value_of(stored, Tally, 1) == 5


def test_rows_come_in_the_order_asked(stored, new_session):
    store(stored, *(Tally(id=n) for n in range(1, 6)))
    session = new_session()
    assert [row.id for row in L.locked(session, Tally, [4, 2, 5])] == [4, 2, 5]
    one, two, again = L.locked(session, Tally, iter((3, 1, 3)))
    assert (one.id, two.id) == (3, 1)
    assert one is again
    assert L.locked(session, Tally, []) == []


def test_a_key_of_several_columns_is_a_tuple(stored, new_session):
    store(stored, *(Seat(number=n, row=row) for n in (1, 2) for row in "ab"))
    session = new_session()
    rows = L.locked(session, Seat, [(2, "a"), (1, "b")])
    assert [(seat.number, seat.row) for seat in rows] == [(2, "a"), (1, "b")]
    assert L.locked(session, Seat, [(1, "a")])[0].row == "a"
    with pytest.raises(L.Missing) as info:
        L.locked(session, Seat, [(1, "a"), (3, "b")])
    assert info.value.key == (3, "b")


def test_a_row_that_is_not_there_is_missing(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    with pytest.raises(L.Missing) as info:
        L.locked(session, Tally, [1, 2])
    assert (info.value.model, info.value.key) == (Tally, 2)


def test_a_row_that_was_deleted_since_it_was_read_is_missing(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    session.get(Tally, 1)
    with Session(stored) as other:
        other.delete(other.get(Tally, 1))
        other.commit()
    with pytest.raises(L.Missing):
        L.locked(session, Tally, [1])


class Other(DeclarativeBase):
    """Apart."""


class Owner(Other):
    """Of pets."""

    __tablename__ = "owners"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Pet(Other):
    """Read together with its owner and its toys."""

    __tablename__ = "pets"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    owner: Mapped[Owner | None] = relationship(lazy="joined")
    toys: Mapped[list["Toy"]] = relationship(lazy="joined")


class Toy(Other):
    """Of a pet."""

    __tablename__ = "toys"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pet_id: Mapped[int] = mapped_column(ForeignKey("pets.id"))


def test_a_model_that_reads_others_with_it_can_be_locked(engine):
    Other.metadata.create_all(engine)
    store(engine, Pet(id=1, toys=[Toy(id=1), Toy(id=2)], owner=Owner(id=1)), Pet(id=2))
    with Session(engine) as session:
        two, one = L.locked(session, Pet, [2, 1])
        assert [toy.id for toy in one.toys] == [1, 2]
        assert one.owner.id == 1
        assert (two.toys, two.owner) == ([], None)


class Nation(Other):
    """Its key is a text."""

    __tablename__ = "nations"
    name: Mapped[str] = mapped_column(String(20), primary_key=True)


@pytest.mark.parametrize("backend", ["mariadb"])
def test_a_key_is_found_as_the_database_compares_it(engine):
    """As session.get() finds it: else a unit of work that locks at last finds a row missing that it has read."""
    Other.metadata.create_all(engine)
    store(engine, Nation(name="Mali"))
    with Session(engine) as session:
        assert session.get(Nation, "MALI").name == "Mali"
    with Session(engine) as session:
        assert L.locked(session, Nation, ["MALI"])[0].name == "Mali"


# ---- who waits for whom

def test_nowait_timeout_and_skip_while_somebody_else_has_it(url):
    patient = L.engine(url, lock_timeout=600)       # longer than any test may last
    Base.metadata.create_all(patient)
    store(patient, Tally(id=1))
    with Session(patient) as holder, Session(patient) as other:
        L.locked(holder, Tally, [1])
        with pytest.raises(L.LockTimeout):
            L.locked(other, Tally, [1], nowait=True)
        other.rollback()
        with pytest.raises(L.LockTimeout):
            L.locked(other, Tally, [1], timeout=0.05)
        other.rollback()
        assert L.locked(other, Tally, [1], skip=True) == []
        holder.commit()
        for options in ({"nowait": True}, {"skip": True}, {"timeout": 0.05}):
            assert [row.id for row in L.locked(other, Tally, [1], **options)] == [1]
            other.rollback()
    patient.dispose()


@servers
def test_skip_leaves_out_only_what_is_taken(stored, new_session):
    store(stored, *(Tally(id=n) for n in range(1, 6)))
    holder, other = new_session(), new_session()
    L.locked(holder, Tally, [2, 4])
    assert [row.id for row in L.locked(other, Tally, [5, 4, 3, 2, 1], skip=True)] == [5, 3, 1]


def test_nowait_and_skip_are_not_both_to_be_had(stored, new_session):
    with pytest.raises(ValueError, match="nowait"):
        L.locked(new_session(), Tally, [1], nowait=True, skip=True)


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_the_lock_ends_with_the_transaction(stored, new_session, end):
    store(stored, Tally(id=1))
    holder, other = new_session(), new_session()
    L.locked(holder, Tally, [1])
    getattr(holder, end)()
    assert len(L.locked(other, Tally, [1], nowait=True)) == 1


@models
def test_who_waited_sees_what_the_other_committed(stored, new_session, server, backend, model):
    store(stored, model(id=1))
    holder, other = new_session(), new_session()
    other.get(model, 1)
    (row,) = L.locked(holder, model, [1])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(L.locked, other, model, [1])
        if server is not None:      # of SQLite nobody can tell who waits
            wait_for(lambda: waiting(server, backend), "the other to wait")
            assert not answer.done()
        row.value = 5
        holder.commit()
        (seen,) = answer.result(DEADLINE_S)
    assert seen.value == 5
    other.rollback()


def test_nobody_writes_to_a_locked_row(url):
    engine = L.engine(url, lock_timeout=0.1)
    Base.metadata.create_all(engine)
    store(engine, Plain(id=1))
    with Session(engine) as holder:
        L.locked(holder, Plain, [1])
        with pytest.raises(L.LockTimeout), L.translating():
            set_value(engine, Plain, 1, 5)
    engine.dispose()


def test_everybody_reads_a_locked_row(stored, new_session):
    store(stored, Tally(id=1))
    L.locked(new_session(), Tally, [1])
    assert value_of(stored, Tally, 1) == 0


@servers
@pytest.mark.parametrize(("n", "n_all"), [(1, 2), (3, 4), (2, 30), (1, 2000), (30, 2000), (1500, 2000)])
def test_only_the_rows_asked_for_are_locked(stored, new_session, n, n_all):
    store(stored, *(Plain(id=2 * number) for number in range(n_all)))
    holder, other = new_session(), new_session()
    step = n_all // n
    taken = [2 * step * number for number in range(n)]
    assert len(L.locked(holder, Plain, taken)) == n
    free = sorted({2 * number for number in range(n_all)} - set(taken))
    for key in (free[0], free[len(free) // 2], free[-1]):
        assert len(L.locked(other, Plain, [key], nowait=True)) == 1
    assert len(L.locked(other, Plain, free, nowait=True)) == len(free)
    with pytest.raises(L.LockTimeout):
        L.locked(other, Plain, taken[-1:], nowait=True)


@servers
def test_only_the_rows_of_several_columns_asked_for_are_locked(stored, new_session):
    store(stored, *(Seat(number=n, row=row) for n in range(1, 30) for row in "abc"))
    holder, other = new_session(), new_session()
    L.locked(holder, Seat, [(20, "c"), (3, "a"), (1, "b")])
    free = [(n, row) for n in range(1, 30) for row in "abc" if (n, row) not in {(20, "c"), (3, "a"), (1, "b")}]
    assert len(L.locked(other, Seat, free, nowait=True)) == len(free)


@sqlite
def test_the_lock_of_sqlite_is_a_real_one(stored, new_session):
    """Whatever the row: there is one for all."""
    store(stored, Tally(id=1), Tally(id=2))
    L.locked(new_session(), Tally, [1])
    with pytest.raises(L.LockTimeout):
        L.locked(new_session(), Tally, [2], nowait=True)


@servers
def test_a_shared_lock_is_shared_by_readers_and_kept_from_writers(stored, new_session):
    store(stored, Plain(id=1))
    one, two, writer = new_session(), new_session(), new_session()
    statement = select(Plain).where(Plain.id == 1)
    for session in (one, two):
        assert locking_rows(session, statement, share=True, nowait=True).scalar_one().id == 1
    for end in (one, two):
        with pytest.raises(L.LockTimeout):
            L.locked(writer, Plain, [1], nowait=True)
        writer.rollback()
        end.rollback()
    assert len(L.locked(writer, Plain, [1], nowait=True)) == 1


ASK_WAIT = {"sqlite": "PRAGMA busy_timeout", "mariadb": "SELECT @@innodb_lock_wait_timeout",
            "postgresql": "SHOW lock_timeout"}


def test_a_timeout_of_one_call_is_forgotten_behind_it(stored, new_session, backend):
    store(stored, Tally(id=1))
    holder, other = new_session(), new_session()

    def usual_wait():
        return other.scalar(text(ASK_WAIT[backend]))

    before = usual_wait()
    L.locked(other, Tally, [1], timeout=3)
    assert usual_wait() == before
    other.commit()
    assert usual_wait() == before
    other.commit()
    L.locked(holder, Tally, [1])
    with pytest.raises(L.LockTimeout):
        L.locked(other, Tally, [1], timeout=0.05)
    other.rollback()
    assert usual_wait() == before


@sqlite
def test_a_limit_of_one_transaction_is_forgotten_in_every_pool(url):
    """Also in one that stands in memory where another stood, which was disposed while its engine lived on."""
    for _ in range(200):
        engine = L.engine(url, pool_size=1)
        with Session(engine) as session:
            before = session.scalar(text(ASK_WAIT["sqlite"]))
            limit_waits(session, 1)
            assert session.scalar(text(ASK_WAIT["sqlite"])) == 1000 != before
            session.commit()
            assert session.scalar(text(ASK_WAIT["sqlite"])) == before
        engine.dispose()


@servers
def test_also_where_a_savepoint_ends_it(stored, new_session, backend):
    store(stored, Tally(id=1))
    holder, other = new_session(), new_session()
    L.locked(holder, Tally, [1])
    before = other.scalar(text(ASK_WAIT[backend]))
    with pytest.raises(L.LockTimeout), other.begin_nested():
        L.locked(other, Tally, [1], timeout=0.05)
    assert other.scalar(text(ASK_WAIT[backend])) == before
