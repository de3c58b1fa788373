from __future__ import annotations

import select

import pytest

from hotpath.core.serve.testing import Served
from tests.clients import Client, fetch, request_bytes
from tests.waiting import wait_for


def metric(served: Served, name: str) -> float:
    for line in fetch(served.address, "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_a_head_that_takes_too_long_is_408(hasty: Served):
    with Client(hasty.address) as client:
        client.send(b"GET /hello HT")
        answer = client.answer()
        assert (answer.status, answer.says_close) == (408, True)
        assert client.rest() == b""


def test_a_head_that_drips_for_ever_is_408_too(hasty: Served):
    with Client(hasty.address) as client:
        client.send(b"GET /hello HTTP/1.1\r\nHost: test\r\nX: ")

        def answered() -> bool:
            client.send(b"x")       # each byte comes in time; all of them together do not
            return bool(select.select([client.sock], [], [], 0)[0])

        wait_for(answered, "the end of its patience")
        assert client.receive(12) == b"HTTP/1.1 408"


@pytest.mark.parametrize("n", [0, 1])
def test_an_idle_connection_is_closed(hasty: Served, n: int):
    with Client(hasty.address) as client:
        for _ in range(n):
            assert client.ask("GET", "/hello").body == b"hello"
        assert client.rest() == b""


def test_a_body_that_does_not_come_is_408(hasty: Served):
    with Client(hasty.address) as client:
        client.send(request_bytes("POST", "/echo", [("Content-Length", "4")]) + b"bo")
        answer = client.answer("POST")
        assert (answer.status, answer.says_close) == (408, True)


def test_a_reader_that_takes_nothing_is_closed_and_counted(hasty: Served):
    before = metric(hasty, 'hotpath_rejected_total{reason="slow_reader"}')
    with Client(hasty.address) as client:
        client.send(request_bytes("GET", "/flood"))
        wait_for(lambda: metric(hasty, 'hotpath_rejected_total{reason="slow_reader"}') > before, "the count")


def test_a_connection_has_so_many_requests(hasty: Served):
    with Client(hasty.address) as client:
        client.send(request_bytes("GET", "/hello") * 5)     # at once: in between it would be idle
        answers = [client.answer() for _ in range(5)]
        assert [answer.says_close for answer in answers] == [False] * 4 + [True]
        assert client.rest() == b""


def test_a_lower_limit_of_fields_holds(hasty: Served):
    assert fetch(hasty.address, "/hello", fields=[(f"X-{i}", "y") for i in range(10)]).status == 431


def test_gauges_go_back_to_nothing(served: Served):
    with Client(served.address) as one, Client(served.address) as other:
        one.ask("GET", "/hello")
        other.ask("GET", "/hello")
        assert metric(served, 'hotpath_connections{state="idle"}') >= 2
    wait_for(lambda: metric(served, 'hotpath_connections{state="idle"}') == 0, "both to be forgotten")
