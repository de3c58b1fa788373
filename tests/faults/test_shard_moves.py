"""Shards come and go under sixteen clients: no request fails, and no answer is wrong."""
from __future__ import annotations

import pytest

from tests.engine import docker_engine  # noqa: F401
from tests.faults.shard_faults import ENGINES, PATIENT, Outside, opened, place_on, router, strays, wait_for_state
from tests.shard.crowd import Crowd, by_http, by_python
from tests.shard.linear import anomalies
from tests.shard.servers import mysqls  # noqa: F401   pytest finds them here

ROWS = 3000


@pytest.mark.timeout(900)        # the first container of a machine waits for its image
@pytest.mark.parametrize("engine", [*ENGINES, "docker"])
def test_add_remove_and_cancel_under_a_crowd(engine, request, tmp_path):
    place = place_on(engine, request, tmp_path, rows=ROWS, pool=PATIENT)
    with router(place.file) as other, opened(place.file, moves=True) as cluster, Outside(cluster) as outside, \
            Crowd([by_python(cluster)] * 3 + [by_http("127.0.0.1", other.port)], pause_s=0.01) as crowd:
        crowd.wait_for(300)
        added = cluster.add_shard("s3", hold=True, **place.dsn())
        wait_for_state(cluster, "verified")
        crowd.wait_for(500)
        outside.wait_for(6)
        added.complete()
        wait_for_state(cluster, "done")
        assert strays_but_for_the_crowd(cluster) == []
        crowd.wait_for(300)
        cluster.remove_shard("s1", keep_source=True, keep_server=True)
        wait_for_state(cluster, "done")
        taken_back = cluster.add_shard("s4", hold=True, **place.dsn())
        wait_for_state(cluster, "verified")
        crowd.wait_for(500)
        outside.wait_for(6)
        taken_back.cancel()
        wait_for_state(cluster, "cancelled")
        crowd.wait_for(300)
        crowd.stop()
        assert not crowd.failures, crowd.failures[:5]
        assert not crowd.anomalies(), "\n".join(crowd.anomalies()[:3])
        assert strays(cluster) == []
        assert cluster.table("things").aggregate("count", where={"id": {"ge": 1_000_000}})["count"] == ROWS
    assert not outside.wrong


def strays_but_for_the_crowd(cluster):
    """Rows come and go between two of our looks, but never to another shard than their owner."""
    return [one for one in strays(cluster) if "its owner is" in one or "rows in _hp" in one]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_router_that_slept_through_two_moves_wakes_and_answers_rightly(engine, request, tmp_path):
    place = place_on(engine, request, tmp_path, rows=500, pool=PATIENT)
    with router(place.file) as sleeper, opened(place.file, moves=True) as cluster, \
            Crowd([by_python(cluster)], clients=8, seed=1, pause_s=0.005) as awake:
        with Crowd([by_http("127.0.0.1", sleeper.port)], clients=4, seed=2) as before:
            before.wait_for(200)
        sleeper.stop()
        with Crowd([by_http("127.0.0.1", sleeper.port)], clients=8, seed=3) as waiting:
            cluster.add_shard("s3", **place.dsn())
            wait_for_state(cluster, "done")
            cluster.remove_shard("s2")
            wait_for_state(cluster, "done")
            assert not waiting.ops
            sleeper.wake()
            waiting.wait_for(300)
        awake.stop()
        crowds = (before, awake, waiting)
        assert not [failure for crowd in crowds for failure in crowd.failures]
        assert not anomalies(op for crowd in crowds for op in crowd.ops)
        assert not [why for crowd in crowds for why in (*crowd.unordered, *crowd.broken)]
        assert strays(cluster) == []
