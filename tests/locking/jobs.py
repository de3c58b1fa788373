"""Jobs, a record of all hand-outs, and what must be true of it; run as a program this is a worker of its own.

    python -P -m tests.locking.jobs claim URL OWNER TTL     claims one job, says so, and waits to be killed
    python -P -m tests.locking.jobs write URL OWNER TTL     takes the lease, says so, and writes at SIGUSR1
    python -P -m tests.locking.jobs overwrite URL …         the same, without asking the fence
"""
from __future__ import annotations

import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

from sqlalchemy import BigInteger, Engine, String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking
from hotpath.locking.clock import now_us
from hotpath.locking.errors import LostLease
from tests.waiting import Process, wait_for

LEASE = "the register"


class Base(DeclarativeBase):
    pass


class Job(locking.Claimable, Base):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)


class HandOut(Base):
    """Written in the transaction of the claim."""

    __tablename__ = "hand_outs"
    id: Mapped[int] = mapped_column(primary_key=True)
    job: Mapped[int]
    token: Mapped[int] = mapped_column(BigInteger)
    at_us: Mapped[int] = mapped_column(BigInteger)
    until_us: Mapped[int] = mapped_column(BigInteger)


class Finish(Base):
    """Written in the transaction that finishes the job."""

    __tablename__ = "finishes"
    id: Mapped[int] = mapped_column(primary_key=True)
    job: Mapped[int]
    token: Mapped[int] = mapped_column(BigInteger)


class Register(Base):
    """What only the holder of the lease may write."""

    __tablename__ = "registers"
    id: Mapped[int] = mapped_column(primary_key=True)
    writer: Mapped[str] = mapped_column(String(40))


def create(engine: Engine, n_jobs: int = 0) -> None:
    Base.metadata.create_all(engine)
    add(engine, n_jobs)


def add(engine: Engine, n_jobs: int) -> None:
    with locking.translating(), Session(engine) as session, session.begin():
        session.add_all(Job() for _ in range(n_jobs))


def take(engine: Engine, n: int, owner: str, ttl: float) -> list[Job]:
    """Claim and record."""
    with Session(engine, expire_on_commit=False) as session:
        jobs = locking.claim(session, Job, n, owner=owner, ttl=ttl)
        session.add_all(HandOut(job=job.id, token=job.token, at_us=job.claimed_until - round(ttl * 1e6),
                                until_us=job.claimed_until) for job in jobs)
        session.commit()
        return jobs


def give(engine: Engine, job: Job) -> bool:
    """Finish and record; whether it was still ours."""
    with Session(engine, expire_on_commit=False) as session:
        token = job.token
        try:
            locking.finish(session, job)
        except LostLease:
            return False
        session.add(Finish(job=job.id, token=token))
        session.commit()
        return True


def unfinished(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalars(select(func.count()).where(Job.finished.is_(False))).one()


def complaints(engine: Engine) -> list[str]:
    """What should never have happened, by the record."""
    with Session(engine) as session:
        hand_outs, finishes = list(session.scalars(select(HandOut))), list(session.scalars(select(Finish)))
        jobs = list(session.scalars(select(Job.id)))
    found = []
    for job in jobs:
        times = sorted((each.token, each.at_us, each.until_us) for each in hand_outs if each.job == job)
        for (token, at_us, until_us), (next_token, next_at_us, _) in pairwise(times):
            if next_token == token:
                found.append(f"job {job}: two owners have token {token}")
            elif next_at_us < until_us:
                found.append(f"job {job}: handed out {until_us - next_at_us} µs before its owner's time, from "
                             f"{at_us}, was over")
        if [token for token, *_ in times] != list(range(1, len(times) + 1)):
            found.append(f"job {job}: tokens {[token for token, *_ in times]}")
        ends = [each.token for each in finishes if each.job == job]
        if len(ends) > 1:
            found.append(f"job {job}: finished {len(ends)} times")
        if ends and max(ends) != len(times):
            found.append(f"job {job}: finished by the owner of token {max(ends)} of {len(times)}")
    return found


def now(engine: Engine) -> int:
    """Microseconds, by the database's clock."""
    with Session(engine) as session:
        return session.execute(select(now_us(session))).scalar_one()


def wait_until(engine: Engine, until_us: int) -> None:
    """By the database's clock."""
    wait_for(lambda: now(engine) > until_us, "time to pass")


def worker(*words: str) -> Process:
    """The program; kill it when done."""
    return Process([sys.executable, "-P", "-m", "tests.locking.jobs", *words],
                   os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})


def main(what: str, url: str, owner: str, ttl: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    engine = locking.engine(url)
    if what == "claim":
        (job,) = take(engine, 1, owner, float(ttl))
        print(f"claimed {job.id} {job.claimed_until}", flush=True)
        signal.sigwait({signal.SIGUSR1})
        return
    held = locking.lease(engine, LEASE, owner=owner, ttl=float(ttl))
    print(f"holds {held.token}", flush=True)
    signal.sigwait({signal.SIGUSR1})
    with Session(engine) as session:
        try:
            if what == "write":
                held.fence(session)
            session.get_one(Register, 1).writer = owner
            session.commit()
            print("wrote", flush=True)
        except LostLease as error:
            print(f"refused {error.token}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
