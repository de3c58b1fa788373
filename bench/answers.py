"""Do the proxies do the work that is to be timed?"""
from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from pathlib import Path

from .processes import Server
from .rivals import BODIES, HOST, PLAIN, Wiring, WrongAnswer


def connect(port: int, trusted: Path | None) -> http.client.HTTPConnection:
    """A connection to the proxy on `port`, over TLS when there is a certificate to trust."""
    if trusted is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    context = ssl.create_default_context(cafile=str(trusted))
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)


def get(port: int, path: str, *, host: str = HOST, trusted: Path | None = None) -> tuple[int, bytes]:
    """Status and body of one GET on a connection of its own."""
    with closing(connect(port, trusted)) as connection:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()


def check(server: Server, bodies: list[str], wiring: Wiring = PLAIN, *, trusted: Path | None = None) -> None:
    """Raise WrongAnswer unless it answers, routes, balances, forwards and treats connections as `wiring` says.

    `trusted`: the certificate that a proxy with TLS must show.
    """
    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise WrongAnswer(f"{server.name}: {what}: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")

    for name in bodies:
        status, body = get(server.port, f"/api/{name}", trusted=trusted)
        expect(f"status of {name}", status, 200)
        if body != BODIES[name]:
            raise WrongAnswer(f"{server.name}: body of {name} differs, {len(body)} bytes")
    expect("status for a foreign host", get(server.port, "/api/64", host="other.test", trusted=trusted)[0], 404)
    expect("status for a foreign path", get(server.port, "/other", trusted=trusted)[0], 404)
    seen = [get(server.port, "/api/who", trusted=trusted) for _ in range(64)]
    expect("status of who", {status for status, _ in seen}, {200})
    servers, counts, forwarded, via = zip(*(body.decode().split(maxsplit=3) for _, body in seen), strict=True)
    expect("servers used", len(set(servers)), 2)
    expect("unix sockets", {name.startswith("unix:") for name in servers}, {wiring.unix})
    expect("balance", abs(servers.count(servers[0]) - 32) <= 2, True)
    expect("requests on one upstream connection > 1", max(map(int, counts)) > 1, wiring.keeps)
    expect("X-Forwarded-For", set(forwarded), {"127.0.0.1"})
    expect("Via", all(field.startswith("1.1 ") for field in via), True)
    if trusted is not None:
        with closing(connect(server.port, trusted)) as connection:
            connection.connect()
            assert isinstance(connection.sock, ssl.SSLSocket)
            expect("cipher", connection.sock.cipher(), ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256))
