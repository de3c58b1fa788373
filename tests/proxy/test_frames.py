"""What h2 would let an HTTP/2 client do, and we do not."""

from __future__ import annotations

import struct
from collections.abc import Callable

import h2.errors
import h2.events
import pytest
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from hotpath.proxy.frames import FRAME_BYTES, TABLE_BYTES, Connection
from hotpath.proxy.http2 import MAX_IDLE_FRAMES, MAX_RESETS

from .test_http2 import GET, MAX_HEAD, OK, POST, Line, frames_of

Codes = h2.errors.ErrorCodes


def connection_of(line: Line) -> Connection:
    return line.session._h2


def farewell(line: Line) -> int:
    """The code of the GOAWAY that ended the connection."""
    assert line.ended
    last = frames_of(line.out)[-1]
    assert isinstance(last, GoAwayFrame)
    return int(last.error_code)


@pytest.mark.parametrize("cut", [1, 7, 65536])
def test_a_frame_too_long_is_refused_when_its_head_is_here(cut: int) -> None:
    line = Line()
    raw = (FRAME_BYTES + 1).to_bytes(3, "big") + b"\x00\x00\x00\x00\x00\x01"
    for at in range(0, len(raw), cut):
        line.session.receive(raw[at : at + cut])
    assert farewell(line) == Codes.FRAME_SIZE_ERROR


def test_the_longest_frame_is_taken() -> None:
    line = Line()
    stream_id = line.client.get_next_available_stream_id()
    line.client.send_headers(stream_id, POST)
    line.client.send_data(stream_id, bytes(FRAME_BYTES), end_stream=True)
    line.turn()
    assert line.opened[0].sent.endswith(b"0\r\n\r\n")


def test_a_block_of_fields_is_refused_before_it_is_decoded() -> None:
    line = Line()
    piece = bytes(MAX_HEAD // 4)
    line.raw(HeadersFrame(1, piece, flags=["END_STREAM"]), *[ContinuationFrame(1, piece) for _ in range(3)])
    assert not line.ended
    line.raw(ContinuationFrame(1, b"x"))
    assert farewell(line) == Codes.ENHANCE_YOUR_CALM
    assert line.opened == []


def test_blocks_of_fields_are_measured_each_by_itself() -> None:
    line = Line()
    for i in range(5):
        stream_id, _ = line.ask([*GET, ("x-a", f"{i}" * (MAX_HEAD // 2))])
        assert not line.of(stream_id, h2.events.StreamReset)


def answered(line: Line) -> None:
    _, near = line.ask()
    near.say(OK)
    line.turn()


def reset(line: Line) -> None:
    stream_id, _ = line.ask()
    line.client.reset_stream(stream_id)
    line.turn()


def nothing(line: Line) -> None: ...


@pytest.mark.parametrize(("before", "make"), [
    (answered, lambda line: RstStreamFrame(1, 8)),
    (answered, lambda line: WindowUpdateFrame(1, 1)),
    (reset, lambda line: DataFrame(1, b"abc")),
    (reset, lambda line: HeadersFrame(1, line.block(GET), flags=["END_HEADERS"])),
    (nothing, lambda line: SettingsFrame(0, flags=["ACK"])),
    (nothing, lambda line: PingFrame(0, b"12345678", flags=["ACK"])),
    (nothing, lambda line: AltSvcFrame(0, b"a", b"b")),
], ids=["late RST_STREAM", "late WINDOW_UPDATE", "late DATA", "late HEADERS", "SETTINGS ACK", "PING ACK", "ALTSVC"])
def test_frames_that_h2_says_nothing_of_are_counted(
    before: Callable[[Line], None], make: Callable[[Line], Frame]
) -> None:
    line = Line()
    before(line)
    for _ in range(MAX_IDLE_FRAMES - 10):
        line.raw(make(line))
    assert not line.ended
    for _ in range(20):
        if not line.ended:
            line.raw(make(line))
    assert farewell(line) == Codes.ENHANCE_YOUR_CALM


def test_a_window_opened_by_crumbs_ends_the_connection() -> None:
    line = Line()
    line.raw(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}))
    stream_id, near = line.ask()
    near.say(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + bytes(60000))
    for _ in range(MAX_IDLE_FRAMES + 1):
        if not line.ended:
            line.raw(WindowUpdateFrame(stream_id, 1))
    assert farewell(line) == Codes.ENHANCE_YOUR_CALM
    assert near.closed


def test_refused_streams_are_counted() -> None:
    line = Line()
    line.refuses = True
    for i in range(MAX_RESETS + 1):
        assert not line.ended
        line.raw(HeadersFrame(1 + 2 * i, line.block(GET), flags=["END_HEADERS", "END_STREAM"]))
    assert farewell(line) == Codes.ENHANCE_YOUR_CALM


def test_settings_that_nobody_knows_are_not_kept() -> None:
    line = Line()
    known = len(connection_of(line).remote_settings)
    for first in (1000, 2000, 60000):
        body = b"".join(struct.pack(">HL", code, 1) for code in range(first, first + 100))
        line.session.receive(len(body).to_bytes(3, "big") + b"\x04\0\0\0\0\0" + body)
    assert len(connection_of(line).remote_settings) == known
    assert not line.ended


def test_more_settings_than_there_are_end_the_connection() -> None:
    line = Line()
    line.session.receive((606).to_bytes(3, "big") + b"\x04\0\0\0\0\0")
    assert farewell(line) == Codes.ENHANCE_YOUR_CALM


def test_a_client_does_not_choose_how_large_our_table_is() -> None:
    line = Line()
    line.raw(SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 2**32 - 1}))
    assert connection_of(line).encoder.header_table_size == TABLE_BYTES
    line.raw(SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 100}))
    assert connection_of(line).encoder.header_table_size == 100


def test_streams_that_are_over_are_forgotten() -> None:
    line = Line()
    for i in range(Connection.MAX_CLOSED_STREAMS + 100):
        line.raw(HeadersFrame(1 + 2 * i, b"\x82\x87\x84\x41\x01a", flags=["END_HEADERS", "END_STREAM"]))
        line.opened.pop().say(OK)
    assert len(connection_of(line)._closed_streams) <= Connection.MAX_CLOSED_STREAMS <= 1000


def test_a_client_that_says_goodbye_gets_what_it_asked() -> None:
    line = Line()
    stream_id = line.client.get_next_available_stream_id()
    line.client.send_headers(stream_id, POST)
    line.turn()
    near = line.opened[0]
    line.raw(
        PingFrame(0, b"12345678"), GoAwayFrame(0), DataFrame(stream_id, b"abc"),
        DataFrame(stream_id, b"def", flags=["END_STREAM"]))
    assert (line.ended, near.closed) == (False, False)
    assert near.sent.endswith(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
    near.say(OK)
    assert (line.ended, near.closed) == (True, True)
    said = [frame for frame in frames_of(line.out) if isinstance(frame, DataFrame)]
    assert said[-1].data == b"hello"
    assert "END_STREAM" in said[-1].flags
    assert any(isinstance(frame, PingFrame) for frame in frames_of(line.out))


def test_a_client_that_says_goodbye_in_anger_gets_nothing() -> None:
    line = Line()
    _, near = line.ask()
    line.raw(GoAwayFrame(0, error_code=Codes.INTERNAL_ERROR))
    assert (line.ended, near.closed) == (True, True)


def test_a_client_that_says_goodbye_asks_no_more() -> None:
    line = Line()
    line.ask()
    line.raw(GoAwayFrame(0))
    line.raw(HeadersFrame(3, line.block(GET), flags=["END_HEADERS", "END_STREAM"]))
    assert len(line.opened) == 1
    assert isinstance(frames_of(line.out)[-1], RstStreamFrame)


def test_an_answer_ends_though_its_window_is_below_zero() -> None:
    line = Line()
    stream_id, near = line.ask()
    near.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    line.raw(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}))
    near.say(b"0\r\n\r\n")
    said = [frame for frame in frames_of(line.out) if isinstance(frame, DataFrame) and frame.stream_id == stream_id]
    assert ["END_STREAM" in frame.flags for frame in said] == [False, True]
    assert near.closed


def test_a_length_said_twice_never_reaches_the_relay() -> None:
    line = Line()
    block = line.block([*POST, ("content-length", "5"), ("content-length", "5")])
    line.raw(HeadersFrame(1, block, flags=["END_HEADERS"]))
    assert line.opened == []
    assert frames_of(line.out)[-1].error_code == Codes.PROTOCOL_ERROR


def test_a_body_that_trailers_cut_short_is_the_clients_fault() -> None:
    line = Line()
    line.raw(
        HeadersFrame(1, line.block([*POST, ("content-length", "5")]), flags=["END_HEADERS"]), DataFrame(1, b"abc"),
        HeadersFrame(1, line.block([("x-a", "1")]), flags=["END_HEADERS", "END_STREAM"]))
    assert (line.ended, line.opened[0].closed) == (False, True)
    assert frames_of(line.out)[-1].error_code == Codes.PROTOCOL_ERROR

