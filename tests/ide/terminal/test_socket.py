from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.ide.terminal import stage
from tests.ide.terminal.client import (
    ACK,
    COLD,
    INPUT,
    PING,
    RESIZE,
    SUBPROTOCOL,
    Stage,
    ack,
    attach,
)
from tests.waiting import wait_for
from tests.wsclient import BINARY, CONTINUATION, RSV1, TEXT, Client, close_frame, fragments, frame, handshake
from tests.wsclient import PING as WS_PING

FLOOD = "while :; do echo 0123456789abcdefghijklmnopqrstuvwxyz; done"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(stage.make()) as running:
        yield running


@pytest.fixture
def there(served: Served) -> Iterator[Stage]:
    yield Stage(served.address)
    Stage(served.address).delete_all()


def sh(there: Stage, command: str, **more: object) -> dict:
    return there.create("sh", "-c", command, **more)


def test_a_shell_answers_what_is_typed(there: Stage):
    terminal = there.create("bash", "--norc", "-i")
    with there.tab(terminal["id"]) as tab:
        start = tab.attach()
        assert start.reset
        assert (start.begin, start.cols, start.rows) == (0, 80, 24)
        assert tab.leads
        tab.until("$ ")
        tab.type("echo $((6*7))\n")
        tab.until("42\r\n")
        tab.type("exit 3\n")
        assert tab.until_closed().code == 1000
        assert tab.exit == 3
    shown = there.show(terminal["id"])
    assert (shown["alive"], shown["exit"], shown["offset"]) == (False, 3, tab.offset)


def test_a_program_behind_a_stream_socket_is_a_terminal_too(there: Stage):
    terminal = there.create("sh", "-c", "read x; echo got $x; exit 5", socket=True, early="early ")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("early ")
        tab.type("this\n")
        assert tab.until_closed().code == 1000
        assert bytes(tab.shown) == b"early got this\n"
        assert tab.exit == 5


def test_who_comes_back_gets_what_it_missed_once(there: Stage):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.type("first\n")
        tab.until("first\r\nfirst\r\n")
        seen = bytes(tab.shown)
    with there.tab(terminal["id"]) as other:
        other.attach(0)
        other.type("second\n")
        other.until("second\r\nsecond\r\n")
    with there.tab(terminal["id"]) as back:
        start = back.attach(len(seen))
        assert not start.reset
        assert start.begin == len(seen)
        assert start.live == other.offset
        back.until_offset(other.offset)
        assert seen + back.shown == other.shown


def test_what_has_left_the_ring_begins_anew_at_a_line(there: Stage):
    terminal = sh(there, "seq 100000; read x")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("100000\r\n")
        end = tab.offset
    with there.tab(terminal["id"]) as late:
        start = late.attach(5)
        assert start.reset
        assert end - stage.RING <= start.begin < end - stage.RING + 10
        assert start.live == end
        late.until_offset(end)
        assert late.shown.startswith(re.search(rb"\d+", late.shown)[0] + b"\r\n")
        assert bytes(late.shown) == bytes(tab.shown[-len(late.shown):])
    with there.tab(terminal["id"]) as liar:
        assert liar.attach(end + 1).reset


def test_nobody_is_sent_more_than_a_window_beyond_what_it_shows(there: Stage):
    terminal = sh(there, f"read x; {FLOOD}")
    with there.tab(terminal["id"], acks=False) as tab:
        tab.attach()
        tab.type("\n")
        tab.until_offset(stage.WINDOW)
        wait_for(lambda: there.show(terminal["id"])["paused"], "the program to be paused")
        offset = there.show(terminal["id"])["offset"]
        assert stage.WINDOW <= offset < stage.WINDOW + 8192
        tab.send(struct.pack(">BQ", PING, 7))
        assert tab.until_logged("pong") == 7
        assert tab.offset == stage.WINDOW
        tab.send(ack(stage.WINDOW * 3 // 4 - 1))            # a byte more than a quarter is not shown
        tab.send(struct.pack(">BQ", PING, 8))
        while tab.log[-1] != ("pong", 8):
            tab.step()
        assert tab.offset == stage.WINDOW
        tab.send(ack(stage.WINDOW * 3 // 4))
        tab.until_offset(stage.WINDOW * 7 // 4)
        assert tab.offset == stage.WINDOW * 7 // 4


def test_with_nobody_attached_the_program_goes_on(there: Stage):
    terminal = sh(there, FLOOD)
    wait_for(lambda: there.show(terminal["id"])["offset"] > 2 * stage.RING, "output that overwrites")
    with there.tab(terminal["id"]) as tab:
        start = tab.attach()
        assert start.reset
        tab.until_offset(start.live + 1)


def test_a_slow_tab_never_slows_another_and_is_told_that_it_fell_behind(there: Stage):
    terminal = sh(there, f"read x; {FLOOD}")
    with there.tab(terminal["id"], acks=False) as slow, there.tab(terminal["id"]) as quick:
        slow.attach()
        quick.attach()
        quick.type("\n")
        slow.until_offset(stage.WINDOW)
        quick.until_offset(2 * stage.RING)
        slow.ack()
        begin, end = slow.until_logged("gap")
        assert begin == stage.WINDOW
        assert end > stage.RING
        slow.acks = True
        slow.until_offset(end + stage.WINDOW)


def test_ctrl_c_is_answered_in_a_flood(there: Stage):
    terminal = there.create("bash", "--norc", "-i")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("$ ")
        tab.type("yes\n")
        tab.until_offset(tab.offset + 4 * stage.WINDOW)
        tab.type("\x03")
        tab.shown.clear()
        tab.until("^C")
        tab.until("$ ")


def test_input_beyond_a_mebibyte_waits_in_the_socket(there: Stage):
    terminal = there.create("sh", "-c", "stty raw -echo; echo ready; read x; wc -c")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("ready")
        taken = 0
        piece = frame(BINARY, bytes((INPUT,)) + b"x" * 65535)
        tab.socket.sock.setblocking(False)
        while taken < 64 << 20:
            try:
                taken += tab.socket.sock.send(piece[taken % len(piece):])
            except BlockingIOError:
                if tab.socket._moves(4, 0.5) == 0:
                    break
        # What the kernel holds of it, on both sides, is some MiB; the server's own share is one.
        assert taken < 32 << 20
        assert there.show(terminal["id"])["alive"]


def test_a_large_paste_arrives_whole(there: Stage):
    terminal = there.create("sh", "-c", "stty raw -echo; echo ready; head -c 3000000 | md5sum; exit 0")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("ready")
        for _ in range(30):
            tab.type(b"0123456789" * 10000)
        tab.until(hashlib.md5(b"0123456789" * 300000).hexdigest())


def test_a_paste_that_is_echoed_does_not_stop_both(there: Stage):
    terminal = there.create("sh", "-c", "stty raw; echo ready; cat")
    with there.tab(terminal["id"]) as tab, there.tab(terminal["id"]) as other:
        tab.attach()
        other.attach()
        tab.until("ready")
        for _ in range(40):
            tab.type(b"0123456789" * 10000)
        tab.type("end of it")
        tab.until("end of it")
        other.until("end of it")


def test_exactly_one_leads_and_sets_the_size(there: Stage):
    terminal = there.create("cat")
    id = terminal["id"]
    with there.tab(id) as first, there.tab(id) as second, there.tab(id) as third:
        assert first.attach(cols=100, rows=30)[2:4] == (100, 30)
        assert second.attach(cols=120, rows=40)[2:4] == (100, 30)
        third.attach(cols=60, rows=20)
        assert [tab.leads for tab in (first, second, third)] == [True, False, False]
        first.send(struct.pack(">BHH", RESIZE, 90, 25))
        assert second.until_logged("size") == (90, 25)
        second.send(struct.pack(">BHH", RESIZE, 70, 22))        # remembered for when it leads
        second.send(struct.pack(">BQ", PING, 1))
        second.until_logged("pong")
        assert there.show(id)["sizes"] == [[100, 30], [90, 25]]
        first.socket.close()
        second.log.clear()
        assert second.until_logged("lead") is True
        while third.size != (70, 22):
            third.step()
        shown = there.show(id)
        assert (shown["cols"], shown["rows"]) == (70, 22)
        assert shown["clients"] == 2
        for cols, rows in ((0, 20), (20, 0), (1001, 20), (20, 1001), (65535, 65535)):
            second.send(struct.pack(">BHH", RESIZE, cols, rows))
        second.send(struct.pack(">BHH", RESIZE, 1000, 1))
        third.log.clear()
        assert third.until_logged("size") == (1000, 1)


def test_all_output_comes_before_the_end(there: Stage):
    terminal = sh(there, "seq 20000; exit 7", keep=True)
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        closed = tab.until_closed()
        assert (closed.code, tab.exit) == (1000, 7)
        assert tab.shown.endswith(b"20000\r\n")
    with there.tab(terminal["id"]) as later:
        later.attach(tab.offset - 7)
        assert later.until_closed().code == 1000
        assert bytes(later.shown) == b"20000\r\n"
        assert later.exit == 7


def test_a_signal_is_a_negative_status(there: Stage):
    terminal = sh(there, "kill -KILL $$")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until_closed()
        assert tab.exit == -9


def test_what_is_left_in_the_background_does_not_hold_the_end_back(there: Stage):
    terminal = there.create("sh", "-c", "(trap '' HUP; sleep 1000) & echo over; exit 4", socket=True)
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until_closed()
        assert (tab.exit, bytes(tab.shown)) == (4, b"over\n")


def test_a_deleted_terminal_is_hung_up_on_then_killed(there: Stage):
    polite, deaf = there.create("cat", keep=True), sh(there, "trap '' HUP; echo deaf; while :; do sleep 1; done")
    with there.tab(polite["id"]) as one, there.tab(deaf["id"]) as two:
        one.attach()
        two.attach()
        two.until("deaf")
        there.delete(polite["id"])
        there.delete(deaf["id"])
        assert one.until_closed().code == 1000
        assert one.exit == -1
        assert two.until_closed().code == 1000
        assert two.exit == -9
    assert not there.listing()["terminals"]
    with there.tab(polite["id"]) as late:           # found before it was deleted
        assert late.until_closed().code == 4410


def test_a_terminal_goes_away_before_attach(there: Stage):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        there.delete(terminal["id"])
        assert tab.until_closed().code == 4410


def test_a_client_that_shows_nothing_does_not_keep_a_terminal(there: Stage):
    terminal = sh(there, FLOOD)
    with there.tab(terminal["id"], acks=False) as tab:
        tab.attach()
        tab.until_offset(stage.WINDOW)
        there.delete(terminal["id"])
        assert tab.until_closed().code == 1000
        assert tab.exit == -1


@pytest.mark.parametrize(("status", "fields"), [
    (401, [SUBPROTOCOL, ("X-Refused", "1")]), (401, [("X-Refused", "1")]), (400, []),
    (400, [("Sec-WebSocket-Protocol", "chat, soap")])])
def test_what_is_refused_is_refused_before_the_101(there: Stage, status: int, fields: list[tuple[str, str]]):
    terminal = there.create("cat")
    with Client(there.address) as client:
        client.send(handshake(f"/projects/p/terminals/{terminal['id']}/socket", *fields))
        assert client.read_head().status == status


def test_an_unknown_terminal_is_404(there: Stage):
    with Client(there.address) as client:
        client.send(handshake("/projects/p/terminals/none/socket", SUBPROTOCOL))
        assert client.read_head().status == 404


BAD = {
    "an empty message": [b""],
    "an unknown kind": [b"\x06"],
    "a server's kind": [b"\x82" + bytes(8)],
    "ATTACH too short": [attach()[:-1]],
    "ATTACH too long": [attach() + b"\0"],
    "input before ATTACH": [bytes((INPUT,)) + b"x"],
    "a ping before ATTACH": [struct.pack(">BQ", PING, 1)],
    "ATTACH twice": [attach(), attach()],
    "an ACK of the future": [attach(), ack(1 << 40)],
    "an ACK of eternity": [attach(), ack(COLD)],
    "a short ACK": [attach(), bytes((ACK, 0))],
    "a long RESIZE": [attach(), bytes((RESIZE,)) + bytes(5)],
    "half a RESIZE": [attach(), bytes((RESIZE,)) + bytes(2)],
    "an empty message later": [attach(), b""],
}


@pytest.mark.parametrize("messages", BAD.values(), ids=BAD)
@pytest.mark.parametrize("cut", [1, 1000])
def test_a_bad_frame_is_4400(there: Stage, messages: list[bytes], cut: int):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        tab.socket.drip(b"".join(frame(BINARY, message) for message in messages), cut)
        assert tab.until_closed().code == 4400


WRONG = {
    "text": (frame(TEXT, b"hello"), 1003),
    "text, before ATTACH": (frame(TEXT), 1003),
    "unmasked": (frame(BINARY, attach(), mask=None), 1002),
    "compressed, which was not agreed": (frame(BINARY, attach(), rsv=RSV1), 1002),
    "a continuation of nothing": (frame(CONTINUATION, attach()), 1002),
    "too large": (frame(BINARY, b"\2" + bytes(1 << 20)), 1009),
    "a bad close code": (frame(8, b"\0\1"), 1002),
}


@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG)
def test_a_bad_websocket_is_told_so(there: Stage, data: bytes, code: int):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        tab.socket.send(data)
        assert tab.until_closed().code == code


def test_messages_may_come_in_any_pieces(there: Stage):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        typed = bytes((INPUT,)) + b"hello there\n"
        said = (b"".join(fragments(BINARY, [b"", attach()[:1], attach()[1:5], b"", attach()[5:]]))
                + b"".join(fragments(BINARY, [typed[:1], b"", typed[1:4], typed[4:]])) + frame(WS_PING, b"?"))
        tab.socket.drip(said, 1)
        events = []
        while not any(kind == "pong" for kind, _ in events):
            events.append(tab.socket.read())
        assert ("pong", b"?") in events
        for kind, payload in events:
            if kind == "binary":
                tab.take(payload[0], payload[1:])
        tab.until("hello there\r\nhello there\r\n")


def test_frames_that_come_with_the_request_are_heard(there: Stage):
    terminal = there.create("cat")
    with Client(there.address) as client:
        client.send(handshake(f"/projects/p/terminals/{terminal['id']}/socket", SUBPROTOCOL) + frame(BINARY, attach()))
        assert client.read_head().status == 101
        assert client.read().payload[0] == 129


def test_a_close_is_answered(there: Stage):
    terminal = there.create("cat")
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.socket.send(close_frame(1001))
        assert tab.until_closed().code == 1001
        assert tab.socket.rest() == b""
    wait_for(lambda: there.show(terminal["id"])["clients"] == 0, "the client to be gone")


def test_random_bytes_break_only_their_own_connection(there: Stage):
    terminal = sh(there, "stty raw; echo ready; exec cat")      # of which no byte ends or stops it
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.until("ready")
    seeds = [os.urandom(400) for _ in range(60)]
    for n, seed in enumerate(seeds):
        with there.tab(terminal["id"]) as tab:
            said = seed if n % 3 == 0 else b"".join(
                frame(BINARY, seed[at:at + seed[at] % 16]) for at in range(0, 384, 16))
            tab.socket.send((frame(BINARY, attach(0)) if n % 2 else b"") + said + close_frame())
            tab.socket.sock.shutdown(1)
            tab.socket.rest()
    with there.tab(terminal["id"]) as tab:
        tab.attach()
        tab.type("alive\n")
        tab.until("alive")


def test_a_client_that_vanishes_in_a_flood_is_forgotten(there: Stage):
    terminal = sh(there, FLOOD)
    for _ in range(20):
        tab = there.tab(terminal["id"])
        tab.attach()
        tab.step()
        tab.socket.sock.setsockopt(1, 13, struct.pack("ii", 1, 0))      # SO_LINGER: a reset
        tab.socket.close()
    wait_for(lambda: there.show(terminal["id"])["clients"] == 0, "all to be gone")
