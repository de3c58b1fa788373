"""Every byte at every place, every case cut at every byte: the verdict is that of a grammar written a second time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.core.wire.probe import Body, Broken, parse_request, parse_response
from tests.proxy.exam import Desk, desk
from tests.proxy.exam_answers import BAD_HEADS, BROKEN_BODIES, GOOD, TALKATIVE, Told
from tests.proxy.exam_cases import END, bad, good, post
from tests.proxy.exam_grammar import by_grammar
from tests.proxy.test_exam import CASES


def by_parser(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[bytes, int] | str | None:
    """The same by the kernels, given the pieces between `cuts`; a str: it waits for more."""
    head, seen = None, 0
    for size in (*cuts, len(data)):
        head = parse_request(data[:size], seen=seen)
        if head is not None:
            break
        seen = size
    if head is None:
        return "waits in the head"
    if isinstance(head, Broken):
        return None
    body = Body(head.framing, length=max(head.content_length, 0))
    at, payload = head.consumed, b""
    for size in (*(cut for cut in cuts if cut > at), len(data)):
        taken, piece = body.feed(data[at:size])
        at += taken
        payload += piece
        if body.error or body.done:
            break
    if body.error:
        return None
    return (payload, at) if body.done else "waits in the body"


TEMPLATES = [
    b"GET /a%20b/c?d=%e HTTP/1.1\r\nHost: exam:80\r\nX-Name: some value\r\n\r\n",
    b"GET http://exam/a?b HTTP/1.1\r\nHost: exam\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: exam\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.0\r\nHost: exam\r\nContent-Length: 05\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: exam\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;a=b;c="d\\"e";f\r\nhello\r\n1\r\nx\r\n0;z\r\nX-Tr: ai\r\nler:\r\n\r\n',
]
# So that what waits for more finds it, whatever length a changed digit announces.
FILL = b"\r\n\r\n" + b"0\r\n\r\n" * 400


@pytest.mark.parametrize("template", TEMPLATES, ids=range(len(TEMPLATES)))
@pytest.mark.parametrize("inserts", [False, True], ids=["replaced", "inserted"])
def test_every_byte_at_every_place(template: bytes, inserts: bool) -> None:
    for place in range(len(template)):
        for byte in range(256):
            data = template[:place] + bytes([byte]) + template[place + (not inserts) :] + FILL
            request = by_grammar(data)
            expected = None if request is None else (request.body, request.size)
            got = by_parser(data)
            assert got == expected or (isinstance(got, str) and expected is None and byte != 10), (data, expected, got)


def test_the_grammar_knows_good_from_bad() -> None:
    """Else agreeing with it would prove little."""
    assert [by_grammar(template) is not None for template in TEMPLATES] == [True] * len(TEMPLATES)
    refused = [case for _, case in CASES if case.refused and not case.arrive and by_grammar(case.data + FILL) is None]
    assert len(refused) > 300


@pytest.mark.parametrize("name", [name for name, case in CASES if len(case.data) < 1500])
def test_a_request_cut_anywhere_is_the_same_request(name: str) -> None:
    data = dict(CASES)[name].data
    whole = by_parser(data)
    for cut in range(1, len(data)):
        assert by_parser(data, (cut,)) == whole, cut
    assert by_parser(data, tuple(range(1, len(data)))) == whole


def answer_by_parser(data: bytes, method: bytes, cuts: tuple[int, ...]) -> object:
    """What the kernels make of an answer: refused, waiting, or how far it goes and what is in it."""
    head, seen = None, 0
    for size in (*cuts, len(data)):
        head = parse_response(data[:size], method=method, seen=seen)
        if head is not None:
            break
        seen = size
    if head is None or isinstance(head, Broken):
        return head
    body = Body(head.framing, length=max(head.content_length, 0))
    at, payload = head.consumed, b""
    for size in (*(cut for cut in cuts if cut > at), len(data)):
        if size > at:
            taken, piece = body.feed(data[at:size])
            at += taken
            payload += piece
    return body.error or (head.status, at, payload, body.done)


SHORT_ANSWERS = [told for told in (*BAD_HEADS, *BROKEN_BODIES, *GOOD, *TALKATIVE) if len(told.data) < 1000]


@pytest.mark.parametrize("told", SHORT_ANSWERS, ids=lambda told: told.name)
def test_an_answer_cut_anywhere_is_the_same_answer(told: Told) -> None:
    method = told.method.encode()
    whole = answer_by_parser(told.data, method, ())
    for cut in range(1, len(told.data)):
        assert answer_by_parser(told.data, method, (cut,)) == whole, cut


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(Path(tmp_path_factory.mktemp("bytes"))) as table:
        yield table


HIDING = {
    "before the name": b"%bTransfer-Encoding: chunked\r\n",
    "behind the name": b"Transfer-Encoding%b: chunked\r\n",
    "before the value": b"Transfer-Encoding:%bchunked\r\n",
    "behind the value": b"Transfer-Encoding: chunked%b\r\n",
    "behind a CR": b"X: y\r%bTransfer-Encoding: chunked\r\n",
    "before a LF": b"X: y%b\nTransfer-Encoding: chunked\r\n",
    "in a value": b"X: y%bTransfer-Encoding: chunked\r\n",
}


# Of all 256, those that somebody may take for a blank, an end, a dash or nothing, and some of every other kind.
TELLING = (*range(0x21), *b'"+,-.:;=_0x', *range(0x7F, 0xA2), 0xAD, 0xC0, 0xFF)


def beside_a_length(place: str, byte: int) -> bytes:
    return post(HIDING[place] % bytes([byte]) + b"Content-Length: 5\r\n", END)


def alone(place: str, byte: int) -> bytes:
    return post(HIDING[place] % bytes([byte]), END)


@pytest.mark.parametrize("place", HIDING)
def test_no_byte_hides_a_coding(place: str) -> None:
    """Whoever sees it refuses it beside a length; whoever does not keeps to the length, or to no body at all."""
    for byte in range(256):
        for data in (beside_a_length(place, byte), alone(place, byte)):
            expected = by_grammar(data)
            assert by_parser(data) == (None if expected is None else (expected.body, expected.size)), data


@pytest.mark.parametrize("place", HIDING)
def test_no_byte_hides_a_coding_on_its_way(table: Desk, place: str) -> None:
    for byte in TELLING:
        data = beside_a_length(place, byte)
        expected = by_grammar(data)
        table.sit(bad(place, data) if expected is None else good(place, data, "POST", "/exam", expected.body))
        data = alone(place, byte)
        expected = by_grammar(data)
        if expected is None:
            table.sit(bad(place, data, 400, 501))
        elif expected.size == len(data):
            table.sit(good(place, data, "POST", "/exam"))
        else:  # what would have been its body is another request, and none
            table.sit(bad(place, data)._replace(arrive=(("POST", "/exam", b""),)))


def test_the_books_balance(table: Desk) -> None:
    table.balance()
