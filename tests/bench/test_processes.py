import os
import sys

import pytest

from bench import processes
from tests.waiting import is_alive, wait_for

# Forks, lets parent and child each use some CPU, then listens.
TREE = """
import os, socket, sys
child = os.fork()
while sum(os.times()[:2]) < 0.1: pass
sock = socket.create_server(("127.0.0.1", int(sys.argv[1]))) if child else None
print(os.getpid(), flush=True)
import signal; signal.pause()
"""


def server(port, tmp_path, script=TREE):
    return processes.Server("tree", [sys.executable, "-c", script, str(port)], port, tmp_path / "output")


def test_a_server_is_charged_for_its_children(port, tmp_path):
    with server(port, tmp_path) as tree:
        pids = processes.tree(tree.pid)
        assert len(pids) == 2
        wait_for(lambda: processes.cpu(tree.pid).total_s >= 0.18, "CPU time of both processes")     # 0.2, rounded down


def test_what_dead_children_used_is_not_lost():
    before = processes.cpu(os.getpid()).total_s
    child = os.fork()
    if child == 0:
        while sum(os.times()[:2]) < 0.1:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    assert processes.cpu(os.getpid()).total_s - before >= 0.08


def test_nothing_is_left_of_a_server(port, tmp_path):
    with server(port, tmp_path) as tree:
        pids = wait_for(lambda: len(found := processes.tree(tree.pid)) == 2 and found, "the child")
        assert processes.pss_bytes(tree.pid) > 0
    wait_for(lambda: not any(map(is_alive, pids)), "the end of parent and child")


def test_a_server_that_does_not_start_says_why(port, tmp_path):
    broken = server(port, tmp_path, "raise SystemExit('no such luck')")
    with pytest.raises(processes.StartError, match="no such luck"), broken:
        pass


def test_ports_are_free_and_different():
    ports = processes.free_ports(5)
    assert len(set(ports)) == 5
