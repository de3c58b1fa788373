"""The version column: 1 at birth, one more for each change, and whoever changes an old version is told."""
import pytest
from sqlalchemy import ForeignKey, String, delete, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking as L
from hotpath.locking.models import key_columns, key_of

from .rows import Plain, Seat, Tally, set_value, store, value_of, version_of


def test_a_row_is_born_with_version_1_and_each_change_raises_it_by_one(stored):
    store(stored, Tally(id=1))
    for n in range(1, 4):
        assert version_of(stored) == n
        set_value(stored, Tally, 1, 100 + n)


def test_several_flushes_of_one_transaction_are_several_changes(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    for value in (5, 6):
        row.value = value
        session.flush()
    session.commit()
    assert row.version == version_of(stored) == 3


def test_what_was_not_changed_keeps_its_version(stored, new_session):
    store(stored, Tally(id=1, value=5))
    session = new_session()
    session.get(Tally, 1).value = 5
    session.commit()
    assert version_of(stored) == 1


def test_a_change_of_an_old_version_fails_and_overwrites_nothing(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    set_value(stored, Tally, 1, 5)
    row.value = 6
    with pytest.raises(L.Conflict), L.translating():
        session.commit()
    session.rollback()
    assert value_of(stored, Tally, 1) == 5


@pytest.mark.parametrize("backend", ["sqlite", "mariadb", "postgresql"])
def test_without_a_version_the_other_change_is_lost(stored, new_session):
    """The control."""
    store(stored, Plain(id=1))
    session = new_session()
    row = session.get(Plain, 1)
    set_value(stored, Plain, 1, 5)
    row.value = 6
    session.commit()
    assert value_of(stored, Plain, 1) == 6


def test_an_old_version_is_not_deleted(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    set_value(stored, Tally, 1, 5)
    session.delete(row)
    with pytest.raises(L.Conflict), L.translating():
        session.commit()
    session.rollback()
    assert value_of(stored, Tally, 1) == 5


def test_a_change_of_what_was_deleted_fails(stored, new_session):
    store(stored, Tally(id=1))
    session = new_session()
    row = session.get(Tally, 1)
    with Session(stored) as other:
        other.delete(other.get(Tally, 1))
        other.commit()
    row.value = 6
    with pytest.raises(L.Conflict), L.translating():
        session.commit()


def test_a_repeatable_read_of_mariadb_does_not_hide_the_other_change(stored, new_session):
    """The version is compared with what is committed now, not with the transaction's snapshot."""
    store(stored, Tally(id=1), Tally(id=2))
    session = new_session()
    session.get(Tally, 2)
    set_value(stored, Tally, 1, 5)
    row = session.get(Tally, 1)     # under REPEATABLE READ of MariaDB: as it was
    set_value(stored, Tally, 1, 6)
    row.value = 7
    with pytest.raises(L.Conflict), L.translating():
        session.commit()
    session.rollback()
    assert value_of(stored, Tally, 1) == 6


def test_bulk_changes_pass_the_version_by(stored, new_session):
    """A fact, and the reason for cas_update."""
    store(stored, Tally(id=1), Tally(id=2))
    session = new_session()
    session.execute(update(Tally).where(Tally.id == 1).values(value=9))
    session.execute(delete(Tally).where(Tally.id == 2))
    session.commit()
    assert version_of(stored) == 1


def test_a_key_of_several_columns(stored, new_session):
    store(stored, Seat(number=3, row="b"))
    session = new_session()
    seat = session.get(Seat, (3, "b"))
    assert key_of(seat) == (3, "b")
    assert [column.name for column in key_columns(Seat)] == ["number", "row"]
    with Session(stored) as other:
        other.get(Seat, (3, "b")).taker = "Ann"
        other.commit()
    seat.taker = "Bob"
    with pytest.raises(L.Conflict), L.translating():
        session.commit()


def test_a_key_of_one_column_is_the_value(stored, new_session):
    store(stored, Tally(id=7))
    assert key_of(new_session().get(Tally, 7)) == 7


# ---- ways to declare a class

class Other(DeclarativeBase):
    """Apart from the tables that each test makes."""


class Abstract(L.Versioned, Other):
    """A base of the user's own."""

    __abstract__ = True
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class OfAbstract(Abstract):
    """Of that."""

    __tablename__ = "of_abstract"
    value: Mapped[int] = mapped_column(default=0)


class Vehicle(L.Versioned, Other):
    """With mapper arguments of its own; a table for all kinds, or one more for a kind."""

    __tablename__ = "vehicles"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}     # noqa: RUF012   SQLAlchemy's way
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(10))
    value: Mapped[int] = mapped_column(default=0)


class Bus(Vehicle):
    """In the table of all."""

    __mapper_args__ = {"polymorphic_identity": "bus"}       # noqa: RUF012


class Train(Vehicle):
    """In a table of its own besides."""

    __tablename__ = "trains"
    __mapper_args__ = {"polymorphic_identity": "train"}     # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("vehicles.id"), primary_key=True, autoincrement=False)
    wagons: Mapped[int] = mapped_column(default=0)


@pytest.mark.parametrize(("model", "attribute"), [
    (OfAbstract, "value"), (Vehicle, "value"), (Bus, "value"), (Train, "value"), (Train, "wagons")])
def test_however_the_class_is_declared(engine, model, attribute):
    Other.metadata.create_all(engine)
    store(engine, model(id=1))
    assert version_of(engine, model=model) == 1
    with Session(engine) as session:
        row = session.get(model, 1)
        with Session(engine) as other:
            setattr(other.get(model, 1), attribute, 5)
            other.commit()
        assert version_of(engine, model=model) == 2
        setattr(row, attribute, 6)
        with pytest.raises(L.Conflict), L.translating():
            session.commit()
    with Session(engine) as session:
        assert getattr(session.get(model, 1), attribute) == 5


@pytest.mark.parametrize("model", [Vehicle, Bus, Train])
def test_rows_of_such_a_class_can_be_locked_and_counted(engine, model):
    Other.metadata.create_all(engine)
    store(engine, model(id=1), model(id=2))
    with Session(engine) as session:
        two, one = L.locked(session, model, [2, 1])
        assert (two.id, one.id) == (2, 1)
        L.force_increment(session, one)
        L.ensure_unchanged(session, one, two)
        assert L.cas_update(session, model, 2, 1, value=8) == 2
        session.commit()
    assert version_of(engine, model=model) == 2
    assert version_of(engine, 2, model) == 2
