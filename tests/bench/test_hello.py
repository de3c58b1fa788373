import sys

import pytest

from bench import hello, served
from bench.processes import Server, free_ports
from bench.rivals import WrongAnswer


@pytest.mark.parametrize("name", served.HTTP)
def test_each_contender_says_hello(name):
    with served.running(served.HTTP, [name]) as servers:
        hello.check(servers[name])


def test_another_answer_is_not_timed(tmp_path):
    port, = free_ports(1)
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with Server("files", argv, port, tmp_path / "output") as server, pytest.raises(WrongAnswer):
        hello.check(server)
