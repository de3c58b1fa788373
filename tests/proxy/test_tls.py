"""Through TLS everything is as it is in the clear: whole bodies, kept connections, tunnels, files, and honest ends."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, Exchange, Gate
from tests.certificates import ByHand, Pair, TlsClient, careless, make_pair
from tests.clients import Client, CutShort, chunked, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for

MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


def site(backend: Backend, tls: dict[str, object], address: str, **more: object) -> dict[str, Any]:
    """A config that listens with TLS at `address`."""
    return {
        "listen": [{"address": address, "tls": tls}],
        "upstreams": {"b": {"servers": [backend.address]}},
        "routes": [
            {"match": {"path": "/version"}, "respond": {"body": "one"}},
            {"match": {"prefix": "/files/"}, "static": {"root": more.pop("root", "/")}, "strip_prefix": "/files/"},
            {"match": {"prefix": "/"}, "upstream": "b", "limits": {"body": "64m"}},
        ],
        **more,
    }


@pytest.fixture(scope="module")
def proxy(backend: Backend, pair: Pair, folder: Path) -> Iterator[Proxy]:
    (folder / "small.txt").write_bytes(b"a small file")
    (folder / "large.bin").write_bytes(random.Random(3).randbytes(5 * MIB))
    log = {"access": {"path": str(folder / "access.log"), "format": "json", "flush": "50ms"}}
    other = make_pair(folder, "other.example", "*.wild.example")
    tls = pair.config(more=[other.config()])
    with Proxy(site(backend, tls, free_address(), root=str(folder), log=log, forwarded="both")) as proxy:
        yield proxy


def context_for(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = careless()
    context.minimum_version = context.maximum_version = version
    return context


@VERSIONS
def test_requests_on_a_kept_connection(proxy: Proxy, backend: Backend, version: ssl.TLSVersion) -> None:
    with TlsClient(proxy.address, context_for(version)) as client:
        assert client.tls.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        for n in range(5):
            answer = client.ask("POST", f"/kept/{n}", body=b"x" * n)
            assert (answer.status, answer.says_close) == (200, False)
            assert client.ask("GET", "/version").body == b"one"


def test_a_client_that_checks_is_content(proxy: Proxy, pair: Pair) -> None:
    with TlsClient(proxy.address, pair.trusting()) as client:
        assert client.ask("GET", "/version").status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsClient(proxy.address, pair.trusting(), name="other.example")
    seen = {}
    for name in ("a.example", "other.example", "x.wild.example", "y.x.wild.example"):
        with TlsClient(proxy.address, careless(), name=name) as client:
            seen[name] = client.tls.getpeercert(binary_form=True)
            assert client.ask("GET", "/version", host=name).status == 200
    assert seen["other.example"] == seen["x.wild.example"] != seen["a.example"] == seen["y.x.wild.example"]


def test_the_server_hears_of_https(proxy: Proxy, backend: Backend) -> None:
    with TlsClient(proxy.address, careless()) as client:
        client.ask("GET", "/scheme")
    seen, = backend.wait_seen("/scheme")
    assert seen.value("x-forwarded-proto") == "https"
    assert (seen.value("forwarded") or "").endswith(";proto=https")


def test_the_log_names_http_as_its_protocol(proxy: Proxy, folder: Path) -> None:
    with TlsClient(proxy.address, careless()) as client:
        client.ask("GET", "/version?logged")
    line = wait_for(lambda: next(
        (line for line in (folder / "access.log").read_text().splitlines() if "?logged" in line), None), "the log line")
    assert (json.loads(line)["protocol"], json.loads(line)["client"]) == ("HTTP/1.1", "127.0.0.1")


def test_alpn_chooses_http_1_1(proxy: Proxy) -> None:
    context = careless()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(proxy.address, context) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"


@VERSIONS
def test_every_byte_by_itself_both_ways(proxy: Proxy, version: ssl.TLSVersion) -> None:
    with ByHand(proxy.address, context_for(version)) as hand:
        hand.shake(n=1)
        for n in range(3):
            hand.deliver(hand.sealed(request_bytes("POST", f"/drip/{n}", body=b"payload")), n=1)
            head = hand.read_until(b"\r\n\r\n", n=1)
            assert head.startswith(b"HTTP/1.1 200 ")


@VERSIONS
def test_large_bodies_both_ways(proxy: Proxy, backend: Backend, version: ssl.TLSVersion) -> None:
    given = random.Random(1).randbytes(10 * MIB)

    def echo(exchange: Exchange) -> None:
        body = exchange.body()
        exchange.answer(body)

    backend.on("/echo", echo)
    pieces = [given[at:at + 100_000] for at in range(0, len(given), 100_000)]
    for fields, body in (([], given), ([("Transfer-Encoding", "chunked")], chunked(*pieces))):
        with TlsClient(proxy.address, context_for(version)) as client:
            client.send(request_bytes("POST", "/echo", [*fields, ("Connection", "close")], body))
            head, _, rest = client.rest().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert hashlib.sha256(rest).digest() == hashlib.sha256(given).digest()


def test_pipelined_requests_in_one_record(proxy: Proxy) -> None:
    with TlsClient(proxy.address, careless()) as client:
        client.send(b"".join(request_bytes("GET", f"/piped/{n}") for n in range(40)))
        for n in range(40):
            assert client.answer().json()["target"] == f"/piped/{n}"


def test_a_request_in_the_handshakes_last_flight(proxy: Proxy) -> None:
    with ByHand(proxy.address, careless()) as hand:
        hand.deliver(hand.hello())
        while True:
            hand.incoming.write(hand.arrival(65536))
            with suppress(ssl.SSLWantReadError):
                hand.tls.do_handshake()
                break
        hand.deliver(hand.outgoing.read() + hand.sealed(request_bytes("GET", "/version")))
        assert hand.read_until(b"one").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [0, 12, 5 * MIB], ids=["head", "small", "large"])
def test_files(proxy: Proxy, folder: Path, size: int) -> None:
    name, method = ("small.txt" if size < MIB else "large.bin"), ("GET" if size else "HEAD")
    with TlsClient(proxy.address, careless()) as client:
        for _ in range(2):
            answer = client.ask(method, f"/files/{name}")
            assert answer.status == 200
            assert answer.body == ((folder / name).read_bytes() if size else b"")
        part = client.ask("GET", "/files/large.bin", [("Range", "bytes=100000-299999")])
        assert (part.status, part.body) == (206, (folder / "large.bin").read_bytes()[100_000:300_000])


def test_http_1_0_ends_with_a_farewell(proxy: Proxy, backend: Backend) -> None:
    def until_close(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.close()

    backend.on("/until/close", until_close)
    with TlsClient(proxy.address, careless()) as client:
        client.send(request_bytes("GET", "/until/close", version="1.0"))
        raw = client.rest()         # ssl.SSLEOFError without a close_notify
        assert raw.endswith(b"\r\n\r\nall of it")
        assert b"chunked" not in raw
    with TlsClient(proxy.address, careless()) as client:
        assert client.ask("GET", "/version", [("Connection", "keep-alive")], version="1.0").body == b"one"
        assert client.ask("GET", "/version", [("Connection", "close")]).body == b"one"
        assert client.rest() == b""


def test_what_is_cut_short_ends_without_a_farewell(proxy: Proxy, backend: Backend) -> None:
    def break_off(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        exchange.reset()

    backend.on("/break/off", break_off)
    with TlsClient(proxy.address, careless()) as client:
        # To 1.0 the end of the connection is the end of the body: only the missing close_notify tells that it is not.
        client.send(request_bytes("GET", "/break/off", version="1.0"))
        with pytest.raises(ssl.SSLEOFError):
            client.rest()


@VERSIONS
def test_a_farewell_is_answered_by_one(proxy: Proxy, version: ssl.TLSVersion) -> None:
    with TlsClient(proxy.address, context_for(version)) as client:
        client.ask("GET", "/version")
        client.tls.unwrap()         # ssl.SSLError when the other end just leaves
        assert client.tls.fileno() >= 0


def test_a_body_without_the_end_of_its_connection_is_not_a_whole_one(proxy: Proxy, backend: Backend) -> None:
    arrived = threading.Event()

    def read(exchange: Exchange) -> None:
        arrived.set()
        exchange.body()

    backend.on("/cut/body", read)
    client = TlsClient(proxy.address, careless())
    client.send(request_bytes("POST", "/cut/body", [("Transfer-Encoding", "chunked")], b"5\r\nabcde\r\n"))
    assert arrived.wait(10)
    client.close()
    seen, = backend.wait_seen("/cut/body")
    assert seen.cut.wait(10)


def test_plain_http_is_told_what_is_wrong(proxy: Proxy) -> None:
    before = proxy.metric("hotpath_proxy_rejected_total", reason="malformed")
    with Client(proxy.address) as client:
        answer = client.ask("GET", "/version")
        assert (answer.status, answer.says_close) == (400, True)
        assert answer.json()["detail"] == "plain HTTP request sent to TLS port"
        assert client.rest() == b""
    assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == before + 1


@pytest.mark.parametrize("sent", [
    b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02" + bytes(43), bytes(300), b"\x15\x03\x01\x00\x02\x02\x28",
], ids=["no-hello", "ssl2", "zeros", "alert"])
def test_a_bad_handshake_is_counted_and_closed(proxy: Proxy, sent: bytes) -> None:
    before = proxy.metric("hotpath_proxy_rejected_total", reason="handshake")
    lines = len(proxy.stderr.lines)
    with Client(proxy.address) as client:
        client.send(sent)
        client.rest()
    assert proxy.metric("hotpath_proxy_rejected_total", reason="handshake") == before + 1
    assert proxy.stderr.lines[lines:] == []     # noise is for whoever asks for it


def test_old_versions_get_an_alert(proxy: Proxy) -> None:
    context = careless()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        TlsClient(proxy.address, context)


def test_new_keys_in_the_middle(proxy: Proxy, pair: Pair) -> None:
    """TLS 1.3's KeyUpdate, by the `openssl` command: a line "K" asks for it."""
    talk = subprocess.Popen(
        ["openssl", "s_client", "-connect", proxy.address, "-servername", "a.example", "-tls1_3"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    assert talk.stdin is not None
    assert talk.stdout is not None

    def wait_until(end: bytes) -> None:
        text = b""
        while end not in text:
            more = talk.stdout.read(4096)
            assert more, text
            text += more

    try:
        wait_until(b"Verify return code")
        for n in range(3):
            talk.stdin.write(b"K\n")
            wait_until(b"KEYUPDATE")
            talk.stdin.write(f"GET /version?{n} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            wait_until(b"\r\n\r\none")
    finally:
        talk.kill()
        talk.wait()
        talk.stdin.close()
        talk.stdout.close()


def test_curl(proxy: Proxy, pair: Pair) -> None:
    host, _, port = proxy.address.rpartition(":")
    done = subprocess.run(
        ["curl", "-sS", "--cacert", str(pair.certificate), "--resolve", f"a.example:{port}:{host}",
         f"https://a.example:{port}/version", f"https://a.example:{port}/version"],
        capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "oneone", "")


def websocket(exchange: Exchange) -> None:
    """Upgrade, then echo raw bytes until the other side ends; say so."""
    exchange.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
    while data := exchange.connection.receive():
        exchange.send(data)
    exchange.send(b"goodbye")
    exchange.close()


UPGRADE = [
    ("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AA=="),
]


@VERSIONS
def test_a_tunnel_carries_bytes_and_half_an_end(proxy: Proxy, backend: Backend, version: ssl.TLSVersion) -> None:
    backend.on("/ws", websocket)
    with ByHand(proxy.address, context_for(version)) as hand:
        hand.shake()
        hand.deliver(hand.sealed(request_bytes("GET", "/ws", UPGRADE) + b"early"))
        assert hand.read_until(b"helloearly").startswith(b"HTTP/1.1 101 ")
        sent = random.Random(2).randbytes(300_000)
        sealed = hand.sealed(sent)
        sender = threading.Thread(target=hand.deliver, args=(sealed,), kwargs={"n": 7_001})
        sender.start()
        got = b""
        while len(got) < len(sent):
            got += hand.read()
        sender.join()
        assert got == sent
        # Our close_notify ends one direction; what the server says then still comes, and its own end.
        with suppress(ssl.SSLWantReadError):
            hand.tls.unwrap()
        hand.deliver(hand.outgoing.read())
        assert hand.read_until(b"goodbye") == b"goodbye"
        assert hand.read() == b""


@VERSIONS
def test_a_server_that_ends_its_half_still_hears_the_client(
    proxy: Proxy, backend: Backend, version: ssl.TLSVersion
) -> None:
    heard: list[bytes] = []
    done, ended = threading.Event(), threading.Event()

    def half(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nlast")
        exchange.half_close()
        ended.set()
        while data := exchange.connection.receive():
            heard.append(data)
        done.set()

    path = f"/half/{version.name}"
    backend.on(path, half)
    with ByHand(proxy.address, context_for(version)) as hand:
        hand.shake()
        hand.deliver(hand.sealed(request_bytes("GET", path, UPGRADE)))
        hand.read_until(b"last")
        assert hand.read() == b""
        assert ended.wait(10)
        sent = random.Random(4).randbytes(100_000)
        # OpenSSL writes on behind the peer's close_notify.
        hand.deliver(hand.sealed(sent), n=1_000)
        with suppress(ssl.SSLError):
            hand.tls.unwrap()
        hand.deliver(hand.outgoing.read())
        assert done.wait(10)
    assert b"".join(heard) == sent


def test_early_bytes_survive_the_servers_end(proxy: Proxy, backend: Backend) -> None:
    """What the client says before it hears of the server's end is in our hands undecrypted when we say goodbye."""
    heard: list[bytes] = []
    done = threading.Event()

    def half(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        exchange.half_close()
        while data := exchange.connection.receive():
            heard.append(data)
        done.set()

    backend.on("/early/half", half)
    with ByHand(proxy.address, careless()) as hand:
        hand.shake()
        pieces = [bytes([n]) * 3_000 for n in range(30)]
        hand.deliver(hand.sealed(request_bytes("GET", "/early/half", UPGRADE)) + b"".join(map(hand.sealed, pieces)))
        hand.read_until(b"\r\n\r\n")
        with suppress(ssl.SSLWantReadError):
            hand.tls.unwrap()
        hand.deliver(hand.outgoing.read())
        assert done.wait(10)
    assert b"".join(heard) == b"".join(pieces)


def memory_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)[0])


def test_a_slow_reader_holds_little(proxy: Proxy, backend: Backend) -> None:
    size = 24 * MIB
    sent = [0]
    stuck = threading.Event()

    def pour(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        exchange.connection.sock.settimeout(0.5)
        block = bytes(MIB)
        left = memoryview(block)
        while sent[0] < size:
            try:
                n = exchange.connection.sock.send(left)
            except TimeoutError:
                stuck.set()
                continue
            sent[0] += n
            left = left[n:] or memoryview(block)
        exchange.connection.sock.settimeout(10)

    backend.on("/pour", pour)
    worker, = proxy.workers()
    before = memory_kib(worker)
    with TlsClient(proxy.address, careless()) as client:
        client.send(request_bytes("GET", "/pour"))
        assert stuck.wait(20)
        assert sent[0] < size       # back-pressure reached the server: this is no slow reader else
        assert memory_kib(worker) - before < 2048
        left, got = memoryview(bytearray(MIB)), 0
        while got < size and (n := client.sock.recv_into(left)):
            got += n
        assert got >= size


def test_resumption_across_workers(backend: Backend, pair: Pair) -> None:
    context = context_for(ssl.TLSVersion.TLSv1_2)       # Python shows a 1.2 session at once
    with Proxy(site(backend, pair.config(), free_address(), workers=2)) as proxy:
        first = TlsClient(proxy.address, context)
        session = first.tls.session
        first.ask("GET", "/version")
        clients = [TlsClient(proxy.address, context, session=session) for _ in range(12)]
        shares = {len(_established(pid)) for pid in proxy.workers()}
        try:
            # Among so many connections held open, each worker has its share.
            assert min(shares) > 0
            assert all(client.tls.session_reused for client in clients)
        finally:
            for client in (first, *clients):
                client.close()
        new = context_for(ssl.TLSVersion.TLSv1_3)
        with TlsClient(proxy.address, new) as client:
            client.ask("GET", "/version")       # its tickets came before the answer
            ticket = client.tls.session
        for _ in range(8):
            with TlsClient(proxy.address, new, session=ticket) as client:
                assert client.tls.session_reused
                assert client.ask("GET", "/version").status == 200
                ticket = client.tls.session


def _established(pid: int) -> list[str]:
    """The TCP sockets a process holds, listening ones left out."""
    held = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == "01" and f"socket:[{row[9]}]" in held]


def test_minimum_1_3(backend: Backend, pair: Pair) -> None:
    with Proxy(site(backend, pair.config(minimum="1.3"), free_address())) as proxy:
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            TlsClient(proxy.address, context_for(ssl.TLSVersion.TLSv1_2))
        with TlsClient(proxy.address, careless()) as client:
            assert client.ask("GET", "/version").status == 200


def test_who_stalls_in_the_handshake_is_closed_at_the_deadline(backend: Backend, pair: Pair) -> None:
    with Proxy(site(backend, pair.config(), free_address(), timeouts={"head": "2s", "idle": "60s"})) as proxy:
        with Client(proxy.address) as silent, ByHand(proxy.address, careless()) as halfway:
            halfway.deliver(halfway.hello()[:40])
            assert silent.rest() == b""
            assert halfway.client.rest() == b""
        with ByHand(proxy.address, careless()) as late:     # the handshake is done; the head is not there in time
            late.shake()
            assert late.read() == b""       # a close_notify, though
        with TlsClient(proxy.address, careless()) as client:
            assert client.ask("GET", "/version").status == 200
        wait_for(lambda: proxy.connections() == 0, "every connection to be gone")


def test_connections_per_ip_are_counted_before_a_handshake(backend: Backend, pair: Pair) -> None:
    with Proxy(site(backend, pair.config(), free_address(), limits={"connections_per_ip": 2})) as proxy:
        with TlsClient(proxy.address, careless()) as one, TlsClient(proxy.address, careless()) as two:
            with pytest.raises(OSError, match=r"EOF|reset"):
                TlsClient(proxy.address, careless())
            assert one.ask("GET", "/version").status == two.ask("GET", "/version").status == 200
        wait_for(lambda: proxy.connections() == 0, "the two to be gone")
        with TlsClient(proxy.address, careless()) as three:
            assert three.ask("GET", "/version").status == 200
        assert proxy.metric("hotpath_proxy_rejected_total", reason="connections") == 1


class Load:
    """Clients that ask without pause through TLS, and note what went wrong and whom they saw."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.done = 0
        self.failures: list[str] = []
        self.shown: set[bytes] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with TlsClient(self.address, careless()) as client:
                    self.shown.add(client.tls.getpeercert(binary_form=True) or b"")
                    heard_s = time.monotonic()
                    for _ in range(5):
                        if time.monotonic() - heard_s > 1 and select.select([client.sock], [], [], 0)[0]:
                            break       # we were silent for as long as a drain waits, and let go
                        answer = client.ask("GET", "/load")
                        heard_s = time.monotonic()
                        if answer.status != 200:
                            self.failures.append(f"status {answer.status}")
                        self.done += 1
                        if answer.says_close:
                            break
            except (CutShort, OSError) as error:
                self.failures.append(repr(error))

    def wait_more(self, n: int) -> None:
        goal = self.done + n
        wait_for(lambda: self.done >= goal, f"{n} more requests")


def test_a_reload_shows_the_new_certificate_and_fails_no_request(backend: Backend, folder: Path, pair: Pair) -> None:
    shown, new = folder / "shown", make_pair(folder, "new.example")
    shown.mkdir()
    live = Pair(shown / "crt", shown / "key")
    for old, file in ((pair.certificate, live.certificate), (pair.key, live.key)):
        file.write_bytes(old.read_bytes())
    config = site(backend, live.config(), free_address(), timeouts={"drain": "20s"}, workers=2)
    with Proxy(config) as proxy, Load(proxy.address) as load:
        load.wait_more(20)
        kept = TlsClient(proxy.address, careless())
        kept.ask("GET", "/version")
        # A certificate that does not fit its key changes nothing.
        live.certificate.write_bytes(new.certificate.read_bytes())
        proxy.send_signal(signal.SIGHUP)
        line = proxy.stderr.wait_for("is not the key of")
        assert re.search(r"proxy\.yaml:\d+: listen\[0\]\.tls\.key: ", line)
        load.wait_more(10)
        assert load.shown == {ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())}
        live.key.write_bytes(new.key.read_bytes())
        proxy.begin_reload()
        # Whoever was idle is told, through the old session.
        while not (answer := kept.ask("GET", "/version")).says_close:
            assert answer.status == 200
        assert answer.status == 200
        assert kept.rest() == b""
        kept.close()
        wait_for(lambda: len(load.shown) == 2, "the new certificate")
        load.wait_more(20)
        wait_for(lambda: len(proxy.workers()) == 2, "the old workers to leave")
    assert load.failures == []
    assert load.shown == {ssl.PEM_cert_to_DER_cert(p.certificate.read_text()) for p in (pair, new)}


def test_a_worker_killed_is_replaced(backend: Backend, pair: Pair) -> None:
    with Proxy(site(backend, pair.config(), free_address())) as proxy:
        worker, = proxy.workers()
        with TlsClient(proxy.address, careless()) as client:
            client.ask("GET", "/version")
            os.kill(worker, signal.SIGKILL)
            with suppress(ssl.SSLError):
                assert client.rest() == b""
        wait_for(lambda: proxy.workers() not in ([], [worker]), "a new worker")
        with TlsClient(proxy.address, careless()) as client:
            assert client.ask("GET", "/version").status == 200


def test_draining_finishes_what_is_under_way(backend: Backend, pair: Pair) -> None:
    gate = Gate(b"finished")
    backend.on("/tls/under/way", gate)
    with Proxy(site(backend, pair.config(), free_address(), timeouts={"drain": "20s"})) as proxy:
        with TlsClient(proxy.address, careless()) as client, TlsClient(proxy.address, careless()) as idle:
            client.send(request_bytes("GET", "/tls/under/way"))
            backend.wait_seen("/tls/under/way")
            proxy.send_signal(signal.SIGTERM)
            wait_for(lambda: idle.ask("GET", "/version").says_close, "the goodbye")
            assert idle.rest() == b""
            gate.open()
            answer = client.answer()
            assert (answer.body, answer.says_close) == (b"finished", True)
            assert client.rest() == b""
        assert proxy.process.wait(10) == 0


def test_resets_leave_nothing_behind(proxy: Proxy) -> None:
    wait_for(lambda: proxy.connections() == 0, "other tests' connections to be gone")
    for n in range(30):
        hand = ByHand(proxy.address, careless())
        hand.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        if n % 3 == 0:
            hand.deliver(hand.hello())
        else:
            hand.shake()
            hand.deliver(hand.sealed(request_bytes("GET", "/version"))[:n * 5 or None])
        hand.client.close()
    wait_for(lambda: proxy.connections() == 0, "every connection to be gone")
    with TlsClient(proxy.address, careless()) as client:
        assert client.ask("GET", "/version").status == 200
