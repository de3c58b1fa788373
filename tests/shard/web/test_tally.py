"""Numbers that processes share: exact, whoever is killed, and each name counted once."""
from __future__ import annotations

import os
import signal
import threading

import pytest

from hotpath.shard.web import tally as tally_module
from hotpath.shard.web.tally import Tally
from tests.core.data.forking import forked
from tests.waiting import wait_for


def run(work) -> None:
    """In a child, to its end."""
    with forked(work) as end:
        assert end() == 0


def test_what_all_processes_counted_is_summed():
    tally = Tally(4)
    for n in (1, 2, 3):
        run(lambda n=n: tally.add("requests\tposts\t200", n))
    tally.add("requests\tposts\t200", 4)
    assert tally.totals() == {"requests\tposts\t200": [10]}


def test_names_are_learned_from_others_without_a_second_place():
    tally = Tally(4)
    run(lambda: [tally.add(f"n{i}") for i in range(50)])
    run(lambda: [tally.add(f"n{i}") for i in range(49, -1, -1)])
    assert tally.totals() == {f"n{i}": [2] for i in range(50)}


def test_many_at_once_lose_nothing():
    tally = Tally(4)

    def count() -> None:
        threads = [threading.Thread(target=lambda: [tally.add(f"n{i % 7}") for i in range(700)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with forked(count) as first, forked(count) as second, forked(count) as third:
        assert (first(), second(), third()) == (0, 0, 0)
    assert tally.totals() == {f"n{i}": [1200] for i in range(7)}


def test_a_killed_process_leaves_what_it_counted_and_nothing_that_it_had():
    tally = Tally(2)
    ready, say = os.pipe()

    def hang() -> None:
        tally.add("count", 5)
        tally.set("open", 7)
        os.write(say, b"x")
        signal.pause()

    with forked(hang) as end:
        assert os.read(ready, 1) == b"x"
        assert tally.standing() == {"count": 0, "open": 7}
        end(signal.SIGKILL)
    wait_for(lambda: tally.standing()["open"] == 0, "the dead to have nothing open")
    run(lambda: tally.add("count"))
    tally.add("count")
    assert tally.totals()["count"] == [7]


def test_one_that_is_killed_while_it_learns_a_name_blocks_nobody():
    tally = Tally(3)
    ready, say = os.pipe()

    def hang() -> None:
        with tally._alone():
            os.write(say, b"x")
            signal.pause()

    with forked(hang) as end:
        os.read(ready, 1)
        end(signal.SIGKILL)
    tally.add("count")
    assert tally.totals() == {"count": [1]}


def test_gauges_say_what_is_now():
    tally = Tally(2)
    for value in (3, 9, 4):
        tally.set("open", value)
    assert tally.standing()["open"] == 4


def test_runs_of_places_do_not_overlap():
    tally = Tally(1)
    first, second = tally.place("a", 16), tally.place("b", 16)
    assert abs(first - second) >= 16
    tally.add_at(first + 15, 2)
    assert tally.totals() == {"a": [0] * 15 + [2], "b": [0] * 16}


def test_more_names_than_there_is_room_for_are_dropped_and_said_once(monkeypatch, caplog):
    monkeypatch.setattr(tally_module, "PLACES", 3)
    tally = Tally(1)
    for name in ("a", "b", "c", "d", "e", "x" * 200):
        tally.add(name)
        tally.set(name, 1)
    assert set(tally.totals()) == {"a", "b", "c"}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("rows", [1, 2])
def test_more_processes_than_rows_share_the_last_one(rows, caplog):
    tally = Tally(rows)
    tally.add("n")
    ready, say = os.pipe()

    def hang() -> None:
        tally.add("n")
        os.write(say, b"x")
        signal.pause()

    with forked(hang), forked(hang):
        os.read(ready, 1)
        os.read(ready, 1)
        assert tally.totals() == {"n": [3]}
