"""Clusters for tests: a configuration of few tables on embedded shards, or on real servers."""
from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from hotpath.shard import Cluster
from tests.waiting import DEADLINE_S

N = 300

TABLES: dict[str, Any] = {
    "posts": {
        "key": "id",
        "columns": {
            "id": {"type": "bigint", "generate": True}, "author": "string(64)", "body": "text?",
            "likes": {"type": "int", "default": 0}, "created": {"type": "datetime", "default": "now"}},
        "indexes": [["author", "created"]]},
    "order": {      # a word of SQL, with more of them in it
        "key": "key",
        "columns": {"key": "string(40)", "group": "int?", "price": "decimal(30,2)?", "data": "json?", "raw": "blob?",
                    "on": {"type": "bool", "default": False}, "rank": "double?"}},
}


def config_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """What a file would say: three embedded shards whose movers rest as little as they can."""
    return {"cluster": "tests", "backend": "embedded", "data": str(folder / "data"), "shards": 3, "vnodes": 32,
            "move": {"rate": 0}, "pool": {"wait": "20s"}, "tables": TABLES, **changes}


def filled(cluster: Cluster, n: int = N) -> dict[str, int]:
    """So many rows by key; their numbers tell them."""
    table = cluster.table("order")
    found = table.insert_many({"key": f"k{i}", "group": i % 7, "price": Decimal(i), "rank": float(i)} for i in range(n))
    assert (found.inserted, found.failed) == (n, [])
    return {f"k{i}": i for i in range(n)}


def whole(cluster: Cluster, rows: dict[str, int]) -> None:
    """Whether all questions agree that these are the rows."""
    table = cluster.table("order")
    assert {row["key"]: int(row["price"]) for row in table.scan()} == rows
    assert table.aggregate("count", "sum(price)") == {
        "count": len(rows), "sum(price)": Decimal(sum(rows.values())).quantize(Decimal("0.01"))}
    keys = [*rows, "none of them"]
    assert [None if row is None else row["price"] for row in table.get_many(keys)] == [*rows.values(), None]


def watched_through(cluster: Cluster, rows: dict[str, int], story: Callable[[], None]) -> None:
    """Read and write in six threads until `story` is over.

    Rows that nobody touches are in each list once, and each counter is in the end what its writer made of it.
    """
    order, posts = cluster.table("order"), cluster.table("posts")
    stop = threading.Event()
    errors: list[Exception] = []
    counts: list[dict[str, int]] = [{}, {}, {}]
    n_lists = n_inserted = 0

    def write(mine: dict[str, int], name: str) -> None:
        while not stop.is_set():
            if len(mine) < 40:
                order.insert({"key": f"{name}{len(mine)}", "rank": 0.0})
                mine[f"{name}{len(mine)}"] = 0
            for key in mine:
                assert order.update(key, {"rank": {"$add": 1.0}})
                mine[key] += 1

    def read() -> None:
        nonlocal n_lists
        while not stop.is_set():
            assert {row["key"]: int(row["price"]) for row in order.scan({"group": {"null": False}})} == rows
            assert order.aggregate("count", where={"group": {"ge": 0}}) == {"count": len(rows)}
            assert all(row is not None for row in order.get_many(list(rows)[:80]))
            n_lists += 1

    def insert() -> None:
        nonlocal n_inserted
        while not stop.is_set():
            found = posts.insert_many({"author": "bulk"} for _ in range(20))
            assert found.failed == []
            n_inserted += found.inserted

    def watched(work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except Exception as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=watched, args=(write, mine, "abc"[i])) for i, mine in enumerate(counts)]
    threads += [threading.Thread(target=watched, args=(work,)) for work in (read, read, insert)]
    for thread in threads:
        thread.start()
    try:
        story()
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert errors == []
    assert n_lists > 0
    assert posts.aggregate("count", where={"author": "bulk"}) == {"count": n_inserted}
    for mine in counts:
        found = order.get_many(mine)
        assert {row["key"]: row["rank"] for row in found} == mine
    assert cluster.verify()["ok"] is True
