"""Deadlock: two lock the same two rows in opposite orders, and each waits for the other."""
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotpath.locking.models import Versioned
from hotpath.locking.pessimistic import locked
from hotpath.locking.policies import Pessimistic
from hotpath.locking.work import Tx

from .actor import Actor, Key
from .scenario import Outcome, Scenario, Way
from .tables import KEY_LENGTH, PREFIX, Base

ORDERS = {"alice": ("left", "right"), "bob": ("right", "left")}


class Till(Versioned, Base):
    """How often it was counted."""

    __tablename__ = PREFIX + "till"

    id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    counted: Mapped[int]


def rows(key: Key) -> Sequence[Base]:
    """Two, never counted."""
    return [Till(id=key(name), counted=0) for name in ("left", "right")]


def retried(actor: Actor, key: Key) -> None:
    """Lock one after the other; who is sent away by the database begins anew."""
    # SQLite has one lock for all rows, so two that wait can never wait for each other: who waits for its turn would
    # just get it. Who does not wait is sent away.
    one_lock = actor.engine.dialect.name == "sqlite"
    first, second = (key(name) for name in ORDERS[actor.name])

    def unit(tx: Tx) -> None:
        (one,) = locked(tx.session, Till, [first], nowait=one_lock)
        actor.pause()
        (other,) = locked(tx.session, Till, [second])
        one.counted += 1
        other.counted += 1

    actor.run(unit, Pessimistic())


def ordered(actor: Actor, key: Key) -> None:
    """Lock both with one call: whatever the order asked, they are locked in one order for all."""
    def unit(tx: Tx) -> None:
        tills = locked(tx.session, Till, [key(name) for name in ORDERS[actor.name]])
        actor.pause()
        for till in tills:
            till.counted += 1

    actor.run(unit, Pessimistic())


def outcome(session: Session, key: Key, _completed: Sequence[str]) -> Outcome:
    """Both came to their end, and each counted both."""
    counted = [session.get_one(Till, key(name)).counted for name in ("left", "right")]
    return Outcome(counted == [len(ORDERS)] * 2, {"completed": min(counted)})


SCENARIO = Scenario(
    name="deadlock", title="Deadlock",
    about="One locks left, then right; the other right, then left: each waits for what the other holds, until the "
          "database sends one away.",
    actors=tuple(ORDERS), rows=rows, outcome=outcome,
    ways={
        "retried": Way("who is sent away begins anew", retried),
        "ordered": Way("locked() takes locks in one order for all, so nobody is sent away", ordered),
    })
