"""kill -9 at every named step: of those who move rows, of routers, of the command. Nothing acknowledged is lost."""
from __future__ import annotations

import os
import signal

import pytest

from tests.faults.shard_faults import (
    LAUNCHER,
    PATIENT,
    Outside,
    carrier,
    env,
    heard,
    opened,
    place_on,
    placed,
    router,
    strays,
    wait_for_state,
)
from tests.shard.crowd import Crowd, by_http, by_python
from tests.shard.linear import anomalies
from tests.shard.servers import mysqls  # noqa: F401   pytest finds it here
from tests.waiting import running, wait_for

LEASE_S = 0.3       # a takeover in a test need not take three seconds
# What is reached right behind "transition: published" is not here: whoever goes on from that need not pass it.
STEPS = {
    "add": {"prepare: server made", "prepare: purged", "open: rows counted",
            "copy: rows read", "copy: before commit", "copy: committed", "verify: compared", "complete: published",
            "clean: before commit", "clean: committed", "clean: marks dropped", "clean: settled",
            "transition: proposed", "transition: s0 fenced", "transition: s3 fenced", "transition: published"},
    "remove": {"open: rows counted", "copy: committed", "complete: published", "clean: committed",
               "clean: settled", "clean: server stopped", "transition: proposed", "transition: published"},
    "cancel": {"reverse: rows read", "reverse: before commit", "reverse: committed",
               "cancel: server gone", "transition: published"},
}


def carried(cluster, place, once, state):
    """The reshard reaches `state`, by carriers each of which dies at the first step that none has died at."""
    with carrier(place.file, word="carriers", does="die", once=once, lease=LEASE_S) as process:
        wait_for_state(cluster, state)
        assert process.wait() == 0, process.output


def died_at(once):
    return {path.name.replace("_", " ") for path in once.iterdir() if path.suffix != ".pid"}


# One engine for each of these: the mover's own tests die on both, and so does the storm.
@pytest.mark.parametrize("engine", ["mariadb"])
def test_whoever_moves_rows_may_die_at_every_step(engine, request, tmp_path):
    place = place_on(engine, request, tmp_path, rows=400, pool=PATIENT, move={"chunk": 100})
    with opened(place.file) as cluster, Outside(cluster) as outside, \
            Crowd([by_python(cluster)], pause_s=0.01) as crowd:
        crowd.wait_for(200)
        cluster.add_shard("s3", hold=True, **place.dsn())
        carried(cluster, place, tmp_path / "add", "verified")
        crowd.wait_for(200)
        cluster.reshard().complete()
        carried(cluster, place, tmp_path / "add", "done")
        cluster.remove_shard("s1")
        carried(cluster, place, tmp_path / "remove", "done")
        cluster.add_shard("s4", hold=True, **place.dsn())
        with carrier(place.file, lease=LEASE_S):
            wait_for_state(cluster, "verified")
        crowd.wait_for(200)
        cluster.reshard().cancel()
        carried(cluster, place, tmp_path / "cancel", "cancelled")
        crowd.stop()
        for what, steps in STEPS.items():
            assert died_at(tmp_path / what) >= steps, steps - died_at(tmp_path / what)
        assert not crowd.failures, crowd.failures[:5]
        assert not crowd.anomalies(), "\n".join(crowd.anomalies()[:3])
        assert strays(cluster) == []
    assert not outside.wrong


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_router_may_die_at_every_step_and_its_neighbour_notices_nothing(engine, request, tmp_path):
    place = place_on(engine, request, tmp_path, rows=300, pool=PATIENT)
    once = tmp_path / "once"
    with router(place.file, does="die", once=once, at="", lease=LEASE_S) as dying, router(place.file) as other, \
            opened(place.file) as cluster, \
            Crowd([by_http("127.0.0.1", other.port)], clients=6, seed=1, pause_s=0.01) as calm, \
            Crowd([by_http("127.0.0.1", dying.port)], clients=10, seed=2, pause_s=0.01) as shaken:
        calm.wait_for(100)
        cluster.add_shard("s3", hold=True, **place.dsn())
        wait_for_state(cluster, "verified")
        wait_for(lambda: {"write: fence held", "write: committed"} <= died_at(once), "deaths", 60)
        shaken.wait_for(200)
        cluster.reshard().cancel()
        wait_for_state(cluster, "cancelled")
        calm.stop()
        shaken.stop()
        assert not calm.failures, calm.failures[:5]
        assert shaken.failures
        assert not anomalies([*calm.ops, *shaken.ops])
        assert not [*calm.unordered, *shaken.unordered, *calm.broken, *shaken.broken]
        assert strays(cluster) == []


def test_the_command_may_die_and_the_move_goes_on(tmp_path):
    place = placed(tmp_path, rows=3000, pool=PATIENT, move={"rate": 100})
    with opened(place.file) as cluster, Crowd([by_python(cluster)], clients=4, pause_s=0.002) as crowd, \
            running([*LAUNCHER, "add", "s3", "--config", str(place.file)], env()) as command:
        wait_for_state(cluster, "copying")
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
        heard(lambda: cluster.reshard().throttle(0))
        wait_for_state(cluster, "done")
        crowd.stop()
        assert not crowd.failures
        assert not crowd.anomalies()
        assert strays(cluster) == []
