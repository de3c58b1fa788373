"""Write skew: two read the same rows, each changes another one, and a rule over all of them is broken."""
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotpath.locking.models import Versioned
from hotpath.locking.optimistic import ensure_unchanged
from hotpath.locking.pessimistic import locked
from hotpath.locking.policies import Optimistic, Pessimistic
from hotpath.locking.work import Tx

from .actor import Actor, Key
from .scenario import ANOMALY, Outcome, Scenario, Way
from .tables import KEY_LENGTH, PREFIX, Base

DOCTORS = ("alice", "bob")
LEAST = 1       # must stay on call


class Doctor(Versioned, Base):
    """Who is, or is not, on call in a ward."""

    __tablename__ = PREFIX + "doctor"

    id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    ward: Mapped[str] = mapped_column(String(KEY_LENGTH))
    on_call: Mapped[bool]


def rows(key: Key) -> Sequence[Base]:
    """Both are on call."""
    return [Doctor(id=key(name), ward=key("A"), on_call=True) for name in DOCTORS]


def naive(actor: Actor, key: Key) -> None:
    """Count, then leave."""
    with actor.transaction() as session:
        count = session.scalars(
            select(func.count()).select_from(Doctor).where(Doctor.ward == key("A"), Doctor.on_call)).one()
        if may_leave(actor, count):
            actor.pause()
            session.execute(update(Doctor).where(Doctor.id == key(actor.name)).values(on_call=False))


def version_only(actor: Actor, key: Key) -> None:
    """Each checks the version of the row that it writes, and nobody wrote that one."""
    def unit(tx: Tx) -> None:
        doctors = of_the_ward(tx.session, key)
        leave(actor, key, doctors)

    actor.run(unit, Optimistic())


def unchanged(actor: Actor, key: Key) -> None:
    """Each checks the versions of all rows that its decision rests on."""
    def unit(tx: Tx) -> None:
        doctors = of_the_ward(tx.session, key)
        if leave(actor, key, doctors):
            ensure_unchanged(tx.session, *doctors)

    actor.run(unit, Optimistic())


def pessimistic(actor: Actor, key: Key) -> None:
    """Each locks all rows that its decision rests on."""
    def unit(tx: Tx) -> None:
        leave(actor, key, locked(tx.session, Doctor, [key(name) for name in DOCTORS]))

    actor.run(unit, Pessimistic())


def of_the_ward(session: Session, key: Key) -> Sequence[Doctor]:
    """All of them, as read."""
    return session.scalars(select(Doctor).where(Doctor.ward == key("A")).order_by(Doctor.id)).all()


def leave(actor: Actor, key: Key, doctors: Sequence[Doctor]) -> bool:
    """Go off call, if somebody else is on call."""
    if not may_leave(actor, sum(doctor.on_call for doctor in doctors)):
        return False
    actor.pause()
    next(doctor for doctor in doctors if doctor.id == key(actor.name)).on_call = False
    return True


def may_leave(actor: Actor, count: int) -> bool:
    """The rule."""
    may = count > LEAST
    actor.note(f"read that {count} are on call: may leave" if may else f"read that {count} is on call: stays")
    return may


def outcome(session: Session, key: Key, _completed: Sequence[str]) -> Outcome:
    """Somebody is on call."""
    on_call = sum(doctor.on_call for doctor in of_the_ward(session, key))
    return Outcome(on_call >= LEAST, {"on_call": on_call})


SCENARIO = Scenario(
    name="write-skew", title="Write skew",
    about="One of two doctors must stay on call. Both see two on call and leave, each by changing a row of their own: "
          "nobody is left.",
    actors=DOCTORS, rows=rows, outcome=outcome,
    ways={
        "naive": Way("count, then leave", naive, ANOMALY),
        "version-only": Way("check the version of the row that is written: nobody else writes that one", version_only,
                            ANOMALY),
        "unchanged": Way("check the versions of all rows that were read: ensure_unchanged", unchanged),
        "pessimistic": Way("lock all rows that are read", pessimistic),
    })
