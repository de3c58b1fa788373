"""Damaged streams: what arrives is what a grammar says, nothing behind a fault does, and no answer is another's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.backends import Backend, Exchange
from tests.clients import Answer, Client, CutShort, request_bytes
from tests.proxies import Proxy
from tests.proxy.exam import Desk, desk
from tests.proxy.exam_answers import BROKEN_BODIES, EVIL, GOOD, TALKATIVE
from tests.proxy.exam_grammar import Request, by_grammar
from tests.proxy.test_exam import CASES

# A cut stream must not wait long for bytes that never come; nor must a client be cut that stood still for a moment.
HASTE = {"head": "2s", "body": "2s", "idle": "2s"}
# A server's silence is told as such (502, 504, a cut), whenever it is noticed.
SILENCE = {"response": "300ms", "read": "300ms"}
FIGURES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# Seeds of every kind; not what a route, not the wire, decides (CONNECT, TRACE, an expectation, an IPv6 host).
SEEDS = [
    case.data
    for _, case in CASES
    if len(case.data) < 400 and not any(word in case.data for word in (b"CONNECT", b"TRACE", b"xpect", b"["))
]
PIECES = [
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b":", b": ", b"0", b"5", b"a", b"\0", b"\x0b", b"\x7f", b"\x80"),
    *(
        b"%",
        b"%00",
        b"%2e",
        b"/",
        b"/../",
        b"//",
        b"?",
        b"#",
        b"\\",
        b";",
        b";a=b",
        b'"',
        b",",
        b"+",
        b"-",
        b"_",
        b"chunked",
    ),
    *(
        b"identity",
        b" HTTP/1.1",
        b"Host: exam\r\n",
        b"Host: other\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X: y\r\n", b" folded\r\n", b"0\r\n\r\n"),
    *(b"5\r\nhello\r\n", b"GET /smuggled HTTP/1.1\r\n"),
]
edit = st.tuples(st.integers(0, 4000), st.integers(0, 12), st.sampled_from(PIECES))
streams = st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4)
# Whatever it still waited for, after this it has either got it or been given cause to refuse.
POISON = b"\r\n\r\n" + b"\0\r\n\r\n" * 4


def damaged(parts: list[bytes], edits: list[tuple[int, int, bytes]]) -> bytes:
    data = b"".join(parts)
    for place, drop, piece in edits:
        place %= len(data) + 1
        data = data[:place] + piece + data[place + drop :]
    return data


def in_pieces(client: Client, data: bytes, cuts: list[int]) -> None:
    for start, stop in pairwise(sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})):
        client.send(data[start:stop])


def by_grammar_all(data: bytes) -> list[Request]:
    """The requests that must arrive of a stream: all before the first fault, the first cut, the first goodbye."""
    found: list[Request] = []
    while (request := by_grammar(data)) is not None and request.complete:
        found.append(request)
        data = data[request.size :]
        if request.is_last:
            break
    return found


def refusal_of(client: Client) -> Iterator[int]:
    """The status of the refusal, if there is one; that of a HEAD has no body, as much as it speaks of one."""
    try:
        yield client.answer().status
    except CutShort as cut:
        if cut.answer is not None and not cut.answer.body:
            yield cut.answer.status


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("property"), {"timeouts": HASTE}) as table:
        yield table


@settings(FIGURES)
@given(parts=streams, edits=st.lists(edit, max_size=3), cuts=st.lists(st.integers(0, 4000), max_size=4))
@example(parts=[b"GET http://exam/% HTTP/1.1\r\nHost: exam\r\n\r\n"], edits=[], cuts=[])
@example(parts=[b"GET /a%2e%2D%7e%7E%5f%41%7a%30%2f%c3%5B?%41 HTTP/1.1\r\nHost: exam\r\n\r\n"], edits=[], cuts=[])
def test_what_arrives_is_what_a_grammar_reads(
    table: Desk, parts: list[bytes], edits: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = damaged(parts, edits) + POISON
    expected = by_grammar_all(data)
    before = table.backend.n_seen
    with Client(table.proxy.address) as client:
        in_pieces(client, data, cuts)
        statuses = [client.answer(request.method).status for request in expected]
        refusals = list(refusal_of(client))
        assert client.rest() == b""
    assert statuses == [200] * len(expected)
    table.answered += len(expected)
    assert table.settle(before) == [(request.method, request.target, request.body) for request in expected]
    if expected and expected[-1].is_last:
        assert refusals == []
    else:
        assert refusals
        assert set(refusals) <= {400, 408, 413, 414, 417, 431, 501, 505}


def test_the_books_balance(table: Desk) -> None:
    table.balance()


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Proxy, Backend]]:
    with Backend() as backend:
        upstream = {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}
        config = {
            "timeouts": SILENCE,
            "upstreams": {"b": upstream},
            "routes": [
                {"match": {"prefix": "/"}, "upstream": "b"},
                {"match": {"prefix": "/talk"}, "upstream": "b", "timeouts": {"response": "60s", "read": "60s"}},
            ],
        }
        with Proxy(config) as proxy:
            yield proxy, backend


def read_by_h11(data: bytes, method: str, closed: bool) -> tuple[int, bytes] | None:
    """The first final answer in a server's bytes, by a parser more lenient than ours; None: no whole one."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    reader.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        reader.receive_data(data)
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                if not closed:
                    return None
                closed = False
                reader.receive_data(b"")
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


ANSWERS = [told.data for told in (*GOOD, *TALKATIVE, *BROKEN_BODIES) if len(told.data) < 400]
ANSWER_PIECES = [
    *PIECES,
    EVIL,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 S\r\n",
    b"HTTP/1.0",
]
answer_edit = st.tuples(st.integers(0, 2000), st.integers(0, 12), st.sampled_from(ANSWER_PIECES))


@settings(FIGURES)
@given(
    parts=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=2),
    edits=st.lists(answer_edit, max_size=3),
    cuts=st.lists(st.integers(0, 2000), max_size=3),
    method=st.sampled_from(["GET", "HEAD"]),
    closes=st.booleans(),
)
def test_an_answer_is_the_servers_or_says_that_it_is_none(
    site: tuple[Proxy, Backend],
    parts: list[bytes],
    edits: list[tuple[int, int, bytes]],
    cuts: list[int],
    method: str,
    closes: bool,
) -> None:
    proxy, backend = site
    data = damaged(parts, edits)

    def script(exchange: Exchange) -> None:
        exchange.body()
        for start, stop in pairwise(sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})):
            exchange.send(data[start:stop])
        if closes:
            exchange.close()
        else:
            exchange.await_close()  # nobody else may be lent a connection that says who knows what

    backend.on("/told", script)
    answer: Answer | None
    with Client(proxy.address) as client:
        client.send(request_bytes(method, "/told", [("Connection", "close")]))
        try:
            answer = client.answer(method)
        except CutShort as cut:
            answer = cut.answer
            assert answer is not None, "neither an answer nor the beginning of one"
            return
        assert client.rest() == b""
    if answer.value("content-type") == "application/problem+json":
        assert answer.status in (502, 504)
    else:
        # A proxy takes the blank before a colon out of an answer (RFC 9112 section 5.1), which h11 does not.
        tidied = re.sub(rb"(?m)^([!-9;-~]+)[ \t]+:", rb"\1:", data)
        assert (answer.status, answer.body) in [read_by_h11(said, method, closes) for said in (data, tidied)]


def test_answers_never_change_places(site: tuple[Proxy, Backend]) -> None:
    """One client after the other on kept connections to servers that say too much: each gets its own."""
    proxy, backend = site

    def script(exchange: Exchange) -> None:
        exchange.body()
        name = exchange.target.encode()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name) + EVIL)

    for n in range(40):
        backend.on(f"/talk/{n}", script)
    with Client(proxy.address) as client:
        for n in range(40):
            client.send(request_bytes("GET", f"/talk/{n}"))
            assert client.answer().body == f"/talk/{n}".encode()
