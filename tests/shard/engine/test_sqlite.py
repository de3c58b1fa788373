"""A file of SQLite is a shard like any other: exact, durable, used by several processes, and clear about its faults."""
from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.core.errors import PoolTimeout, ShardUnavailable
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement, pool
from hotpath.shard.engine.errors import Duplicate, NoSuchTable, OutOfRange, StatementRefused
from hotpath.shard.engine.sqlite import SqliteShard, create
from tests.shard.engine.forking import child_says
from tests.waiting import wait_for

CREATE = Statement("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER CHECK (typeof(n) = 'integer'))")
INSERT = Statement("INSERT INTO t (id, v, n) VALUES (?, ?, 0)")
UPDATE = Statement("UPDATE t SET v = ? WHERE id = ?")
ALL = Statement("SELECT id, v FROM t ORDER BY id")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "odd ?#%name.db"
    create(str(file))
    return file


def opened_at(path: Path, **config: float) -> SqliteShard:
    return SqliteShard("s1", Endpoint("sqlite", path=str(path)), PoolConfig(**{"wait": 30.0, **config}))


@pytest.fixture
def shard(path: Path) -> Iterator[SqliteShard]:
    opened = opened_at(path)
    opened.run(CREATE)
    yield opened
    opened.close()


def test_a_statement_alone_counts_rows_found(shard):
    assert shard.run(INSERT, (1, "a")) == 1
    assert shard.run(UPDATE, ("a", 1)) == 1
    assert shard.run(UPDATE, ("a", 2)) == 0
    assert shard.rows(ALL) == [(1, "a")]


@pytest.mark.parametrize(("statement", "values", "error"), [
    (INSERT, (1, "again"), Duplicate),
    (INSERT, (2**63, "x"), OutOfRange),
    (INSERT, ("x", "x"), OutOfRange),
    (INSERT, (2, "\ud800"), OutOfRange),
    (Statement("UPDATE t SET n = n + 9223372036854775807 + 1"), (), OutOfRange),
    (Statement("UPDATE t SET n = NULL"), (), OutOfRange),
    (Statement("SELECT sum(9223372036854775807) FROM (SELECT 1 UNION ALL SELECT 2)"), (), OutOfRange),
    (Statement("UPDATE nosuch SET v = 1"), (), NoSuchTable),
    (Statement("UPDATE t SET nosuch = 1"), (), StatementRefused),
    (Statement("UPDAT t"), (), StatementRefused),
    (INSERT, (1,), StatementRefused),
    (INSERT, (1, object()), StatementRefused),
])
def test_what_is_refused_says_why_and_changes_nothing(shard, statement, values, error):
    shard.run(INSERT, (1, "a"))
    for do in (shard.run, shard.rows, lambda *this: shard.write(lambda session: session.run(*this))):
        if do == shard.rows and error is Duplicate:
            continue
        with pytest.raises(error) as caught:
            do(statement, values)
        assert type(caught.value) is error
    assert shard.rows(ALL) == [(1, "a")]


def test_a_snapshot_is_one_moment_and_reading_is_not(shard):
    shard.run(INSERT, (1, "a"))
    with shard.snapshot() as snapshot, shard.reading() as reading:
        shard.run(INSERT, (2, "b"))
        assert snapshot.rows(ALL) == [(1, "a")]
        assert reading.rows(ALL) == [(1, "a"), (2, "b")]
    assert shard.stats().in_use == 0
    assert shard.rows(ALL) == [(1, "a"), (2, "b")]


def test_what_was_answered_survives_the_death_of_the_process(path):
    code = ("import os, sys; from hotpath.shard.engine.opening import open_shard; "
            "from hotpath.shard.endpoint import Endpoint; from hotpath.shard.config import PoolConfig; "
            "from hotpath.shard.engine import Statement; "
            "s = open_shard('s1', Endpoint('sqlite', path=sys.argv[1]), PoolConfig()); "
            f"s.run(Statement({CREATE.text!r})); s.run(Statement({INSERT.text!r}), (1, 'a')); "
            f"s.write(lambda c: (c.run(Statement({INSERT.text!r}), (2, 'b')))); "
            f"s.write(lambda c: (c.run(Statement({INSERT.text!r}), (3, 'c')), os.kill(os.getpid(), 9)))")
    done = subprocess.run([sys.executable, "-P", "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    shard = opened_at(path)
    assert shard.rows(ALL) == [(1, "a"), (2, "b")]
    shard.close()


def test_several_processes_write_to_one_file(shard, path):
    """Nobody is refused, and nothing is lost."""
    code = ("import sys, threading; from hotpath.shard.engine.opening import open_shard; "
            "from hotpath.shard.endpoint import Endpoint; from hotpath.shard.config import PoolConfig; "
            "from hotpath.shard.engine import Statement\n"
            "s = open_shard('s1', Endpoint('sqlite', path=sys.argv[1]), PoolConfig(wait=60.0))\n"
            f"insert = Statement({INSERT.text!r})\n"
            "def some(first):\n"
            "    for n in range(25): s.run(insert, (first + n, 'x'))\n"
            "threads = [threading.Thread(target=some, args=(int(sys.argv[2]) + 100 * n,)) for n in range(4)]\n"
            "for t in threads: t.start()\n"
            "for t in threads: t.join()\n")
    others = [subprocess.Popen([sys.executable, "-P", "-c", code, str(path), str(1000 * n)], stderr=subprocess.PIPE)
              for n in range(3)]
    for other in others:
        assert other.communicate(timeout=60)[1] == b""
    assert shard.rows(Statement("SELECT count(*) FROM t")) == [(300,)]


def test_another_processs_lock_is_waited_for_and_then_given_up(shard, path):
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(PoolTimeout, match="another process") as error:
        shard.write(lambda session: session.run(INSERT, (1, "a")), wait_s=0.02)
    assert error.value.outcome == "none"
    assert shard.rows(ALL) == []        # who reads does not wait
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(shard.run(INSERT, (1, "a"))))
    thread.start()
    wait_for(lambda: shard._commits.stats().in_use == 1, "it to lead")
    other.execute("COMMIT")
    thread.join(30)
    assert done == [1]
    other.close()


def test_who_reads_waits_for_nobody_but_one_who_has_the_file_for_itself(shard, path):
    shard.run(INSERT, (1, "a"))
    shard.close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    hasty, patient = opened_at(path, wait=0.01), opened_at(path)
    with pytest.raises(ShardUnavailable, match="locked"):
        hasty.rows(ALL)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(patient.rows(ALL)))
    thread.start()
    wait_for(lambda: patient.stats().size == 1, "it to open the file")
    other.close()
    thread.join(30)
    assert got == [[(1, "a")]]


ENDLESS = Statement("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")


def test_a_slow_statement_is_stopped(shard, path):
    hasty = opened_at(path, statement=0.05)
    with pytest.raises(ShardUnavailable, match="stopped") as error:
        hasty.rows(ENDLESS)
    assert error.value.outcome == "none"
    with pytest.raises(ShardUnavailable, match="stopped"):
        hasty.write(lambda session: (session.run(INSERT, (1, "a")), session.rows(ENDLESS)))
    with pytest.raises(ShardUnavailable, match="stopped"):
        hasty.run(Statement(f"INSERT INTO t (id, n) {ENDLESS.text.replace('max(i)', 'i, 0')}"))
    assert hasty.rows(ALL) == []
    assert hasty.run(INSERT, (1, "a")) == 1
    hasty.close()


def test_a_missing_file_is_named_and_never_made(tmp_path):
    shard = opened_at(tmp_path / "none.db")
    for do in (lambda: shard.rows(ALL), lambda: shard.run(CREATE)):
        with pytest.raises(ShardUnavailable, match=r"s1: .*none\.db is not there") as error:
            do()
        assert error.value.outcome == "none"
    assert not shard.stats().up
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_replaced_is_noticed(shard, path):
    shard.run(INSERT, (1, "a"))
    for name in path.parent.iterdir():
        name.unlink()
    # However busy it is: what it would write, nobody would find.
    with pytest.raises(ShardUnavailable, match="removed or replaced") as error:
        shard.run(INSERT, (2, "b"))
    assert error.value.outcome == "none"
    with pytest.raises(ShardUnavailable, match="is not there"):
        shard.run(INSERT, (2, "b"))
    create(str(path))
    with pytest.raises(NoSuchTable):
        shard.rows(ALL)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"", b"SQLite format 3\0" + b"x" * 8192])
def test_a_file_that_is_none_of_ours_is_said_to_be_so(tmp_path, content):
    file = tmp_path / "odd.db"
    file.write_bytes(content)
    shard = opened_at(file)
    with pytest.raises(ShardUnavailable, match=r"odd\.db.*(damaged|no shard's file)"):
        shard.rows(ALL)
    assert file.read_bytes() == content


def test_a_damaged_page_is_said_to_be_so(shard, path):
    shard.run(Statement("CREATE TABLE big (v)"))
    shard.write(lambda session: [session.run(Statement("INSERT INTO big VALUES (zeroblob(3000))")) for _ in range(50)])
    shard.close()
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 30)
    again = opened_at(path)
    with pytest.raises(ShardUnavailable, match="damaged"):
        again.rows(Statement("SELECT sum(length(v)) FROM big"))
    again.close()


def test_create_leaves_what_stands(shard, path):
    shard.run(INSERT, (1, "a"))
    create(str(path))
    assert shard.rows(ALL) == [(1, "a")]
    assert path.stat().st_mode & 0o777 == 0o600


# ---- forks

def test_a_forked_child_and_its_parent_both_go_on(shard, path):
    shard.run(INSERT, (1, "parent"))
    shard.rows(ALL)

    def in_child():
        shard.run(INSERT, (2, "child"))
        with shard.snapshot() as session:
            rows = session.rows(ALL)
        shard.close()
        return rows

    assert child_says(in_child) == "[(1, 'parent'), (2, 'child')]"
    shard.run(INSERT, (3, "parent"))
    assert child_says(lambda: shard.run(INSERT, (4, "another"))) == "1"
    assert [key for key, _ in shard.rows(ALL)] == [1, 2, 3, 4]
    assert shard.rows(Statement("PRAGMA integrity_check")) == [("ok",)]


def test_forks_between_writes_of_other_threads_lose_nothing(shard):
    stop = threading.Event()
    written: list[int] = []

    def write(first):
        n = first
        while not stop.is_set():
            shard.run(INSERT, (n, "x"))
            written.append(n)
            n += 1

    threads = [threading.Thread(target=write, args=(1_000_000 * n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for n in range(10):
        assert child_says(lambda n=n: shard.run(INSERT, (n, "child"))) == "1"
    stop.set()
    for thread in threads:
        thread.join(60)
    assert [key for key, _ in shard.rows(ALL)] == [*range(10), *sorted(written)]
    assert shard.rows(Statement("PRAGMA integrity_check")) == [("ok",)]


def test_a_child_forked_while_the_file_was_in_hand_refuses_it(shard, path, monkeypatch):
    """SQLite in the child would believe that it holds the parent's locks."""
    monkeypatch.setattr(pool, "FORK_S", 0.01)
    with shard.snapshot() as session:
        shared = session.rows(ALL)

        def in_child():
            fresh = opened_at(path)
            for do in (lambda: session.rows(ALL), lambda: shard.rows(ALL), lambda: shard.run(INSERT, (1, "a")),
                       lambda: fresh.rows(ALL)):
                with pytest.raises(ShardUnavailable, match="forked"):
                    do()
            return "refused"

        assert child_says(in_child) == "'refused'"
        assert session.rows(ALL) == shared
    assert shard.run(INSERT, (1, "a")) == 1
