from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import run, spawn, timeout
from hotpath.core.tasks.task import kept_by_loop
from hotpath.crdt.changes import MEAN_BYTES, Changes, Gone

ANY = 1 << 40


class Kept:
    """Holds what a loop keeps."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def close(self) -> None:
        """Nothing to give back."""


def changes(keep: int = 100) -> Changes:
    made = Changes(keep)
    made.open(Loop())
    return made


def cells(*numbers: int) -> list[bytes]:
    return [b"cell %d" % number for number in numbers]


def in_a_loop(fn: Callable[[Changes], Any], keep: int = 100) -> Any:
    def whole() -> Any:
        made = Changes(keep)
        made.open(kept_by_loop("test", Kept).loop)
        with timeout(20):
            return fn(made)

    return run(whole)


def test_what_was_published_behind_a_cursor_comes_in_order():
    some = changes()
    start = some.now
    some.publish(cells(1, 2))
    middle = some.now
    some.publish(cells(3))
    assert some.since(start, 10, ANY) == (cells(1, 2, 3), some.now)
    assert some.since(middle, 10, ANY) == (cells(3), some.now)
    assert some.since(some.now, 10, ANY) == ([], some.now)


@given(batches=st.lists(st.integers(0, 5), max_size=20), keep=st.integers(1, 12), limit=st.integers(1, 7))
def test_a_reader_that_goes_on_from_each_cursor_sees_each_change_once_or_is_told(batches, keep, limit):
    some = changes(keep)
    published: list[bytes] = []
    cursor, seen = some.now, 0
    for size in batches:
        more = cells(*range(len(published), len(published) + size))
        some.publish(more)
        published += more
        try:
            read, cursor = some.since(cursor, limit, ANY)
        except Gone:
            assert len(published) - seen > keep
            cursor, seen = some.now, len(published)
            continue
        assert read == published[seen:seen + limit]
        seen += len(read)
        assert cursor == f"{some.run}-{seen}"


@pytest.mark.parametrize("cursor", ["", "0", "x-1", "00000000-0", "-1", "00000000-", " "])
def test_a_cursor_of_another_run_or_of_nobody_is_gone(cursor):
    some = changes()
    assert some.run != "00000000"
    with pytest.raises(Gone):
        some.since(cursor, 1, ANY)


def test_a_cursor_that_lies_ahead_is_gone():
    some = changes()
    with pytest.raises(Gone):
        some.since(f"{some.run}-1", 1, ANY)


def test_two_runs_have_different_cursors():
    assert changes().run != changes().run


def test_large_changes_push_older_ones_out():
    some = changes(4)
    start = some.now
    some.publish([b"x" * MEAN_BYTES * 2])
    middle = some.now
    some.publish([b"y" * MEAN_BYTES * 3])
    with pytest.raises(Gone):
        some.since(start, 10, ANY)
    assert len(some.since(middle, 10, ANY)[0]) == 1


def test_the_newest_change_stays_however_large_it_is():
    some = changes(1)
    start = some.now
    some.publish([b"x" * MEAN_BYTES * 100])
    assert len(some.since(start, 10, ANY)[0]) == 1


def test_whoever_waits_is_woken_by_another_threads_news():
    def watch(some: Changes) -> list[bytes]:
        cursor = some.now
        threading.Thread(target=some.publish, args=(cells(7),)).start()
        while cursor == some.now:
            some.await_news(cursor)
        return some.since(cursor, 10, ANY)[0]

    assert in_a_loop(watch) == cells(7)


def test_every_watcher_sees_every_change():
    def watch(some: Changes) -> list[list[bytes]]:
        start = some.now

        def follow() -> list[bytes]:
            cursor, seen = start, []
            while len(seen) < 50:
                some.await_news(cursor)
                more, cursor = some.since(cursor, 3, ANY)
                seen += more
            return seen

        tasks = [spawn(follow) for _ in range(5)]
        threads = [threading.Thread(target=lambda i=i: some.publish(cells(*range(10 * i, 10 * i + 10))))
                   for i in range(5)]
        for thread in threads:
            thread.start()
        return [task.result() for task in tasks]

    first, *others = in_a_loop(watch)
    assert sorted(first) == sorted(cells(*range(50)))
    assert all(other == first for other in others)


def test_a_drain_lets_everybody_go():
    def watch(some: Changes) -> bool:
        task = spawn(some.await_news, some.now)
        some.close()
        task.join()
        some.await_news(some.now)       # who comes later does not wait either
        return some.closed

    assert in_a_loop(watch)


def test_a_read_ends_with_the_change_that_reaches_its_size():
    some = changes()
    start = some.now
    some.publish([b"x" * 10] * 10)
    assert len(some.since(start, 10, 30)[0]) == 3
    assert len(some.since(start, 10, 31)[0]) == 4
    read, cursor = some.since(start, 10, 1)
    assert (len(read), cursor) == (1, f"{some.run}-1")
