"""Do 32 processes that raise the same rows lose an increment under any policy, and how often does a unit begin anew?"""
from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from random import Random

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from hotpath import locking

from .harness import BenchmarkError
from .locking_units import Base, Tally
from .rivals import WrongAnswer

COLUMNS = ("database", "policy", "increments", "lost", "attempts a unit", "p99", "most", "units/s", "goal")
WORKERS = 32
ROWS = 64
PATIENCE_S = 300
# A unit here ends well or the measurement fails: by default the optimistic ones give up after ten attempts.
SETTINGS = {"attempts": 1000}


def load_and_raise(tx: locking.Tx, key: int) -> int:
    """The library's way."""
    tx.load(Tally, key).n += 1
    return tx.attempt


def raise_in_place(tx: locking.Tx, key: int) -> int:
    """One statement reads and writes."""
    tx.session.execute(update(Tally).where(Tally.id == key).values(n=Tally.n + 1))
    return tx.attempt


def overwrite(tx: locking.Tx, key: int) -> int:
    """The naive way."""
    n = tx.session.scalars(select(Tally.n).where(Tally.id == key)).one()
    tx.session.execute(update(Tally).where(Tally.id == key).values(n=n + 1))
    return tx.attempt


Unit = Callable[[locking.Tx, int], int]
Kind = type[locking.Optimistic | locking.Pessimistic | locking.Escalating | locking.Adaptive]
WAYS: dict[str, tuple[Unit, Kind]] = {
    "naive": (overwrite, locking.Optimistic),
    "optimistic": (load_and_raise, locking.Optimistic),
    "pessimistic": (load_and_raise, locking.Pessimistic),
    "escalating": (load_and_raise, locking.Escalating),
    "adaptive": (load_and_raise, locking.Adaptive),
    "atomic": (raise_in_place, locking.Optimistic),
}


def run(backend: str, url: str, *, increments: int) -> list[tuple[str, ...]]:
    """The table's rows of one database. Raises WrongAnswer when any policy but the naive one loses an increment."""
    found = []
    for policy in WAYS:
        lost, attempts, took_s = measure(url, policy, increments)
        if lost and policy != "naive":
            raise WrongAnswer(f"{backend}, {policy}: {lost} of {len(attempts)} increments were lost")
        found.append(row(backend, policy, lost, attempts, took_s))
    return found


def measure(url: str, policy: str, increments: int) -> tuple[int, list[int], float]:
    """How many of at least `increments` were lost, how many attempts each took, and how many seconds all."""
    engine = locking.engine(url, pool_size=1)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Tally), [{"id": key, "n": 0, "version": 1} for key in range(ROWS)])
    engine.dispose()
    each = -(-increments // WORKERS)
    fork = multiprocessing.get_context("fork")
    begin = fork.Barrier(WORKERS + 1)
    pipes, processes = [], []
    try:
        for number in range(WORKERS):
            ours, theirs = fork.Pipe(duplex=False)
            processes.append(fork.Process(target=work, args=(theirs, begin, url, policy, each, number), daemon=True))
            processes[-1].start()
            theirs.close()
            pipes.append(ours)
        begin.wait(PATIENCE_S)
        began_s = time.monotonic()
        attempts = [n for pipe in pipes for n in heard(pipe)]
        took_s = time.monotonic() - began_s
    finally:
        for process in processes:
            process.kill()
            process.join()
    with Session(engine) as session:
        counted = session.scalars(select(func.sum(Tally.n))).one()
    engine.dispose()
    return len(attempts) - counted, attempts, took_s


def heard(pipe: Connection) -> list[int]:
    """What a worker sends. Raises BenchmarkError."""
    try:
        if not pipe.poll(PATIENCE_S):
            raise BenchmarkError(f"a worker said nothing for {PATIENCE_S} s")
        said = pipe.recv()
    except EOFError:
        raise BenchmarkError("a worker ended before its work") from None
    if isinstance(said, str):
        raise BenchmarkError(said)
    return list(said)


def work(pipe: Connection, begin: Barrier, url: str, policy: str, each: int, number: int) -> None:
    """One worker: rows by chance, and the attempts of each unit at the end, or what went wrong."""
    unit, kind = WAYS[policy]
    engine, chosen, choose = locking.engine(url, pool_size=1), kind(**SETTINGS), Random(number).randrange
    try:
        with engine.connect():
            begin.wait(PATIENCE_S)
        pipe.send([locking.run(engine, partial(unit, key=choose(ROWS)), chosen) for _ in range(each)])
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def row(backend: str, policy: str, lost: int, attempts: list[int], took_s: float) -> tuple[str, ...]:
    """One line; a third attempt of Escalating has the lock, so only a deadlock or a timeout makes a fourth."""
    by_size = sorted(attempts)
    p99 = by_size[int(0.99 * (len(by_size) - 1))]
    goal = "" if policy == "naive" else "0 lost: met"
    if policy == "escalating":
        goal += f"; p99 ≤ 3: {'met' if p99 <= 3 else 'missed'}"
    return (backend, policy, f"{len(attempts):,}", f"{lost:,}", f"{sum(attempts) / len(attempts):.2f}", str(p99),
            str(by_size[-1]), f"{len(attempts) / took_s:,.0f}", goal)
