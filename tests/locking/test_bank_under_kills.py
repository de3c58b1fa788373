"""Money is neither made nor lost while workers and the server are killed, and what was acknowledged is there once."""
from __future__ import annotations

import os
import random
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import String
from sqlalchemy import select as sql_select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking
from hotpath.core.net.linux import die_with_parent
from tests.locking.databases import SERVERS, running
from tests.waiting import DEADLINE_S

KEYS = range(1, 13)
AT_FIRST = 1000
# A server that is away for a second: whoever is tried this often has met it again, or says that it was not there.
PATIENT = {"attempts": 60, "base": 0.002, "cap": 0.05}
POLICIES: dict[str, Callable[[], Any]] = {
    "optimistic": partial(locking.Optimistic, **PATIENT),
    "pessimistic": partial(locking.Pessimistic, **PATIENT),
    "escalating": partial(locking.Escalating, **PATIENT),
    "adaptive": partial(locking.Adaptive, **PATIENT),
}
EACH = 4        # acknowledged transfers of every policy between two kills


class Base(DeclarativeBase):
    """The tables of this test."""


class Account(locking.Versioned, Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]


class Transfer(Base):
    """The ledger: a row for each transfer, written with it."""

    __tablename__ = "transfer"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    source: Mapped[int]
    target: Mapped[int]
    amount: Mapped[int]


def opened(url: str) -> None:
    """A bank with some money in it."""
    engine = locking.engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Account(id=key, balance=AT_FIRST) for key in KEYS)
        session.commit()
    # No connection is open when workers are forked: closing a file of SQLite's ends its process's locks on it.
    engine.dispose()


def transfer(tx: locking.Tx, name: str, source: int, target: int, amount: int) -> None:
    """Move money if it is there, and write it down."""
    rows = {key: tx.load(Account, key) for key in sorted((source, target))}
    if rows[source].balance >= amount:
        rows[source].balance -= amount
        rows[target].balance += amount
        tx.session.add(Transfer(id=name, source=source, target=target, amount=amount))


def complaints(url: str, said: dict[str, str]) -> list[str]:
    """What is wrong with the bank, `said` being what the workers were told of each transfer."""
    engine = locking.engine(url)
    with Session(engine) as session:
        accounts = session.scalars(sql_select(Account)).all()
        ledger = session.scalars(sql_select(Transfer)).all()
    engine.dispose()
    wrong = []
    if (total := sum(account.balance for account in accounts)) != len(KEYS) * AT_FIRST:
        wrong.append(f"there are {total} in the bank")
    for account in accounts:
        moved = (sum(each.amount for each in ledger if each.target == account.id)
                 - sum(each.amount for each in ledger if each.source == account.id))
        if account.balance != AT_FIRST + moved or account.balance < 0:
            wrong.append(f"account {account.id} has {account.balance}, and {AT_FIRST + moved} by the ledger")
        if account.version != 1 + sum(account.id in (each.source, each.target) for each in ledger):
            wrong.append(f"account {account.id} has version {account.version}")
    there = {each.id for each in ledger}
    for name, word in said.items():
        if word == "ok" and name not in there:
            wrong.append(f"{name}, acknowledged, is not there")
        if word in ("no", "poor") and name in there:
            wrong.append(f"{name}, {word}, is there")
    return wrong


class Worker:
    """A process that moves money until it is told to stop, and says of each transfer: ok, no, poor or unknown."""

    def __init__(self, number: int, policy: str, url: str, go: tuple[int, int]) -> None:
        self.policy = policy
        self.fd, write = os.pipe()
        self.left = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent(signal.SIGKILL)
                os.close(go[1])
                work(f"{policy}-{number}", POLICIES[policy](), url, go[0], write)
                os._exit(0)
            except BaseException as error:
                os.write(write, f"error {error!r}\n".encode())
            finally:
                os._exit(1)
        os.close(write)

    def end(self, *, kill: bool = False) -> None:
        """Of the process; with `kill` at once."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def work(name: str, policy: Any, url: str, go: int, out: int) -> None:
    """What a worker does, until `go` is closed."""
    engine = locking.engine(url, pool_size=1)
    dice = random.Random(name)
    for n in count(1):
        if select.select([go], [], [], 0)[0]:
            return
        source, target = dice.sample(KEYS, 2)
        each = f"{name}-{n}"
        try:
            def unit(tx: locking.Tx, row: tuple[Any, ...] = (each, source, target, dice.randint(1, 9))) -> bool:
                transfer(tx, *row)
                return bool(tx.session.new)
            word = "ok" if locking.run(engine, unit, policy) else "poor"
        except locking.Disconnected as error:
            word = "unknown" if error.unknown else "no"
        except locking.Retriable:
            word = "no"
        os.write(out, f"{word} {each}\n".encode())


class Crowd:
    """Workers of every policy, and what they said."""

    def __init__(self, url: str) -> None:
        self.said: dict[str, str] = {}
        self._url = url
        self._go = os.pipe()
        self._numbers = count(1)
        self.workers = [self._new(policy) for policy in POLICIES]

    def _new(self, policy: str) -> Worker:
        return Worker(next(self._numbers), policy, self._url, self._go)

    @property
    def words(self) -> Counter[str]:
        """How often each was said."""
        return Counter(self.said.values())

    def listen(self, timeout_s: float) -> None:
        """Read what is said next."""
        by_fd = {worker.fd: worker for worker in self.workers}
        for fd in select.select(list(by_fd), [], [], timeout_s)[0]:
            self._hear(by_fd[fd])

    def _hear(self, worker: Worker) -> bool:
        piece = os.read(worker.fd, 65536)
        *lines, worker.left = (worker.left + piece).split(b"\n")
        for line in lines:
            word, _, name = line.decode().partition(" ")
            assert word != "error", name
            assert name not in self.said
            self.said[name] = word
        assert piece or worker.pid == 0, f"{worker.policy} ended"
        return bool(piece)

    def go_on(self) -> None:
        """Return when every policy has had so many transfers acknowledged from now on."""
        until_s = time.monotonic() + 2 * DEADLINE_S
        wanted = {policy: self._acknowledged(policy) + EACH for policy in POLICIES}
        while any(self._acknowledged(policy) < n for policy, n in wanted.items()):
            assert time.monotonic() < until_s, f"nothing goes on: {self.words}"
            self.listen(1.0)

    def _acknowledged(self, policy: str) -> int:
        return sum(word == "ok" and name.startswith(policy) for name, word in self.said.items())

    def replace(self, i: int) -> None:
        """Kill a worker, wherever it is in its work, and start another."""
        worker = self.workers[i]
        worker.end(kill=True)
        worker.pid = 0
        while self._hear(worker):
            pass
        os.close(worker.fd)
        self.workers[i] = self._new(worker.policy)

    def stop(self) -> None:
        """All end when their transfer does."""
        os.close(self._go[1])
        for worker in self.workers:
            pid, worker.pid = worker.pid, 0
            while self._hear(worker):
                pass
            os.close(worker.fd)
            assert os.waitpid(pid, 0)[1] == 0, worker.policy
        os.close(self._go[0])
        self.workers = []

    def close(self) -> None:
        """Whatever is left of it."""
        for worker in self.workers:
            worker.end(kill=True)


@contextmanager
def crowd_at(url: str) -> Iterator[Crowd]:
    """Workers while the block runs."""
    opened(url)
    crowd = Crowd(url)
    try:
        yield crowd
    finally:
        crowd.close()


def test_money_and_acknowledged_transfers_outlive_kills(backend, tmp_path):
    with ExitStack() as stack:
        server = stack.enter_context(running(backend)) if backend in SERVERS else None
        url = server.new_url() if server else f"sqlite:///{tmp_path / 'bank.db'}"
        crowd = stack.enter_context(crowd_at(url))
        for i in range(len(crowd.workers)):
            crowd.go_on()
            crowd.replace(i)
        for _ in range(2 if server else 0):
            crowd.go_on()
            server.kill()
            server.start()
        crowd.go_on()
        crowd.stop()
        assert complaints(url, crowd.said) == []
        assert crowd.words["ok"] >= EACH * len(POLICIES)


def test_control_a_naive_transfer_makes_money(url):
    opened(url)
    engine = locking.engine(url)
    barrier = threading.Barrier(2)

    def naive(target: int) -> None:
        with Session(engine) as session:
            table = Account.__table__
            before = {key: session.scalar(sql_select(Account.balance).where(Account.id == key)) for key in (1, target)}
            barrier.wait(DEADLINE_S)
            session.execute(table.update().where(table.c.id == 1).values(balance=before[1] - 10))
            session.execute(table.update().where(table.c.id == target).values(balance=before[target] + 10))
            session.add(Transfer(id=f"naive-{target}", source=1, target=target, amount=10))
            session.commit()

    threads = [threading.Thread(target=naive, args=[target]) for target in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert f"there are {len(KEYS) * AT_FIRST + 10} in the bank" in complaints(url, {})


@pytest.mark.parametrize(("word", "wrong"), [("ok", ["lost-1, acknowledged, is not there"]), ("no", []),
                                             ("unknown", [])])
def test_control_what_is_missing_is_missed(tmp_path, word, wrong):
    url = f"sqlite:///{tmp_path / 'bank.db'}"
    opened(url)
    assert complaints(url, {"lost-1": word}) == wrong
