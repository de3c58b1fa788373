import resource

import pytest

from bench import idle, rivals
from bench.processes import free_ports, tree
from bench.reload import connections_of


def test_connections_are_held_until_the_end(tmp_path):
    if "nginx" not in rivals.available():
        pytest.skip("no nginx")
    port, other = free_ports(2)
    with rivals.backend(tmp_path, (port, other)) as server, idle.held_open(server.port, 20):
        assert sum(connections_of(pid, port) for pid in tree(server.pid)) == 20


def test_no_more_connections_than_files_are_allowed():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert idle.allow_fds(100) == 100
        assert idle.allow_fds(10**12) < 10**12
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
