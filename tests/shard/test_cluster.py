"""The library's face, on embedded shards: rows, lists, shards that come and go, threads, forks."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml

from hotpath.core.errors import ConfigError, HotpathError
from hotpath.shard import Cluster, DuplicateKey, InvalidRow, ReshardConflict, UnknownTable
from tests.waiting import DEADLINE_S, wait_for

from .clusters import N, config_of, filled, watched_through, whole


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster.open(config_of(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
def own(tmp_path):
    """A cluster whose shards come and go."""
    with Cluster.open(config_of(tmp_path)) as cluster:
        yield cluster


def test_a_row_is_inserted_read_replaced_changed_and_deleted(cluster):
    posts = cluster.table("posts")
    before = datetime.now(UTC)
    row = posts.insert({"author": "ada"})
    assert row == {"id": row["id"], "author": "ada", "body": None, "likes": 0, "created": row["created"]}
    assert list(row) == ["id", "author", "body", "likes", "created"]
    assert before <= row["created"] <= datetime.now(UTC)
    assert posts.get(row["id"]) == row
    assert posts.update(row["id"], {"likes": {"$add": 3}, "body": "b"}) is True
    assert posts.get(row["id"]) == {**row, "likes": 3, "body": "b"}
    assert posts.put(row) is False
    assert posts.get(row["id"]) == row
    assert posts.delete(row["id"]) is True
    assert posts.delete(row["id"]) is False
    assert posts.update(row["id"], {"likes": 1}) is False
    assert posts.get(row["id"]) is None
    assert posts.put(row) is True


def test_ids_rise(cluster):
    ids = [cluster.table("posts").insert({"author": "x"})["id"] for _ in range(20)]
    assert ids == sorted(set(ids))
    assert ids[0] > 0


def test_every_type_comes_back_as_it_went(cluster):
    row = {"key": "ключ", "group": None, "price": Decimal("-12.30"), "data": {"a": [1, None, "é"]}, "raw": b"\0\xff",
           "on": True, "rank": 1e-9}
    assert cluster.table("order").insert(row) == row
    assert cluster.table("order").get("ключ") == row
    cluster.table("order").delete("ключ")


def test_errors_say_who_must_act(cluster):
    order = cluster.table("order")
    order.put({"key": "a"})
    with pytest.raises(DuplicateKey):
        order.insert({"key": "a"})
    with pytest.raises(InvalidRow) as found:
        order.insert({"key": "b", "group": 2**40, "nothing": 1})
    assert {one["path"] for one in found.value.errors} == {"group", "nothing"}
    with pytest.raises(InvalidRow):
        order.get(1)
    with pytest.raises(InvalidRow):
        order.put({"group": 1})
    with pytest.raises(InvalidRow):
        order.update("a", {"key": "b"})
    with pytest.raises(UnknownTable, match="allowed: posts, order"):
        cluster.table("nothing")
    with pytest.raises(ValueError, match="no column"):
        order.list({"nothing": 1})
    with pytest.raises(ValueError, match="limit"):
        order.list(limit=10_000_000)
    with pytest.raises(ValueError, match="cursor"):
        order.list(cursor="nonsense")
    with pytest.raises(ValueError, match="sum"):
        order.aggregate("sum(key)")
    order.delete("a")


def test_lists_pages_and_aggregates(own):
    rows = filled(own)
    whole(own, rows)
    order = own.table("order")
    page = order.list({"group": 3}, order="-rank", limit=5, fields=["rank", "key"])
    wanted = sorted((i for i in range(N) if i % 7 == 3), reverse=True)
    assert page.rows == [{"rank": float(i), "key": f"k{i}"} for i in wanted[:5]]
    page = order.list({"group": 3}, order="-rank", limit=1000, fields=["rank", "key"], cursor=page.next)
    assert page.rows == [{"rank": float(i), "key": f"k{i}"} for i in wanted[5:]]
    assert page.next is None
    assert order.aggregate("count", "max(rank)", where={"group": 99}) == {"count": 0, "max(rank)": None}


def test_of_many_inserts_each_row_stands_alone(own):
    order = own.table("order")
    order.insert({"key": "there"})
    rows = [{"key": f"k{i}"} for i in range(1200)]
    rows[7] = {"key": "there"}
    rows[700] = {"key": "k1"}
    rows[9] = {"key": "x" * 41}
    found = order.insert_many(rows)
    assert found.inserted == 1197
    assert [(one.index, one.status) for one in found.failed] == [(7, 409), (9, 422), (700, 409)]
    assert "there" in found.failed[0].detail
    assert found.failed[1].errors[0]["path"] == "key"
    assert order.aggregate("count") == {"count": 1198}
    again = order.insert_many(rows[:20])
    assert again.inserted == 0
    assert [one.status for one in again.failed] == [409] * 9 + [422] + [409] * 10


def test_owner_and_status_are_documents(own):
    filled(own, 50)
    owner = own.owner("order", "k1")
    assert owner["owner"] in ("s0", "s1", "s2")
    assert (owner["key"], owner["source"], owner["slot"]) == ("k1", None, int(owner["hash"], 16) >> 48)
    status = own.status()
    assert {name: status[name] for name in ("cluster", "backend", "fence", "state", "reshard")} == {
        "cluster": "tests", "backend": "embedded", "fence": True, "state": "stable", "reshard": None}
    assert sum(shard["slots"] for shard in status["shards"]) == 65536
    assert sum(shard["rows"]["order"] for shard in status["shards"]) == 50
    assert all(shard["up"] and shard["state"] == "active" and shard["pool"]["max"] == 16 for shard in status["shards"])
    assert [router["pid"] for router in status["routers"]] == [os.getpid()]


def test_a_shard_comes_and_another_goes_while_all_is_there(own):
    rows = filled(own)
    document = own.add_shard("s3").wait(DEADLINE_S)
    assert (document["state"], document["error"]) == ("done", None)
    assert document["rows"]["copied"] == document["rows"]["total"] == document["rows"]["deleted"] > 0
    whole(own, rows)
    assert own.verify()["ok"] is True
    assert own.remove_shard("s1").wait(DEADLINE_S)["state"] == "done"
    whole(own, rows)
    assert own.verify() == {"ok": True, "rows": N, "misplaced": 0, "doubled": 0, "missing": 0, "different": 0,
                            "examples": []}
    assert [shard["name"] for shard in own.status()["shards"]] == ["s0", "s2", "s3"]


def test_what_holds_is_completed_or_taken_back_with_what_was_written(own):
    rows = filled(own)
    order = own.table("order")
    for end, take in (("cancelled", "cancel"), ("done", "complete")):
        reshard = own.add_shard("s3", hold=True)
        assert reshard.wait(DEADLINE_S)["state"] == "verified"
        with pytest.raises(ReshardConflict):
            own.add_shard("s4")
        assert own.status()["state"] == "moving"
        whole(own, rows)
        for i in range(0, 200, 2):
            rows[f"k{i}"] += 1000
            assert order.update(f"k{i}", {"price": Decimal(rows[f"k{i}"])})
        for i in range(1, 40, 4):
            if rows.pop(f"k{i}", None) is not None:
                assert order.delete(f"k{i}")
        rows[end] = 5
        order.insert({"key": end, "price": Decimal(5)})
        whole(own, rows)
        getattr(reshard, take)()
        assert reshard.wait(DEADLINE_S)["state"] == end
        whole(own, rows)
        assert own.verify()["ok"] is True
    assert own.reshard().progress()["state"] == "done"


def test_what_is_left_on_the_source_is_never_seen(own):
    rows = filled(own)
    assert own.add_shard("s3", keep_source=True).wait(DEADLINE_S)["state"] == "done"
    assert sum(shard["rows"]["order"] for shard in own.status()["shards"]) > N
    for key in list(rows)[:100]:
        del rows[key]
        assert own.table("order").delete(key)
    whole(own, rows)


def test_lists_are_whole_and_writes_stay_while_shards_come_and_go(tmp_path):
    """With a single connection to each shard: if anybody waited for who waits for him, it would come out."""
    with Cluster.open(config_of(tmp_path, pool={"max": 1, "wait": "10s"})) as cluster:
        rows = filled(cluster)

        def story():
            assert cluster.add_shard("s3").wait(60)["state"] == "done"
            assert cluster.remove_shard("s1").wait(60)["state"] == "done"
            reshard = cluster.add_shard("s4", hold=True)
            reshard.wait(60)
            reshard.cancel()
            assert reshard.wait(60)["state"] == "cancelled"

        watched_through(cluster, rows, story)


def test_a_second_router_answers_rightly_while_the_first_moves_rows(own, tmp_path):
    rows = filled(own)
    with Cluster.open(config_of(tmp_path)) as other:
        def story():
            assert own.add_shard("s3").wait(60)["state"] == "done"
            assert own.remove_shard("s2").wait(60)["state"] == "done"

        watched_through(other, rows, story)
        assert len(own.status()["routers"]) == 2


def test_any_number_of_threads_use_one_cluster(cluster):
    posts = cluster.table("posts")
    with ThreadPoolExecutor(24) as pool:
        rows = list(pool.map(lambda i: posts.insert({"author": f"t{i % 5}", "likes": i}), range(400)))
        assert list(pool.map(lambda row: posts.get(row["id"]) == row, rows)) == [True] * 400
        assert len({row["id"] for row in rows}) == 400
        assert all(pool.map(lambda row: posts.delete(row["id"]), rows))


def test_a_forked_child_goes_on_with_connections_and_ids_of_its_own(own):
    filled(own, 40)
    posts, order = own.table("posts"), own.table("order")
    mine = posts.insert({"author": "parent"})
    scan = order.scan()
    next(scan)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Nothing of pytest's may run in here.
        try:
            signal.alarm(60)
            theirs = posts.insert({"author": "child"})
            rest = list(scan)
            ok = (len(rest) == 39 and len(list(order.scan())) == 40
                  and theirs["id"] != mine["id"] and posts.get(mine["id"]) == mine
                  and order.insert_many([{"key": "child"}]).inserted == 1 and own.status()["state"] == "stable")
            own.close()
            os.write(write, b"ok" if ok else b"not so")
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    assert said == b"ok"
    assert len(list(scan)) == 39
    assert posts.aggregate("count") == {"count": 2}


def test_forks_in_the_midst_of_work_leave_parent_and_children_working(cluster):
    posts = cluster.table("posts")
    stop = threading.Event()
    errors = []

    def work():
        while not stop.is_set():
            try:
                row = posts.insert({"author": "w"})
                assert posts.get(row["id"]) == row
                posts.aggregate("count")
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    signal.alarm(60)
                    row = posts.insert({"author": "c"})
                    status = 0 if posts.get(row["id"]) == row else 2
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert errors == []


def test_what_is_closed_says_so(tmp_path):
    cluster = Cluster.open(config_of(tmp_path))
    posts = cluster.table("posts")
    row = posts.insert({"author": "ada"})
    cluster.close()
    cluster.close()
    with pytest.raises(HotpathError, match="closed"):
        posts.get(row["id"])
    with pytest.raises(HotpathError, match="closed"):
        cluster.status()
    with Cluster.open(config_of(tmp_path)) as again:
        assert again.table("posts").get(row["id"]) == row
        wait_for(lambda: len(again.status()["routers"]) == 1, "the first router to be gone")


def test_without_a_fence_rows_are_as_ever_and_shards_stay(tmp_path):
    with Cluster.open(config_of(tmp_path, fence=False)) as cluster:
        rows = filled(cluster, 50)
        whole(cluster, rows)
        for refused in (lambda: cluster.add_shard("s3"), lambda: cluster.remove_shard("s0")):
            with pytest.raises(ReshardConflict, match="fence"):
                refused()


def test_a_file_says_the_same_and_its_paths_are_relative_to_it(tmp_path):
    path = tmp_path / "conf" / "shard.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(config_of(tmp_path, data="here")))
    with Cluster.open(path) as cluster:
        cluster.table("order").insert({"key": "a"})
    assert (tmp_path / "conf" / "here" / "s0.db").exists()
    with Cluster.open(str(path)) as cluster:
        assert cluster.table("order").get("a") is not None


def test_a_configuration_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="backend"):
        Cluster.open(config_of(tmp_path, backend="nothing"))
    with Cluster.open(config_of(tmp_path)):
        pass
    with pytest.raises(HotpathError, match="vnodes"):
        Cluster.open(config_of(tmp_path, vnodes=64))


def test_the_c_extension_of_the_driver_is_there_whoever_loads_ssl_later():
    code = ("from hotpath.shard import Cluster; import ssl, mysql.connector, sys; "
            "assert mysql.connector.HAVE_CEXT; assert Cluster.open")
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)


def test_a_configuration_is_read_without_what_a_cluster_needs():
    code = "import hotpath.shard, sys; assert not {'hotpath.shard.cluster', 'sqlite3', 'ssl'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
