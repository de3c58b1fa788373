from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.core.serve import sockets
from tests.wsclient import Client, handshake


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(sockets.make()) as running:
        yield running


def opened(served: Served, target: str, *fields: tuple[str, str]) -> tuple[int, bytes]:
    """The status, and what the handler sent."""
    with Client(served.address) as client:
        client.send(handshake(target, *fields, host="site.example"))
        head = client.read_head()
        return head.status, client.read().payload if head.status == 101 else b""


@pytest.mark.parametrize(("origin", "status"), [
    ("https://friend.example", 101), ("HTTPS://FRIEND.example", 101), ("https://site.example", 101),
    ("http://site.example", 101), ("http://friend.example", 403), ("https://friend.example:444", 403),
    ("https://friend.example.evil", 403), ("null", 403), ("", 403), ("site.example", 403), ("file://", 403),
    ("ftp://site.example", 403)])
def test_a_page_must_be_of_an_origin_that_may(served: Served, origin: str, status: int):
    assert opened(served, "/guarded?name=me", ("Origin", origin))[0] == status


@pytest.mark.parametrize("origin", ["null", "https://anybody.example"])
def test_a_star_lets_any_page_in(served: Served, origin: str):
    assert opened(served, "/anywhere", ("Origin", origin)) == (101, b"welcome")


def test_who_sends_no_origin_is_no_browser(served: Served):
    assert opened(served, "/anywhere") == (101, b"welcome")


@pytest.mark.parametrize(("name", "status", "said"), [
    ("?name=me", 101, b"me"), ("?name=nobody", 401, b""), ("?name=", 403, b""), ("", 403, b"")])
def test_authorize_may_wait_and_its_verdict_counts(served: Served, name: str, status: int, said: bytes):
    assert opened(served, f"/guarded{name}") == (status, said)
