"""HTTP/2 without a socket: what becomes of frames, and what a peer may not do with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.net.stream import Stream
from hotpath.proxy.http2 import MAX_IDLE_FRAMES, MAX_RESETS, MAX_STREAMS, WINDOW_BYTES, Session

MAX_HEAD = 8192
SEND_S = 30.0
GET = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/x?y=1")]
POST = [(":method", "POST"), *GET[1:]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


class Near:
    """The session's end of a connection to the relay, which is this test."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.takes = True
        self.paused = self.closed = False
        self.on_data: Callable[[object, bytes], object] | None = None
        self.on_end = self.on_close = self.on_drain = None
        self.due: list[Callable[[], object]] = []
        self.loop = self

    def call_later(self, delay_s: float, fn: Callable[..., object], *args: object) -> Near:
        assert delay_s == SEND_S
        self.due.append(lambda: fn(*args))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def set_water(self, *, high: int, low: int) -> None: ...

    def write(self, data: bytes) -> bool:
        self.sent += data
        return self.takes and not self.closed

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes) -> None:
        """What the relay answers."""
        assert self.on_data is not None
        self.on_data(self, data)


class Line:
    """A client and a session, and the bytes between them."""

    def __init__(self) -> None:
        self.opened: list[Near] = []
        self.ended = False
        self.takes = True
        self.out = bytearray()  # to the client
        self.refuses = False
        self.n_refused = 0      # requests that the relay never sees
        self.client = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        self.client.initiate_connection()
        self.session = Session(self, max_head=MAX_HEAD, send_s=SEND_S, max_requests=0)
        self.events: list[h2.events.Event] = []
        self.turn()

    # The session's Carrier.

    def write(self, data: bytes) -> bool:
        assert not self.ended
        self.out += data
        return self.takes

    def open(self) -> Stream:
        if self.refuses:
            raise OSError("no more files")
        self.opened.append(Near())
        return cast(Stream, self.opened[-1])

    def refuse(self) -> None:
        self.n_refused += 1

    def end(self) -> None:
        assert not self.ended
        self.ended = True

    # The client's side.

    def turn(self) -> None:
        """Everything under way arrives."""
        while (data := self.client.data_to_send()) or self.out:
            if data and not self.ended:
                self.session.receive(data)
            taken, self.out = bytes(self.out), bytearray()
            self.events += self.client.receive_data(taken)

    def raw(self, *frames: Frame) -> None:
        """These frames from the client, behind its back."""
        self.session.receive(b"".join(frame.serialize() for frame in frames))

    def ask(self, fields: list[tuple[str, str]] = GET, body: bytes | None = None) -> tuple[int, Near]:
        """One request; its stream, and the connection that it came to."""
        stream_id = self.client.get_next_available_stream_id()
        n = len(self.opened)
        self.client.send_headers(stream_id, fields, end_stream=body is None)
        if body is not None:
            self.client.send_data(stream_id, body, end_stream=True)
        self.turn()
        assert len(self.opened) == n + 1
        return stream_id, self.opened[-1]

    def of(self, stream_id: int, kind: type[Any]) -> list[Any]:
        """Events of a stream."""
        return [event for event in self.events if isinstance(event, kind) and event.stream_id == stream_id]

    def body(self, stream_id: int) -> bytes:
        """What came of an answer's body."""
        return b"".join(event.data for event in self.of(stream_id, h2.events.DataReceived))

    def block(self, fields: list[tuple[str, str]]) -> bytes:
        """A field block as the client's encoder says it."""
        return bytes(self.client.encoder.encode(fields))


def test_a_request_becomes_http_1_1_and_its_answer_http_2() -> None:
    line = Line()
    stream_id, near = line.ask([*GET, ("x-a", "1"), ("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2")])
    head, _, rest = bytes(near.sent).partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert (lines[0], rest) == (b"get /x?y=1 http/1.1", b"")
    assert set(lines[1:]) == {b"host: a.example", b"x-a: 1", b"cookie: a=1; b=2", b"connection: close"}
    near.say(b"HTTP/1.1 103 Early\r\nLink: </s>\r\n\r\n" + OK.replace(b"Conn", b"Keep-Alive: 1\r\nX-B: 2\r\nConn"))
    line.turn()
    interim = line.of(stream_id, h2.events.InformationalResponseReceived)[0].headers
    assert interim == [(":status", "103"), ("link", "</s>")]
    headers = line.of(stream_id, h2.events.ResponseReceived)[0].headers
    assert headers == [(":status", "200"), ("content-length", "5"), ("x-b", "2")]
    assert line.body(stream_id) == b"hello"
    assert line.of(stream_id, h2.events.StreamEnded)
    assert near.closed
    assert line.session.n_exchanges == 0


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_body_goes_up_in_http_1_1_framing_and_trailers_do_not(length: bool) -> None:
    line = Line()
    stream_id = line.client.get_next_available_stream_id()
    line.client.send_headers(stream_id, [*POST, *([("content-length", "6")] if length else [])])
    line.client.send_data(stream_id, b"abc", pad_length=5)
    line.client.send_data(stream_id, b"def")
    line.client.send_headers(stream_id, [("x-trailer", "secret")], end_stream=True)
    line.turn()
    body = bytes(line.opened[0].sent).partition(b"\r\n\r\n")[2]
    assert body == (b"abcdef" if length else b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 204 None\r\n\r\n", b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
])
def test_an_answer_without_a_body_ends_with_its_head(answer: bytes) -> None:
    line = Line()
    stream_id, near = line.ask()
    near.say(answer)
    line.turn()
    assert line.of(stream_id, h2.events.ResponseReceived)[0].stream_ended
    assert not line.of(stream_id, h2.events.StreamReset)


def test_head_keeps_its_length() -> None:
    line = Line()
    stream_id, near = line.ask([(":method", "HEAD"), *GET[1:]])
    near.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    line.turn()
    response = line.of(stream_id, h2.events.ResponseReceived)[0]
    assert response.stream_ended
    assert ("content-length", "9") in response.headers


MALFORMED: list[list[tuple[str, str]]] = [
    [*GET[:3], (":path", "x")], [*GET[:3], (":path", "*")], [*GET[:3], (":path", "/a b")], [*GET[:3], (":path", "")],
    [*GET[:3], (":path", "/a\r\nHost: b")], [(":method", "GET /a HTTP/1.1\r\nX: y"), *GET[1:]],
    [(":method", "G T"), *GET[1:]],
    [GET[0], (":scheme", "http"), *GET[2:]], [*GET[:2], GET[3]], GET[1:], GET[:3],
    [*GET, ("host", "b.example")], [*GET, (":path", "/twice")], [("x-a", "1"), *GET], [*GET, (":status", "200")],
    [*GET, ("transfer-encoding", "chunked")], [*GET, ("connection", "x-a")], [*GET, ("upgrade", "websocket")],
    [*GET, ("keep-alive", "1")], [*GET, ("proxy-connection", "1")], [*GET, ("te", "gzip")],
    [*GET, ("x-a", "1\r\nx-b: 2")], [*GET, ("x-a", "1\n")], [*GET, ("x-a", "a\0b")], [*GET, ("x-a", "a\x01b")],
    [*GET, ("X-A", "1")], [*GET, ("x a", "1")], [*GET, ("x:a", "1")], [*GET, ("", "1")], [*GET, ("x-a\r\n", "1")],
    [*GET, ("content-length", "5")], [*GET, ("content-length", "x")], [*GET, ("content-length", "-1")],
    [*GET, (":protocol", "websocket")], [(":method", "CONNECT"), *GET[1:], (":protocol", "websocket")],
]


@pytest.mark.parametrize("fields", MALFORMED, ids=repr)
def test_a_malformed_request_never_reaches_the_relay(fields: list[tuple[str, str]]) -> None:
    line = Line()
    line.raw(HeadersFrame(1, line.block(fields), flags=["END_HEADERS", "END_STREAM"]))
    said = "".join(type(frame).__name__ for frame in frames_of(line.out))
    assert "RstStreamFrame" in said or "GoAwayFrame" in said
    assert line.opened == []
    assert line.n_refused == 1


@pytest.mark.parametrize(("length", "body"), [("5", b"abcdef"), ("5", b"abc"), ("5, 5", b"abcde"), ("0", b"a")])
def test_a_body_that_is_not_its_length_never_ends(length: str, body: bytes) -> None:
    line = Line()
    line.raw(HeadersFrame(1, line.block([*POST, ("content-length", length)]), flags=["END_HEADERS"]))
    if not line.ended:
        line.raw(DataFrame(1, body, flags=["END_STREAM"]))
    said = "".join(type(frame).__name__ for frame in frames_of(line.out))
    assert "RstStreamFrame" in said or "GoAwayFrame" in said
    assert all(near.closed for near in line.opened)
    assert not any(near.sent.endswith((b"abcde", b"0\r\n\r\n")) for near in line.opened)


def frames_of(data: bytes) -> list[Frame]:
    found = []
    view = memoryview(bytes(data))
    while view:
        frame, length = Frame.parse_frame_header(view[:9])
        frame.parse_body(view[9 : 9 + length])
        found.append(frame)
        view = view[9 + length :]
    return found


def test_the_request_waits_when_the_relay_does_not_take_it() -> None:
    line = Line()
    stream_id = line.client.get_next_available_stream_id()
    line.client.send_headers(stream_id, POST)
    line.turn()
    near = line.opened[0]
    near.takes = False
    sent = 0
    while (window := line.client.local_flow_control_window(stream_id)) > 0:
        size = min(window, line.client.max_outbound_frame_size)
        line.client.send_data(stream_id, bytes(size))
        sent += size
        line.turn()
    assert sent == WINDOW_BYTES
    _, beside = line.ask(POST, b"x" * 1000)  # the others go on
    assert beside.sent.endswith(b"0\r\n\r\n")
    near.takes = True
    assert near.on_drain is not None
    near.on_drain(near)
    line.turn()
    assert line.client.local_flow_control_window(stream_id) > WINDOW_BYTES // 2
    near.say(OK)
    line.turn()
    assert line.of(stream_id, h2.events.StreamEnded)
    assert line.of(stream_id, h2.events.StreamReset)[0].error_code == 0  # the rest of the request is not wanted


def test_a_window_that_a_reset_stream_had_taken_comes_back() -> None:
    line = Line()
    for _ in range(90):
        stream_id = line.client.get_next_available_stream_id()
        line.client.send_headers(stream_id, POST)
        line.turn()
        line.opened[-1].takes = False
        for _ in range(4):
            size = min(line.client.local_flow_control_window(stream_id), 16384)
            line.client.send_data(stream_id, bytes(size))
        line.turn()
        line.client.reset_stream(stream_id)
        line.turn()
        assert line.opened[-1].closed
    assert line.client.outbound_flow_control_window >= WINDOW_BYTES * MAX_STREAMS // 2


def test_the_answer_waits_for_the_clients_window() -> None:
    line = Line()
    line.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    line.turn()
    stream_id, near = line.ask()
    body = bytes(range(256)) * 20
    near.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:4000])
    line.turn()
    assert (line.body(stream_id), near.paused) == (body[:1000], True)
    line.client.increment_flow_control_window(500, stream_id)
    line.turn()
    assert (line.body(stream_id), near.paused) == (body[:1500], True)
    line.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 60000})
    line.turn()
    assert (line.body(stream_id), near.paused) == (body[:4000], False)
    near.say(body[4000:])
    line.turn()
    assert line.body(stream_id) == body
    assert line.of(stream_id, h2.events.StreamEnded)


def test_a_window_that_stays_closed_costs_the_stream() -> None:
    line = Line()
    line.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    line.turn()
    stream_id, near = line.ask()
    _, other = line.ask()
    near.say(OK.replace(b"5", b"50") + bytes(15))
    assert len(near.due) == 1
    line.client.increment_flow_control_window(10, stream_id)
    line.turn()
    assert near.due == []  # it moved
    near.say(bytes(30))
    assert len(near.due) == 1
    near.due[0]()
    line.turn()
    assert line.of(stream_id, h2.events.StreamReset)
    assert (near.closed, near.due, other.closed, line.ended) == (True, [], False, False)


def test_an_answer_whose_end_came_while_the_connection_was_full_ends() -> None:
    line = Line()
    stream_id, near = line.ask()
    near.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.takes = False
    near.say(b"5\r\nhello\r\n")
    near.say(b"0\r\n\r\n")
    line.turn()
    assert not line.of(stream_id, h2.events.StreamEnded)
    line.takes = True
    line.session.drained()
    line.turn()
    assert line.of(stream_id, h2.events.StreamEnded)
    assert near.closed


def test_answers_wait_for_the_clients_connection_and_take_turns() -> None:
    line = Line()
    asked = [line.ask() for _ in range(3)]
    line.takes = False
    for _, near in asked:
        near.say(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + bytes(10000))
    assert [near.paused for _, near in asked] == [False, True, True]  # the first read filled it, the next ones wait
    line.turn()
    before = [len(line.body(stream_id)) for stream_id, _ in asked]
    assert before == [10000, 0, 0]
    line.session.drained()
    line.turn()
    assert [len(line.body(stream_id)) for stream_id, _ in asked] == [10000, 10000, 0]
    line.takes = True
    line.session.drained()
    line.turn()
    assert [len(line.body(stream_id)) for stream_id, _ in asked] == [10000] * 3
    assert [near.paused for _, near in asked] == [False] * 3
    for stream_id, near in asked:
        near.say(bytes(10000))
        line.turn()
        assert line.of(stream_id, h2.events.StreamEnded)


@pytest.mark.parametrize("begun", [True, False], ids=["inside the body", "before the head"])
def test_an_answer_that_breaks_off_resets_its_stream_alone(begun: bool) -> None:
    line = Line()
    stream_id, near = line.ask()
    _, other = line.ask()
    if begun:
        near.say(OK[:-2])
    assert near.on_end is not None
    near.on_end(near)
    line.turn()
    assert line.of(stream_id, h2.events.StreamReset)[0].error_code == 2
    assert not line.of(stream_id, h2.events.StreamEnded)
    assert (near.closed, other.closed, line.ended) == (True, False, False)


def test_no_file_for_a_connection_refuses_the_stream_alone() -> None:
    line = Line()
    line.refuses = True
    line.client.send_headers(1, GET, end_stream=True)
    line.turn()
    assert line.of(1, h2.events.StreamReset)[0].error_code == 7
    line.refuses = False
    line.ask()


def test_more_streams_than_allowed_at_once_end_the_connection() -> None:
    line = Line()
    for i in range(MAX_STREAMS):
        line.raw(HeadersFrame(1 + 2 * i, line.block(GET), flags=["END_HEADERS", "END_STREAM"]))
    assert (len(line.opened), line.ended) == (MAX_STREAMS, False)
    line.raw(HeadersFrame(1 + 2 * MAX_STREAMS, line.block(GET), flags=["END_HEADERS", "END_STREAM"]))
    assert (len(line.opened), line.ended) == (MAX_STREAMS, True)
    assert all(near.closed for near in line.opened)


def test_rapid_resets_end_the_connection() -> None:
    line = Line()
    block = line.block(GET)
    flood: list[Frame] = []
    for i in range(5000):
        flood += [HeadersFrame(1 + 2 * i, block, flags=["END_HEADERS", "END_STREAM"]), RstStreamFrame(1 + 2 * i, 8)]
    line.raw(*flood)
    assert line.ended
    assert len(line.opened) <= MAX_RESETS + 1
    assert frames_of(line.out)[-1].error_code == 11  # ENHANCE_YOUR_CALM


def test_resets_between_answers_are_forgiven() -> None:
    line = Line()
    for _ in range(3 * MAX_RESETS):
        stream_id, _ = line.ask()
        line.client.reset_stream(stream_id)
        line.turn()
        _, near = line.ask()
        near.say(OK)
        line.turn()
    assert not line.ended


@pytest.mark.parametrize("frame", [
    PingFrame(0, b"12345678"), SettingsFrame(0, {}), SettingsFrame(0, {4: 1000}), DataFrame(1, b""),
], ids=["PING", "SETTINGS", "window SETTINGS", "empty DATA"])
def test_frames_that_move_nothing_end_the_connection(frame: Frame) -> None:
    line = Line()
    line.raw(HeadersFrame(1, line.block(POST), flags=["END_HEADERS"]))
    for _ in range(MAX_IDLE_FRAMES):
        line.raw(frame)
    assert not line.ended
    line.raw(frame)
    line.raw(frame)
    assert line.ended
    assert line.opened[0].closed


def test_a_flood_of_continuations_ends_the_connection() -> None:
    line = Line()
    line.raw(HeadersFrame(1, b"", flags=["END_STREAM"]), *[ContinuationFrame(1, b"") for _ in range(200)])
    assert (line.ended, line.opened) == (True, [])


def test_fields_beyond_the_limit_end_the_connection() -> None:
    line = Line()
    block = line.block([*GET, ("x-a", "a" * 3000)])  # indexed: each repetition is one byte
    line.raw(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]))
    assert not line.ended
    line.raw(HeadersFrame(3, line.block([*GET, *[("x-a", "a" * 3000)] * 1000]), flags=["END_HEADERS", "END_STREAM"]))
    assert (line.ended, len(line.opened)) == (True, 1)


def test_what_is_no_http_2_ends_the_connection() -> None:
    line = Line()
    line.session = Session(line, max_head=MAX_HEAD, send_s=SEND_S, max_requests=0)
    line.session.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert line.ended


def test_draining_lets_what_is_under_way_end_and_nothing_new_begin() -> None:
    line = Line()
    first, near = line.ask()
    line.session.drain()
    line.out.clear()  # h2 as a client asks nothing behind a GOAWAY
    second, late = line.ask()  # was on the wire already
    line.session.drain()
    line.raw(HeadersFrame(second + 2, line.block(GET), flags=["END_HEADERS", "END_STREAM"]))
    assert len(line.opened) == 2
    assert isinstance(frames_of(line.out)[-1], RstStreamFrame)
    near.say(OK)
    assert not line.ended
    late.say(OK)
    assert line.ended
    ends = [frame for frame in frames_of(line.out) if isinstance(frame, DataFrame) and "END_STREAM" in frame.flags]
    assert [frame.stream_id for frame in ends] == [first, second]


def test_a_client_that_is_lost_leaves_nothing_behind() -> None:
    line = Line()
    nears = [line.ask()[1] for _ in range(5)]
    line.session.lost()
    assert all(near.closed for near in nears)
    nears[0].say(OK)  # too late
    assert line.session.n_exchanges == 0


frame_bytes = st.builds(
    lambda kind, flags, stream_id, body: (
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body
    ),
    st.integers(0, 12), st.integers(0, 255), st.sampled_from([0, 1, 1, 3, 5, 2, 2**31 - 1]), st.binary(max_size=40),
)
known_frames = st.sampled_from([
    HeadersFrame(1, Line().block(POST), flags=["END_HEADERS"]).serialize(),
    HeadersFrame(3, Line().block(GET), flags=["END_HEADERS", "END_STREAM"]).serialize(),
    DataFrame(1, b"abc").serialize(), DataFrame(1, b"", flags=["END_STREAM"]).serialize(),
    RstStreamFrame(1, 8).serialize(), SettingsFrame(0, {4: 0}).serialize(), PingFrame(0, b"12345678").serialize(),
])


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(frame_bytes, known_frames), max_size=12), st.booleans(), st.integers(1, 200))
def test_whatever_a_client_sends_raises_nothing_and_leaves_nothing(
    frames: list[bytes], answers: bool, cut: int
) -> None:
    line = Line()
    data = b"".join(frames)
    for at in range(0, len(data), cut):
        if not line.ended:
            line.session.receive(data[at : at + cut])
        for near in line.opened:
            if answers and not near.closed:
                near.say(OK)
    if line.ended:
        assert all(near.closed for near in line.opened)
    else:
        assert line.session.n_exchanges == sum(not near.closed for near in line.opened)
