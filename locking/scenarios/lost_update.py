"""Lost update: two add to what they read, and the first addition is gone."""
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotpath.locking.models import Versioned
from hotpath.locking.policies import Escalating, Optimistic, Pessimistic, Policy
from hotpath.locking.work import Tx

from .actor import Actor, Key
from .scenario import ANOMALY, Outcome, Part, Scenario, Way
from .tables import KEY_LENGTH, PREFIX, Base

START = 100
DELTAS = {"alice": 30, "bob": 50}


class Stock(Versioned, Base):
    """How much there is of a good."""

    __tablename__ = PREFIX + "stock"

    id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    amount: Mapped[int]


def rows(key: Key) -> Sequence[Base]:
    """100 of tea."""
    return [Stock(id=key("tea"), amount=START)]


def naive(actor: Actor, key: Key) -> None:
    """Read, add, write."""
    delta = DELTAS[actor.name]
    with actor.transaction() as session:
        amount = session.scalars(select(Stock.amount).where(Stock.id == key("tea"))).one()
        actor.note(f"read {amount}, adds {delta}: will write {amount + delta}")
        actor.pause()
        session.execute(update(Stock).where(Stock.id == key("tea")).values(amount=amount + delta))


def atomic(actor: Actor, key: Key) -> None:
    """Let the database add."""
    def unit(tx: Tx) -> None:
        # Whoever read the row before must see by its version that it was changed.
        tx.session.execute(update(Stock).where(Stock.id == key("tea")).values(
            amount=Stock.amount + DELTAS[actor.name], version=Stock.version + 1))
        actor.pause()

    actor.run(unit, Optimistic())


def with_policy(policy: Policy) -> Part:
    """The same work as the naive one's, run by the library."""
    def part(actor: Actor, key: Key) -> None:
        delta = DELTAS[actor.name]

        def unit(tx: Tx) -> None:
            tea = tx.load(Stock, key("tea"))
            actor.note(f"read {tea.amount}, adds {delta}: will write {tea.amount + delta}")
            actor.pause()
            tea.amount += delta

        actor.run(unit, policy)

    return part


def outcome(session: Session, key: Key, completed: Sequence[str]) -> Outcome:
    """Each addition that was confirmed is in the sum."""
    final = session.get_one(Stock, key("tea")).amount
    deltas = [DELTAS[name] for name in completed]
    lost = START + sum(deltas) - final
    return Outcome(lost == 0, {"start": START, "deltas": deltas, "final": final, "lost": lost})


SCENARIO = Scenario(
    name="lost-update", title="Lost update",
    about="Two read the same amount, each adds to it and writes the sum: the second overwrites what the first added.",
    actors=tuple(DELTAS), rows=rows, outcome=outcome,
    ways={
        "naive": Way("read, add, write", naive, ANOMALY),
        "optimistic": Way("write only if the version is the one that was read, else begin anew",
                          with_policy(Optimistic())),
        "pessimistic": Way("lock the row before it is read", with_policy(Pessimistic())),
        "escalating": Way("without a lock at first, with one after a conflict", with_policy(Escalating(after=1))),
        "atomic": Way("one statement that adds", atomic),
    })
