from __future__ import annotations

import threading
from typing import Any

import pytest

from hotpath.shard import Cluster
from tests.shard.crowd import KEYS, PAGE, TABLES, Crowd, Failed, by_python


class Memory:
    """A table that makes no mistake."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[str, int]] = {}
        self.lock = threading.Lock()

    def insert(self, key: int, value: str) -> bool:
        with self.lock:
            return self.rows.setdefault(key, (value, 0)) == (value, 0)

    def get(self, key: int) -> Any:
        with self.lock:
            return self.rows.get(key)

    def put(self, key: int, value: str) -> bool:
        with self.lock:
            new = key not in self.rows
            self.rows[key] = (value, 0)
            return new

    def update(self, key: int, value: str) -> bool:
        with self.lock:
            if key in self.rows:
                self.rows[key] = (value, self.rows[key][1])
            return key in self.rows

    def add(self, key: int, n: int) -> bool:
        with self.lock:
            if key in self.rows:
                self.rows[key] = (self.rows[key][0], self.rows[key][1] + n)
            return key in self.rows

    def delete(self, key: int) -> bool:
        with self.lock:
            return self.rows.pop(key, None) is not None

    def page(self, cursor: str | None) -> tuple[list[Any], str | None]:
        with self.lock:
            keys = [key for key in sorted(self.rows) if cursor is None or key > int(cursor)]
            page = keys[:PAGE]
            return [(key, self.rows[key]) for key in page], str(page[-1]) if len(keys) > PAGE else None


class Forgetful(Memory):
    """Updates are acknowledged and gone."""

    def update(self, key: int, value: str) -> bool:
        return self.get(key) is not None


class Losing(Memory):
    """Some puts are done and not answered, some refused."""

    n = 0

    def put(self, key: int, value: str) -> bool:
        self.n += 1
        if self.n % 50 == 0:
            super().put(key, value)
            raise Failed("the line broke", lost=True)
        if self.n % 50 == 25:
            raise Failed("no", lost=False)
        return super().put(key, value)


class Doubling(Memory):
    """A page shows its first row twice."""

    def page(self, cursor: str | None) -> tuple[list[Any], str | None]:
        rows, following = super().page(cursor)
        return rows[:1] + rows, following


def run(memory: Memory, n: int = 3000) -> Crowd:
    with Crowd([lambda: memory], clients=8) as crowd:
        crowd.wait_for(n)
    return crowd


def test_a_good_table_passes():
    crowd = run(Memory())
    assert not crowd.failures
    assert not crowd.anomalies()
    assert {op.kind for op in crowd.ops} == {"insert", "get", "put", "update", "add", "delete", "list"}
    assert {op.key for op in crowd.ops} == set(crowd.keys)
    assert len(set(crowd.keys)) == KEYS


def test_lost_answers_are_counted_and_excuse_nothing_else():
    crowd = run(Losing())
    assert {failure.why for failure in crowd.failures} == {"the line broke", "no"}
    assert not crowd.anomalies()


@pytest.mark.parametrize("memory", [Forgetful, Doubling])
def test_a_bad_table_is_found(memory):
    assert run(memory()).anomalies()


def test_a_crowd_of_threads_over_a_real_cluster(tmp_path):
    with Cluster.open({"data": str(tmp_path / "data"), "pool": {"wait": "20s"}, "tables": TABLES}) as cluster, \
            Crowd([by_python(cluster)]) as crowd:
        crowd.wait_for(2000)
    assert not crowd.failures
    assert not crowd.anomalies()
