from __future__ import annotations

import os
import signal
import socket as sockets_
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hotpath.core.serve.push import PushOptions
from hotpath.core.serve.testing import Served, serving
from tests.clients import fetch
from tests.core.net.peers import reset_on_close
from tests.core.serve import pushes
from tests.waiting import send_signal, wait_for
from tests.wsclient import (
    BINARY,
    CONTINUATION,
    PING,
    RSV1,
    TEXT,
    Client,
    close_code,
    close_frame,
    connect,
    fragments,
    frame,
    handshake,
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(pushes.make()) as running:
        yield running


def opened(served: Served, target: str = "/ws") -> Client:
    client = connect(served.address, target)
    assert client.read() == ("text", b"hello")
    return client


def reset(client: Client) -> None:
    reset_on_close(client.sock)
    client.close()


def counts(served: Served) -> dict[str, int]:
    return fetch(served.address, "/counts").json()


def narrow(client: Client) -> Client:
    client.sock.setsockopt(sockets_.SOL_SOCKET, sockets_.SO_RCVBUF, 4096)
    return client


def test_messages_come_and_go_however_the_bytes_are_cut(served: Served):
    pieces = b"".join(fragments(TEXT, [b"a", b"", b"b" * 300]))
    said = frame(TEXT, "ü".encode()) + pieces + frame(PING, b"?") + frame(TEXT)
    for size in (1, 3, len(said)):
        with opened(served) as client:
            client.drip(said, size)
            answers = [client.read() for _ in range(4)]
            assert answers == [("text", "ü".encode()), ("text", b"a" + b"b" * 300), ("pong", b"?"), ("text", b"")]


def test_frames_that_come_with_the_request_are_heard(served: Served):
    with Client(served.address) as client:
        client.send(handshake("/ws", host=served.address) + frame(TEXT, b"early"))
        assert client.read_head().status == 101
        assert [client.read() for _ in range(2)] == [("text", b"hello"), ("text", b"early")]


def test_what_one_turn_queues_leaves_in_one_send(served: Served):
    with opened(served) as client:
        before = counts(served)
        client.send(frame(TEXT, b"several 500"))
        assert [client.read().payload for _ in range(500)] == [str(n).encode() for n in range(500)]
        after = counts(served)
        assert after["frames"] - before["frames"] == 500
        assert after["sends"] - before["sends"] == 1


def test_one_frame_reaches_a_thousand(served: Served):
    clients = [opened(served) for _ in range(1000)]
    try:
        for n in range(3):
            clients[n].send(frame(TEXT, b"all %d" % n))
        for client in clients:
            assert sorted(client.read().payload for _ in range(3)) == [b"0", b"1", b"2"]
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: counts(served)["alive"] == 0, "the sockets to be forgotten")


def mixed(i: int, times: int) -> list[bytes]:
    frames = []
    for n in range(times):
        frames.append(f"{n} {'z' * (n % 7) * 30}".encode())
        if i % 5 == 0 and n % 3 == 0:
            frames.append(b"%d own" % n)
    return frames


@pytest.mark.parametrize("by_ring", [True, False])
def test_a_pass_over_many_keeps_each_one_s_order_and_leaves_the_slow_behind(by_ring: bool):
    options = PushOptions(1000, queue_hard=60_000, queue_age_s=0.0, ping_s=0.0, close_s=0.0, send_buffer=4096)
    with serving(pushes.make(options, by_ring=by_ring)) as served, ExitStack() as stack:
        # In the order of their number, which decides what is theirs alone.
        clients = [stack.enter_context(opened(served)) for _ in range(150)]
        if counts(served)["by_ring"] != by_ring:
            pytest.skip("needs io_uring: Linux 6.1, and kernel.io_uring_disabled = 0")
        for client in clients[10:20]:
            # No less: below a segment's size the kernel tells of room only when probed, more and more rarely.
            client.sock.setsockopt(sockets_.SOL_SOCKET, sockets_.SO_RCVBUF, 65536)
        rounds = (1, 40, *[300] * 10)
        for times in rounds:
            clients[0].send(frame(TEXT, b"mixed %d" % times))
            for i, client in enumerate(clients):
                if not 10 <= i < 20:
                    due = mixed(i, times)
                    assert [client.read().payload for _ in due] == due
        wait_for(lambda: counts(served)["slow"] == 10, "the slow ones to be closed")
        for i in range(10, 20):
            events, payload = clients[i].read_to_close()
            assert close_code(payload) == 4008
            whole = [payload for times in rounds for payload in mixed(i, times)]
            assert [event.payload for event in events] == whole[:len(events)]


def test_the_dead_among_many_disturb_nobody(served: Served):
    clients = [opened(served) for _ in range(200)]
    for client in clients[::3]:
        reset_on_close(client.sock)
    clients[1].send(frame(TEXT, b"all one"))
    for client in clients[::3]:
        client.close()
    clients[1].send(frame(TEXT, b"all two"))
    for client in (client for i, client in enumerate(clients) if i % 3):
        assert [client.read().payload for _ in range(2)] == [b"one", b"two"]
        client.close()
    wait_for(lambda: counts(served)["alive"] == 0, "the sockets to be forgotten")


@pytest.mark.parametrize(("said", "code"), [
    (frame(BINARY, b"x"), 1003),
    (frame(TEXT, b"x", mask=None), 1002),
    (frame(TEXT, b"x", rsv=4), 1002),
    (frame(CONTINUATION, b"x"), 1002),
    (frame(TEXT, b"\xff"), 1007),
    (frame(TEXT, b"x" * 1001)[:8], 1009),
    (b"".join(fragments(TEXT, [b"x" * 600, b"x" * 600])), 1009),
    (frame(TEXT, b"raise"), None),
    (close_frame(4321), 4321),
    (frame(8), None),
    (frame(TEXT, b"close 4001"), 4001),
])
def test_an_end_has_its_code(served: Served, said: bytes, code: int | None):
    with opened(served) as client:
        client.send(said)
        assert close_code(client.read_to_close()[1]) == code
        if said == frame(TEXT, b"close 4001"):
            client.send_close(4001)
        assert client.rest() == b""
    wait_for(lambda: counts(served)["room"] == 0, "the room to be empty")
    assert counts(served)["alive"] == 0


def test_a_failing_handler_is_closed_with_1011_and_forgotten(served: Served):
    with connect(served.address, "/ws?fail=1") as client:
        assert close_code(client.read_to_close()[1]) == 1011
    wait_for(lambda: counts(served)["alive"] == 0, "the socket to be forgotten")


def test_a_handler_that_waits_is_cancelled_when_its_client_is_gone(served: Served):
    reset(opened(served, "/ws?wait=yes"))
    wait_for(lambda: counts(served)["alive"] == 0, "the socket to be forgotten")


def test_a_handler_that_waits_keeps_its_connection_whatever_the_client_says():
    with serving(pushes.make(PushOptions(ping_s=2.0))) as served:
        with opened(served, "/ws?wait=yes") as client:
            client.send(close_frame(4001))
            assert client.read() == ("ping", b"")
        assert counts(served)["alive"] == 1     # and it knows of the client's end
        fetch(served.address, "/go-on")
        wait_for(lambda: counts(served)["alive"] == 0, "the socket to be forgotten")
        assert served.stop() == 0       # the worker counts its connections, and ends with the last


def test_who_may_not_is_told_before_the_101(served: Served):
    assert fetch(served.address, "/ws").status == 426
    with Client(served.address) as client:
        client.send(handshake("/no", host=served.address))
        assert client.read_head().status == 403
    with Client(served.address) as client:
        client.send(handshake("/ws", ("Origin", "http://evil.example"), host=served.address))
        assert client.read_head().status == 403


def test_a_reset_is_noticed(served: Served):
    reset(opened(served))
    wait_for(lambda: counts(served)["alive"] == 0, "the socket to be forgotten")


def test_a_slow_client_loses_what_is_transient_then_the_socket_and_never_half_a_frame(served: Served):
    with opened(served) as other, narrow(opened(served)) as client:
        before = counts(served)
        client.send(frame(TEXT, b"flood 80") + frame(TEXT, b"transient 10"))
        wait_for(lambda: counts(served)["dropped"] == before["dropped"] + 10, "transient frames to be dropped")
        client.send(frame(TEXT, b"flood 1000"))
        wait_for(lambda: counts(served)["slow"] == before["slow"] + 1, "the close")
        events, payload = client.read_to_close()
        assert close_code(payload) == 4008
        assert {event.payload for event in events} == {b"x" * 10_000}
        other.send(frame(TEXT, b"still here"))
        assert other.read() == ("text", b"still here")


def test_who_never_reads_is_cut_off_after_the_close():
    options = PushOptions(queue_hard=200_000, close_s=0.2, send_buffer=4096)
    with serving(pushes.make(options)) as served, narrow(opened(served)) as client:
        client.send(frame(TEXT, b"flood 1000"))
        wait_for(lambda: counts(served)["alive"] == 0, "the socket to be forgotten")
        assert counts(served)["slow"] == 1


def test_a_frame_that_waits_too_long_closes_the_socket():
    options = PushOptions(queue_hard=100_000_000, queue_age_s=0.2, send_buffer=4096)
    with serving(pushes.make(options)) as served, narrow(opened(served)) as client:
        client.send(frame(TEXT, b"flood 100"))
        wait_for(lambda: counts(served)["slow"] == 1, "the close")
        assert close_code(client.read_to_close()[1]) == 4008


def test_pings_that_nobody_reads_fill_no_memory(served: Served):
    with narrow(opened(served)) as client:
        client.send(frame(TEXT, b"flood 50"))
        for _ in range(1000):
            client.sock.setblocking(True)
            client.sock.sendall(frame(PING, b"p" * 125) * 20)
            client.sock.setblocking(False)
        client.send(frame(TEXT, b"still here"))
        pongs = 0
        while (event := client.read()).payload != b"still here":
            pongs += event.kind == "pong"
        assert pongs < 2000


def test_silence_is_asked_and_then_ended():
    with serving(pushes.make(PushOptions(ping_s=2.0))) as served, opened(served) as client, opened(served) as good:
        assert client.read() == ("ping", b"")
        while True:
            event = good.read()
            assert event.kind == "ping"
            good.send_frame(10)
            if counts(served)["room"] == 1:
                break
        assert client.rest() == b""


def test_an_answer_that_came_while_the_server_stood_still_counts():
    with serving(pushes.make(PushOptions(ping_s=3.0))) as served, opened(served) as client:
        (worker,) = served.workers()
        assert client.read() == ("ping", b"")
        pinged_s = time.monotonic()
        send_signal(worker, signal.SIGSTOP)
        client.send_frame(10)
        wait_for(lambda: time.monotonic() > pinged_s + 3.5, "longer than it waits for an answer")
        os.kill(worker, signal.SIGCONT)
        client.send(frame(TEXT, b"still here"))
        while (event := client.read()).kind == "ping":
            client.send_frame(10)
        assert event == ("text", b"still here")


def test_who_agrees_to_it_is_sent_what_was_compressed_once():
    with serving(pushes.make(PushOptions(2000, deflate=True))) as served:
        offer = "permessage-deflate; client_max_window_bits"
        plain = opened(served)
        offers = (offer, f"{offer}; server_max_window_bits=9")
        packed = [connect(served.address, "/ws", extensions=each) for each in offers]
        with plain, packed[0], packed[1]:
            for one in packed:
                assert one.deflate is not None
                assert one.read() == ("text", b"hello")
            text = b"ab" * 900
            packed[0].send_frame(TEXT, packed[0].deflate.deflate(b"all " + text), rsv=RSV1)
            for one in (plain, *packed):
                got = one.read_frame()
                assert got.rsv == (0 if one is plain else RSV1)
                assert (got.payload if one is plain else one.deflate.inflate(got.payload)) == text
                assert one is plain or len(got.payload) < 100
            # A bomb is measured before it is kept.
            packed[1].send_frame(TEXT, packed[1].deflate.deflate(b"x" * 1_000_000), rsv=RSV1)
            assert close_code(packed[1].read_to_close()[1]) == 1009
            packed[0].send_frame(TEXT, b"\xff\xff\xff", rsv=RSV1)
            assert close_code(packed[0].read_to_close()[1]) == 1007


def test_a_drain_says_1001():
    options = PushOptions(close_s=1.0)
    with serving(pushes.make(options)) as served, opened(served) as client, opened(served) as silent:
        served.signal(signal.SIGTERM)
        for one in (client, silent):
            assert close_code(one.read_to_close()[1]) == 1001
        client.send_close(1001)
        assert served.wait() == 0
