"""Databases die, fall silent, fill up, and lines to them break, while rows move: nothing acknowledged is lost."""
from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from hotpath.shard.engine import Statement
from tests.faults.shard_faults import (
    PATIENT,
    Outside,
    carrier,
    heard,
    opened,
    placed,
    state_of,
    strays,
    wait_for_state,
)
from tests.faults.shard_lines import Cutter
from tests.shard.crowd import Crowd, by_python
from tests.shard.servers import running_mysqls
from tests.waiting import wait_for

POOL = {"wait": "5s", "connect": "3s", "statement": "5s"}       # longer than a shared machine stalls


@pytest.fixture(scope="module")
def own():
    """Servers that may be killed: s0 has the map, s3 is where shards are added."""
    with running_mysqls(4) as servers:
        yield servers


def answered(crowd):
    """All that was served is right; what was not served was said to be so."""
    assert not crowd.anomalies(), "\n".join(crowd.anomalies()[:3])


# One of each here; the storm has them all.
@pytest.mark.parametrize(("server", "fault"), [("s1", "silent"), ("s3", "killed")])
def test_a_server_that_fails_while_rows_move_delays_the_move_and_nobody_elses_keys(server, fault, own, tmp_path):
    place = placed(tmp_path, endpoints=own.databases(4), rows=1500, pool=POOL, move={"rate": 100, "chunk": 100})
    with opened(place.file, moves=True) as cluster, Outside(cluster) as outside, \
            Crowd([by_python(cluster)], pause_s=0.005) as crowd:
        crowd.wait_for(100)
        cluster.add_shard("s3", **place.dsn())
        wait_for_state(cluster, "copying")
        if fault == "killed":
            own.kill(server)
            crowd.wait_for(200)
            own.start(server)
        else:
            with own.silent(server):
                crowd.wait_for(200)
        heard(lambda: cluster.reshard().throttle(0))
        wait_for_state(cluster, "done")
        crowd.wait_for(200)
        crowd.stop()
        answered(crowd)
        # Who waits for the source's row holds its key on the new shard.
        involved = {server, "s3"}
        others = [failure.why for failure in crowd.failures if not involved & set(re.findall(r"s\d", failure.why))]
        assert not others, others[:5]
        assert strays(cluster) == []
    assert not outside.wrong


def test_lines_that_break_at_a_commit_leave_nobody_in_the_dark(own, tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="cut", dir="/tmp"))      # a socket's path is short
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        ends = []
        cutters = []
        for i, endpoint in enumerate(own.databases(4)):
            assert endpoint.socket is not None
            cutters.append(Cutter(folder / f"{i}.sock", endpoint.socket, every=40))
            stack.callback(cutters[-1].close)
            ends.append(dataclasses.replace(endpoint, socket=str(cutters[-1].path)))
        place = placed(tmp_path, endpoints=ends, rows=500, pool=POOL, move={"chunk": 50})
        with opened(place.file, moves=True) as cluster, Crowd([by_python(cluster)], pause_s=0.005) as crowd:
            crowd.wait_for(100)
            for cutter in cutters:
                cutter.cutting = True
            dsn = place.dsn()
            heard(lambda: cluster.add_shard("s3", hold=True, **dsn))
            wait_for_state(cluster, "verified")
            crowd.wait_for(500)
            heard(lambda: cluster.reshard().complete())
            wait_for_state(cluster, "done")
            crowd.wait_for(500)
            wait_for(lambda: sum(cutter.cuts for cutter in cutters) > 20, "lines to break")
            for cutter in cutters:
                cutter.cutting = False
            crowd.stop()
            assert any("UncertainOutcome" in failure.why for failure in crowd.failures)
            answered(crowd)
            assert strays(cluster) == []


def test_a_full_disk_under_the_new_shard_pauses_the_move_and_leaves_the_old_one_whole(tmp_path):
    library = tmp_path / "full.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), "-x", "c",
                    str(Path(__file__).with_name("full.h")), "-ldl"], check=True)
    full = tmp_path / "full"
    place = placed(tmp_path, rows=2000, pool=PATIENT, move={"chunk": 100, "rate": 100})
    preload = {"LD_PRELOAD": str(library), "FULL_IF": str(full), "FULL_FOR": "/s3.db"}
    with opened(place.file) as cluster, Outside(cluster) as outside, \
            Crowd([by_python(cluster)], clients=4, pause_s=0.01) as crowd:
        cluster.add_shard("s3")
        with carrier(place.file, besides=preload, lease=0.3):
            wait_for_state(cluster, "copying")
            full.touch()
            wait_for(lambda: "paused" in state_of(cluster), "a move that is paused")
            document = cluster.node.admin.document()
            assert "make room" in document["error"], document
            sources = sum(cluster.node.directory.shard(name).rows(
                Statement("SELECT COUNT(*) FROM things WHERE id >= 1000000"))[0][0] for name in ("s0", "s1", "s2"))
            assert sources == 2000
            full.unlink()
            cluster.reshard().resume()
            heard(lambda: cluster.reshard().throttle(0))
            with carrier(place.file, lease=0.3):
                wait_for_state(cluster, "done")
        crowd.stop()
        assert not crowd.failures, crowd.failures[:3]
        answered(crowd)
        assert strays(cluster) == []
    assert not outside.wrong
