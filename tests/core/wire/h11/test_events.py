"""Events against h11's: the same values, checks, words and comparisons."""
from __future__ import annotations

import copy
import pickle
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire import http1

BOTH = pytest.mark.parametrize("module", [http1, h11], ids=["ours", "h11"])
EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("Request", {"method": "GET", "target": b"/", "headers": [("Host", "a"), (b"X-Y", "z")]}),
    ("InformationalResponse", {"status_code": 100, "headers": [], "reason": "Continue"}),
    ("Response", {"status_code": 200, "headers": [("A", b"\xff")], "http_version": "1.0", "reason": b"OK"}),
    ("Data", {"data": b"x", "chunk_end": True}),
    ("EndOfMessage", {"headers": [("T", "u")]}),
    ("EndOfMessage", {}),
    ("ConnectionClosed", {}),
]
NAMES = st.sampled_from([
    "Host", "host", b"A", "Content-Length", "Transfer-Encoding", "", "a b", "a:", b"\xff", "ä", 5, None])
VALUES = st.sampled_from([
    "", "a", b"a b", " a", "a\t", "a\rb", "a\nb", "a\0b", "\x01", b"\xff", "5", "5, 5", "5,6", "05", "-5", "1" * 20,
    "1" * 21, "chunked", "CHUNKED", "gzip", "chunked, chunked", 5, None, bytearray(b"x")])


def made(module: Any, event: str, **arguments: Any) -> Any:
    try:
        return repr(getattr(module, event)(**arguments))
    except module.LocalProtocolError as error:
        return "refused", error.error_status_hint
    except (TypeError, UnicodeEncodeError) as error:
        return type(error)


@pytest.mark.parametrize(("event", "arguments"), EXAMPLES)
def test_an_event_looks_as_in_h11_and_equals_its_like_alone(event: str, arguments: dict[str, Any]):
    ours = getattr(http1, event)(**arguments)
    assert repr(ours) == repr(getattr(h11, event)(**arguments))
    assert ours == getattr(http1, event)(**arguments)
    assert ours != getattr(h11, event)(**arguments)
    assert isinstance(ours, http1.Event)
    assert type(ours).__match_args__ == getattr(h11, event).__match_args__ or event == "ConnectionClosed"


@BOTH
@pytest.mark.parametrize(("event", "arguments"), EXAMPLES)
def test_an_event_never_changes(module: Any, event: str, arguments: dict[str, Any]):
    one = getattr(module, event)(**arguments)
    for name in (*arguments, "headers"):
        with pytest.raises(AttributeError):
            setattr(one, name, b"else")


@BOTH
@pytest.mark.parametrize(("event", "arguments"), EXAMPLES)
def test_only_the_empty_event_is_hashed_or_copied(module: Any, event: str, arguments: dict[str, Any]):
    one = getattr(module, event)(**arguments)
    if event == "ConnectionClosed":
        assert hash(one) == hash(type(one)())
        assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
        return
    with pytest.raises(TypeError):
        hash(one)
    with pytest.raises((TypeError, AttributeError)):
        copy.copy(one)
    with pytest.raises((TypeError, AttributeError)):
        pickle.loads(pickle.dumps(one))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.sampled_from(["1.1", b"1.0", "2.0", 5]))
def test_headers_are_taken_and_refused_as_by_h11(headers: list[Any], version: Any):
    for event, arguments in [("Request", {"method": "GET", "target": "/"}), ("Response", {"status_code": 200})]:
        arguments |= {"headers": headers, "http_version": version}
        assert made(http1, event, **arguments) == made(h11, event, **arguments)
    assert made(http1, "EndOfMessage", headers=headers) == made(h11, "EndOfMessage", headers=headers)


@given(st.text(max_size=3) | st.binary(max_size=3), st.text(max_size=3) | st.binary(max_size=3))
def test_methods_and_targets_are_taken_and_refused_as_by_h11(method: Any, target: Any):
    arguments = {"method": method, "target": target, "headers": [("Host", "a")]}
    assert made(http1, "Request", **arguments) == made(h11, "Request", **arguments)


@given(st.integers(-1, 1100) | st.sampled_from([2**70, "200", None, 200.0, True]))
def test_status_codes_are_taken_and_refused_as_by_h11(status: Any):
    for event in ("Response", "InformationalResponse"):
        assert made(http1, event, status_code=status, headers=[]) == made(h11, event, status_code=status, headers=[])


@pytest.mark.parametrize("reason", ["a\r\nb", "a\nb", b"\0"])
def test_a_reason_with_a_line_end_is_refused_here_alone(reason: Any):
    assert made(http1, "Response", status_code=200, headers=[], reason=reason) == ("refused", 400)


@BOTH
def test_arguments_have_names(module: Any):
    with pytest.raises(TypeError):
        module.Request(b"GET", [("Host", "a")], b"/")
    with pytest.raises(TypeError):
        module.Response(status_code=200)
    assert module.Data(b"x", True, False) == module.Data(data=b"x", chunk_start=True)
