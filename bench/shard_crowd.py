"""A crowd whose every answer is known beforehand: each client has keys of its own, and a dict beside the cluster.

It asks by the clock, not as fast as it can: how long an answer takes counts from when it was due.
"""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hotpath.core.errors import HotpathError
from hotpath.shard import Cluster

TABLE = "posts"
# Client n has the keys n, n + CLIENTS, …, of which any row may stand or not.
CLIENTS = 16
BODY = "So much of a text as a person writes in a minute, more or less, to give a row the size of one. " * 2


def row_of(key: int, likes: int) -> dict[str, object]:
    """The row of a key."""
    return {"id": key, "author": f"author {key % 97}", "title": f"title {key}", "body": BODY, "likes": likes}


@dataclass(slots=True)
class Answers:
    """What came, in order of when it came."""

    at_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def between(self, began_s: float, ended_s: float) -> list[float]:
        """How long those took that came then, ascending."""
        return sorted(took for at, took in zip(self.at_s, self.took_s, strict=True) if began_s <= at < ended_s)


class Crowd:
    """Clients that read and write; `rows` is what should stand."""

    def __init__(self, cluster: Cluster, *, keys: int, rate: float) -> None:
        """`rate`: operations per second, of all clients together."""
        self._table = cluster.table(TABLE)
        self._keys = keys
        self._every_s = CLIENTS / rate
        self._stopping = threading.Event()
        self.rows: list[dict[int, int]] = [{} for _ in range(CLIENTS)]
        self.answers = [Answers() for _ in range(CLIENTS)]

    def fill(self) -> None:
        """Every key gets its row."""
        for first in range(0, self._keys, 5000):
            keys = range(first, min(first + 5000, self._keys))
            made = self._table.insert_many([row_of(key, 0) for key in keys])
            assert not made.failed, made.failed[:3]
            for key in keys:
                self.rows[key % CLIENTS][key] = 0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """They work while the block runs."""
        self._stopping.clear()
        threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _work(self, n: int) -> None:
        draw, answers = random.Random(n), self.answers[n]
        due_s = time.monotonic() + draw.random() * self._every_s
        while not self._stopping.wait(max(0.0, due_s - time.monotonic())):
            key = draw.randrange(self._keys // CLIENTS) * CLIENTS + n
            try:
                self._one(n, key, draw)
            except HotpathError as error:
                answers.failed.append(f"{key}: {error}")
            now_s = time.monotonic()
            answers.at_s.append(now_s)
            answers.took_s.append(now_s - due_s)
            due_s += self._every_s

    def _one(self, n: int, key: int, draw: random.Random) -> None:
        mine, table = self.rows[n], self._table
        stands = mine.get(key)
        what = draw.random()
        if what < 0.5:
            found = table.get(key)
            expected = None if stands is None else row_of(key, stands)
            if found != expected:
                self.answers[n].wrong.append(f"get {key}: {found}, not {expected}")
        elif stands is None:
            table.insert(row_of(key, 1))
            mine[key] = 1
        elif what < 0.9:
            if not table.update(key, {"likes": stands + 1}):
                self.answers[n].wrong.append(f"update {key}: absent")
            mine[key] = stands + 1
        else:
            if not table.delete(key):
                self.answers[n].wrong.append(f"delete {key}: absent")
            del mine[key]

    def differences(self) -> list[str]:
        """Keys that are not as they should be, once nobody writes any more: lost, doubled, stale."""
        expected = {key: likes for mine in self.rows for key, likes in mine.items()}
        found: list[str] = []
        seen: set[int] = set()
        for row in self._table.scan():
            key, likes = row["id"], row["likes"]
            if key in seen:
                found.append(f"{key} is there twice")
            elif expected.get(key) != likes:
                found.append(f"{key} has {likes} likes, not {expected.get(key)}")
            seen.add(key)
        return found + [f"{key} is lost" for key in expected.keys() - seen]

    def failed(self) -> Sequence[str]:
        """Requests that got no answer."""
        return [one for answers in self.answers for one in answers.failed]

    def wrong(self) -> Sequence[str]:
        """Answers that nobody should have got."""
        return [one for answers in self.answers for one in answers.wrong]

    def took_s(self, began_s: float, ended_s: float) -> list[float]:
        """How long the answers of this time took, ascending."""
        return sorted(took for answers in self.answers for took in answers.between(began_s, ended_s))
