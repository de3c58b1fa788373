"""Clients that make, read, change, list and delete the same few rows, and write down what they were told.

    with Crowd([by_python(cluster.table("things")), by_http("127.0.0.1", port)]) as crowd:
        ...                                     # moves, kills
        crowd.wait_for(2000)                    # operations more
    assert not crowd.failures and not crowd.anomalies()
"""
from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

from hotpath.core.errors import DuplicateKey, ShardUnavailable
from hotpath.shard import Cluster
from tests.shard.linear import LOST, Anomaly, Op, State, anomalies
from tests.waiting import wait_for

TABLE = "things"
# The crowd's keys are below, what a test fills the table with is above.
FILLER = 1_000_000
TABLES: dict[str, Any] = {TABLE: {
    "key": "id",
    "columns": {"id": "bigint", "value": "string(60)", "n": {"type": "bigint", "default": 0}, "pad": "text?"},
    "indexes": [["value"]],
}}
CLIENTS = 16
KEYS = 48
PAGE = 20
# So many of a hundred operations.
MIX = {"get": 27, "put": 15, "insert": 15, "update": 12, "add": 10, "delete": 18, "list": 3}


class Failed(Exception):
    """A request was not served. `lost`: it may have taken effect."""

    def __init__(self, why: str, *, lost: bool) -> None:
        super().__init__(why)
        self.lost = lost


class Speaker(Protocol):
    """One client's way to a table. Every method may raise Failed."""

    def insert(self, key: int, value: str) -> bool:
        """Whether it is new."""
        ...

    def get(self, key: int) -> State:
        """(value, n), or None."""
        ...

    def put(self, key: int, value: str) -> bool:
        """Whether it is new."""
        ...

    def update(self, key: int, value: str) -> bool:
        """Whether it was there."""
        ...

    def add(self, key: int, n: int) -> bool:
        """Whether it was there."""
        ...

    def delete(self, key: int) -> bool:
        """Whether it was there."""
        ...

    def page(self, cursor: str | None) -> tuple[list[tuple[int, State]], str | None]:
        """Some rows below FILLER, by key."""
        ...


def by_python(cluster: Cluster) -> Callable[[], Speaker]:
    """Clients that are threads of this process."""
    return lambda: _Library(cluster)


class _Library:
    def __init__(self, cluster: Cluster) -> None:
        self._rows = cluster.table(TABLE)

    def insert(self, key: int, value: str) -> bool:
        try:
            self._rows.insert({"id": key, "value": value})
        except DuplicateKey:
            return False
        except ShardUnavailable as error:
            raise failed(error) from None
        return True

    def get(self, key: int) -> State:
        return state_of(self._asked(lambda: self._rows.get(key)))

    def put(self, key: int, value: str) -> bool:
        return self._asked(lambda: self._rows.put({"id": key, "value": value}))

    def update(self, key: int, value: str) -> bool:
        return self._asked(lambda: self._rows.update(key, {"value": value}))

    def add(self, key: int, n: int) -> bool:
        return self._asked(lambda: self._rows.update(key, {"n": {"$add": n}}))

    def delete(self, key: int) -> bool:
        return self._asked(lambda: self._rows.delete(key))

    def page(self, cursor: str | None) -> tuple[list[tuple[int, State]], str | None]:
        page = self._asked(lambda: self._rows.list(where={"id": {"lt": FILLER}}, limit=PAGE, cursor=cursor))
        return [(row["id"], state_of(row)) for row in page.rows], page.next

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except ShardUnavailable as error:
            raise failed(error) from None


def failed(error: ShardUnavailable) -> Failed:
    """What a 503 would have said."""
    return Failed(f"{type(error).__name__}: {error}", lost=error.outcome != "none")


def state_of(row: dict[str, Any] | None) -> State:
    """What the checker knows of a row."""
    return None if row is None else (row["value"], row["n"])


def by_http(host: str, port: int, timeout_s: float = 30.0) -> Callable[[], Speaker]:
    """Clients of a router, each with a connection of its own."""
    return lambda: _Http(host, port, timeout_s)


class _Http:
    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._line = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def insert(self, key: int, value: str) -> bool:
        return self._ask("POST", "", {"id": key, "value": value}, (201, 409))[0] == 201

    def get(self, key: int) -> State:
        status, row = self._ask("GET", f"/{key}", None, (200, 404))
        return state_of(row) if status == 200 else None

    def put(self, key: int, value: str) -> bool:
        return self._ask("PUT", f"/{key}", {"value": value}, (201, 200))[0] == 201

    def update(self, key: int, value: str) -> bool:
        return self._ask("PATCH", f"/{key}", {"value": value}, (204, 404))[0] == 204

    def add(self, key: int, n: int) -> bool:
        return self._ask("PATCH", f"/{key}", {"n": {"$add": n}}, (204, 404))[0] == 204

    def delete(self, key: int) -> bool:
        return self._ask("DELETE", f"/{key}", None, (204, 404))[0] == 204

    def page(self, cursor: str | None) -> tuple[list[tuple[int, State]], str | None]:
        following = "" if cursor is None else f"&cursor={quote(cursor)}"
        _, page = self._ask("GET", f"?where.id.lt={FILLER}&limit={PAGE}{following}", None, (200,))
        return [(row["id"], state_of(row)) for row in page["rows"]], page["next"]

    def _ask(self, method: str, path: str, body: object, expected: Sequence[int]) -> tuple[int, Any]:
        try:
            self._line.request(method, f"/v1/tables/{TABLE}{path}", None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            response = self._line.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._line.close()
            # Refused connections and unsent requests are lost too: what was not applied may pass for what may be.
            raise Failed(f"{method} {path}: {error!r}", lost=True) from None
        if response.status in expected:
            return response.status, json.loads(text) if text else None
        lost = True
        with suppress(ValueError, KeyError):
            lost = json.loads(text)["outcome"] != "none"
        raise Failed(f"{method} {path}: {response.status} {text.decode(errors='replace')[:300]}", lost=lost)


@dataclass(frozen=True)
class Failure:
    """A request that was not served."""

    op: Op
    why: str


class Crowd:
    """Threads, one per client, from `start` to `stop`."""

    def __init__(self, ways: Sequence[Callable[[], Speaker]], *, clients: int = CLIENTS, keys: int = KEYS,
                 seed: int = 0, pause_s: float = 0.0) -> None:
        """`ways`: clients take them in turn. `pause_s`: between two operations of one, where the crowd is a few."""
        self.keys = [key * 7919 % 99_991 + 1 for key in range(keys)]      # all over the slots
        self.failures: list[Failure] = []
        self.unordered: list[str] = []          # pages that showed a key twice, or late
        self.broken: list[BaseException] = []   # what no client should meet
        self._stopping = threading.Event()
        self._pause_s = pause_s
        self._recorded: list[list[Op]] = [[] for _ in range(clients)]
        self._threads = [threading.Thread(target=self._run, args=(i, ways[i % len(ways)], seed), daemon=True,
                                          name=f"client {i}") for i in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
                 ) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when each has its last answer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            self.broken.append(AssertionError(f"{stuck} have no answer"))

    @property
    def ops(self) -> list[Op]:
        """All that has been recorded."""
        return [op for mine in self._recorded for op in list(mine)]

    @property
    def n_answered(self) -> int:
        """Operations so far that were served; a page counts for each key that it tells of."""
        return sum(map(len, self._recorded)) - len(self.failures)

    def wait_for(self, n: int) -> None:
        """Return once `n` more operations were served."""
        wanted = self.n_answered + n
        wait_for(lambda: self.n_answered >= wanted or self.broken, f"{n} more operations", 60)

    def anomalies(self) -> list[str]:
        """All that no correct table can have answered; when stopped."""
        found: list[Anomaly] = anomalies(self.ops)
        return [*map(str, found), *self.unordered, *(f"a client met {error!r}" for error in self.broken)]

    # ---- one client

    def _run(self, i: int, way: Callable[[], Speaker], seed: int) -> None:
        try:
            rng = random.Random(f"{seed} {i}")
            speaker = way()
            kinds, weights = list(MIX), list(MIX.values())
            n = 0
            while not self._stopping.wait(self._pause_s) if self._pause_s else not self._stopping.is_set():
                kind = rng.choices(kinds, weights)[0]
                if kind == "list":
                    self._list(i, speaker)
                else:
                    n += 1
                    self._one(i, speaker, kind, rng.choice(self.keys), f"{seed}-{i}-{n}", rng.randrange(1, 100))
        except BaseException as error:
            self.broken.append(error)
            raise

    def _one(self, i: int, speaker: Speaker, kind: str, key: int, value: str, n: int) -> None:
        given = {"insert": (value,), "put": (value,), "update": (value,), "add": (n,)}.get(kind, ())
        written: Any = {"insert": (value, 0), "put": (value, 0), "update": value, "add": n}.get(kind)
        began = time.monotonic()
        op = Op(key, kind, written, LOST, began, inf, f"client {i}")
        try:
            answer = getattr(speaker, kind)(key, *given)
        except Failed as error:
            self.failures.append(Failure(op, str(error)))
            if error.lost:
                self._recorded[i].append(op)
            return
        self._recorded[i].append(op._replace(answer=answer, ended=time.monotonic()))

    def _list(self, i: int, speaker: Speaker) -> None:
        """Page by page; each tells of all keys between the last page's last row and its own, or the end."""
        cursor, behind = None, -inf
        while True:
            began = time.monotonic()
            try:
                rows, cursor = speaker.page(cursor)
            except Failed as error:
                self.failures.append(Failure(Op(None, "list", None, LOST, began, inf, f"client {i}"), str(error)))
                return
            ended = time.monotonic()
            last = inf if cursor is None else rows[-1][0]
            told = [key for key, _ in rows]
            if told != sorted(set(told)) or (told and told[0] <= behind):
                self.unordered.append(f"client {i} was given a page behind {behind} with the keys {told}")
            states = dict(rows)
            self._recorded[i].extend(Op(key, "list", None, states.get(key), began, ended, f"client {i}")
                                     for key in self.keys if behind < key <= last)
            if cursor is None or self._stopping.is_set():
                return
            behind = last


def filler(n: int, first: int = FILLER) -> Iterable[dict[str, object]]:
    """Rows that the crowd leaves alone, so that a move takes its time."""
    return ({"id": first + i, "value": f"filler {i}", "n": i, "pad": "x" * (i % 200)} for i in range(n))
