import sys

import pytest

from bench import processes, syscalls
from bench.wrk import Outcome

REPORT = """# started on Tue Nov 24 02:51:00 2026
200,,syscalls:sys_enter_recvfrom,2001000000,100.00,,
0,,syscalls:sys_enter_socket,2001000000,100.00,,
100,,syscalls:sys_enter_epoll_wait,2001000000,100.00,,
<not supported>,,syscalls:sys_enter_bogus,0,100.00,,
"""


def test_calls_that_happened_are_read():
    assert syscalls.parse(REPORT) == {"recvfrom": 200, "epoll_wait": 100}


def test_what_perf_cannot_do_is_said_and_the_load_never_starts(tmp_path):
    def load() -> Outcome:
        raise AssertionError("the load must not start")

    # An unknown event: perf, if installed, ends at once.
    with pytest.raises(syscalls.PerfError):
        syscalls.perf(["stat", "-e", "no:such_event"], [1], load, tmp_path / "report")


def test_the_tree_that_is_watched_exists(port, tmp_path):
    script = "import socket, sys, signal; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); signal.pause()"
    server = processes.Server("idle", [sys.executable, "-c", script, str(port)], port, tmp_path / "output")
    with server as started:
        assert processes.tree(started.pid) == [started.pid]


def test_a_line_for_each_call_of_any_server_then_the_sums():
    assert syscalls.rows({"nginx": {"writev": 2.0, "recvfrom": 1.0}, "hotpath": {"sendto": 2.0, "recvfrom": 2.0}}) == [
        ("recvfrom", "1.00", "2.00"), ("sendto", "", "2.00"), ("writev", "2.00", ""), ("all", "3.00", "4.00")]


def test_no_two_cases_have_one_name():
    assert len({case.name for case in syscalls.CASES}) == len(syscalls.CASES)
