"""A browser reaches programs in a sandbox through the previews: whole, unmixed, and nothing of ours with it."""
import hashlib
import http.client
import json
import os
import select
import shutil
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

from hotpath.core.scalars import Address
from hotpath.ide.config import IdeConfig, PreviewConfig, SandboxConfig
from hotpath.ide.preview import Previews
from hotpath.ide.preview.previews import MAX_EXCHANGES
from hotpath.ide.preview.relay import MAX_UNREAD
from hotpath.ide.sandbox.choosing import open_sandbox
from tests.ide.sandbox.world import spec, world_of
from tests.waiting import DEADLINE_S, wait_for

ID = "abcdefghijkl"
MIB = 1024**2


class Site:
    """A program in a sandbox, and the previews before it."""

    def __init__(self, world, running, previews, port):
        self.world, self.running, self.previews, self.app = world, running, previews, port
        self.url = previews.url(ID, port)
        self.host = self.url.removeprefix("http://").rstrip("/")

    def open(self):
        """A connection of a browser."""
        sock = socket.create_connection(("127.0.0.1", self.previews.port), DEADLINE_S)
        sock.settimeout(DEADLINE_S)
        return sock

    def raw(self, *pieces, shut=False):
        """All that comes back for these bytes, until the end."""
        with self.open() as sock:
            for piece in pieces:
                sock.sendall(piece.replace(b"HOST", self.host.encode()))
            if shut:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def client(self):
        """Python's own, which keeps a connection."""
        client = http.client.HTTPConnection("127.0.0.1", self.previews.port, timeout=DEADLINE_S)
        client.connect()
        return client

    def ask(self, client, method, path, body=None, headers=None, **more):
        """An answer and its body."""
        client.request(method, path, body, {"Host": self.host, **(headers or {})}, **more)
        answer = client.getresponse()
        return answer, answer.read()

    def echo(self, method="GET", path="/echo", body=None, headers=None, **more):
        """How the program saw a request."""
        client = self.client()
        answer, said = self.ask(client, method, path, body, headers, **more)
        client.close()
        assert answer.status == 200, said
        return json.loads(said)


def read_all(sock):
    whole = b""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return whole
        whole += piece


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The app runs in a bubblewrap sandbox without a network."""
    base = tmp_path_factory.mktemp("data")
    where = spec(base, ID)
    shutil.copy(Path(__file__).with_name("app.py"), where.files / "app.py")
    if os.geteuid() == 0:
        os.chown(where.files / "app.py", 1000, 1000)
    with world_of(SandboxConfig(), open_sandbox) as (world, sandbox):
        assert sandbox.kind == "bubblewrap"
        running = world.do(sandbox.start, where)
        config = IdeConfig(preview=PreviewConfig(listen=Address("127.0.0.1", 0)))
        previews = Previews(config, b"s" * 32, {ID: running}.get)
        world.do(previews.open, world.loop)
        with world.spawn(running, "python3", "app.py") as shell:
            shell.read(lambda text: text.endswith("\n"), "a port")
            yield Site(world, running, previews, int(shell.text.split()[1]))
        world.do(previews.close)
        world.do(running.stop)


# --------------------------------------------------------------------------------------------------------- addresses


def test_an_address_is_one_of_its_port_and_stays(site):
    again = Previews(IdeConfig(), b"s" * 32, lambda id: None)
    assert again.key(ID, site.app) == site.previews.key(ID, site.app)
    others = {again.key(ID, site.app + 1), again.key("b" * 12, site.app),
              Previews(IdeConfig(), b"t" * 32, lambda id: None).key(ID, site.app)}
    assert len(others | {again.key(ID, site.app)}) == 4
    assert all(len(key) == 26 and set(key) <= set("abcdefghijklmnopqrstuvwxyz234567") for key in others)
    assert site.url == f"http://{site.previews.key(ID, site.app)}.localhost:{site.previews.port}/"


@pytest.mark.parametrize("host", [
    "{unknown}.localhost:{port}", "localhost:{port}", "127.0.0.1:{port}", "{key}.localhost", "{key}.localhost:{other}",
    "{key}.localhost:{port}.", "{key}.evil.example:{port}", "x{key}.localhost:{port}", "{key}.localhost.evil:{port}",
    "{key}.localhost:{port}@evil", "evil.example"])
def test_only_the_exact_name_leads_anywhere(site, host):
    named = host.format(unknown="a" * 26, key=site.previews.key(ID, site.app), port=site.previews.port,
                        other=site.previews.port % 60000 + 1)
    said = site.raw(f"GET / HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"hello" not in said


def test_the_name_may_be_spelled_in_capitals(site):
    said = site.raw(f"GET / HTTP/1.1\r\nHost: {site.host.title()}\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 200 ")


def test_nothing_listens(site):
    url = site.previews.url(ID, 9)
    host = url.removeprefix("http://").rstrip("/")
    said = site.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b'http-equiv="refresh"' in said
    assert b"no-store" in said
    said = site.raw(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"text/plain" in said


def test_a_project_that_does_not_run(site):
    host = site.previews.url("b" * 12, 80).removeprefix("http://").rstrip("/")
    said = site.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"not running" in said


# ---------------------------------------------------------------------------------------------------------- one request


def test_what_the_program_sees_of_a_request(site):
    seen = site.echo("GET", "/echo?a=b&c=%20", headers={
        "Cookie": "mine=1; hotpath_ide_8086=secret; HOTPATH_IDE=secret; other=2", "Authorization": "Bearer secret",
        "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "Forwarded": "for=6.6.6.6", "Te": "trailers",
        "Connection": "x-private, keep-alive", "X-Private": "1", "Origin": "http://else.example", "X-Own": "kept"})
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert seen["path"] == "/echo?a=b&c=%20"
    assert headers["cookie"] == "mine=1; other=2"
    assert "secret" not in json.dumps(seen)
    assert "6.6.6.6" not in json.dumps(seen)
    assert headers["host"] == headers["x-forwarded-host"] == site.host
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["origin"] == "http://else.example"
    assert headers["x-own"] == "kept"
    assert not {"te", "x-private", "authorization", "forwarded", "connection"} & set(headers)
    assert len(seen["headers"]) == len(headers)


def test_only_our_cookie_means_no_cookie(site):
    seen = site.echo(headers={"Cookie": "hotpath_ide_8086=secret"})
    assert "cookie" not in {name.lower() for name, _ in seen["headers"]}


def test_what_the_browser_sees_of_an_answer(site):
    client = site.client()
    answer, body = site.ask(client, "GET", "/cookies")
    assert body == b"ok"
    assert answer.headers.get_all("Set-Cookie") == ["mine=1; Path=/"]
    assert not {"connection", "x-private", "keep-alive"} & {name.lower() for name in answer.headers}
    client.close()


def test_methods_targets_and_statuses(site):
    client = site.client()
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        answer, body = site.ask(client, method, "/echo/../x" if method == "GET" else "/echo")
        assert answer.status == 200
        assert method == "GET" or json.loads(body)["method"] == method
    answer, body = site.ask(client, "HEAD", "/echo")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100
    assert site.ask(client, "GET", "/204")[0].status == 204
    answer, body = site.ask(client, "GET", "/304")
    assert (answer.status, body, answer.headers["ETag"]) == (304, b"", '"x"')
    assert site.ask(client, "GET", "/")[1] == b"hello from inside\n"        # all of it on one connection
    client.close()


@pytest.mark.parametrize(("path", "body"), [
    ("/chunked", b"hello world"), ("/until-close", b"until the end"), ("/both", b"ok"),
    ("/events", b"data: 0\n\ndata: 1\n\ndata: 2\n\n")])
def test_every_way_to_frame_an_answer(site, path, body):
    client = site.client()
    for _ in range(2):
        answer, said = site.ask(client, "GET", path)
        assert (answer.status, said) == (200, body)
        assert "Content-Length" not in answer.headers or "Transfer-Encoding" not in answer.headers
    client.close()
    old = site.raw(f"GET {path} HTTP/1.0\r\nHost: HOST\r\n\r\n".encode())
    assert old.endswith(b"\r\n\r\n" + body)
    assert b"chunked" not in old


def test_trailers_and_hints_pass(site):
    said = site.raw(b"GET /chunked HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    assert b"\r\n0\r\nX-Sum: 11\r\n\r\n" in said
    assert b"Set-Cookie" not in said
    said = site.raw(b"GET /hints HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 103 ")
    assert b"\r\n\r\nHTTP/1.1 200 " in said


@pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MIB])
def test_bodies_arrive_whole(site, size):
    data = os.urandom(size)
    sum_of = hashlib.sha256(data).hexdigest()
    seen = site.echo("POST", body=data)
    assert (seen["body"], seen["sum"]) == (size, sum_of)
    pieces = (data[i:i + 30_000] for i in range(0, size, 30_000))
    seen = site.echo("POST", body=pieces, headers={"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert (seen["body"], seen["sum"]) == (size, sum_of)


def test_trailers_of_a_request_pass_but_ours_do_not(site):
    said = site.raw(b"POST /echo HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                    b"3\r\nabc\r\n0\r\nX-Sum: 3\r\nCookie: hotpath_ide=1\r\nAuthorization: x\r\n"
                    b"Content-Length: 9\r\n\r\n")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["trailers"] == ["X-Sum: 3"]


def test_who_waits_to_be_asked_for_the_body_is(site):
    with site.open() as sock:
        sock.sendall(f"POST /echo HTTP/1.1\r\nHost: {site.host}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
                     "Connection: close\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"abc")
        assert json.loads(read_all(sock).partition(b"\r\n\r\n")[2])["body"] == 3


def test_an_answer_before_the_body_is_read(site):
    client = site.client()
    answer, body = site.ask(client, "POST", "/early", b"x" * 1000)
    assert (answer.status, body) == (413, b"no, thank you")
    client.close()
    with site.open() as sock:
        size = MAX_UNREAD * 100
        sock.sendall(f"POST /early HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: {size}\r\n\r\n".encode())
        assert b" 413 " in read_all(sock)       # and the connection ends: nobody wants the rest


def test_many_at_once(site):
    clients = [site.client() for _ in range(30)]
    for i, client in enumerate(clients):
        client.request("GET", f"/echo?{i}", headers={"Host": site.host})
    for i, client in enumerate(clients):
        assert json.loads(client.getresponse().read())["path"] == f"/echo?{i}"
        client.close()


def test_requests_behind_each_other_are_answered_in_order(site):
    said = site.raw(b"".join(
        b"GET /echo?%d HTTP/1.1\r\nHost: HOST\r\n%s\r\n" % (i, b"Connection: close\r\n" if i == 9 else b"")
        for i in range(10)))
    order = [int(part.partition(b'"')[0]) for part in said.split(b'"path": "/echo?')[1:]]
    assert order == list(range(10))


def test_a_kept_connection_that_the_program_closed_is_made_again(site):
    client = site.client()
    first = json.loads(site.ask(client, "GET", "/echo")[1])["peer"]
    assert json.loads(site.ask(client, "GET", "/echo")[1])["peer"] == first
    for _ in range(5):
        assert site.ask(client, "GET", "/once")[1] == b"ok"
        assert json.loads(site.ask(client, "GET", "/echo")[1])["peer"] != first
    client.close()


# -------------------------------------------------------------------------------------------------- what is no request


@pytest.mark.parametrize("request_head", [
    b"GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n", b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
    b"GET x HTTP/1.1\r\nHost: HOST\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: HOST\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: HOST\r\n a: b\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_ambiguous_or_broken_is_refused(site, request_head):
    said = site.raw(request_head, shut=True)
    status = int(said.split()[1])
    assert 400 <= status < 600, said
    assert b"hello from inside" not in said


def test_no_request_is_smuggled_in_another(site):
    smuggled = b"GET /echo?smuggled HTTP/1.1\r\nHost: %s\r\n\r\n" % site.host.encode()
    last = b"GET /echo?last HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
    said = site.raw(b"POST /echo?outer HTTP/1.1\r\nHost: HOST\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
                    + smuggled + last)
    assert b'"path": "/echo?outer"' in said
    assert b'"path": "/echo?smuggled"' not in said
    assert b'"path": "/echo?last"' in said
    for size in (b"0x1", b"-1", b"1_0", b"+1", b" 1", b"1;a=\nb", b"fffffffffffffffff"):
        said = site.raw(b"POST /echo?outer HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + size + b"\r\na\r\n0\r\n\r\n" + smuggled, shut=True)
        assert b"smuggled" not in said


# ---------------------------------------------------------------------------------------------------- who dies half-way


@pytest.mark.parametrize("path", ["/half", "/half-chunked"])
def test_half_an_answer_is_not_a_whole_one(site, path):
    client = site.client()
    client.request("GET", path, headers={"Host": site.host})
    answer = client.getresponse()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    client.close()


@pytest.mark.parametrize("path", ["/junk", "/nothing"])
def test_no_answer_is_a_502(site, path):
    client = site.client()
    answer, said = site.ask(client, "GET", path)
    assert answer.status == 502
    assert b"HTTP" in said or b"without an answer" in said
    assert site.ask(client, "GET", "/")[0].status == 200
    client.close()


def test_a_browser_that_leaves_frees_the_program(site):
    def open_there():
        return site.world.sh(site.running, "cat /proc/net/tcp").count(" 01 ")

    before = open_there()
    with site.open() as sock:
        sock.sendall(f"GET /stuck HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    with site.open() as sock:
        sock.sendall(f"POST /echo HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: 100\r\n\r\nabc".encode())
        wait_for(lambda: open_there() > before, "the upload to begin")
    wait_for(lambda: open_there() <= before, "the program's connections to end")
    wait_for(lambda: not site.previews._busy, "the exchanges to end")


def test_who_reads_slowly_makes_the_program_wait(site):
    """60 MiB are not buffered between them."""
    size = 60 * MIB
    with site.open() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(f"GET /big?{size} HTTP/1.1\r\nHost: {site.host}\r\nConnection: close\r\n\r\n".encode())
        got = len(sock.recv(65536))

        def sent():
            client = site.client()
            n = int(site.ask(client, "GET", "/sent")[1])
            client.close()
            return n

        counts = [0, -1]
        wait_for(lambda: counts.append(sent()) or counts[-1] == counts[-2] > 0, "the program to stand still")
        assert counts[-1] < 40 * MIB
        while piece := sock.recv(MIB):
            got += len(piece)
    assert size < got < size + 1000


# ------------------------------------------------------------------------------------------------------------- upgrades


def test_any_upgrade_becomes_a_tunnel(site):
    with site.open() as sock:
        sock.sendall(f"GET /upgrade HTTP/1.1\r\nHost: {site.host}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
                     "hello".encode())
        said = b""
        while b"hello" not in said:
            said += sock.recv(1000)
        assert said.startswith(b"HTTP/1.1 101 ")
        assert said.endswith(b"\r\n\r\nwelcome hello")
        data = os.urandom(3 * MIB)
        feeding = threading.Thread(target=sock.sendall, args=(data,))
        feeding.start()
        got = b""
        while len(got) < len(data):
            got += sock.recv(65536)
        feeding.join()
        assert got == data
        sock.shutdown(socket.SHUT_WR)           # half-closed: the other half goes on
        assert read_all(sock) == b" bye"
    wait_for(lambda: not site.previews._busy, "the tunnel to end")


def test_websockets(site):
    with connect(f"ws://{site.host}/ws", sock=site.open(), compression=None, max_size=None) as socket_of_page:
        for message in ("hello", "x" * 70_000, b"\0" * 300):
            socket_of_page.send(message)
            assert socket_of_page.recv(DEADLINE_S) == message
    wait_for(lambda: not site.previews._busy, "the tunnel to end")


def test_a_program_that_dies_ends_its_tunnels(site):
    with site.open() as sock:
        sock.sendall(f"GET /upgrade HTTP/1.1\r\nHost: {site.host}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
                     "die".encode())
        assert b"welcome " in read_all(sock)
    wait_for(lambda: not site.previews._busy, "the tunnel to end")


def test_an_upgrade_that_is_declined_is_an_answer(site):
    client = site.client()
    for _ in range(2):
        answer, _ = site.ask(client, "GET", "/", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert answer.status == 200
    client.close()


# --------------------------------------------------------------------------------------------------------------- bounds


def test_one_port_is_not_asked_more_than_it_may(site):
    stuck = [site.open() for _ in range(MAX_EXCHANGES)]
    try:
        for sock in stuck:
            sock.sendall(f"GET /stuck HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
        for sock in stuck:
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert b" 503 " in site.raw(b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    finally:
        for sock in stuck:
            sock.close()
    wait_for(lambda: not site.previews._busy, "the exchanges to end")
    assert b" 200 " in site.raw(b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")


def test_no_more_connections_are_taken_than_there_may_be(site, monkeypatch):
    monkeypatch.setattr("hotpath.ide.preview.previews.MAX_CONNECTIONS", 3)
    wait_for(lambda: not site.previews._browsers, "the others to end")
    kept = [site.open() for _ in range(3)]
    wait_for(lambda: len(site.previews._browsers) == 3, "the three")
    with site.open() as sock:
        assert read_all(sock) == b""
    for sock in kept:
        sock.close()
    wait_for(lambda: not site.previews._browsers, "their end")


def test_a_head_that_does_not_come_ends_the_connection(site, monkeypatch):
    monkeypatch.setattr("hotpath.ide.preview.relay.HEAD_S", 0.1)

    def said() -> bool:
        with site.open() as sock, suppress(ConnectionError):    # we may be late ourselves: then nothing is said
            sock.sendall(b"GET / HTTP/1.1\r\nHo")
            return read_all(sock).startswith(b"HTTP/1.1 408 ")
        return False

    wait_for(said, "a 408")
    with site.open() as sock:
        assert read_all(sock) == b""


def test_a_program_that_reads_nothing_makes_the_browser_wait(site):
    with site.open() as sock:
        sock.sendall(f"PUT /stuck HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: {100 * MIB}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        sent = 0
        while select.select([], [sock], [], 0.5)[1]:
            sent += sock.send(b"x" * 65536)
        assert sent < 40 * MIB
        # An orderly end would wait behind what nobody reads: nobody can see it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: not site.previews._busy, "the exchange to end")
