"""What an attempt loaded without a lock is that row, in that version, until its end."""
from __future__ import annotations

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking


class Base(DeclarativeBase):
    """The tables of this test."""


class Tally(locking.Versioned, Base):
    __tablename__ = "tally"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]


@pytest.fixture
def tallies(engine):
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Tally(id=1, n=0))
        session.commit()
    return engine


def increments(engine, policy, overtake):
    """A unit that loads the row twice, and lets go of it in between; somebody else is faster in its first attempt."""
    def unit(tx):
        n = tx.load(Tally, 1).n
        if tx.attempt == 1:
            locking.run(engine, lambda other: setattr(other.load(Tally, 1), "n", n + 1))
            overtake()
        tx.load(Tally, 1).n = n + 1

    locking.run(engine, unit, policy)
    with Session(engine) as session:
        return session.get(Tally, 1).n


def test_a_row_that_nobody_holds_is_not_read_anew(tallies):
    assert increments(tallies, locking.Optimistic(), lambda: None) == 2


class Learning(locking.Adaptive):
    """Learns from others that the row is contended, when we say so."""

    contended = False

    def locks_row(self, row):
        return self.contended


def test_a_row_that_becomes_contended_meanwhile_is_not_locked_behind_its_read(tallies):
    policy = Learning()
    assert increments(tallies, policy, lambda: setattr(policy, "contended", True)) == 2
