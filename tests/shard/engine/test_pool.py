"""Connections are lent to one thread at a time, alive as far as can be known, and no more than allowed."""
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from hotpath.core.errors import PoolTimeout, ShardUnavailable
from hotpath.shard.config import PoolConfig
from hotpath.shard.engine.pool import BREAK_AFTER, GLANCE_AFTER_S, PROBE_S, Pool
from tests.shard.engine.fakes import FakeConnection, FakeServer
from tests.waiting import wait_for

CONFIG = PoolConfig(max=3, wait=1.0)
HARD_S = 600.0          # longer than a test may take
MOMENT_S = 1 / 64       # a sum of such is exact
assert MOMENT_S > GLANCE_AFTER_S


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def pool(server: FakeServer) -> Iterator[Pool[FakeConnection]]:
    pool = pool_of(server)
    yield pool
    pool.close()


def pool_of(server: FakeServer, config: PoolConfig = CONFIG, **options: bool) -> Pool[FakeConnection]:
    return Pool("s1", server.connect, config, clock=server.clock, **options)


def test_the_last_one_given_back_is_lent_first(server, pool):
    first, second = pool.lease(), pool.lease()
    pool.release(second)
    pool.release(first)
    assert pool.lease() is first
    assert pool.lease() is second
    assert server.tries == 2


def test_what_was_just_used_is_not_looked_at(server, pool):
    pool.release(pool.lease())
    connection = pool.lease()
    assert (connection.pings, connection.glances) == (0, 0)


def test_what_lay_a_moment_is_looked_at(server, pool):
    first = pool.lease()
    pool.release(first)
    first.hung_up = True
    server.now_s += MOMENT_S
    assert pool.lease() is not first
    assert first.glances == 1
    assert pool.stats().size == 1


def test_what_lay_long_is_asked_whether_it_lives(server, pool):
    first = pool.lease()
    pool.release(first)
    first.dead = True
    server.now_s += CONFIG.ping_after
    assert pool.lease() is not first
    assert first.pings == 1


def test_one_dead_connection_makes_the_others_suspect(server, pool):
    lent = [pool.lease() for _ in range(3)]
    for one in lent:
        one.dead = True
        pool.release(one)
    server.now_s += MOMENT_S
    pool.discard(pool.lease(), dead=True)       # whoever had it saw it die
    assert pool.lease() not in lent
    assert len(server.open) == 1


def test_one_in_a_transaction_is_closed(server, pool):
    connection = pool.lease()
    connection.dirty = True
    pool.release(connection)
    assert not server.open


def test_one_that_is_old_is_closed_whatever_it_does(server, pool):
    connection = pool.lease()
    server.now_s += CONFIG.age
    pool.release(connection)
    assert not server.open


def test_those_idle_for_long_are_closed_when_another_comes_back(server, pool):
    first, second = pool.lease(), pool.lease()
    pool.release(first)
    server.now_s += CONFIG.idle + 1
    pool.release(second)
    assert server.open == {second}


def test_those_idle_for_long_are_closed_when_somebody_looks(server, pool):
    lent = [pool.lease() for _ in range(3)]
    for one in lent:
        pool.release(one)
    server.now_s += CONFIG.idle + 1
    assert pool.stats().size == 0
    assert not server.open


def test_no_more_than_allowed(server, pool):
    lent = [pool.lease() for _ in range(3)]
    with pytest.raises(PoolTimeout, match="s1: all 3 connections were in use for 0 s") as error:
        pool.lease(0.0)
    assert error.value.outcome == "none"
    pool.release(lent.pop())
    pool.lease(0.0)


def in_line(pool) -> tuple[threading.Thread, list[FakeConnection]]:
    """A thread that waits for a connection behind all who do; and what it gets."""
    got: list[FakeConnection] = []
    thread = threading.Thread(daemon=True, target=lambda: got.append(pool.lease()))
    before = pool.stats().waiting
    thread.start()
    wait_for(lambda: pool.stats().waiting == before + 1, "a thread in line")
    return thread, got


def test_who_waits_gets_what_comes_back(server):
    pool = pool_of(server, PoolConfig(max=1, wait=HARD_S))
    held = pool.lease()
    thread, got = in_line(pool)
    pool.release(held)
    thread.join(20)
    assert got == [held]
    assert pool.stats().waiting == 0


def test_who_waits_gets_the_place_of_one_that_was_closed(server):
    pool = pool_of(server, PoolConfig(max=1, wait=HARD_S))
    held = pool.lease()
    thread, got = in_line(pool)
    pool.discard(held)
    thread.join(20)
    assert got
    assert got[0] is not held
    assert server.open == set(got)


def test_who_waited_long_is_served_before_one_who_runs(server):
    pool = pool_of(server, PoolConfig(max=1, wait=HARD_S))
    held = pool.lease()
    thread, got = in_line(pool)
    server.now_s += 1
    pool.release(held)
    with pytest.raises(PoolTimeout):        # however fast: it is the other's
        pool.lease(0.0)
    thread.join(20)
    assert got == [held]


def test_who_is_served_on_its_way_lets_the_next_one_be_called(server):
    """Two wait; the first is called to one that another thread takes, then served: the second is called to the next."""
    pool = pool_of(server, PoolConfig(max=2, wait=HARD_S))
    held = [pool.lease(), pool.lease()]
    waiters = [in_line(pool), in_line(pool)]
    with pool._lock:            # nobody who wakes comes further than here
        pool._idle.append(held[0])
        pool._call()
        faster = pool._idle.pop()
        pool._serve(held[1])
        pool._idle.append(faster)
        pool._call()
    for thread, _ in waiters:
        thread.join(20)
    assert {one for _, got in waiters for one in got} == set(held)


def test_waits_are_reported(server):
    waits: list[float] = []
    pool = Pool("s1", server.connect, PoolConfig(max=1), clock=server.clock, on_wait=waits.append)
    pool.lease()
    with pytest.raises(PoolTimeout):
        pool.lease(0.0)
    assert waits == [0.0]


def test_after_three_failures_nobody_waits_for_a_fourth(server, pool):
    server.up = False
    for _ in range(BREAK_AFTER):
        with pytest.raises(ShardUnavailable, match="s1: it is down"):
            pool.lease()
    with pytest.raises(ShardUnavailable, match="s1: it is down") as error:
        pool.lease()
    assert error.value.retry_after_s == PROBE_S
    assert server.tries == BREAK_AFTER
    stats = pool.stats()
    assert (stats.size, stats.up, stats.error) == (0, False, "it is down")


def test_one_tries_each_half_second_and_the_first_success_ends_it(server, pool):
    server.up = False
    for _ in range(BREAK_AFTER):
        with pytest.raises(ShardUnavailable):
            pool.lease()
    server.now_s += PROBE_S
    with pytest.raises(ShardUnavailable):
        pool.lease()
    assert server.tries == BREAK_AFTER + 1
    server.up = True
    with pytest.raises(ShardUnavailable):
        pool.lease()                        # not yet
    server.now_s += PROBE_S
    pool.lease()
    pool.lease()
    assert pool.stats().up


def test_only_one_tries_at_a_time(server):
    trying, go_on = threading.Event(), threading.Event()

    def connect() -> FakeConnection:
        if server.tries >= BREAK_AFTER:
            trying.set()
            go_on.wait(20)
        return server.connect()

    pool = Pool("s1", connect, CONFIG, clock=server.clock)
    server.up = False
    for _ in range(BREAK_AFTER):
        with pytest.raises(ShardUnavailable):
            pool.lease()
    server.up = True
    server.now_s += PROBE_S
    thread = threading.Thread(daemon=True, target=pool.lease)
    thread.start()
    assert trying.wait(20)
    with pytest.raises(ShardUnavailable):
        pool.lease()
    go_on.set()
    thread.join(20)
    assert pool.stats().up


def test_a_server_that_died_makes_waiters_fail_at_once(server):
    pool = pool_of(server, PoolConfig(max=1, wait=HARD_S))
    held = pool.lease()
    failed: list[ShardUnavailable] = []

    def use() -> None:
        try:
            pool.lease()
        except ShardUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(daemon=True, target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_for(lambda: pool.stats().waiting == 5, "all in line")
    server.up = False
    pool.discard(held, dead=True)
    for thread in threads:
        thread.join(20)
    assert len(failed) == 5
    assert server.tries == 1 + BREAK_AFTER
    assert pool.stats().size == 0


def test_closed_it_lends_nothing_and_closes_what_comes_back(server, pool):
    held, idle = pool.lease(), pool.lease()
    pool.release(idle)
    pool.close()
    assert server.open == {held}
    pool.release(held)
    assert not server.open
    with pytest.raises(ShardUnavailable, match="closed"):
        pool.lease()
    assert pool.stats().size == 0


def test_a_forked_child_forgets_all_and_starts_anew(server, pool):
    held, idle = pool.lease(), pool.lease()
    pool.release(idle)
    pool.before_fork()
    pool.after_fork(child=True)
    assert server.forgotten == {held, idle}
    mine = pool.lease()
    assert mine not in server.forgotten
    pool.release(held)              # the thread that forked had it in hand
    assert pool.stats().size == 1
    pool.release(mine)
    assert pool.lease() is mine


def test_what_must_not_be_inherited_is_closed_before_a_fork(server):
    pool = pool_of(server, inherit=False)
    held, idle = pool.lease(), pool.lease()
    pool.release(idle)
    forking = threading.Thread(daemon=True, target=pool.before_fork)
    forking.start()
    wait_for(lambda: server.open == {held}, "the idle one to be closed")
    pool.release(held)
    forking.join(20)
    assert not server.open
    with pytest.raises(PoolTimeout):
        pool.lease(0.0)             # not while it forks
    pool.after_fork(child=False)
    assert pool.lease(0.0)


def test_threads_never_share_one_and_all_get_theirs():
    server = FakeServer()
    pool = Pool("s1", server.connect, PoolConfig(max=3, wait=HARD_S))
    in_use: set[FakeConnection] = set()
    failures: list[str] = []

    def use(seed: int) -> None:
        for n in range(400):
            connection = pool.lease()
            if connection in in_use:
                failures.append("lent twice")
            in_use.add(connection)
            if len(in_use) > 3:
                failures.append("too many")
            in_use.discard(connection)
            if (n + seed) % 37 == 0:
                pool.discard(connection, dead=True)
            else:
                connection.dirty = (n + seed) % 53 == 0
                pool.release(connection)

    threads = [threading.Thread(daemon=True, target=use, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures
    stats = pool.stats()
    assert (stats.in_use, stats.waiting) == (0, 0)
    assert stats.size == len(server.open) <= 3


class PoolModel(RuleBasedStateMachine):
    """Against what is known of each connection."""

    lent = Bundle("lent")

    def __init__(self) -> None:
        super().__init__()
        self.server = FakeServer()
        self.pool = pool_of(self.server)
        self.held: set[FakeConnection] = set()
        self.failures = 0           # connects in a row
        self.tried_s = float("-inf")

    @rule(target=lent)
    def lease(self):
        tries, now_s = self.server.tries, self.server.now_s
        try:
            connection = self.pool.lease(0.0)
        except PoolTimeout:
            assert len(self.held) == CONFIG.max
            return None
        except ShardUnavailable:
            assert self.pool.stats().up is False
            if self.server.tries == tries:
                assert self.failures >= BREAK_AFTER
                assert now_s < self.tried_s + PROBE_S
            else:
                assert not self.server.up
                self.failures += 1
                self.tried_s = now_s
            return None
        if self.server.tries > tries:
            assert self.failures < BREAK_AFTER or now_s >= self.tried_s + PROBE_S
            self.failures = 0
        assert connection in self.server.open
        assert connection not in self.held
        if connection.glances or connection.pings:
            assert not connection.hung_up
        self.held.add(connection)
        return connection

    @rule(connection=consumes(lent), dirty=st.booleans())
    def release(self, connection, dirty):
        if connection in self.held:
            connection.dirty |= dirty
            self.held.remove(connection)
            self.pool.release(connection)
            assert not dirty or connection not in self.server.open

    @rule(connection=consumes(lent), dead=st.booleans())
    def discard(self, connection, dead):
        if connection in self.held:
            self.held.remove(connection)
            self.pool.discard(connection, dead=dead)
            assert connection not in self.server.open

    @rule(how=st.sampled_from(["dead", "hung_up"]))
    def some_die(self, how):
        for connection in self.server.open - self.held:
            setattr(connection, how, True)

    @rule(up=st.booleans())
    def server_is(self, up):
        self.server.up = up

    @rule(s=st.sampled_from([MOMENT_S, PROBE_S, CONFIG.ping_after, CONFIG.idle + 1, CONFIG.age]))
    def time_passes(self, s):
        self.server.now_s += s

    @precondition(lambda self: self.server.open)
    @rule()
    def fork(self):
        self.pool.before_fork()
        self.pool.after_fork(child=True)
        assert not self.server.open
        for connection in self.held:
            self.pool.release(connection)       # of no effect
        self.held.clear()
        self.failures = 0

    @invariant()
    def it_knows_what_is_open(self):
        stats = self.pool.stats()
        assert stats.size == len(self.server.open) <= CONFIG.max
        assert stats.in_use == len(self.held)
        assert self.held <= self.server.open


TestPoolModel = PoolModel.TestCase
TestPoolModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
