"""Headers against h11's: one sequence, however it came to be."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h11
import pytest

from hotpath.core.wire import http1
from hotpath.core.wire.h11.headers import Headers, normalize_and_validate

HEAD = (b"GET / HTTP/1.1\r\nHOST: a\r\nX-First:  1 \r\nx-first: 2\r\n  3\r\n\t4 \r\nContent-Length: 0, 0\r\n"
        b"content-length: 0\r\nEmpty:\r\n\r\n")


def parsed(module: Any) -> Any:
    connection = module.Connection(module.SERVER)
    connection.receive_data(HEAD + b"more")
    return connection.next_event().headers


@pytest.mark.parametrize("first", [len, list, repr, lambda headers: headers.raw_items(), lambda headers: headers[-1],
                                   lambda headers: headers == headers, bool, lambda headers: list(reversed(headers)),
                                   lambda headers: (b"x-first", b"1") in headers,
                                   lambda headers: headers.count((b"empty", b"")),
                                   lambda headers: headers.index((b"empty", b""))])
def test_parsed_headers_answer_as_h11s_whatever_is_asked_first(first: Any):
    ours, theirs = parsed(http1), parsed(h11)
    assert first(ours) == first(theirs)
    assert (len(ours), list(ours), repr(ours)) == (len(theirs), list(theirs), repr(theirs))
    assert ours.raw_items() == [(bytes(name), bytes(value)) for name, value in theirs.raw_items()]


def test_headers_are_a_sequence_equal_to_their_pairs():
    headers = parsed(http1)
    assert isinstance(headers, Sequence)
    assert headers == list(headers) == normalize_and_validate(headers.raw_items())
    assert headers != list(headers)[:-1]
    assert headers[1:3] == [(b"x-first", b"1"), (b"x-first", b"2 3 4")]
    with pytest.raises(IndexError):
        headers[len(headers)]
    with pytest.raises(TypeError):
        hash(headers)
    assert not Headers()


def test_parsed_headers_can_be_sent_on():
    connection = http1.Connection(http1.CLIENT)
    request = http1.Request(method="GET", target="/", headers=parsed(http1))
    assert connection.send(request) == (
        b"GET / HTTP/1.1\r\nHOST: a\r\nX-First: 1\r\nx-first: 2 3 4\r\nContent-Length: 0\r\nEmpty: \r\n\r\n")


def test_host_is_sent_first():
    connection = http1.Connection(http1.CLIENT)
    request = http1.Request(method="GET", target="/", headers=[("a", "b"), ("host", "c")])
    assert connection.send(request) == b"GET / HTTP/1.1\r\nhost: c\r\na: b\r\n\r\n"
