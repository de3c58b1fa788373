import sys
from pathlib import Path

import pytest

from bench import crdt_served, disk
from bench.crdt_served import REDIS, Written, write_rows
from bench.harness import Sample
from bench.processes import Cpu, Server, StartError, free_ports
from bench.rivals import WrongAnswer
from bench.wrk import Outcome


def written(requests: int, cpu_s: float, per_sync: float | None) -> Written:
    return Written(Sample(Outcome(requests, 0.0, 0, 1.0, 1.0, 2.0, 0.0), Cpu(cpu_s, 0.0), 0.0), per_sync)


def test_writes_are_compared_by_rate_within_the_round():
    ours, theirs = write_rows({
        "hotpath": [written(600, 0.06, 30.0), written(900, 0.09, 40.0)],
        REDIS: [written(1000, 0.05, None), written(1000, 0.05, None)]})
    assert ours[:3] == ("hotpath", "750", "1")
    assert ours[7] == "35.0"
    assert theirs[2] == "0.75 (0.60-0.90)"
    assert theirs[4] == "0.50 (0.50-0.50)"
    assert (theirs[7], theirs[-1]) == ("", "≥ 0.5: met")


def test_both_servers_keep_what_they_acknowledge(tmp_path):
    ports = free_ports(2)
    with crdt_served.replica(tmp_path, ports[0]), crdt_served.redis_server(tmp_path, ports[1]):
        crdt_served.await_healthy(ports[0])
        crdt_served.check_writes(*ports)


def test_flask_answers_what_was_put(tmp_path):
    port, = free_ports(1)
    argv = [sys.executable, "-P", str(Path(crdt_served.__file__).with_name("crdt_flask.py")), str(port)]
    with Server("flask", argv, port, tmp_path / "out"):
        crdt_served.ask(port, "PUT", "/kv/a", b"1")
        assert crdt_served.ask(port, "GET", "/kv/a") == b"1"
        with pytest.raises(WrongAnswer, match="404"):
            crdt_served.ask(port, "GET", "/kv/b")


def test_memory_is_no_disk():
    assert disk.file_system(Path("/dev/shm")) == "tmpfs"
    with pytest.raises(StartError, match="memory"), disk.disk_folder("/dev/shm"):
        pass


def test_a_disk_is_asked_how_often_it_syncs(tmp_path):
    assert disk.syncs_per_s(tmp_path, 0.05) > 0
    assert list(tmp_path.iterdir()) == []
