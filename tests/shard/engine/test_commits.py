"""Those who write to a file share commits, and nobody notices but by the speed."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.errors import PoolTimeout, ShardUnavailable, UncertainOutcome
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import Duplicate, Full
from hotpath.shard.engine.sqlite import SqliteSession, SqliteShard, create
from tests.waiting import wait_for

CREATE = Statement("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
INSERT = Statement("INSERT INTO t VALUES (?, ?)")
IDS = Statement("SELECT id FROM t ORDER BY id")
HARD_S = 60.0


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[SqliteShard]:
    opened = opened_at(tmp_path / "s1.db")
    yield opened
    opened.close()


def opened_at(path: Path) -> SqliteShard:
    create(str(path))
    opened = SqliteShard("s1", Endpoint("sqlite", path=str(path)), PoolConfig(wait=HARD_S))
    opened.run(CREATE)
    return opened


class Crowd:
    """Threads that write; the first holds the lead until all the others stand in line, in their order."""

    def __init__(self, shard: SqliteShard) -> None:
        self.shard = shard
        self.outcomes: dict[int, object] = {}
        self._threads: list[threading.Thread] = []
        self._go_on = threading.Event()
        leads = threading.Event()

        def hold(_session):
            leads.set()
            assert self._go_on.wait(HARD_S)

        # Nothing of it is committed with the others: they come while it is in its only work.
        self._start(-1, lambda: shard.write(hold))
        assert leads.wait(HARD_S)

    def _start(self, number: int, do) -> None:
        def run():
            try:
                self.outcomes[number] = do()
            except Exception as error:
                self.outcomes[number] = error

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def joins(self, do) -> None:
        before = len(self.shard._commits._line)
        self._start(len(self._threads) - 1, do)
        wait_for(lambda: len(self.shard._commits._line) > before, "it to stand in line")

    def go(self) -> dict[int, object]:
        self._go_on.set()
        for thread in self._threads:
            thread.join(HARD_S)
        self.outcomes.pop(-1)
        return self.outcomes


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each commit."""
    made: list[int] = []
    commit = SqliteSession.commit

    def counted(self: SqliteSession) -> None:
        made.append(1)
        commit(self)

    monkeypatch.setattr(SqliteSession, "commit", counted)
    return made


def test_all_in_line_share_one_commit(shard, commits):
    crowd = Crowd(shard)
    for n in range(8):
        crowd.joins(lambda n=n: shard.run(INSERT, (n, None)))
    assert set(crowd.go().values()) == {1}
    assert shard.rows(IDS) == [(n,) for n in range(8)]
    assert len(commits) == 1


def test_what_one_raises_undoes_only_its_own(shard):
    def work(session, n):
        session.run(INSERT, (n, None))
        if n % 2:
            raise KeyError(n)
        return n

    crowd = Crowd(shard)
    for n in range(6):
        crowd.joins(lambda n=n: shard.write(lambda session: work(session, n)))
    outcomes = crowd.go()
    assert [outcomes[n] for n in (0, 2, 4)] == [0, 2, 4]
    assert all(isinstance(outcomes[n], KeyError) for n in (1, 3, 5))
    assert shard.rows(IDS) == [(0,), (2,), (4,)]


def test_a_refused_statement_leaves_its_work_going(shard):
    def work(session):
        session.run(INSERT, (1, None))
        with pytest.raises(Duplicate):
            session.run(INSERT, (1, None))
        session.run(INSERT, (2, None))

    shard.write(work)
    assert shard.rows(IDS) == [(1,), (2,)]


def test_nobody_sees_what_is_not_committed(shard):
    def work(session):
        session.run(INSERT, (1, None))
        assert session.rows(IDS) == [(1,)]
        assert shard.rows(IDS) == []

    shard.write(work)


def test_who_stands_in_line_too_long_gives_up_and_is_not_done(shard):
    crowd = Crowd(shard)
    with pytest.raises(PoolTimeout) as error:
        shard.write(lambda session: session.run(INSERT, (1, None)), wait_s=0.01)
    assert error.value.outcome == "none"
    crowd.go()
    assert shard.rows(IDS) == []


def test_a_write_inside_a_write_is_refused_at_once(shard):
    with pytest.raises(RuntimeError, match="wait for itself"):
        shard.write(lambda session: shard.run(INSERT, (1, None)))
    assert shard.run(INSERT, (1, None)) == 1


def full_after(shard: SqliteShard, pages: int) -> None:
    """No more room than for so many pages more."""
    with shard.reading() as session:
        ((size,),) = session.rows(Statement("PRAGMA page_count"))
    writer = shard._commits._pool.lease()
    writer.command(f"PRAGMA max_page_count = {size + pages}")
    shard._commits._pool.release(writer)


def test_a_full_disk_is_said_and_nothing_of_the_work_stays(shard):
    full_after(shard, 2)

    def work(session):
        session.run(INSERT, (1, None))
        session.run(INSERT, (2, bytes(100_000)))

    with pytest.raises(Full) as error:
        shard.write(work)
    assert (error.value.outcome, error.value.shard) == ("none", "s1")
    assert shard.rows(IDS) == []
    assert shard.run(INSERT, (3, None)) == 1        # there is room for a small one


def test_one_too_large_for_the_disk_does_not_take_the_others_with_it(shard):
    full_after(shard, 4)
    crowd = Crowd(shard)
    for n in range(5):
        crowd.joins(lambda n=n: shard.run(INSERT, (n, bytes(100_000) if n == 2 else None)))
    outcomes = crowd.go()
    assert isinstance(outcomes.pop(2), Full)
    assert set(outcomes.values()) == {1}
    assert shard.rows(IDS) == [(0,), (1,), (3,), (4,)]


def test_work_that_swallows_a_full_disk_does_not_go_on_by_halves(shard):
    full_after(shard, 4)

    def work(session):
        session.run(INSERT, (1, None))
        with pytest.raises(Full):
            session.run(INSERT, (2, bytes(100_000)))
        session.run(INSERT, (3, None))

    with pytest.raises(ShardUnavailable):
        shard.write(work)
    assert shard.rows(IDS) == []


def test_a_commit_without_room_is_done_again_for_each_by_itself(shard, monkeypatch):
    commit = SqliteSession.commit
    committed = 0

    def has_room_for_one(self: SqliteSession) -> None:
        nonlocal committed
        ((n,),) = self.rows(Statement("SELECT count(*) FROM t"))
        if n > committed + 1:
            self.command("ROLLBACK")
            raise Full("s1", "no room")
        commit(self)
        committed = n

    crowd = Crowd(shard)
    monkeypatch.setattr(SqliteSession, "commit", has_room_for_one)
    for n in range(4):
        crowd.joins(lambda n=n: shard.run(INSERT, (n, None)))
    assert set(crowd.go().values()) == {1}
    assert shard.rows(IDS) == [(0,), (1,), (2,), (3,)]


def test_what_was_undone_for_anothers_sake_is_judged_anew(shard):
    """The second is a duplicate of the first, until both are undone for the third, and the first changes its mind."""
    full_after(shard, 4)
    turns: list[int] = []

    def first(session):
        turns.append(1)
        session.run(INSERT, (1, None))
        if len(turns) > 1:
            raise KeyError

    crowd = Crowd(shard)
    crowd.joins(lambda: shard.write(first))
    crowd.joins(lambda: shard.run(INSERT, (1, None)))
    crowd.joins(lambda: shard.run(INSERT, (2, bytes(100_000))))
    outcomes = crowd.go()
    assert [type(outcomes[n]) for n in range(3)] == [KeyError, int, Full]
    assert shard.rows(IDS) == [(1,)]


def test_a_commit_that_fails_in_the_disk_is_uncertain_to_all(shard, monkeypatch):
    crowd = Crowd(shard)

    def fails(self: SqliteSession) -> None:
        self.command("ROLLBACK")
        raise UncertainOutcome("s1", "the disk")

    monkeypatch.setattr(SqliteSession, "commit", fails)
    for n in range(3):
        crowd.joins(lambda n=n: shard.run(INSERT, (n, None)))
    assert all(isinstance(outcome, UncertainOutcome) for outcome in crowd.go().values())


def test_ctrl_c_in_the_leader_is_not_the_others_fault(shard):
    class Interrupted(BaseException):
        pass

    interrupted = []

    def work(session):
        session.run(INSERT, (2, None))
        if not interrupted:
            interrupted.append(1)
            raise Interrupted

    ends: list[str] = []

    def leader():
        # It is first in line, does its own, and is interrupted in the next one's.
        def own(session):
            leads.set()
            session.run(INSERT, (1, None))
            assert go_on.wait(HARD_S)
        try:
            shard.write(own)
        except Interrupted:
            ends.append("interrupted")

    leads, go_on = threading.Event(), threading.Event()
    first = threading.Thread(target=leader)
    first.start()
    assert leads.wait(HARD_S)
    second = threading.Thread(target=lambda: ends.append(f"done {shard.write(work)}"))
    second.start()
    wait_for(lambda: len(shard._commits._line) == 1, "the second to stand in line")
    go_on.set()
    first.join(HARD_S)
    second.join(HARD_S)
    assert sorted(ends) == ["done None", "interrupted"]
    assert shard.rows(IDS) == [(2,)]


def test_what_was_committed_before_ctrl_c_was_heard_is_not_done_again(shard, monkeypatch):
    class Interrupted(BaseException):
        pass

    commit = SqliteSession.commit

    def interrupted(session):
        commit(session)
        monkeypatch.setattr(SqliteSession, "commit", commit)
        raise Interrupted

    ends: list[str] = []

    def told(do):
        try:
            do()
        except (Interrupted, UncertainOutcome) as error:
            ends.append(type(error).__name__)

    def own(session):
        leads.set()
        session.run(INSERT, (1, None))
        assert go_on.wait(HARD_S)

    leads, go_on = threading.Event(), threading.Event()
    first = threading.Thread(target=told, args=[lambda: shard.write(own)])
    first.start()
    assert leads.wait(HARD_S)
    monkeypatch.setattr(SqliteSession, "commit", interrupted)
    second = threading.Thread(target=told, args=[lambda: shard.run(INSERT, (2, None))])
    second.start()
    wait_for(lambda: len(shard._commits._line) == 1, "the second to stand in line")
    go_on.set()
    first.join(HARD_S)
    second.join(HARD_S)
    assert sorted(ends) == ["Interrupted", "UncertainOutcome"]
    assert shard.rows(IDS) == [(1,), (2,)]


def test_ctrl_c_in_line_holds_nobody_up(shard, monkeypatch):
    class Interrupted(BaseException):
        pass

    wait = shard._commits._wait

    def interrupted(work):
        if not hasattr(interrupted, "done"):
            interrupted.done = True
            leave.wait(HARD_S)
            raise Interrupted
        wait(work)

    leave = threading.Event()
    monkeypatch.setattr(shard._commits, "_wait", interrupted)
    crowd = Crowd(shard)
    ends: list[str] = []

    def write():
        try:
            shard.run(INSERT, (1, None))
        except Interrupted:
            ends.append("interrupted")

    first = threading.Thread(target=write)
    first.start()
    wait_for(lambda: len(shard._commits._line) == 1, "it to stand in line")
    crowd.joins(lambda: shard.run(INSERT, (2, None)))
    leave.set()
    first.join(HARD_S)
    assert list(crowd.go().values()) == [1]
    assert ends == ["interrupted"]
    assert shard.rows(IDS) == [(2,)]
    assert shard.run(INSERT, (3, None)) == 1


@settings(max_examples=25)
@given(plan=st.lists(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=4), min_size=1,
                     max_size=10))
def test_the_outcome_is_that_of_one_after_the_other(plan, tmp_path_factory):
    """Each work inserts some keys, and may fail after it did; all stand in line in their order."""
    shard = opened_at(tmp_path_factory.mktemp("line") / "s1.db")

    def work(session, steps):
        for key, fails in steps:
            session.run(INSERT, (key, None))
            if fails:
                raise KeyError(key)

    crowd = Crowd(shard)
    for steps in plan:
        crowd.joins(lambda steps=steps: shard.write(lambda session: work(session, steps)))
    outcomes = crowd.go()
    rows: set[int] = set()
    for n, steps in enumerate(plan):
        mine: set[int] = set()
        expected: type | None = None
        for key, fails in steps:
            if key in rows | mine:
                expected = Duplicate
                break
            mine.add(key)
            if fails:
                expected = KeyError
                break
        if expected is None:
            rows |= mine
            assert outcomes[n] is None
        else:
            assert isinstance(outcomes[n], expected)
    assert {key for (key,) in shard.rows(IDS)} == rows
    shard.close()
