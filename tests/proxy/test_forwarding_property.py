"""What we say we forwarded is what an independent parser finds in the bytes the backend received."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends import Backend
from tests.clients import Client, CutShort, chunked, request_bytes
from tests.proxies import Proxy

TOKEN = "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Asked:
    """A well-formed request, as a client may spell it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes
    pieces: list[bytes] | None  # of a chunked body

    def wire(self) -> bytes:
        """Its bytes."""
        if self.pieces is not None:
            chunks = chunked(*[piece for piece in self.pieces if piece])
            return request_bytes(self.method, self.target, [*self.fields, ("Transfer-Encoding", "chunked")], chunks)
        return request_bytes(self.method, self.target, self.fields, self.body or None)


# Hypothesis also draws words of our sources: the fields that a proxy answers for are not for a client to choose.
names = st.text(TOKEN, min_size=1, max_size=20).map("x-{}".format).filter(lambda name: "forwarded" not in name.lower())
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, blacklist_characters="\x7f") | st.just("\t"), max_size=40
).map(lambda value: value.strip(" \t"))
segments = st.text("abcXYZ019-._~!$&'()*+,;=:@", min_size=1, max_size=8).filter(lambda segment: set(segment) != {"."})
escapes = st.sampled_from(["%20", "%2F", "%C3%A9", "%25", "%3F"])
paths = st.lists(st.one_of(segments, escapes), max_size=5).map(lambda parts: "/p/" + "/".join(parts))
queries = st.one_of(st.just(""), st.text("abc019=&%+/?:@-._~", max_size=20).map(lambda query: "?" + query))
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "M-SEARCH"])

requests = st.builds(
    Asked,
    method=methods,
    target=st.builds(str.__add__, paths, queries),
    fields=st.lists(st.tuples(names, values), max_size=8),
    body=st.binary(max_size=200),
    pieces=st.none() | st.lists(st.binary(min_size=1, max_size=50), max_size=5),
)


@contextmanager
def running(timeouts: dict[str, str]) -> Iterator[tuple[Proxy, Backend]]:
    with Backend() as backend:
        config = {
            "timeouts": timeouts,
            "upstreams": {"b": {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}},
            "routes": [{"match": {"prefix": "/"}, "upstream": "b"}],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Proxy, Backend]]:
    with running({}) as site:
        yield site


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[Proxy, Backend]]:
    # A cut stream must not wait long for bytes that never come.
    with running({"head": "200ms", "body": "200ms", "idle": "200ms"}) as site:
        yield site


slow_machines = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow_machines
@given(asked=st.lists(requests, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 2000), max_size=6))
def test_well_formed_requests_arrive_as_they_were_sent(
    site: tuple[Proxy, Backend], asked: list[Asked], cuts: list[int]
) -> None:
    proxy, backend = site
    before = backend.n_seen
    stream = b"".join(request.wire() for request in asked)
    with Client(proxy.address) as client:
        edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
        for start, stop in pairwise(edges):
            client.send(stream[start:stop])
        seen = [client.answer(request.method).json() for request in asked]
    for request, got in zip(asked, seen, strict=True):
        body = b"".join(request.pieces) if request.pieces is not None else request.body
        assert got["method"] == request.method
        assert got["target"] == request.target
        assert got["body"].encode("latin-1") == body
        # Ours are added around them; theirs keep order, spelling and bytes.
        sent = [[name, value] for name, value in request.fields]
        assert [field for field in got["fields"] if field[0].startswith("x-")] == sent
    assert backend.n_seen - before == len(asked)


def all_statuses(client: Client) -> Iterator[int]:
    """The status of every answer until the proxy closes between two of them."""
    try:
        while True:
            yield client.answer().status
    except CutShort as cut:
        if cut.answer is not None:
            raise


junk = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\r\n ", b"\x00", b"\xff", b" ", b"\t", *map(bytes, zip(b":;,0a%#\\"))]
)
mutations = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 3), junk), min_size=1, max_size=3)


@settings(slow_machines, max_examples=60)  # each waits for the proxy's deadlines
@given(asked=st.lists(requests, min_size=1, max_size=3), mutations=mutations)
def test_damaged_requests_arrive_whole_or_not_at_all(
    hasty: tuple[Proxy, Backend], asked: list[Asked], mutations: list[tuple[int, int, bytes]]
) -> None:
    """As many 200 as complete requests at the backend, and never a byte there that h11 refuses."""
    proxy, backend = hasty
    stream = b"".join(request.wire() for request in asked)
    for place, drop, insert in mutations:
        place %= len(stream)
        stream = stream[:place] + insert + stream[place + drop :]
    before = backend.n_seen
    with Client(proxy.address) as client:
        client.send(stream)
        statuses = list(all_statuses(client))
    assert set(statuses) <= {200, 400, 408, 413, 414, 417, 431, 501, 505}
    assert statuses.count(200) == sum(exchange.complete for exchange in backend.seen_since(before))
    assert not backend.faults
