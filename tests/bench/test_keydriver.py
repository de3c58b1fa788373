import pytest

from bench import crdt_served, keydriver
from bench.processes import free_ports
from bench.wrk import LoadError, Outcome


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return keydriver.built(tmp_path_factory.mktemp("driver"))


def test_a_report_is_read_in_milliseconds():
    assert keydriver.parse("100 2 1.500000 250 9000 0.750000\n") == Outcome(100, 0.0, 2, 1.5, 0.25, 9.0, 0.75)


@pytest.mark.parametrize("text", ["", "connect: refused", "1 2 3"])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(LoadError):
        keydriver.parse(text)


def test_a_server_that_is_not_there_is_an_error(program):
    port, = free_ports(1)
    with pytest.raises(LoadError, match="connect"):
        keydriver.run(program, port, "get", connections=1, seconds=0.1, keys=1, value_bytes=0)


@pytest.mark.parametrize("server", [crdt_served.replica, crdt_served.redis_server])
def test_the_driver_speaks_to_both(program, server, tmp_path):
    port, = free_ports(1)
    kind = "put" if server is crdt_served.replica else "set"
    with server(tmp_path, port) as running:
        if kind == "put":
            crdt_served.await_healthy(port)
        found = keydriver.run(program, running.port, kind, connections=4, seconds=0.3, keys=1, value_bytes=10)
        assert found.requests > 0
        assert found.errors == 0
        if kind == "put":
            assert crdt_served.ask(port, "GET", "/kv/key:000000000000")[:1].isalpha()
        else:
            assert crdt_served.redis(port, b"GET", b"key:000000000000").startswith(b"$10\r\n")


def test_an_answer_that_is_not_2xx_is_an_error(program, tmp_path):
    port, = free_ports(1)
    with crdt_served.replica(tmp_path, port):
        crdt_served.await_healthy(port)
        found = keydriver.run(program, port, "get", connections=2, seconds=0.2, keys=5, value_bytes=0)
    assert found.errors == found.requests > 0
