"""Shared memory: what forked workers count adds up, whoever is killed when."""
import os
import random
import signal

import pytest

from hotpath.core.data import shared
from tests.core.data.forking import forked
from tests.waiting import wait_for


def test_a_block_is_zeroed_and_shared_with_children():
    block = shared.Block(10000)
    assert block.size == len(block.memory) == 10000
    assert not any(block.memory)

    def write():
        block.memory[7] = 42

    with forked(write) as end:
        assert end() == 0
    assert block.memory[7] == 42


def test_a_view_keeps_its_block_mapped():
    memory = shared.Block(8).memory
    memory[0] = 1
    assert bytes(memory) == b"\1" + bytes(7)


@pytest.mark.parametrize(("size", "error"), [
    (0, ValueError), (-1, OverflowError), (2**60, MemoryError), ("1", TypeError),
])
def test_a_block_that_cannot_be_is_refused(size, error):
    with pytest.raises(error):
        shared.Block(size)


@pytest.mark.parametrize("kind", [shared.Counters, shared.Gauges])
class TestRows:
    def test_a_total_is_the_sum_of_the_rows(self, kind):
        table = kind(["hits", "misses"], 3)
        for worker in range(3):
            table.worker = worker
            table.add(0)
            table.add(1, 10 * worker)
        assert (table.total(0), table.total(1)) == (3, 30)
        table.clear(1)
        assert (table.total(0), table.total(1)) == (2, 20)

    def test_it_says_what_it_was_made_of(self, kind):
        table = kind(iter(["a", "b"]), 4)
        assert (table.names, table.workers, table.worker) == (("a", "b"), 4, None)
        table.worker = 3
        assert table.worker == 3

    def test_adding_needs_a_row(self, kind):
        with pytest.raises(RuntimeError, match=r"\.worker = k"):
            kind(["a"], 1).add(0)

    @pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
    def test_rows_do_not_touch(self, kind, n):
        table = kind([f"{i}" for i in range(n)], 3)
        for worker in range(3):
            table.worker = worker
            for i in range(n):
                table.add(i, 10**worker)
        table.clear(1)
        assert [table.total(i) for i in range(n)] == [101] * n

    @pytest.mark.parametrize(("call", "error"), [
        (lambda table: table.add(2), IndexError),
        (lambda table: table.add(-1), IndexError),
        (lambda table: table.total(2), IndexError),
        (lambda table: table.clear(2), IndexError),
        (lambda table: table.clear(-1), IndexError),
        (lambda table: setattr(table, "worker", 2), IndexError),
        (lambda table: setattr(table, "worker", -1), IndexError),
        (lambda table: setattr(table, "worker", None), TypeError),
        (lambda table: table.add("a"), TypeError),
        (lambda table: table.add(0, 1.5), TypeError),
        (lambda table: table.add(0, 2**64), OverflowError),
    ])
    def test_what_is_not_there_is_an_error(self, kind, call, error):
        table = kind(["a", "b"], 2)
        table.worker = 0
        with pytest.raises(error):
            call(table)
        assert table.total(0) == 0

    @pytest.mark.parametrize(("names", "workers", "error"), [
        ("ab", 1, TypeError), ([1], 1, TypeError), (1, 1, TypeError), (["a"], 0, ValueError), (["a"], -1, ValueError),
        (["a"], 5000, ValueError), (["a"], 1.5, TypeError),
    ])
    def test_a_table_that_makes_no_sense_is_refused(self, kind, names, workers, error):
        with pytest.raises(error):
            kind(names, workers)

    def test_nothing_acknowledged_is_lost_when_workers_are_killed(self, kind):
        table = kind(["began", "ended"], 3)
        kills = 25

        def work():
            while True:
                table.add(0)
                table.add(1)

        def steady():
            table.worker = 2
            for _ in range(10000):
                table.add(0)
                table.add(1)

        with forked(steady) as end_of_steady:
            for kill in range(kills):
                table.worker = kill % 2     # a new worker goes on in the row of a dead one
                enough = table.total(1) + random.randrange(1, 3000)
                with forked(work) as end:
                    wait_for(lambda enough=enough: table.total(1) >= enough, "the worker to count")
                    assert end(signal.SIGKILL) == -signal.SIGKILL
                acknowledged = table.total(1)
                assert acknowledged >= enough
            assert end_of_steady() == 0
        assert 0 <= table.total(0) - table.total(1) <= kills
        table.clear(0)
        table.clear(1)
        assert (table.total(0), table.total(1)) == (10000, 10000)


def test_a_counter_only_grows():
    counters = shared.Counters(["a"], 1)
    counters.worker = 0
    with pytest.raises(ValueError, match="-1: a counter only grows"):
        counters.add(0, -1)


def test_a_counter_wraps_at_64_bits():
    counters = shared.Counters(["a"], 1)
    counters.worker = 0
    for _ in range(2):
        counters.add(0, 2**63 - 1)
    assert counters.total(0) == 2**64 - 2
    counters.add(0, 3)
    assert counters.total(0) == 1


def test_a_gauge_falls_as_it_rose():
    gauges = shared.Gauges(["open"], 2)
    gauges.worker = 0
    gauges.add(0, 5)
    gauges.worker = 1
    gauges.add(0, -7)
    assert gauges.total(0) == -2


def test_what_a_killed_worker_had_open_is_cleared():
    gauges = shared.Gauges(["open"], 2)
    gauges.worker = 0
    gauges.add(0, 3)
    ready, tell = os.pipe()

    def work():
        gauges.worker = 1
        gauges.add(0, 4)
        os.write(tell, b"!")
        signal.pause()

    with forked(work) as end:
        os.read(ready, 1)
        assert gauges.total(0) == 7
        end(signal.SIGKILL)
    gauges.clear(1)
    assert gauges.total(0) == 3
    os.close(ready)
    os.close(tell)
