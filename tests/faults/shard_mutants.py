"""The product with one precaution taken out, under a crowd: `python -P -m tests.faults.shard_mutants NAME FILE …`.

Two nodes of this process are two routers; the second hears of a new map only from a shard that refuses it. All linger
at random at the steps of the protocol, so that what must not overlap has every occasion to. Prints what was found.
"""
from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from hotpath.shard import Cluster, directory, steps, transitions
from hotpath.shard.engine import Session, Statement
from hotpath.shard.mover import copy, cursor, job, mover, stages
from hotpath.shard.mover import sql as mover_sql
from hotpath.shard.scatter import look
from hotpath.shard.schema import slot_of
from hotpath.shard.store import moving, statements
from hotpath.shard.topology import Route, Topology
from tests.faults.shard_faults import Outside, opened, state_of, strays
from tests.shard.crowd import FILLER, TABLE, Crowd, by_python
from tests.waiting import wait_for


def none() -> None:
    """As it is."""


class AnyEpoch(int):
    """Equal to every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def no_epoch_check() -> None:
    """A router believes its map when it reads."""
    init = Route.__init__

    def unchecked(self: Route, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        self.epoch, self.source_epoch = AnyEpoch(self.epoch), AnyEpoch(self.source_epoch)

    Route.__init__ = unchecked              # type: ignore[method-assign]


def new_opens_first() -> None:
    """The new shard answers, and the old one is fenced when it is cleaned."""
    whole = transitions.open_source

    def half(old: Topology, source: str) -> transitions.Intent:
        intent = whole(old, source)
        fences = tuple((name, epoch) for name, epoch in intent.fences if name != source)
        epochs = {**intent.next.epochs, source: old.epochs[source]}
        return transitions.Intent(transitions.replace(intent.next, epochs=epochs), fences)

    stages.open_source = half


def cleanup_without_fence() -> None:
    """Rows are deleted under those who still read them."""
    whole = transitions.clean

    def unfenced(old: Topology) -> transitions.Intent:
        return transitions.Intent(transitions.replace(whole(old).next, epochs=old.epochs), ())

    stages.clean = unfenced


def no_mark_on_delete() -> None:
    """What leaves no row leaves no mark."""
    write = moving.Moving.write

    def unmarked(self: moving.Moving, change: Callable[..., bool]) -> bool:
        def changed(session: Session, side: Any) -> bool:
            done = change(session, side)
            if not session.rows(side.sql.plain_read, (side.codec.key(self._key),)):
                session.run(Statement("DELETE FROM _hp_moved WHERE tbl = ? AND slot = ? AND k = ?"), self._mark)
            return done

        return write(self, changed)

    moving.Moving.write = unmarked          # type: ignore[method-assign]


def no_pull() -> None:
    """A write looks at what the new shard has."""
    moving.Moving._pull = lambda self, session, side: None      # type: ignore[method-assign]


def pull_outside_the_lock() -> None:
    """Whether a row must be pulled is looked up before the mark is locked."""
    write = moving.Moving.write

    def early(self: moving.Moving, change: Callable[..., bool]) -> bool:
        self.unmarked = self._ask(self._here, self._store.side(self._here.dialect))[1] is None  # type: ignore[attr-defined]
        steps.reached("write: looked for the mark")
        return write(self, change)

    is_new, pull = moving.Moving._is_new_mark, moving.Moving._pull

    def as_seen(self: moving.Moving, session: Session) -> bool:
        is_new(self, session)
        return bool(self.unmarked)          # type: ignore[attr-defined]

    def over(self: moving.Moving, session: Session, side: Any) -> None:
        session.run(side.sql.plain_delete, (side.codec.key(self._key),))
        pull(self, session, side)

    moving.Moving.write, moving.Moving._is_new_mark, moving.Moving._pull = early, as_seen, over    # type: ignore[method-assign]


def _copies(verb: str) -> None:
    """Rows and marks are inserted by `verb`, whatever is marked."""
    insert = mover_sql.TableSql.insert

    def other(self: Any, rows: Any) -> Iterator[tuple[Statement, Any]]:
        for statement, values in insert(self, rows):
            yield Statement(statement.text.replace("INSERT INTO", verb, 1)), values

    mover_sql.TableSql.insert = other       # type: ignore[method-assign]
    mover_sql.NEW_MARKS = mover_sql.NEW_MARKS.replace("INSERT INTO", "INSERT OR IGNORE INTO")
    copy.marked = lambda *args: set()
    _no_verification()


def _no_verification() -> None:
    """Else it would stop most mistakes of a copy."""
    stages.STAGES["verifying"] = lambda one, backend: one.advance("verifying") and None


def copy_overwrites() -> None:
    """REPLACE INTO."""
    _copies("INSERT OR REPLACE INTO")


def copy_ignores() -> None:
    """INSERT IGNORE."""
    _copies("INSERT OR IGNORE INTO")


def cancel_ignores_dirty() -> None:
    """The old shard has everything."""
    there = moving.Moving._there_row

    def ignored(self: moving.Moving) -> Any:
        row, is_theirs = there(self)
        return row, is_theirs and self._route.kind == "dual"

    moving.Moving._there_row = ignored      # type: ignore[method-assign]
    stages.pull_back = lambda one, lane: iter(())


def list_ignores_marks() -> None:
    """A page shows what both shards have."""
    look.Look._marked = lambda self, name, marks: {}    # type: ignore[method-assign]


def list_without_epoch_check() -> None:
    """Only single keys are worth a fence."""
    look.prove = lambda topology, name, rows: None


def unfenced_mover() -> None:
    """Copier and cleaner ask neither in which epoch a shard is, nor whether the work is theirs still."""
    job._same = lambda shard, seen, epochs: None
    job.Job.beat = lambda self, state, **more: self.read() if more else None    # type: ignore[method-assign]
    step = cursor.step
    cursor.step = lambda lane, what, *args: step(lane, what, *args) if what != "clean" else None


def late_helper_lowers() -> None:
    """SET epoch = e, whatever is there."""
    directory.RAISE["sqlite"] = Statement("UPDATE _hp_fence SET epoch = ?")
    directory.is_fenced = lambda shard, epoch: False


def fence_does_not_drain() -> None:
    """A write that pulls takes no lock on its fence: for MySQL."""
    statements.LOCKED_EPOCH["mysql"] = statements.EPOCH
    moving.LOCKED_EPOCH["mysql"] = statements.EPOCH


MUTANTS: dict[str, Callable[[], None]] = {make.__name__.replace("_", "-"): make for make in (
    none, no_epoch_check, new_opens_first, cleanup_without_fence, no_mark_on_delete, no_pull, pull_outside_the_lock,
    copy_overwrites, copy_ignores, cancel_ignores_dirty, list_ignores_marks, list_without_epoch_check,
    unfenced_mover, late_helper_lowers, fence_does_not_drain)}


class Linger:
    """Steps take a while now and then; at each of `at` the first to come waits until it is woken."""

    def __init__(self, *at: str) -> None:
        self.asleep = {step: threading.Event() for step in at}
        self.woken = {step: threading.Event() for step in at}
        self._random = random.Random(7)
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        with self._lock:
            first = step in self.asleep and not self.asleep[step].is_set()
            if first:
                self.asleep[step].set()
            rest_s = 0 if step.startswith("verify") else self._random.choice((0, 0, 0, 0.003, 0.015))
        if first:
            self.woken[step].wait(60)
        elif rest_s:
            time.sleep(rest_s)

    def wait_for(self, step: str) -> None:
        """Somebody sleeps there."""
        wait_for(self.asleep[step].is_set, f"somebody at {step}", 60)

    def wake(self, *at: str) -> None:
        """Who sleeps `at` these steps, or anywhere."""
        for step in at or self.woken:
            self.woken[step].set()


class Lister:
    """A router that does nothing but list what a test has filled in, which never changes."""

    def __init__(self, cluster: Cluster) -> None:
        self.wrong: list[str] = []
        self.lists = 0
        self._rows = cluster.table(TABLE)
        self._wanted = sorted(row["id"] for row in self._rows.scan(where={"id": {"ge": FILLER}}))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            try:
                ids = [row["id"] for row in self._rows.scan(where={"id": {"ge": FILLER}}, order="id")]
                count = self._rows.aggregate("count", where={"id": {"ge": FILLER}})["count"]
            except Exception as error:
                self.wrong.append(f"a list: {error!r}")
                return
            self.lists += 1
            if ids != self._wanted:
                self.wrong.append(f"a list of {len(ids)} rows, {len(set(ids))} keys, in place of {len(self._wanted)}")
                return
            if count != len(self._wanted):
                self.wrong.append(f"a count of {count} in place of {len(self._wanted)}")
                return


@contextmanager
def two_nodes(file: Path, linger: Linger) -> Iterator[tuple[Cluster, Cluster]]:
    """Both routers, lingering; only the first moves rows until the second is started."""
    steps.reached = linger
    job.LEASE_S = mover.LEASE_S = 0.3
    job.BEAT_S = 0.05
    mover.LOOK_S = mover.RETRY_S = 0.02
    with opened(file, moves=True) as first, opened(file) as second:
        try:
            yield first, second
        finally:
            linger.wake()       # else a node would wait for its mover


class Enough(Exception):
    """A mistake was seen: what the scenario was waiting for may never be."""


@contextmanager
def telling(wrong: list[str]) -> Iterator[None]:
    """A mistake may well make the move impossible, or a request: that is found too, and not the end of us."""
    try:
        yield
    except Enough:
        pass
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")


def reach(cluster: Cluster, state: str, *seen: list[str]) -> None:
    """Return once the reshard is in `state`. Raises Enough once there is something in one of `seen`."""
    def reached() -> bool:
        if any(seen):
            raise Enough
        return state_of(cluster) == state or "paused" in state_of(cluster)

    wait_for(reached, f"a reshard that is {state}", 60)
    assert state_of(cluster) == state, cluster.node.admin.document()


def asked(ask: Callable[[], Any], wrong: list[str]) -> tuple[threading.Thread, list[Any]]:
    """A client that asks once; its answer, if it gets one."""
    answers: list[Any] = []

    def run() -> None:
        with telling(wrong):
            answers.append(ask())

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def moves(file: Path, phases: str, dsns: list[str]) -> dict[str, Any]:
    """Under a crowd, as many as are in `phases`: a shard is added; removed; added and taken back."""
    def dsn() -> dict[str, Any]:
        return {"dsn": dsns.pop(0)} if dsns else {}

    wrong: list[str] = []
    with two_nodes(file, Linger()) as (first, second), opened(file) as third, Outside(first) as outside, \
            Lister(third) as lister:
        crowd = Crowd([by_python(first), by_python(second)], keys=32, pause_s=0.004)
        with telling(wrong):
            with crowd:
                crowd.wait_for(200)
                if "add" in phases:
                    first.add_shard("s3", **dsn())
                    reach(first, "done", outside.wrong, lister.wrong)
                    crowd.wait_for(200)
                if "remove" in phases:
                    first.remove_shard("s3", keep_server=True)
                    reach(first, "done", outside.wrong, lister.wrong)
                if "cancel" in phases:
                    first.add_shard("s4", hold=True, **dsn())
                    reach(first, "verified", outside.wrong, lister.wrong)
                    crowd.wait_for(500)
                    first.node.admin.cancel()
                    reach(first, "cancelled", outside.wrong, lister.wrong)
                    crowd.wait_for(200)
            wrong += strays(first)
        return {"failures": [one.why for one in crowd.failures], "anomalies": crowd.anomalies(),
                "wrong": wrong + lister.wrong, "outside": outside.wrong}


def sleeper(file: Path, at: str, *, back: bool) -> dict[str, Any]:
    """A mover sleeps at `at` through the rest of the move, and the whole way `back`, and wakes."""
    linger = Linger(at)
    wrong: list[str] = []
    rows: int | None = None
    with two_nodes(file, linger) as (first, second), Outside(second) as outside:
        crowd = Crowd([by_python(second)], keys=32, pause_s=0.005)
        with telling(wrong):
            with crowd:
                first.add_shard("s3")
                linger.wait_for(at)
                second.node.start()
                reach(second, "done", outside.wrong)
                if back:
                    second.remove_shard("s3", keep_server=True)
                    reach(second, "done", outside.wrong)
                answered = crowd.n_answered
                linger.wake()
                first.node.close()      # waits for the mover
                outside.look()
                wait_for(lambda: crowd.n_answered > answered + 500 or outside.wrong, "a crowd that is served", 60)
            if not outside.wrong:       # else nobody is served any more
                wrong += strays(second)
                rows = second.table(TABLE).aggregate("count", where={"id": {"ge": FILLER}})["count"]
        if outside.wrong:
            return {"failures": [], "anomalies": [], "wrong": wrong, "outside": outside.wrong, "rows": None}
        return {"failures": [one.why for one in crowd.failures], "anomalies": crowd.anomalies(),
                "wrong": wrong, "outside": [], "rows": rows}


def reader(file: Path) -> dict[str, Any]:
    """A read that found no mark on the new shard sleeps until the old one is cleaned, and goes on there."""
    copying, reading = "copy: rows read", "read: no mark here"
    linger = Linger(copying, reading)
    wrong: list[str] = []
    answers: list[Any] = []
    with two_nodes(file, linger) as (first, second), telling(wrong):
        topology = first.node.directory.refresh
        first.add_shard("s3")
        linger.wait_for(copying)
        key = next(key for key in range(FILLER, FILLER + 1000) if topology().routes[slot_of(key)].kind == "dual")
        thread, answers = asked(lambda: second.table(TABLE).get(key), wrong)
        linger.wait_for(reading)
        linger.wake(copying)
        reach(first, "done", wrong)
        linger.wake(reading)
        thread.join(60)
    return {"answers": answers, "wrong": wrong}


def writer(file: Path, dsns: list[str]) -> dict[str, Any]:
    """A write to the new shard is under way, behind its fence, while the move is taken back; what is there then."""
    writing = "write: fence held"
    linger = Linger(writing)
    wrong: list[str] = []
    done: list[bool] = []
    value: str | None = None
    with two_nodes(file, linger) as (first, second), telling(wrong):
        refresh = first.node.directory.refresh
        first.add_shard("s3", hold=True, dsn=dsns[0])
        reach(first, "verified", wrong)
        second.node.directory.refresh()
        key = next(key for key in range(FILLER, FILLER + 1000) if refresh().routes[slot_of(key)].kind == "dual")
        thread, done = asked(lambda: second.table(TABLE).update(key, {"value": "late"}), wrong)
        linger.wait_for(writing)
        first.node.admin.cancel()
        wait_for(lambda: not refresh().moves, "the end of the moves", 60)
        linger.wake()
        thread.join(60)
        row = first.table(TABLE).get(key)
        value = None if row is None else row["value"]
    return {"acknowledged": done, "value": value, "wrong": wrong}


def main() -> int:
    """Print a JSON object: what the crowd met."""
    name, path, *rest = sys.argv[1:]
    MUTANTS[name]()
    file = Path(path)
    match rest:
        case ["sleeper", at]:
            met = sleeper(file, at, back=True)
        case ["helper", at]:
            met = sleeper(file, at, back=False)
        case ["reader"]:
            met = reader(file)
        case ["writer", *dsns]:
            met = writer(file, dsns)
        case [phases, *dsns]:
            met = moves(file, phases, dsns)
    print("found", json.dumps(met))
    return 0


if __name__ == "__main__":
    sys.exit(main())
