"""The admin address under pressure: answers that a stranger's request cannot disturb."""
from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotpath.proxy.warden import MAX_CLIENTS
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy, free_address
from tests.waiting import wait_for

ROUTES = [{"match": {"prefix": "/"}, "respond": {"status": 200}}]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy({"routes": ROUTES}) as proxy:
        yield proxy


def guarded(folder: Path, **more: Any) -> Proxy:
    """A proxy whose admin API asks for the token `s3cret`."""
    token = folder / "token"
    token.write_text("s3cret\n")
    return Proxy({"admin": {"address": free_address(), "token_file": str(token)}, "routes": ROUTES, **more})


@pytest.mark.parametrize(("raw", "status"), [
    (b"GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405),
    (b"PURGE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 501),
    (b"GET /metrics HTTP/9.1\r\nHost: localhost\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"nonsense\r\n\r\n", 400),
], ids=["404", "405", "501", "505", "431", "414", "400"])
def test_every_refusal_is_a_problem(proxy: Proxy, raw: bytes, status: int) -> None:
    with Client(proxy.admin) as client:
        client.send(raw)
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert json.loads(body)["status"] == status
    assert b"Python" not in head


def test_a_head_has_no_body_and_the_connection_goes_on(proxy: Proxy) -> None:
    with Client(proxy.admin) as client:
        assert client.ask("HEAD", "/metrics").body == b""
        assert client.ask("GET", "/healthz?x=y").json() == {"status": "ok"}


def test_the_body_of_a_request_is_never_taken_for_a_request(proxy: Proxy) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Client(proxy.admin) as client:
        client.send(request_bytes("POST", "/metrics", [("Connection", "close")], smuggled))
        assert client.rest().count(b"HTTP/1.1 ") == 1


def test_a_token_is_asked_for_whatever_is_asked(tmp_path: Path) -> None:
    with guarded(tmp_path) as proxy:
        address = proxy.config["admin"]["address"]
        wrong = ("", "Bearer", "Bearer s3cre", "Bearer s3cret s3cret", "Basic s3cret", "s3cret", "Bearer \xff")
        for given in wrong:
            fields = [("Authorization", given)] if given else []
            for method, path in (("GET", "/healthz"), ("GET", "/none"), ("PUT", "/metrics"), ("POST", "/v1/reload")):
                answer = fetch(address, path, method, fields=fields)
                assert (answer.status, (answer.value("www-authenticate") or "")[:6]) == (401, "Bearer")
        # RFC 9110 11.1: the scheme has no case.
        for scheme in ("Bearer", "bearer"):
            assert fetch(address, "/healthz", fields=[("Authorization", f"{scheme} s3cret")]).status == 200


def test_a_page_of_somebody_else_may_change_nothing(proxy: Proxy) -> None:
    fields = [("Origin", "http://evil.example"), ("Host", "evil.example")]
    assert fetch(proxy.admin, "/v1/reload", "POST", fields=fields).status == 403


def test_those_beyond_the_limit_wait_and_the_others_are_served(proxy: Proxy) -> None:
    clients = [Client(proxy.admin) for _ in range(MAX_CLIENTS)]
    for client in clients:
        assert client.ask("GET", "/healthz").status == 200
    with Client(proxy.admin) as extra:
        extra.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert clients[0].ask("GET", "/healthz").status == 200
        for client in clients:
            client.close()
        assert extra.answer().status == 200


def test_a_killed_warden_is_replaced(proxy: Proxy) -> None:
    (warden,) = set(proxy.children()) - set(proxy.workers())
    os.kill(warden, signal.SIGKILL)
    wait_for(lambda: set(proxy.children()) - set(proxy.workers()) - {warden}, "another warden")
    assert fetch(proxy.admin, "/healthz").status == 200

