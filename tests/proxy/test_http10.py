"""HTTP/1.0 clients are served in their own language: plain bodies, and keep-alive only when they ask."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.backends import Backend, saying
from tests.clients import Client, chunked, request_bytes
from tests.proxies import Proxy

Site = tuple[Proxy, Backend]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        config = {
            "workers": 2,
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/canned"}, "respond": {"body": "canned"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@pytest.mark.parametrize("target", ["/x", "/canned"])
def test_a_connection_ends_with_its_answer(site: Site, target: str) -> None:
    with Client(site[0].address) as client:
        assert client.ask("GET", target, version="1.0").status == 200
        assert client.rest() == b""


@pytest.mark.parametrize("target", ["/x", "/canned"])
def test_a_connection_is_kept_when_asked_and_said_so(site: Site, target: str) -> None:
    with Client(site[0].address) as client:
        for _ in range(3):
            client.send(request_bytes("GET", target, [("Connection", "Keep-Alive")], version="1.0"))
            answer = client.answer()
            assert answer.status == 200
            assert (answer.value("connection") or "").lower() == "keep-alive"
            assert answer.value("content-length") is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one ", b"two"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none two",
    ],
    ids=["chunked", "until close"],
)
@pytest.mark.parametrize("keep", [False, True])
def test_a_body_without_length_is_plain_and_ends_by_close(site: Site, raw: bytes, keep: bool) -> None:
    proxy, backend = site
    backend.on("/open", saying(raw, then_close=b"close" in raw))
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/open", [("Connection", "keep-alive")] if keep else [], version="1.0"))
        head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"keep-alive" not in head.lower()
    assert body == b"one two"


def test_the_backend_is_asked_in_1_1(site: Site) -> None:
    proxy, backend = site
    with Client(proxy.address) as client:
        client.ask("GET", "/asked", version="1.0")
    (exchange,) = backend.seen("/asked")
    assert exchange.version == "1.1"
    assert exchange.values("host") == ["localhost"]


def test_a_body_with_a_length_goes_up(site: Site) -> None:
    with Client(site[0].address) as client:
        assert client.ask("POST", "/up", body=b"body", version="1.0").json()["body"] == "body"


@pytest.mark.parametrize("keep", ["-k", None])
def test_ab_is_served(site: Site, keep: str | None) -> None:
    ab = shutil.which("ab")
    if ab is None:
        pytest.skip("ab (apache2-utils) is missing")
    command = [ab, "-q", "-n", "400", "-c", "8", *([keep] if keep else []), f"http://{site[0].address}/canned"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    counts = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert counts["Complete requests"].strip() == "400"
    assert counts["Failed requests"].strip() == "0"
    assert "Non-2xx responses" not in counts
    if keep:
        assert int(counts["Keep-Alive requests"]) >= 390
