"""What a shard on a real MariaDB answers, when all goes well, when others are in the way, and when the line breaks.

Runs with the driver of this process; `test_driver.py` runs it again, in a process that has the other one.
"""
from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.errors import PoolTimeout, ShardUnavailable, UncertainOutcome
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import Duplicate, Full, Lost, NoSuchTable, OutOfRange, StatementRefused
from hotpath.shard.engine.mysql import MySqlShard
from hotpath.shard.engine.sqlite import SqliteShard, create
from tests.mariadb import MariaDb
from tests.shard.engine.cutting import Line
from tests.shard.engine.forking import child_says
from tests.waiting import wait_for

INSERT = Statement("INSERT INTO t (id, v) VALUES (?, ?)")
UPDATE = Statement("UPDATE t SET v = ? WHERE id = ?")
ROW = Statement("SELECT id, v FROM t WHERE id = ?")
ALL = Statement("SELECT id, v FROM t ORDER BY id")
ME = Statement("SELECT CONNECTION_ID()")


@pytest.fixture
def line(server: MariaDb) -> Iterator[Line]:
    opened = Line(server.port)
    yield opened
    opened.close()


@pytest.fixture
def far(shard: MySqlShard, line: Line) -> Iterator[MySqlShard]:
    """The same database, over a line that can be cut."""
    opened = MySqlShard("s1", Endpoint("mysql", host="127.0.0.1", port=line.port, user="root", database="shard"),
                        PoolConfig(wait=5.0))
    yield opened
    opened.close()


def kill(server: MariaDb, shard: MySqlShard) -> None:
    """Cut the shard's idle connection, from the other end."""
    with shard.reading() as session:
        ((number,),) = session.rows(ME)
    server.execute(f"KILL {number}")


# ---- statements

def test_a_statement_alone_is_durable_and_counts_rows_found(shard):
    assert shard.run(INSERT, (1, "a")) == 1
    assert shard.run(UPDATE, ("a", 1)) == 1             # found, though not changed
    assert shard.run(UPDATE, ("a", 2)) == 0
    assert shard.rows(ALL) == [(1, "a")]


@pytest.mark.parametrize(("statement", "values", "error"), [
    (INSERT, (1, "again"), Duplicate),
    (INSERT, (2, "x" * 21), OutOfRange),
    (INSERT, (2**63, "x"), OutOfRange),
    (Statement("UPDATE t SET n = n + 200 WHERE id = ?"), (1,), OutOfRange),
    (Statement("UPDATE t SET n = 99 WHERE id = ?"), (1,), OutOfRange),
    (Statement("UPDATE t SET id = 9223372036854775807 + id"), (), OutOfRange),
    (INSERT, (2, "\ud800"), OutOfRange),
    (Statement("INSERT INTO t (v) VALUES (?)"), ("x",), OutOfRange),
    (Statement("UPDATE nosuch SET v = 1"), (), NoSuchTable),
    (Statement("SELECT * FROM nosuch"), (), NoSuchTable),
    (Statement("UPDATE t SET nosuch = 1"), (), StatementRefused),
    (Statement("UPDAT t"), (), StatementRefused),
    (INSERT, (1,), StatementRefused),
    (INSERT, (1, object()), StatementRefused),
    (INSERT, (2, "x" * 20_000_000), OutOfRange),
])
def test_what_is_refused_says_why_and_leaves_the_connection_usable(shard, statement, values, error):
    shard.run(INSERT, (1, "a"))
    with pytest.raises(error) as caught:
        shard.run(statement, values)
    assert type(caught.value) is error
    assert shard.rows(ALL) == [(1, "a")]
    assert shard.stats().size == 1


def test_a_full_table_is_the_operators_affair(shard):
    with shard.reading() as session:
        session.run(Statement("SET SESSION max_heap_table_size = 16384"))
        session.run(Statement("CREATE OR REPLACE TABLE little (v VARBINARY(1000)) ENGINE = MEMORY"))
        fill = Statement("INSERT INTO little SELECT REPEAT('x', 1000) FROM seq_1_to_100")
        with pytest.raises(Full, match="no room") as error:
            session.run(fill)
    assert (error.value.shard, error.value.outcome) == ("s1", "none")
    shard.run(Statement("DROP TABLE little"))


def test_verbatim_statements_may_ask_questions(shard):
    assert shard.rows(Statement.verbatim("SELECT 'why?'")) == [("why?",)]


VALUES = {
    "BIGINT": st.integers(-2**63, 2**63 - 1),
    "DOUBLE": st.floats(allow_nan=False, allow_infinity=False),
    "DECIMAL(20,5)": st.decimals(-10**14, 10**14, places=5),
    "LONGTEXT": st.text(st.characters(exclude_categories=["Cs"])),
    "LONGBLOB": st.binary(),
    "DATETIME(6)": st.datetimes(datetime(1000, 1, 1)),
}


@pytest.fixture(scope="module")
def wide(server: MariaDb) -> Iterator[MySqlShard]:
    """A table with a column of each type."""
    opened = MySqlShard("s1", Endpoint("mysql", host="127.0.0.1", port=server.port, user="root", database="shard"),
                        PoolConfig())
    columns = ", ".join(f"c{i} {name}" for i, name in enumerate(VALUES))
    opened.run(Statement(f"CREATE TABLE wide ({columns}) COLLATE utf8mb4_nopad_bin"))
    yield opened
    opened.close()


@settings(max_examples=80)
@given(values=st.tuples(*(st.none() | strategy for strategy in VALUES.values())))
def test_every_value_comes_back_as_it_was(wide, values):
    statement = Statement(f"INSERT INTO wide VALUES ({', '.join('?' * len(values))})")

    def there_and_back(session):
        session.run(Statement("DELETE FROM wide"))
        session.run(statement, values)
        return session.rows(Statement("SELECT * FROM wide"))

    ((*back,),) = wide.write(there_and_back)
    assert tuple(back) == values
    assert [type(value) for value in back] == [type(value) for value in values]


@pytest.mark.parametrize("value", [bytes(range(256)), "".join(map(chr, range(256))), -2**63, 5e-324, -0.0, 1.7e308,
                                   Decimal("-0.00001"), "\\'; DROP TABLE t; --", "'", "\\", "\U0001f600"])
def test_a_literal_is_read_as_the_value_it_was(wide, value):
    ((back,),) = wide.rows(Statement("SELECT ?"), (value,))
    assert (back, type(back)) == (value, type(value))
    if not isinstance(value, float):
        assert wide.rows(Statement("SELECT ? = ?"), (value, value)) == [(1,)]


# ---- transactions

def test_a_transaction_is_all_or_nothing(shard):
    def work(session):
        session.run(INSERT, (1, "a"))
        with pytest.raises(Duplicate):
            session.run(INSERT, (1, "b"))
        session.run(INSERT, (2, "c"))       # a refused statement undoes only itself
        return session.rows(ALL)

    def fails(session):
        session.run(INSERT, (3, "d"))
        raise KeyError

    assert shard.write(work) == [(1, "a"), (2, "c")]
    with pytest.raises(KeyError):
        shard.write(fails)
    assert shard.rows(ALL) == [(1, "a"), (2, "c")]
    assert shard.stats() .size == 1


def test_a_snapshot_is_one_moment_and_reading_is_not(shard):
    shard.run(INSERT, (1, "a"))
    with shard.snapshot() as snapshot, shard.reading() as reading:
        shard.run(INSERT, (2, "b"))
        assert snapshot.rows(ALL) == [(1, "a")]
        assert reading.rows(ALL) == [(1, "a"), (2, "b")]
        with pytest.raises(StatementRefused):
            snapshot.run(INSERT, (3, "c"))
    with shard.reading() as again:          # the same connection reads committed rows again
        shard.run(INSERT, (3, "c"))
        assert len(again.rows(ALL)) == 3


def test_one_left_in_a_transaction_is_closed(shard):
    with shard.reading() as session:
        ((left,),) = session.rows(ME)
        session.run(Statement("BEGIN"))
        session.run(INSERT, (1, "a"))
    with shard.reading() as session:
        assert session.rows(ME) != [(left,)]
    wait_for(lambda: not shard.rows(ALL), "the open transaction to be undone")


def crossing(shard, second_update):
    """Two threads update two rows in opposite orders until one has both; `second_update(session, mine, other)`."""
    shard.run(INSERT, (1, "a"))
    shard.run(INSERT, (2, "a"))
    both_hold_one = threading.Barrier(2)
    runs = []

    def cross(mine, other):
        def work(session):
            session.run(UPDATE, (f"by {mine}", mine))
            runs.append(mine)
            if len(runs) <= 2:
                both_hold_one.wait(20)
            second_update(session, mine, other)
        shard.write(work, wait_s=20.0)

    threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(runs) > 2
    assert shard.rows(ALL) in ([(1, "by 1"), (2, "by 1")], [(1, "by 2"), (2, "by 2")])
    assert shard.stats().in_use == 0


def test_deadlocked_work_runs_again(shard):
    crossing(shard, lambda session, mine, other: session.run(UPDATE, (f"by {mine}", other)))


def test_a_deadlock_that_work_swallows_commits_nothing_by_halves(shard):
    def swallowing(session, mine, other):
        try:
            session.run(UPDATE, (f"by {mine}", other))
        except Exception:
            session.run(INSERT, (100 + mine, "alone"))

    crossing(shard, swallowing)


def test_a_row_locked_elsewhere_is_waited_for_and_then_given_up(shard, endpoint):
    shard.run(INSERT, (1, "a"))
    hasty = MySqlShard("s1", endpoint, PoolConfig(wait=0.1))

    def hold(session):
        session.run(UPDATE, ("held", 1))
        with pytest.raises(PoolTimeout) as alone:
            hasty.run(UPDATE, ("b", 1))
        with pytest.raises(PoolTimeout) as together:
            hasty.write(lambda session: session.run(UPDATE, ("b", 1)))
        return alone.value, together.value

    assert [error.outcome for error in shard.write(hold)] == ["none", "none"]
    assert hasty.run(UPDATE, ("b", 1)) == 1
    assert hasty.stats().size == 1
    hasty.close()


# ---- facts the protocol rests on, of the server and of our settings

@pytest.fixture
def fence(shard: MySqlShard) -> MySqlShard:
    shard.run(Statement("CREATE TABLE IF NOT EXISTS f (stripe INT PRIMARY KEY, epoch BIGINT NOT NULL) ENGINE=InnoDB"))
    shard.run(Statement("REPLACE INTO f VALUES (1, 1)"))
    return shard


LOCKING = [
    Statement("UPDATE f JOIN t ON t.id = 1 SET t.v = 'x' WHERE f.stripe = 1 AND f.epoch = 1"),
    Statement("UPDATE f JOIN t ON t.id = 404 SET t.v = 'x' WHERE f.stripe = 1 AND f.epoch = 1"),
    Statement("DELETE t FROM f JOIN t ON t.id = 404 WHERE f.stripe = 1 AND f.epoch = 1"),
    Statement("INSERT INTO t (id) SELECT 7 FROM f WHERE stripe = 1 AND epoch = 1 LOCK IN SHARE MODE"),
    Statement("SELECT epoch FROM f WHERE stripe = 1 LOCK IN SHARE MODE"),
]
NOT_LOCKING = [
    Statement("INSERT INTO t (id) SELECT 7 FROM f WHERE stripe = 1 AND epoch = 1"),
    Statement("SELECT epoch FROM f WHERE stripe = 1"),
]
# As an UPDATE of it, which would wait for a second before it says so.
RAISE = Statement("SELECT epoch FROM f WHERE stripe = 1 FOR UPDATE NOWAIT")


@pytest.mark.parametrize("statement", LOCKING)
def test_a_statement_that_joins_the_fence_keeps_it_from_being_raised(fence, endpoint, statement):
    raiser = MySqlShard("s1", endpoint, PoolConfig(wait=0.05))
    fence.run(INSERT, (1, "a"))

    def work(session):
        session.run(statement)
        with pytest.raises(PoolTimeout):
            raiser.rows(RAISE)

    fence.write(work)
    assert raiser.rows(RAISE) == [(1,)]
    raiser.close()


@pytest.mark.parametrize("statement", NOT_LOCKING)
def test_a_plain_select_of_the_fence_locks_nothing(fence, statement):
    def work(session):
        session.run(statement)
        assert fence.rows(RAISE) == [(1,)]

    fence.write(work)


def test_an_insert_that_is_refused_leaves_a_lock(shard, endpoint):
    """Two who then update the row deadlock: why marks are raised by an upsert."""
    other = MySqlShard("s1", endpoint, PoolConfig(wait=0.05))
    shard.run(INSERT, (1, "a"))

    def work(session):
        with pytest.raises(Duplicate):
            session.run(INSERT, (1, "b"))
        with pytest.raises(PoolTimeout):
            other.rows(Statement("SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT"))

    shard.write(work)
    other.close()


def test_two_who_raise_a_mark_wait_for_each_other_and_do_not_deadlock(shard):
    mark = Statement("INSERT INTO t (id, v) VALUES (?, 'm') ON DUPLICATE KEY UPDATE n = n + 1")
    answers = []

    def work(session):
        answers.append(session.run(mark, (1,)))
        session.run(UPDATE, ("x", 1))

    threads = [threading.Thread(target=shard.write, args=(work,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [1, 2, 2, 2, 2, 2]        # six runs: none was undone


def test_an_upsert_to_the_same_values_cannot_be_told_from_an_insert(shard):
    upsert = Statement("INSERT INTO t (id, v) VALUES (?, ?) ON DUPLICATE KEY UPDATE v = VALUES(v)")
    assert [shard.run(upsert, (1, "a")) for _ in range(2)] == [1, 1]


def test_the_settings_of_a_connection(shard):
    ((mode, zone, collation, isolation, autocommit, turn),) = shard.rows(Statement(
        "SELECT @@sql_mode, @@time_zone, @@collation_connection, @@tx_isolation, @@autocommit, "
        "@@innodb_lock_wait_timeout"))
    assert {"STRICT_ALL_TABLES", "NO_ENGINE_SUBSTITUTION"} <= set(mode.split(","))
    assert not {"NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"} & set(mode.split(","))
    assert (zone, collation, isolation, autocommit, turn) == ("+00:00", "utf8mb4_general_ci", "READ-COMMITTED", 1, 1)


# ---- when the line breaks

def test_a_dead_connection_is_noticed_before_anything_is_sent(shard, server):
    kill(server, shard)
    wait_for(lambda: not any(session.glance() for session in shard._pool._idle), "the hang-up to arrive")
    time_passes(shard, 0.5)
    assert shard.run(INSERT, (1, "a")) == 1
    kill(server, shard)
    time_passes(shard, 2)
    assert shard.write(lambda session: session.run(INSERT, (2, "a"))) == 1
    assert shard.stats().size == 1


def time_passes(shard: MySqlShard, s: float) -> None:
    """As if the idle connections had lain for so long."""
    for session in shard._pool._idle:
        session.since_s -= s


def test_a_read_on_a_dead_connection_is_asked_again_on_another(far, line):
    far.run(INSERT, (1, "a"))
    line.cut_at(b"SELECT id", delivers=False)
    assert far.rows(ALL) == [(1, "a")]
    line.cut_at(b"SELECT id", delivers=True)
    assert far.rows(ALL) == [(1, "a")]
    line.cut_at(b"START TRANSACTION", delivers=True)
    with far.snapshot() as session:
        assert session.rows(ALL) == [(1, "a")]
    line.cut_at(b"START TRANSACTION", delivers=False)
    assert far.write(lambda session: session.rows(ALL)) == [(1, "a")]
    assert line.cuts == 4


@pytest.mark.parametrize("delivers", [False, True])
def test_a_statement_that_left_and_was_not_answered_is_uncertain(shard, far, line, delivers):
    far.rows(ALL)
    line.cut_at(b"INSERT", delivers=delivers)
    with pytest.raises(UncertainOutcome) as error:
        far.run(INSERT, (1, "a"))
    assert (error.value.shard, error.value.outcome) == ("s1", "unknown")
    if delivers:
        wait_for(lambda: shard.rows(ALL) == [(1, "a")], "the statement to arrive")
    else:
        assert shard.rows(ALL) == []
    assert far.run(INSERT, (2, "b")) == 1


@pytest.mark.parametrize("delivers", [False, True])
def test_a_commit_that_was_not_answered_is_uncertain(shard, far, line, delivers):
    def work(session):
        session.run(INSERT, (1, "a"))
        line.cut_at(b"COMMIT", delivers=delivers)

    with pytest.raises(UncertainOutcome):
        far.write(work)
    if delivers:
        wait_for(lambda: shard.rows(ALL) == [(1, "a")], "the commit to arrive")
    else:
        assert shard.rows(ALL) == []


def test_a_transaction_that_broke_before_its_commit_is_surely_undone(shard, far, line):
    def work(session):
        session.run(INSERT, (1, "a"))
        line.cut_at(b"INSERT", delivers=True)
        session.run(INSERT, (2, "b"))

    def swallows(session):
        line.cut_at(b"INSERT", delivers=True)
        with pytest.raises(Lost):
            session.run(INSERT, (3, "c"))
        with pytest.raises(Lost):
            session.rows(ALL)

    for one in (work, swallows):
        with pytest.raises(ShardUnavailable) as error:
            far.write(one)
        assert error.value.outcome == "none"
    assert shard.rows(ALL) == []


def test_a_server_that_is_gone_is_said_at_once_and_used_again_when_it_is_back(shard, server):
    shard.run(INSERT, (1, "a"))
    server.kill()
    try:
        for do in (lambda: shard.rows(ALL), lambda: shard.run(INSERT, (2, "b")),
                   lambda: shard.write(lambda session: session.run(INSERT, (2, "b")))):
            time_passes(shard, 1)
            with pytest.raises(ShardUnavailable) as error:
                do()
            assert error.value.outcome == "none"        # seen before anything was sent
        assert not shard.stats().up
    finally:
        server.start()

    def answers():
        try:
            return shard.rows(ALL)
        except ShardUnavailable:
            return None

    assert wait_for(answers, "the shard to answer") == [(1, "a")]
    assert shard.stats().up


def test_a_stuck_server_is_given_up_in_time_and_holds_nobody_else_up(shard, server, endpoint):
    path = str(server.folder / "n.db")      # in memory, where a sync costs nothing
    create(path)
    neighbour = SqliteShard("s2", Endpoint("sqlite", path=path), PoolConfig())
    neighbour.run(Statement("CREATE TABLE t (id INTEGER PRIMARY KEY, v)"))
    hasty = MySqlShard("s1", endpoint, PoolConfig(max=2, wait=0.2, connect=1.0, statement=1.0))
    hasty.rows(ALL)
    outcomes: list[str] = []

    def use(do):
        try:
            do()
        except ShardUnavailable as error:
            outcomes.append(error.outcome)

    server.signal(signal.SIGSTOP)
    try:
        dos = [lambda: hasty.rows(ALL), lambda: hasty.run(INSERT, (1, "a")),
               lambda: hasty.write(lambda session: session.run(INSERT, (2, "b")))] * 2
        threads = [threading.Thread(target=use, args=(do,)) for do in dos]
        for thread in threads:
            thread.start()
        n = beside = 0
        while any(thread.is_alive() for thread in threads):
            neighbour.run(INSERT, (n, "x"))
            n += 1
            beside += any(thread.is_alive() for thread in threads)
        assert len(outcomes) == len(dos)
        assert beside       # it was done while somebody was stuck still
        with pytest.raises(ShardUnavailable):
            hasty.rows(ALL)
    finally:
        server.signal(signal.SIGCONT)
    assert wait_for(lambda: not hasty.stats().in_use, "the connections to come back")
    neighbour.close()
    hasty.close()


def test_a_slow_statement_is_stopped_and_its_connection_goes_on(shard, endpoint, monkeypatch):
    monkeypatch.setattr("hotpath.shard.engine.mysql.SERVER_SHARE", 0.06)   # stopped after 0.3 s; 5 s to say so
    hasty = MySqlShard("s1", endpoint, PoolConfig(statement=5.0))
    for do in (hasty.rows, hasty.run):
        with pytest.raises(ShardUnavailable, match="stopped") as error:
            do(Statement("SELECT SLEEP(20)"))
        assert error.value.outcome == "none"
    assert hasty.stats().size == 1
    hasty.close()


@pytest.mark.parametrize(("change", "says"), [
    ({"database": "nosuch", "password": ""}, "nosuch"), ({"user": "nobody"}, "nobody"), ({"port": 1}, "127.0.0.1:1"),
    ({"socket": "/nowhere/s"}, "/nowhere/s")])
def test_why_it_cannot_connect_is_said_without_the_password(endpoint, change, says):
    wrong = MySqlShard("s1", replace(endpoint, **{"password": "secret", **change}), PoolConfig())
    with pytest.raises(ShardUnavailable) as error:
        wrong.rows(ALL)
    assert says in str(error.value)
    assert "secret" not in str(error.value)
    assert wrong.stats().size == 0


def test_a_unix_socket_serves_as_well(server, endpoint):
    near = MySqlShard("s1", Endpoint("mysql", socket=str(server.folder / "s"), user="root", database="shard"),
                      PoolConfig())
    assert near.rows(Statement("SELECT 1")) == [(1,)]
    assert near._pool._idle[0]._link.fd >= 0
    near.close()


# ---- forks

def test_a_forked_child_makes_its_own_connections_and_leaves_the_parents_alone(shard):
    ((mine,),) = shard.rows(ME)

    def in_child():
        ((its,),) = shard.rows(ME)
        shard.run(INSERT, (1, "child"))
        shard.close()
        return its != mine

    assert child_says(in_child) == "True"
    assert shard.rows(ME) == [(mine,)]
    assert shard.rows(ALL) == [(1, "child")]


def test_a_child_forked_in_the_middle_of_a_transaction_cannot_touch_it(shard):
    def work(session):
        session.run(INSERT, (1, "a"))

        def in_child():
            for do in (lambda: session.run(INSERT, (2, "b")), lambda: session.rows(ALL)):
                try:
                    do()
                except ShardUnavailable:
                    continue
                return "it could"
            shard.run(INSERT, (3, "c"))
            return "no"

        assert child_says(in_child) == "'no'"
        session.run(INSERT, (4, "d"))

    shard.write(work)
    assert shard.rows(ALL) == [(1, "a"), (3, "c"), (4, "d")]


def test_a_childs_end_says_no_goodbye_on_the_parents_connections(shard):
    ((mine,),) = shard.rows(ME)

    def in_child():
        gc.collect()
        shard._pool = None      # whatever destructors there are, they run
        gc.collect()
        return "done"

    assert child_says(in_child) == "'done'"
    assert shard.rows(ME) == [(mine,)]


def test_a_forgotten_connection_says_nothing_on_whatever_has_its_number_now(shard):
    session = shard._pool.lease()
    number = session._link.fd
    session.forget()
    ends = [end for _ in range(8) for end in socket.socketpair()]
    assert number in {end.fileno() for end in ends}
    with pytest.raises(Lost):
        session.command(b"COMMIT")
    with pytest.raises(Lost):
        session.rows(ALL)
    shard._pool._all.clear()
    del session
    gc.collect()            # its destructor, if it has one
    for end in ends:
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)
    for end in ends:
        end.close()


def test_a_parents_death_ends_its_transaction_though_a_child_lives(shard, server):
    """The child closed its copies of the sockets, so that the server sees the parent's end."""
    shard.run(INSERT, (1, "a"))
    readable, writable = os.pipe()
    held, hold = os.pipe()
    parent = os.fork()
    if parent == 0:
        def work(session):
            session.run(UPDATE, ("held", 1))
            if os.fork() == 0:
                os.close(hold)
                os.read(held, 1)            # until the test lets it go
                os._exit(0)
            os.write(writable, b"x")
            time.sleep(60)

        shard.write(work)
        os._exit(0)
    os.read(readable, 1)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert shard.run(UPDATE, ("free", 1)) == 1
    for fd in (hold, held, readable, writable):
        os.close(fd)
