"""Ids rise, and no two are the same."""
from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from hotpath.shard.rows.ids import EPOCH_MS, Ids


def test_an_id_holds_the_time_the_node_and_a_counter():
    ids = Ids(5, clock_ms=lambda: EPOCH_MS + 1000)
    assert [ids.next(), ids.next()] == [1000 << 22 | 5 << 12, 1000 << 22 | 5 << 12 | 1]


@given(clock=st.lists(st.integers(-10**6, 2**41 - 10**6), min_size=1), node=st.integers(0, 5000))
def test_ids_are_positive_and_rise_however_the_clock_jumps(clock, node):
    times = iter(clock)
    ids = Ids(node, clock_ms=lambda: EPOCH_MS + next(times))
    made = [ids.next() for _ in clock]
    assert made == sorted(set(made))
    assert all(0 < one < 2**63 and one >> 12 & 1023 == node % 1024 for one in made)


def test_more_than_a_millisecond_has_run_ahead_of_the_clock():
    ids = Ids(1, clock_ms=lambda: EPOCH_MS)
    made = [ids.next() for _ in range(10_001)]
    assert made == sorted(set(made))
    assert made[-1] >> 22 == 2


@given(before=st.integers(0, 1023), after=st.integers(0, 1023), n=st.integers(1, 5000))
def test_who_goes_on_as_another_node_goes_on_behind_what_it_made(before, after, n):
    ids = Ids(before, clock_ms=lambda: EPOCH_MS)
    last = [ids.next() for _ in range(n)][-1]
    assert Ids(after, behind=ids, clock_ms=lambda: EPOCH_MS).next() > last


def test_threads_never_share_one():
    ids = Ids(1)
    made: list[list[int]] = [[] for _ in range(4)]

    def work(mine: list[int]) -> None:
        mine.extend(ids.next() for _ in range(2000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for mine in made for one in mine}) == 8000
    assert all(mine == sorted(mine) for mine in made)
