from __future__ import annotations

import json
import re
import select
import signal
import socket as sockets_
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.clients import fetch
from tests.core.net.peers import reset_on_close
from tests.core.serve import sockets
from tests.echoing import Growth
from tests.waiting import wait_for
from tests.wsclient import BINARY, RSV1, TEXT, Client, Ended, close_payload, connect, fragments, frame, handshake


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(sockets.make()) as running:
        yield running


@pytest.fixture
def fresh() -> Iterator[Served]:
    with serving(sockets.make()) as running:
        yield running


def wait_seen(served: Served, what: str, times: int = 1) -> None:
    wait_for(lambda: fetch(served.address, "/seen").json().count(what) >= times, what)


def read_text(client: Client) -> str:
    event = client.read()
    assert event.kind == "text"
    return event.payload.decode()


def closing(client: Client) -> bytes | None:
    return client.read_to_close()[1]


def cut(client: Client) -> None:
    """Gone without a word: a reset."""
    reset_on_close(client.sock)
    client.close()


def narrow(client: Client) -> Client:
    client.sock.setsockopt(sockets_.SOL_SOCKET, sockets_.SO_RCVBUF, 4096)
    return client


def push(client: Client, data: bytes, at_most: int) -> int:
    """Send until the server takes no more for a while; how much it took."""
    n = 0
    while n < at_most and select.select([], [client.sock], [], 1)[1]:
        with suppress(BlockingIOError):
            n += client.sock.send(data)
    return n


# A handler's messages

def test_messages_of_both_kinds_are_iterated_and_sent(served: Served):
    with connect(served.address, "/echo") as client:
        client.send(frame(TEXT, "ü".encode()) + frame(BINARY, b"\0\xff") + b"".join(fragments(TEXT, [b"a", b"", b"b"])))
        assert [client.read() for _ in range(3)] == [("text", "ü".encode()), ("binary", b"\0\xff"), ("text", b"ab")]


def test_what_has_bytes_is_sent_and_nothing_of_what_cannot_be(served: Served):
    with connect(served.address, "/kinds") as client:
        events = [client.read() for _ in range(7)]
        assert events == [("text", b"text"), ("binary", b"bytes"), ("binary", b"bytearray"), ("binary", b"memoryview"),
                          ("text", b""), ("binary", b""), ("ping", b"there?")]
        assert closing(client) == close_payload(1000)
        seen = fetch(served.address, "/seen").json()
        assert [each for each in seen if "Error" in each] == [
            "UnicodeEncodeError", "TypeError", "ValueError", "TypeError", "UnicodeEncodeError", "UnicodeEncodeError"]


def test_parameters_state_and_subprotocol_reach_the_handler(served: Served):
    with connect(served.address, "/plain/blue/7") as client:
        assert read_text(client) == "blue 7 None None"


def test_the_first_known_subprotocol_is_chosen(served: Served):
    client = Client(served.address)
    with client:
        head = client.open("/echo", ("Sec-WebSocket-Protocol", "v3, v2, v1"))
        assert head.value("sec-websocket-protocol") == "v2"


def test_frames_in_the_packet_of_the_handshake_are_read(served: Served):
    with Client(served.address) as client:
        client.send(handshake("/echo") + frame(TEXT, b"early") + frame(BINARY, b"x" * 60_000))
        assert client.read_head().status == 101
        assert client.read() == ("text", b"early")
        assert client.read() == ("binary", b"x" * 60_000)


def test_two_tasks_send_whole_messages(served: Served):
    with connect(served.address, "/two-send") as client:
        got = [read_text(client).rstrip(".") for _ in range(400)]
        for name in "ab":
            assert [each for each in got if each[0] == name] == [f"{name}{i}" for i in range(200)]


def test_a_second_receiver_is_an_error(served: Served):
    with connect(served.address, "/two-receive") as client:
        assert read_text(client) == "another task receives from this websocket"
        client.send_frame(TEXT, b"for the first")
        assert closing(client) == close_payload(1000)
    wait_seen(served, "received 'for the first'")


def test_a_task_that_receives_learns_that_the_handler_is_done(served: Served):
    with connect(served.address, "/left-behind") as client:
        assert closing(client) == close_payload(1000)
        wait_seen(served, "receiver learned of the end")


def test_frames_arrive_while_a_thread_works(served: Served):
    with connect(served.address, "/offload") as client:
        client.send(b"".join(frame(TEXT, f"m{i}".encode()) for i in range(100)))
        assert [read_text(client) for _ in range(100)] == [f"M{i}" for i in range(100)]


# The end

def test_a_handler_that_returns_closes_with_1000(served: Served):
    with connect(served.address, "/plain/a/1") as client:
        read_text(client)
        assert closing(client) == close_payload(1000)
        client.send_close(1000)
        assert client.rest() == b""


def test_a_handler_that_raises_closes_with_1011_and_says_more_only_in_the_log(served: Served):
    with connect(served.address, "/raises") as client:
        assert closing(client) == close_payload(1011)
    served.wait_for(r"websocket handler failed instance=urn:uuid:[0-9a-f]{32} path=/raises.*a secret")


def test_connection_closed_let_out_of_a_handler_is_no_failure(fresh: Served):
    with connect(fresh.address, "/lets-out") as client:
        client.send_close(1001)
        assert closing(client) == close_payload(1001)
        assert client.rest() == b""
    assert "failed" not in fresh.output()


def test_the_clients_code_and_reason_are_told(served: Served):
    for payload, code, told in ((close_payload(4000, "ü".encode()), 4000, "echo 4000 ü"), (b"", None, "echo 1005 ")):
        with connect(served.address, "/echo") as client:
            client.send_frame(8, payload)
            assert closing(client) == (b"" if code is None else close_payload(code))
            wait_seen(served, told)


def test_a_client_that_is_gone_is_1006(served: Served):
    cut(connect(served.address, "/echo"))
    wait_seen(served, "echo 1006 ")


def test_a_handler_closes_with_a_code_that_may_be_and_only_once(served: Served):
    with connect(served.address, "/closes") as client:
        assert closing(client) == close_payload(4001, "enough ü".encode())
    wait_seen(served, "closes raised", 3)
    assert "closed with what is not allowed" not in fetch(served.address, "/seen").json()


def test_what_came_before_the_close_is_delivered_to_a_slow_handler(served: Served):
    with connect(served.address, "/slow") as client:
        client.send(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(8, close_payload(4002)))
        fetch(served.address, "/open/slow")
        assert closing(client) == close_payload(4002)
        wait_seen(served, "slow got ['a', 'b'] then 4002")


def test_a_handler_that_only_sends_learns_of_the_close(served: Served):
    with connect(served.address, "/sends") as client:
        client.read()
        client.send_close(1000)
        assert closing(client) == close_payload(1000)
        wait_seen(served, "sends learned of the close")


def test_a_handler_that_only_sends_learns_that_the_client_is_gone_and_lets_others_have_their_turn(served: Served):
    client = connect(served.address, "/sends")
    client.read()
    assert fetch(served.address, "/seen").status == 200
    before = fetch(served.address, "/seen").json().count("sends learned of the close")
    cut(client)
    wait_seen(served, "sends learned of the close", before + 1)


def test_a_handler_that_is_stuck_is_cancelled_behind_the_end(served: Served):
    with connect(served.address, "/stuck") as client:
        client.send_close(1000)
        assert closing(client) == close_payload(1000)
        wait_seen(served, "stuck was cancelled")
    cut(connect(served.address, "/stuck"))
    wait_seen(served, "stuck was cancelled", 2)


def test_a_handler_that_closed_and_is_stuck_is_cancelled_whatever_the_client_does(served: Served):
    with connect(served.address, "/closes-and-sticks") as mute:
        assert closing(mute) == close_payload(1000)
        wait_seen(served, "closes-and-sticks was cancelled")


# Is it alive?

def test_a_peer_that_answers_pings_is_left_alone_and_a_silent_one_is_not(served: Served):
    with connect(served.address, "/alive") as client:
        for _ in range(15):             # for longer than a ping and its time
            assert client.read() == ("ping", b"")
            client.send_frame(10)
        client.send_frame(TEXT, b"still here")
        while (event := client.read()).kind == "ping":
            client.send_frame(10)
        assert event == ("text", b"still here")
        with suppress(Ended):
            while client.read().kind == "ping":     # and no answer
                pass
        wait_seen(served, "alive ended 1006 no sign of life")


def test_a_client_whose_messages_wait_for_the_handler_is_not_taken_for_dead(served: Served):
    with connect(served.address, "/busy") as client:
        client.send(b"".join(frame(TEXT, b"message") for _ in range(50)))
        # Longer than a ping and its time; a pong would stand behind what the handler has not taken.
        assert [client.read() for _ in range(4)] == [("ping", b"")] * 4
        fetch(served.address, "/open/busy")
        while (event := client.read()).kind == "ping":
            pass
        assert event == ("text", b"50")


def test_a_client_that_is_gone_while_its_messages_wait_is_found_out(served: Served):
    client = connect(served.address, "/waits")
    client.send(b"".join(frame(TEXT, b"message") for _ in range(50)))
    assert client.read() == ("ping", b"")
    client.close()
    wait_seen(served, "waits was cancelled")


# Too fast, too slow

def test_a_client_waits_for_a_handler_that_does_not_receive(served: Served):
    growth = Growth(served.workers()[0])
    data = frame(BINARY, b"x" * 60_000)
    with connect(served.address, "/unread") as client:
        pushed = push(client, data, 64 << 20)
        assert pushed < 64 << 20
        assert growth.peak_bytes() < 4 << 20
        fetch(served.address, "/open/unread")
        client.send(data[pushed % len(data):] if pushed % len(data) else b"")
        for _ in range(pushed // len(data)):
            assert client.read() == ("binary", b"x")


def test_a_client_that_does_not_read_is_cut_off_and_counted(served: Served):
    with narrow(connect(served.address, "/floods")):
        wait_seen(served, "floods was cut off")
    text = fetch(served.address, "/metrics").body.decode()
    assert re.search(r'reason="slow_reader"\} [1-9]', text), text


def test_a_client_that_takes_a_byte_now_and_then_is_cut_off(served: Served):
    before = fetch(served.address, "/seen").json().count("floods was cut off")
    with narrow(connect(served.address, "/floods")) as client:
        def drip() -> bool:
            with suppress(BlockingIOError, ConnectionError):
                client.sock.recv(3000)
            return bool(fetch(served.address, "/seen").json().count("floods was cut off") > before)
        wait_for(drip, "the end of its patience")


def test_answers_larger_than_a_tiny_limit_do_not_stop_the_reading(served: Served):
    with connect(served.address, "/tiny") as client:
        client.send(b"".join(frame(TEXT, b"x" * 1500) for _ in range(200)))
        assert [len(client.read().payload) for _ in range(200)] == [1500] * 200


def test_a_shared_message_reaches_all_in_its_order_and_cuts_off_who_is_too_slow(served: Served):
    with ExitStack() as stack:
        members = [stack.enter_context(connect(served.address, "/room")) for _ in range(5)]
        for member in members:              # each is in the room once its handler answers
            member.send_frame(TEXT, b"hello")
            while read_text(member) != "behind":
                pass
        members[0].send_frame(TEXT, b"to all")
        for i, member in enumerate(members):
            words: list[str] = []
            while "to all" not in words:
                words.append(read_text(member))
            if i == 0:
                assert [*words, read_text(member)][-3:] == ["before", "to all", "behind"]
        narrow(members[4])
        while not any("False" in each for each in fetch(served.address, "/seen").json() if each.startswith("shared")):
            members[0].send_frame(BINARY, b"x")
            for member in members[:4]:
                while member.read().kind != "binary":
                    pass
        assert len(members[3].sock.getsockname()) == 2


# Compression

@pytest.mark.parametrize("offer", [
    "permessage-deflate", "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits"])
def test_messages_are_compressed_both_ways(served: Served, offer: str):
    with connect(served.address, "/echo", extensions=offer) as client:
        assert client.deflate is not None
        for size in (0, 1, 127, 128, 1000, 100_000):
            payload = (b"hello " * size)[:size]
            client.send_frame(TEXT, client.deflate.deflate(payload), rsv=RSV1)
            got = client.read_frame()
            assert (got.rsv == RSV1) == (size >= 128)
            assert (client.deflate.inflate(got.payload) if got.rsv else got.payload) == payload


def test_the_limit_counts_what_is_inflated(served: Served):
    with connect(served.address, "/large", extensions="permessage-deflate") as client:
        assert client.deflate is not None
        client.send_frame(TEXT, client.deflate.deflate(b"x" * 1000), rsv=RSV1)
        assert read_text(client) == "1000"
        client.send_frame(TEXT, client.deflate.deflate(b"x" * 1001), rsv=RSV1)
        payload = closing(client)
        assert payload is not None
        assert payload[:2] == close_payload(1009)


# A server that ends, and what it says of itself

def test_a_drain_says_going_away_and_the_worker_ends(fresh: Served):
    with connect(fresh.address, "/echo") as client, connect(fresh.address, "/slow") as stuck:
        fresh.signal(signal.SIGTERM)
        for each in (client, stuck):
            assert closing(each) == close_payload(1001)
            each.send_close(1001)
            assert each.rest() == b""
        assert fresh.wait() == 0


def test_no_websocket_opens_while_the_server_drains(fresh: Served):
    with connect(fresh.address, "/echo") as client, Client(fresh.address) as late:
        late.send(handshake("/echo")[:-2])
        assert fetch(fresh.address, "/seen").status == 200     # what late sent was read meanwhile
        fresh.signal(signal.SIGTERM)
        assert closing(client) == close_payload(1001)
        late.send(b"\r\n")
        assert late.read_head().status == 503


def test_the_access_log_and_the_metrics_know_a_websocket(fresh: Served):
    with connect(fresh.address, "/plain/a/1") as client:
        client.read_to_close()
        client.send_close(1000)
        client.rest()
    line = wait_for(lambda: re.search(r'"GET /plain/a/1 HTTP/1.1" 101 (\d+)', fresh.access_log()), "its line")
    assert int(line[1]) == 2 + len("a 1 None None") + 4
    text = fetch(fresh.address, "/metrics").body.decode()
    assert re.search(r'route="/plain/\{room\}/\{n:int\}".*"1xx"\} 1\b', text), text


def test_sockets_that_are_killed_leave_nothing_behind(fresh: Served):
    for _ in range(5):
        clients = [connect(fresh.address, "/echo") for _ in range(60)]
        for i, client in enumerate(clients):
            client.send(frame(TEXT, b"half a message")[:i % 20])
            cut(client) if i % 2 else client.close()

    def quiet() -> bool:
        with Client(fresh.address) as asking:
            asking.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = asking.rest().decode()
        gauges = dict(re.findall(r"^hotpath_connections\{state=\"(\w+)\"\} (\d+)$", text, re.MULTILINE))
        assert gauges.keys() == {"active", "idle"}, text
        return gauges == {"active": "1", "idle": "0"}       # whoever asks

    wait_for(quiet, "the gauges to fall")
    assert "Traceback" not in json.dumps(fresh.output())
