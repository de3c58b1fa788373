"""Seat booking: several see the last seat free, and each books it."""
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotpath.locking.models import Versioned
from hotpath.locking.optimistic import force_increment
from hotpath.locking.policies import Optimistic, Pessimistic, Policy
from hotpath.locking.work import Tx

from .actor import Actor, Key
from .scenario import ANOMALY, Outcome, Part, Scenario, Way
from .tables import KEY_LENGTH, PREFIX, Base

SEATS = 1
CLIENTS = ("alice", "bob", "carol")


class Flight(Versioned, Base):
    """How many seats it has."""

    __tablename__ = PREFIX + "flight"

    id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    seats: Mapped[int]


class Booking(Base):
    """Of one seat."""

    __tablename__ = PREFIX + "booking"

    flight: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    client: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)


def rows(key: Key) -> Sequence[Base]:
    """One seat is left."""
    return [Flight(id=key("AB12"), seats=SEATS)]


def naive(actor: Actor, key: Key) -> None:
    """Look, then book."""
    with actor.transaction() as session:
        if is_free(actor, SEATS, sold(session, key)):
            actor.pause()
            session.add(Booking(flight=key("AB12"), client=actor.name))


def with_policy(policy: Policy) -> Part:
    """A booking raises the version of the flight, although it changes no column of it."""
    def part(actor: Actor, key: Key) -> None:
        def unit(tx: Tx) -> None:
            flight = tx.load(Flight, key("AB12"))
            if is_free(actor, flight.seats, sold(tx.session, key)):
                actor.pause()
                force_increment(tx.session, flight)
                tx.session.add(Booking(flight=flight.id, client=actor.name))

        actor.run(unit, policy)

    return part


def sold(session: Session, key: Key) -> int:
    """How many seats are."""
    return session.scalars(
        select(func.count()).select_from(Booking).where(Booking.flight == key("AB12"))).one()


def is_free(actor: Actor, seats: int, taken: int) -> bool:
    """The rule."""
    free = taken < seats
    actor.note(f"read {taken} of {seats} sold: " + ("books" if free else "is too late"))
    return free


def outcome(session: Session, key: Key, _completed: Sequence[str]) -> Outcome:
    """As many are sold as there are."""
    total = sold(session, key)
    return Outcome(total == SEATS, {"seats": SEATS, "clients": len(CLIENTS), "sold": total})


SCENARIO = Scenario(
    name="seat-booking", title="Seat booking",
    about="Three see that one seat is left, and each adds a booking of their own: one seat is sold three times.",
    actors=CLIENTS, rows=rows, outcome=outcome,
    ways={
        "naive": Way("look, then book", naive, ANOMALY),
        "optimistic": Way("raise the flight's version with each booking: force_increment",
                          with_policy(Optimistic())),
        "pessimistic": Way("lock the flight before its bookings are counted", with_policy(Pessimistic())),
    })
