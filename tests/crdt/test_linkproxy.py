"""A link does to its bytes what its state says."""
import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.crdt.linkproxy import Link, State
from tests.waiting import wait_for


@contextmanager
def linked():
    """A link to a server that notes what it is told, and the notes."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    link = Link(server.server_address[1])
    try:
        yield link, heard
    finally:
        link.close()
        server.shutdown()
        thread.join()
        server.server_close()


def say_on(connection, body):
    connection.request("POST", "/", body)
    return connection.getresponse().read()


def say(link, body, timeout_s=5.0):
    connection = http.client.HTTPConnection("127.0.0.1", link.port, timeout=timeout_s)
    try:
        return say_on(connection, body)
    finally:
        connection.close()


def test_an_open_link_carries_both_ways():
    with linked() as (link, heard):
        assert say(link, b"x" * 200_000) == b"ok"
        assert heard == [b"x" * 200_000]


def test_a_cut_link_resets_old_and_new_connections_until_it_is_healed():
    with linked() as (link, heard):
        connection = http.client.HTTPConnection("127.0.0.1", link.port, timeout=5)
        assert say_on(connection, b"1") == b"ok"
        link.set(State.CUT)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            say_on(connection, b"2")
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            say(link, b"3")
        link.set(State.OPEN)
        assert say(link, b"4") == b"ok"
        assert heard == [b"1", b"4"]
        connection.close()


@pytest.mark.parametrize(("state", "arrives"), [(State.DEAF, [b"1"]), (State.MUTE, [])])
def test_a_one_way_link_carries_requests_or_nothing(state, arrives):
    with linked() as (link, heard):
        link.set(state)
        with pytest.raises(TimeoutError):
            say(link, b"1", timeout_s=0.2)
        # Where nothing arrives it must be gone, or it came with the next.
        wait_for(lambda: heard == arrives and (arrives or link.swallowed), f"{arrives} to arrive")
        link.set(State.OPEN)
        assert say(link, b"2") == b"ok"
        assert heard == [*arrives, b"2"]


def test_what_was_said_is_said_again():
    with linked() as (link, heard):
        say(link, b"1")
        say(link, b"2")
        assert link.say_again() == 2
        assert heard == [b"1", b"2", b"1", b"2"]


def test_a_slow_link_still_carries():
    with linked() as (link, heard):
        link.delay_s = 0.05
        assert say(link, b"1") == b"ok"
        assert heard == [b"1"]
