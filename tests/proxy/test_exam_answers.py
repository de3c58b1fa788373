"""Whatever a server answers, its client gets that answer, a 502 or a connection cut: never a byte of anything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.backends import Backend, Exchange
from tests.clients import Answer, Client, CutShort, request_bytes
from tests.proxies import Proxy
from tests.proxy.exam_answers import BAD_HEADS, BROKEN_BODIES, GOOD, TALKATIVE, Told

Site = tuple[Proxy, Backend]
Way = Callable[[Exchange, bytes], None]
CLOSE = [("Connection", "close")]


def cases(of: list[Told], most: int = 1 << 20) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("told", [pytest.param(told, id=told.name) for told in of if len(told.data) <= most])


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Backend() as backend:
        upstream = {"servers": [backend.address], "passive": {"failures": 0}, "retry": {"attempts": 0}}
        config = {"upstreams": {"b": upstream}, "routes": [{"match": {"prefix": "/"}, "upstream": "b"}]}
        with Proxy(config) as proxy:
            yield proxy, backend


def whole(exchange: Exchange, data: bytes) -> None:
    exchange.send(data)


def tell(site: Site, told: Told, way: Way = whole) -> Exchange:
    """Let the backend answer so, and hold the client's view against the table; the exchange at the backend."""
    proxy, backend = site

    def script(exchange: Exchange) -> None:
        exchange.body()
        way(exchange, told.data)
        if told.closes:
            exchange.close()

    backend.on("/told", script)
    with Client(proxy.address) as client:
        client.send(request_bytes(told.method, "/told"))
        try:
            answer = client.answer(told.method)
        except CutShort as short:
            cut = short
        else:
            cut = None
            judge(told, answer)
            # The same client connection goes on, and gets its own answer.
            if not answer.says_close:
                client.send(request_bytes("GET", "/after", CLOSE))
                after = client.answer()
                assert (after.status, after.json()["target"]) == (200, "/after")
        assert client.rest() == b""
    assert cut is None or (told.cut_behind and (cut.answer is None or cut.answer.status == told.status)), cut
    return backend.seen("/told")[-1]


def judge(told: Told, answer: Answer) -> None:
    """A complete answer is the server's, or says that the server's was none."""
    assert answer.status == (502 if told.cut_behind else told.status), answer
    if answer.status != 502:
        assert answer.body == told.body
        assert tuple(status for status, _ in answer.interim) == told.interim
    assert b"evil" not in answer.body.lower() or told.body
    assert all("evil" not in value for _, value in answer.fields)


def test_every_case_has_a_name_of_its_own() -> None:
    for of in (BAD_HEADS, BROKEN_BODIES, GOOD, TALKATIVE):
        assert len({told.name for told in of}) == len(of)


@cases(BAD_HEADS)
def test_a_bad_head_is_a_502(site: Site, told: Told) -> None:
    tell(site, told)


@cases(BROKEN_BODIES)
def test_a_broken_body_never_looks_complete(site: Site, told: Told) -> None:
    tell(site, told)


@cases(BROKEN_BODIES)
def test_a_body_that_breaks_later_never_looks_complete(site: Site, told: Told) -> None:
    """The head is with the client before the fault comes: only breaking off is honest then."""
    proxy, backend = site
    begun = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(told.data[: told.cut_behind])
        assert begun.wait(5)
        exchange.send(told.data[told.cut_behind :])
        exchange.close()

    backend.on("/later", script)
    with Client(proxy.address) as client:
        client.send(request_bytes("GET", "/later"))
        raw = client.exactly(9)
        begun.set()
        raw += client.rest()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert not body.endswith(b"0\r\n\r\n")
    assert b"evil" not in body.lower()


@cases(GOOD)
def test_a_good_answer_is_delivered(site: Site, told: Told) -> None:
    exchange = tell(site, told)
    if told.keeps:
        assert exchange.connection is site[1].seen("/after")[-1].connection


@cases(TALKATIVE)
def test_what_is_behind_the_end_is_never_delivered(site: Site, told: Told) -> None:
    exchange = tell(site, told)
    assert exchange.connection.ended.wait(5), "a connection that said too much was kept"
    assert exchange.connection.exchanges[-1] is exchange


# Not the talkative: their connection may have been lent again before the rest comes.
@cases([*BAD_HEADS, *BROKEN_BODIES, *GOOD], 400)
def test_it_makes_no_difference_how_an_answer_arrives(site: Site, told: Told) -> None:
    size = len(told.data)
    head = told.data.find(b"\r\n\r\n") + 4

    def in_two(cut: int) -> Way:
        def way(exchange: Exchange, data: bytes) -> None:
            exchange.send(data[:cut])
            exchange.send(data[cut:])

        return way

    for cut in sorted({1, size // 2, head - 1, head, head + 1, size - 1} & set(range(1, size))):
        tell(site, told, in_two(cut))
    tell(site, told, Exchange.drip)
