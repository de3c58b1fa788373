"""h11 as the judge: STRICT takes nothing that h11 refuses; under the rules of H11 both take and refuse the same."""
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.wire.cases import BODIES, REQUESTS, RESPONSES
from tests.core.wire.reference import (
    RefusedError,
    Side,
    TrailerRefusedError,
    as_h11_shows,
    ours,
    theirs,
    tidied,
    we_alone_refuse_rightly,
)

CHUNKED_REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_RESPONSE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TABLE = [("request", case.data) for case in REQUESTS] + [("response", case.data) for case in RESPONSES] + [
    ("request", CHUNKED_REQUEST + case.data) for case in BODIES] + [
    ("response", CHUNKED_RESPONSE + case.data) for case in BODIES]
# h11 needs the end of a head to refuse it; we need not wait.
ENDED = [(side, data + b"\r\n\r\n") for side, data in TABLE if len(data) < 400]


def compare(data: bytes, side: Side) -> None:
    """Both rules against h11, on the first message of `data`."""
    with suppress(TrailerRefusedError):
        strict_takes_nothing_that_h11_refuses(data, side)
        h11_rules_take_what_h11_takes(data, side)


def strict_takes_nothing_that_h11_refuses(data: bytes, side: Side) -> None:
    try:
        taken = ours(data, side, strict=True)
    except RefusedError:
        return
    assert as_h11_shows(taken) == theirs(tidied(data, side), side)


def h11_rules_take_what_h11_takes(data: bytes, side: Side) -> None:
    try:
        taken = ours(data, side, strict=False)
    except RefusedError:
        if not we_alone_refuse_rightly(data, side):
            with pytest.raises(RefusedError):
                theirs(data, side)
    else:
        assert as_h11_shows(taken) == theirs(data, side)


@pytest.mark.parametrize(("side", "data"), ENDED, ids=[f"{side} {n}" for n, (side, _) in enumerate(ENDED)])
def test_the_table(side: Side, data: bytes):
    compare(data, side)


PIECES = [
    b"GET", b"POST", b"CONNECT", b"/", b"/a?b", b"*", b"http://a/", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"200",
    b"304", b"100", b"OK", b" ", b"  ", b"\t", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b":", b",", b";", b"=",
    b"\"", b"_", b"Host", b"Host: a\r\n", b"Content-Length", b"Content-Length: 5\r\n", b"Transfer-Encoding",
    b"Transfer-Encoding: chunked\r\n", b"chunked", b"Connection: close\r\n", b"A: b\r\n", b"5\r\nhello\r\n", b"5",
    b"0\r\n\r\n", b"0", b"5;a=\"b\"\r\nhello\r\n", b"99999999999999999999", b"9223372036854775807",
    b"fffffffffffffffff", b"\x00", b"\x01", b"\x0b", b"\x7f", b"\x80",
]
REQUEST_HEAD = st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.0\r\n", CHUNKED_REQUEST])
RESPONSE_HEAD = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 404 \r\n", CHUNKED_RESPONSE])
TAIL = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


@st.composite
def streams(draw: st.DrawFn, heads: st.SearchStrategy[bytes]) -> bytes:
    return draw(heads) + draw(TAIL) + b"\r\n\r\n"


@settings(max_examples=1000)
@given(streams(REQUEST_HEAD))
def test_generated_requests(data: bytes):
    compare(data, "request")


@settings(max_examples=1000)
@given(streams(RESPONSE_HEAD))
def test_generated_responses(data: bytes):
    compare(data, "response")


@st.composite
def mutants(draw: st.DrawFn) -> tuple[Side, bytes]:
    """A row of the table after a few edits: bytes taken out, put in, doubled."""
    side, data = draw(st.sampled_from(ENDED))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 4)))
        insert = draw(st.sampled_from(PIECES) | st.binary(max_size=2) | st.just(data[start:stop] * 2))
        data = data[:start] + insert + data[stop:]
    return side, data + b"\r\n\r\n"


@settings(max_examples=2000)
@given(mutants())
def test_mutants_of_the_table(message: tuple[Side, bytes]):
    side, data = message
    compare(data, side)
