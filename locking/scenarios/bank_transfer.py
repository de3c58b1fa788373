"""Bank transfer: two transfers share an account, and money vanishes.

The two move on to a third account: of two opposite transfers the second undoes the first, and the sum stays right.
"""
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from hotpath.locking.models import Versioned
from hotpath.locking.policies import Optimistic, Pessimistic, Policy
from hotpath.locking.work import Tx

from .actor import Actor, Key
from .scenario import ANOMALY, Outcome, Part, Scenario, Way
from .tables import KEY_LENGTH, PREFIX, Base

ACCOUNTS = ("A", "B", "C")
START = 100         # on each
AMOUNT = 10
TRANSFERS = {"alice": ("A", "B"), "bob": ("B", "C")}


class Account(Versioned, Base):
    """The money on it."""

    __tablename__ = PREFIX + "account"

    id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    balance: Mapped[int]


def rows(key: Key) -> Sequence[Base]:
    """Three, with the same on each."""
    return [Account(id=key(name), balance=START) for name in ACCOUNTS]


def naive(actor: Actor, key: Key) -> None:
    """Read both balances, then write both."""
    giver, taker = (key(name) for name in TRANSFERS[actor.name])
    with actor.transaction() as session:
        gives, takes = (session.scalars(select(Account.balance).where(Account.id == one)).one()
                        for one in (giver, taker))
        say(actor, gives, takes)
        actor.pause()
        for one, balance in ((giver, gives - AMOUNT), (taker, takes + AMOUNT)):
            session.execute(update(Account).where(Account.id == one).values(balance=balance))


def with_policy(policy: Policy) -> Part:
    """The same, run by the library."""
    def part(actor: Actor, key: Key) -> None:
        def unit(tx: Tx) -> None:
            giver, taker = (tx.load(Account, key(name)) for name in TRANSFERS[actor.name])
            say(actor, giver.balance, taker.balance)
            actor.pause()
            giver.balance -= AMOUNT
            taker.balance += AMOUNT

        actor.run(unit, policy)

    return part


def say(actor: Actor, gives: int, takes: int) -> None:
    """What was read."""
    giver, taker = TRANSFERS[actor.name]
    actor.note(f"read {giver} = {gives}, {taker} = {takes}: moves {AMOUNT} from {giver} to {taker}")


def outcome(session: Session, key: Key, _completed: Sequence[str]) -> Outcome:
    """Money neither comes nor goes."""
    final = sum(session.get_one(Account, key(name)).balance for name in ACCOUNTS)
    start = START * len(ACCOUNTS)
    return Outcome(final == start, {"start": start, "final": final})


SCENARIO = Scenario(
    name="bank-transfer", title="Bank transfer",
    about="One moves money from A to B, another from B to C. Both read B before either wrote it: the second overwrites "
          "what the first paid in.",
    actors=tuple(TRANSFERS), rows=rows, outcome=outcome,
    ways={
        "naive": Way("read both balances, then write both", naive, ANOMALY),
        "optimistic": Way("write only if the versions are those that were read, else begin anew",
                          with_policy(Optimistic())),
        "pessimistic": Way("lock both accounts before they are read", with_policy(Pessimistic())),
    })
