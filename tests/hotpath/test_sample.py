"""The sample server answers what it promises, on a connection that stays open."""
import http.client
import json
import socket
import sys

import pytest

from tests.waiting import running


@pytest.fixture
def connection():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        command = [sys.executable, "-P", "-m", "hotpath.sample", "--fd", str(sock.fileno()), "--name", "one"]
        with running(command, pass_fds=[sock.fileno()]):
            connection = http.client.HTTPConnection(*sock.getsockname(), timeout=20)
            yield connection
            connection.close()


def ask(connection, method, path, **more):
    connection.request(method, path, **more)
    response = connection.getresponse()
    body = response.read()
    return response, json.loads(body) if body else None


def test_whoami_counts_its_answers(connection):
    first, second = (ask(connection, "GET", "/whoami")[1] for _ in range(2))
    assert first["name"] == second["name"] == "one"
    assert second["answer"] == first["answer"] + 1


def test_healthz_is_well(connection):
    response, value = ask(connection, "GET", "/healthz")
    assert (response.status, value) == (200, {"status": "ok"})


def test_echo_says_what_arrived(connection):
    _, value = ask(connection, "POST", "/echo?a=1", body=b"x" * 1000, headers={"X-Tier": "gold"})
    assert (value["method"], value["target"], value["body_bytes"]) == ("POST", "/echo?a=1", 1000)
    assert ["X-Tier", "gold"] in value["headers"]


def test_head_has_no_body(connection):
    response, value = ask(connection, "HEAD", "/whoami")
    assert (response.status, value) == (200, None)
    assert int(response.headers["content-length"]) > 0


def test_a_wrong_method_is_told_the_right_ones(connection):
    response, value = ask(connection, "DELETE", "/whoami")
    assert response.status == value["status"] == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("headers", "status"), [
    ({"Content-Length": "1048577"}, 413),
    ({"Content-Length": "9" * 5000}, 413),
    ({"Content-Length": "-1"}, 400),
    ({"Content-Length": "\u00b2"}, 400),
    ({"Transfer-Encoding": "chunked"}, 411),
])
def test_a_body_it_cannot_take_is_refused_and_the_connection_closed(connection, headers, status):
    response, value = ask(connection, "POST", "/echo", headers=headers)
    assert response.status == value["status"] == status
    assert response.headers["connection"] == "close"


def test_an_unknown_path_is_not_found(connection):
    response, value = ask(connection, "GET", "/nothing")
    assert response.status == value["status"] == 404
