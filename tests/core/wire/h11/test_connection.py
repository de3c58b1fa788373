"""Connection against h11's, and against itself: does it say the same, however the bytes arrive?"""
from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.wire import http1
from tests.core.wire.h11.play import ANSWERED, ASKED, Play, chunk_marks, pieces
from tests.core.wire.h11.streams import CUTS, EVERY_BYTE, REQUESTS, RESPONSES, streams

HUGE = 2**29


def played(play: Play, data: list[bytes]) -> Play:
    """All of it, then the end of the connection."""
    for piece in [*data, b""]:
        play.receive(piece)
    return play


def compare(ours: Play, theirs: Play, data: bytes) -> None:
    """The same, up to an error: of that we may speak sooner, and then have told less."""
    if ours.error is None:
        assert theirs.error is None
        assert ours.said == theirs.said
        return
    if theirs.error is None:
        assert refused_on_purpose(data)
        return
    *told, error = ours.said
    assert len(told) < len(theirs.said)
    for n, (one, other) in enumerate(zip(told, theirs.said, strict=False)):
        # What is left of a body behind the fault we have not handed out, h11 may have.
        if n == len(told) - 1 and one[0] == other[0] == "Data":
            assert other[1].startswith(one[1])
        else:
            assert one == other
    assert error[1][1] == "ERROR"
    if len(ours.said) == len(theirs.said):
        assert error[:1] == theirs.said[-1][:1]
        assert error[1] == theirs.said[-1][1]
    # A head with two faults: either's hint. One of them is then a Transfer-Encoding.
    assert ours.error == theirs.error or {ours.error[1], theirs.error[1]} == {400, 501}


def refused_on_purpose(data: bytes) -> bool:
    """A length or a chunk size beyond 2**63-1, which h11 would count on for."""
    return b"9999999999999999999" in data or b"fffffffffffffff" in data


@settings(max_examples=1500)
@given(streams(REQUESTS), CUTS, st.sampled_from(sorted(ANSWERED)))
def test_a_server_says_what_h11_says(data: bytes, cuts: list[int], answers: str):
    cut = pieces(data, cuts)
    compare(played(Play.as_server(http1, answers, HUGE), cut), played(Play.as_server(h11, answers, HUGE), cut), data)


@settings(max_examples=1500)
@given(streams(RESPONSES), CUTS, st.sampled_from(sorted(ASKED)))
def test_a_client_says_what_h11_says(data: bytes, cuts: list[int], asked: str):
    cut = pieces(data, cuts)
    compare(played(Play.as_client(http1, asked, HUGE), cut), played(Play.as_client(h11, asked, HUGE), cut), data)


@pytest.mark.parametrize("cuts", [[], EVERY_BYTE], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("answers", sorted(ANSWERED))
@pytest.mark.parametrize("data", REQUESTS)
def test_each_request_with_each_answer(data: bytes, answers: str, cuts: list[int]):
    cut = pieces(data + REQUESTS[0], cuts)
    ours = played(Play.as_server(http1, answers), cut)
    theirs = played(Play.as_server(h11, answers), cut)
    assert (ours.said, ours.error) == (theirs.said, theirs.error)


@pytest.mark.parametrize("cuts", [[], EVERY_BYTE], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("asked", sorted(ASKED))
@pytest.mark.parametrize("data", RESPONSES)
def test_each_response_to_each_request(data: bytes, asked: str, cuts: list[int]):
    cut = pieces(data, cuts)
    ours = played(Play.as_client(http1, asked), cut)
    theirs = played(Play.as_client(h11, asked), cut)
    assert (ours.said, ours.error) == (theirs.said, theirs.error)


@settings(max_examples=500)
@given(streams(REQUESTS), CUTS, st.integers(0, 100))
def test_events_do_not_depend_on_how_bytes_arrive(data: bytes, cuts: list[int], limit: int):
    whole = played(Play.as_server(http1, "length", limit), [data] if data else [])
    cut = played(Play.as_server(http1, "length", limit), pieces(data, cuts))
    # Of a broken body, the part before the fault may or may not have been handed out: both ends are told.
    assert [said for said in cut.said if said[0] != "Data"] == [said for said in whole.said if said[0] != "Data"]
    assert cut.error == whole.error


@settings(max_examples=500)
@given(streams(REQUESTS), CUTS, st.integers(0, 100))
def test_a_limit_is_kept_no_later_than_h11_keeps_it(data: bytes, cuts: list[int], limit: int):
    cut = pieces(data, cuts)
    ours = played(Play.as_server(http1, "length", limit), cut)
    theirs = played(Play.as_server(h11, "length", limit), cut)
    assert ours.error or not theirs.error or theirs.error[1] != 431
    if ours.error is None:
        assert ours.said == theirs.said


@pytest.mark.parametrize("data", [message for message in REQUESTS if b"hunked" in message])
def test_chunks_are_marked_as_h11_marks_them(data: bytes):
    assert chunk_marks(http1, "SERVER", data) == chunk_marks(h11, "SERVER", data) != []


def test_the_mark_of_a_chunk_is_not_lost_when_its_size_comes_alone():
    connection = http1.Connection(http1.SERVER)
    seen = []
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (head, b"5\r\n", b"hel", b"lo", b"\r\n"):
        connection.receive_data(piece)
        while (event := connection.next_event()) is not http1.NEED_DATA:
            seen.append(event)
    assert seen[1:] == [http1.Data(b"hel", chunk_start=True), http1.Data(b"lo", chunk_end=True)]


@pytest.mark.parametrize("module", [http1, h11], ids=["ours", "h11"])
def test_a_head_may_be_one_byte_longer_than_what_may_be_incomplete(module: Any):
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for limit, fits in [(len(head) - 1, True), (len(head) - 2, False)]:
        play = Play.as_server(module, limit=limit)
        for piece in pieces(head, EVERY_BYTE):
            play.receive(piece)
        assert (play.error is None) == fits
        assert fits or play.error == ("RemoteProtocolError", 431)


def test_a_size_line_of_blanks_ends_at_the_limit():
    play = Play.as_server(http1, limit=1000)
    play.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5")
    for _ in range(1001):
        play.receive(b" ")
    assert play.error == ("RemoteProtocolError", 431)


def test_more_than_256_fields_are_refused():
    play = Play.as_server(http1)
    play.receive(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 256 + b"\r\n")
    assert play.error == ("RemoteProtocolError", 431)


def test_a_body_given_whole_is_handed_on_as_it_is():
    connection = http1.Connection(http1.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    connection.next_event()
    body = bytes(bytearray(b"hello"))
    connection.receive_data(body)
    assert connection.next_event().data is body


def test_bytes_that_change_behind_our_back_change_nothing():
    connection = http1.Connection(http1.SERVER)
    data = bytearray(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.receive_data(data)
    data[:] = b"x" * len(data)
    request = connection.next_event()
    assert (request.target, list(request.headers)) == (b"/a", [(b"host", b"a")])


def test_data_after_the_end_is_the_callers_mistake():
    connection = http1.Connection(http1.SERVER)
    connection.receive_data(b"")
    connection.receive_data(b"")
    with pytest.raises(RuntimeError):
        connection.receive_data(b"x")


def test_what_is_no_bytes_is_refused():
    for module in (http1, h11):
        with pytest.raises(TypeError):
            module.Connection(module.SERVER).receive_data("GET")
        with pytest.raises(ValueError, match="expected CLIENT or SERVER"):
            module.Connection(module.IDLE)


@pytest.mark.parametrize("module", [http1, h11], ids=["ours", "h11"])
def test_a_placeholder_goes_through_as_the_object_it_is(module: Any):
    class File:
        def __len__(self) -> int:
            return 5

    file = File()
    chunk = [b"5\r\n", file, b"\r\n"]
    for header, sent in [(("Content-Length", "5"), [file]), (("Transfer-Encoding", "chunked"), chunk)]:
        connection = module.Connection(module.CLIENT)
        connection.send(module.Request(method="PUT", target="/", headers=[("Host", "a"), header]))
        assert connection.send_with_data_passthrough(module.Data(data=file)) == sent


def test_what_is_no_event_cannot_be_sent():
    connection = http1.Connection(http1.CLIENT)
    with pytest.raises(http1.LocalProtocolError):
        connection.send(http1.NEED_DATA)
    assert connection.our_state is http1.ERROR
    with pytest.raises(http1.LocalProtocolError):
        connection.send(http1.ConnectionClosed())


# One of each kind: nothing, controls, blanks, line ends, what separates, digits, letters, beyond ASCII.
STRANGE = [b"", b"\0", b"\x01", b"\t", b"\n", b"\r", b" ", b",", b":", b";", b"0", b"9", b"g", b"\x7f", b"\xff"]


@pytest.mark.parametrize("data", REQUESTS + RESPONSES)
def test_each_byte_replaced_by_a_strange_one(data: bytes):
    for at in range(len(data)):
        for strange in STRANGE:
            changed = data[:at] + strange + data[at + 1:]
            for cut in ([changed], [changed[:at], changed[at:]] if at else []):
                if data in REQUESTS:
                    ours, theirs = Play.as_server(http1, "length", HUGE), Play.as_server(h11, "length", HUGE)
                else:
                    ours, theirs = Play.as_client(http1, "upgrade", HUGE), Play.as_client(h11, "upgrade", HUGE)
                compare(played(ours, cut), played(theirs, cut), changed)


@settings(max_examples=300)
@given(st.binary(max_size=300), CUTS)
def test_any_bytes_give_events_or_a_remote_protocol_error(data: bytes, cuts: list[int]):
    played(Play.as_server(http1), pieces(data, cuts))
    played(Play.as_client(http1), pieces(data, cuts))
