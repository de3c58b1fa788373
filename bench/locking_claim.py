"""What do the time, the token and the objects of `claim` and `finish` cost over a bare SKIP LOCKED loop?"""
from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Update,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking

from .harness import Spread, interleave
from .locking_servers import BACKENDS, database
from .paired import verdict
from .rivals import WrongAnswer

COLUMNS = ("database", "jobs a claim", "contender", "jobs/s", "hotpath makes × as many (min-max)", "CPU µs a job",
           "claim p50 ms", "p99 ms", "goal")
NOTE = """{workers} threads in one process share out {jobs:,} jobs, each finished in a transaction of its own, as by a
worker that works between the two. The rivals are SQLAlchemy's core on the same engine, with a state for each job and no
more: SELECT … FOR UPDATE SKIP LOCKED (SQLite: BEGIN IMMEDIATE, SELECT), UPDATE, COMMIT; UPDATE, COMMIT. They know
neither time nor token: the jobs of a worker that dies stay with it. The bare loop puts its statements together where it
executes them, as its manual does; `kept` has put them together once, as ours has. Ours has a Session and objects
besides. Each round checks that every job was handed out once and finished. CPU is user+sys of this process, without the
server's. Ratios are taken within each round; above 1 hotpath makes more.
"""
FREE, TAKEN, DONE = range(3)


class Base(DeclarativeBase):
    """Of the one model."""


class Task(locking.Claimable, Base):
    """What ours hands out."""

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(String(40))


metadata = MetaData()
bare = Table("bare_tasks", metadata, Column("id", Integer, primary_key=True), Column("body", String(40)),
             Column("state", Integer, nullable=False), Index("bare_tasks_by_state", "state", "id"))


def find(n: int | BindParameter[int]) -> Select[tuple[int, str]]:
    """The oldest free ones, locked; those that are locked are passed over."""
    return select(bare.c.id, bare.c.body).where(bare.c.state == FREE).order_by(bare.c.id).limit(n).with_for_update(
        skip_locked=True)


def take(ids: Sequence[int] | BindParameter[int]) -> Update:
    """They are not free any more."""
    return update(bare).where(bare.c.id.in_(ids)).values(state=TAKEN)


def end(one: int | BindParameter[int]) -> Update:
    """It is done."""
    return update(bare).where(bare.c.id == one).values(state=DONE)


class Contender(Protocol):
    """A way to hand out jobs."""

    def fill(self, n: int) -> None:
        """So many, all of them free, and none else."""

    def take(self, owner: str, n: int) -> Sequence[object]:
        """Up to `n`, for this owner."""

    def finish(self, job: object) -> int:
        """It is done; its id."""

    def left(self) -> int:
        """How many are not done."""


class Ours:
    """`claim` and `finish`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def fill(self, n: int) -> None:
        """See Contender."""
        Base.metadata.drop_all(self.engine)
        Base.metadata.create_all(self.engine)
        with Session(self.engine) as session, session.begin():
            session.execute(insert(Task), [{"body": "x"} for _ in range(n)])

    def take(self, owner: str, n: int) -> Sequence[Task]:
        """See Contender."""
        with Session(self.engine, expire_on_commit=False) as session:
            jobs = locking.claim(session, Task, n, owner=owner, ttl=60)
            session.commit()
            return jobs

    def finish(self, job: object) -> int:
        """See Contender."""
        assert isinstance(job, Task)
        with Session(self.engine, expire_on_commit=False) as session:
            locking.finish(session, job)
            session.commit()
            return job.id

    def left(self) -> int:
        """See Contender."""
        with Session(self.engine) as session:
            return len(session.scalars(select(Task.id).where(Task.finished.is_(False))).all())


class Bare:
    """Two statements and a third."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    def fill(self, n: int) -> None:
        """See Contender."""
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(insert(bare), [{"body": "x", "state": FREE} for _ in range(n)])

    def take(self, owner: str, n: int) -> Sequence[tuple[int, str]]:
        """See Contender."""
        with self.engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            rows = self.found(connection, n)
            if rows:
                self.taken(connection, [row[0] for row in rows])
            return rows

    def found(self, connection: Connection, n: int) -> list[tuple[int, str]]:
        """The SELECT."""
        return [(row.id, row.body) for row in connection.execute(find(n))]

    def taken(self, connection: Connection, ids: list[int]) -> None:
        """The UPDATE."""
        connection.execute(take(ids))

    def finish(self, job: object) -> int:
        """See Contender."""
        assert isinstance(job, tuple)
        with self.engine.begin() as connection:
            self.ended(connection, job[0])
        return int(job[0])

    def ended(self, connection: Connection, one: int) -> None:
        """The other UPDATE."""
        connection.execute(end(one))

    def left(self) -> int:
        """See Contender."""
        with self.engine.connect() as connection:
            return len(connection.execute(select(bare.c.id).where(bare.c.state != DONE)).all())


class Kept(Bare):
    """The same statements, put together once."""

    FIND = find(bindparam("n", type_=Integer))
    TAKE = take(bindparam("ids", expanding=True))
    END = end(bindparam("one"))

    def found(self, connection: Connection, n: int) -> list[tuple[int, str]]:
        """The SELECT."""
        return [(row.id, row.body) for row in connection.execute(self.FIND, {"n": n})]

    def taken(self, connection: Connection, ids: list[int]) -> None:
        """The UPDATE."""
        connection.execute(self.TAKE, {"ids": ids})

    def ended(self, connection: Connection, one: int) -> None:
        """The other UPDATE."""
        connection.execute(self.END, {"one": one})


CONTENDERS: dict[str, Callable[[Engine], Contender]] = {"hotpath": Ours, "bare loop": Bare, "bare loop, kept": Kept}
GOALS = {"bare loop": 0.9}


@dataclass(frozen=True, slots=True)
class Round:
    """One contender, one round."""

    jobs: int
    seconds: float
    cpu_s: float
    claims_s: Sequence[float]       # how long each claim took that found something

    @property
    def per_s(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Of the claims."""
        return sorted(self.claims_s)[int(share * (len(self.claims_s) - 1))] * 1e3


def handed_out(contender: Contender, *, jobs: int, n: int, workers: int) -> Round:
    """Workers that claim `n` at a time and finish them, until there are none. Raises WrongAnswer."""
    contender.fill(jobs)
    start = threading.Barrier(workers + 1)
    done: list[list[int]] = [[] for _ in range(workers)]
    claims_s: list[list[float]] = [[] for _ in range(workers)]

    def work(me: int) -> None:
        start.wait()
        while True:
            began_s = time.perf_counter()
            taken = contender.take(f"w{me}", n)
            if not taken:
                return
            claims_s[me].append(time.perf_counter() - began_s)
            done[me] += [contender.finish(job) for job in taken]

    threads = [threading.Thread(target=work, args=(me,)) for me in range(workers)]
    for thread in threads:
        thread.start()
    start.wait()
    seconds, cpu_s = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    cpu_s, seconds = time.process_time() - cpu_s, time.perf_counter() - seconds
    times = Counter(job for mine in done for job in mine)
    if len(times) != jobs or max(times.values()) > 1 or contender.left():
        raise WrongAnswer(f"{type(contender).__name__}: {len(times)} of {jobs} jobs were handed out, one of them "
                          f"{max(times.values(), default=0)} times; {contender.left()} are left")
    return Round(jobs, seconds, cpu_s, [each for mine in claims_s for each in mine])


def rows(backend: str, n: int, taken: Mapping[str, Sequence[Round]]) -> list[tuple[str, ...]]:
    """The table's rows of one question; ours first."""
    ours = next(iter(taken.values()))
    found: list[tuple[str, ...]] = []
    for name, rounds in taken.items():
        faster = Spread.of([a.per_s / b.per_s for a, b in zip(ours, rounds, strict=True)])
        found.append((
            backend, str(n), name, f"{median(one.per_s for one in rounds):,.0f}",
            "" if rounds is ours else str(faster), f"{median(one.cpu_s / one.jobs for one in rounds) * 1e6:,.0f}",
            f"{median(one.quantile_ms(0.5) for one in rounds):.2f}",
            f"{median(one.quantile_ms(0.99) for one in rounds):.2f}",
            verdict(faster.middle, GOALS[name]) if name in GOALS else ""))
    return found


def run(folder: Path, *, rounds: int, jobs: int = 1000, workers: int = 4, claims: Sequence[int] = (1, 10),
        backends: Sequence[str] = BACKENDS) -> list[tuple[str, ...]]:
    """The contenders in turns, on each database. Raises StartError, WrongAnswer."""
    found = []
    for backend in backends:
        with database(backend, folder) as url:
            engine = locking.engine(url, pool_size=workers)
            try:
                for n in claims:
                    contenders: dict[str, Callable[[], Round]] = {}
                    for name, make in CONTENDERS.items():
                        contender = make(engine)
                        handed_out(contender, jobs=10 * n, n=n, workers=workers)
                        contenders[name] = lambda contender=contender, n=n: handed_out(
                            contender, jobs=jobs, n=n, workers=workers)
                    taken = interleave(contenders, rounds=rounds, title=f"{backend}, {n} at a time")
                    found += rows(backend, n, taken)
            finally:
                engine.dispose()
    return found
