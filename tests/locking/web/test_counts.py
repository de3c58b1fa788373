"""What workers count adds up, however many there are and whichever of them dies."""
from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hotpath.locking.errors import Conflict
from hotpath.locking.stats import Stats
from hotpath.locking.web.counts import FAMILIES, WORKS, Counts


@contextmanager
def worker(counts: Counts) -> Iterator[int]:
    """A process that has counted one commit and waits to be killed; its row."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            stats = Stats()
            stats.committed(locked=False)
            counts.add("items", "pessimistic", stats, gave_up=False)
            os.write(write_fd, b"%d\n" % (counts._counters.worker or 0))
            signal.pause()
        finally:
            os._exit(1)
    os.close(write_fd)
    with open(read_fd, "rb") as said:
        row = int(said.readline())
    try:
        yield row
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def commits(counts: Counts) -> int:
    found = re.search(r'_commits_total\{work="items",policy="pessimistic"\} (\d+)\n', counts.text())
    assert found is not None
    return int(found[1])


def test_each_worker_counts_in_a_row_of_its_own():
    counts = Counts()
    with worker(counts) as a, worker(counts) as b, worker(counts) as c:
        assert len({a, b, c}) == 3
        assert commits(counts) == 3
    assert commits(counts) == 3


def test_the_row_of_one_that_died_goes_to_the_next_with_what_was_counted():
    counts = Counts()
    with worker(counts) as a, worker(counts) as b:
        pass
    with worker(counts) as c, worker(counts) as d:
        assert {a, b} == {c, d}
        assert commits(counts) == 4


def test_all_that_a_unit_of_work_came_to_is_told():
    counts, stats = Counts(), Stats()
    stats.failed(Conflict, 0.25, locked=False)
    stats.waited(0.5)
    stats.committed(locked=True)
    counts.add("counters", "escalating", stats, gave_up=True)
    told = counts.text()
    of = {match[1]: float(match[2]) for match in re.finditer(
        r'^hotpath_locking_(\w+)_total\{work="counters",policy="escalating"\} (.*)$', told, re.MULTILINE)}
    assert of == {**dict.fromkeys(FAMILIES, 0), "attempts": 2, "commits": 1, "conflicts": 1, "locked_attempts": 1,
                  "gave_up": 1, "wasted_seconds": 0.25, "wait_seconds": 0.5}
    assert told.count("\nhotpath_locking_") == len(FAMILIES) * len(WORKS)
