"""What does a WebSocket server owe to everybody else while one client is hostile, or while its own processes die?"""
from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
import zlib
from contextlib import ExitStack, suppress

import pytest

from tests.core.net.peers import reset_on_close
from tests.echoing import EchoServer, Growth, echo_servers, n_open_files
from tests.waiting import DEADLINE_S, is_alive, wait_for
from tests.wsclient import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    Ended,
    close_frame,
    cut,
    fragments,
    frame,
    frame_head,
)
from tests.wspeer import DEFLATE, Peer, deflated, opened, text

MIB = 1 << 20
# A message limit's worth of input, of inflated data and of output, each in a buffer that doubles, and some slack.
ROOM = 8 * MIB


@pytest.fixture
def start(tmp_path):
    with echo_servers(tmp_path) as start:
        yield start


@pytest.fixture
def server(start) -> EchoServer:
    """Takes messages of 1 MiB; everything it touches once has been touched."""
    server = start("--max-message", "1m")
    with opened(server.address, DEFLATE) as peer:
        peer.send(frame(BINARY, os.urandom(MIB)))
        assert len(peer.read_frame().payload) >= MIB     # noise does not shrink
        peer.goodbye()
    assert_serves(server)
    return server


def assert_serves(server: EchoServer) -> None:
    with opened(server.address) as peer:
        peer.send(text("others"))
        assert peer.read() == ("text", b"others")
        peer.goodbye()


def bomb(pattern: bytes, size: int) -> bytes:
    """The payload of a compressed message of `size` bytes, made of one compressed piece again and again."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = pattern * (16 * MIB // len(pattern))
    piece = squeeze.compress(data) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return (piece * -(-size // len(data)))[:-4]


PATTERNS = {"zeros": b"\x00", "text": b"hello, hello; ", "lines": b"0123456789abcdef" * 15 + b"\n" * 16}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("piece", [None, 10_000, 125], ids=["whole", "in fragments", "in small fragments"])
def test_a_decompression_bomb_is_refused_within_bounded_memory(server, pattern, piece):
    payload = bomb(PATTERNS[pattern], 1 << 30)
    assert len(payload) < 5 * MIB
    growth = Growth(server.worker())
    with opened(server.address, DEFLATE) as peer:
        if piece is None:
            peer.send(frame(BINARY, payload, rsv=RSV1))
        else:
            peer.send(b"".join(fragments(BINARY, cut(payload, piece), rsv=RSV1)))
        with suppress(Ended):       # a reset, caused by what the server never read, may overtake its last word
            assert peer.closing() == 1009
    assert growth.peak_bytes() < ROOM
    assert_serves(server)


def test_a_small_bomb_is_told_why_it_is_refused(server):
    with opened(server.address, DEFLATE) as peer:
        peer.send(frame(BINARY, deflated(bytes(32 * MIB)), rsv=RSV1))
        peer.refused(1009)


def test_a_bomb_in_a_bomb_is_inflated_once(server):
    inner = deflated(bytes(1 << 28))
    outer = deflated(inner)
    assert len(outer) < 10_000
    growth = Growth(server.worker())
    with opened(server.address, DEFLATE) as peer:
        peer.send(frame(BINARY, outer, rsv=RSV1))
        assert peer.read() == ("binary", inner)
        peer.goodbye()
    assert growth.peak_bytes() < ROOM


def test_messages_that_inflate_to_the_limit_again_and_again_cost_no_more_than_one(server):
    payload = deflated(bytes(MIB))
    growth = Growth(server.worker())
    with opened(server.address, DEFLATE) as peer:
        for _ in range(64):
            peer.send(frame(BINARY, payload, rsv=RSV1))
            assert peer.read() == ("binary", bytes(MIB))
        peer.goodbye()
    assert growth.peak_bytes() < ROOM


def test_a_message_in_a_million_fragments_is_echoed_within_bounded_memory(server):
    payload = bytes(range(256)) * (MIB // 256)
    # A mask of zeros leaves the payload as it is.
    middle = b"".join(b"\x00\x81\x00\x00\x00\x00%c" % byte for byte in payload[1:-1])
    growth = Growth(server.worker())
    with opened(server.address) as peer:
        peer.send(frame(BINARY, payload[:1], fin=False) + middle + frame(CONTINUATION, payload[-1:]))
        assert peer.read() == ("binary", payload)
        peer.goodbye()
    assert growth.peak_bytes() < ROOM


def test_empty_fragments_cost_nothing(server):
    growth = Growth(server.worker())
    with opened(server.address) as peer:
        peer.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"", fin=False) * MIB + frame(CONTINUATION, b"b"))
        assert peer.read() == ("text", b"ab")
        peer.goodbye()
    assert growth.peak_bytes() < ROOM


FLOODS = {
    "pings": frame(PING, b"p" * 125) * 500,
    "small messages": text("hello") * 5000,
    "large messages": frame(BINARY, b"x" * 65536),
    "close to the limit": frame(BINARY, b"x" * MIB),
}


def narrow(peer: Peer, size: int = 4096) -> Peer:
    """Let little be under way to us, so that what we do not read stays with the server."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    return peer


def flood(peer: Peer, data: bytes, at_most: int) -> None:
    """Send `data` again and again, reading nothing, until the server takes no more or ends it."""
    n_sent, rest = 0, memoryview(data)
    # What a shared machine may be silent; a server that is merely slow makes the flood smaller, the test no less true.
    while n_sent < at_most and select.select([], [peer.sock], [], 2)[1]:
        try:
            n = peer.sock.send(rest)
        except BlockingIOError:
            continue
        except ConnectionError:
            return
        n_sent += n
        rest = rest[n:] or memoryview(data)


@pytest.mark.parametrize("kind", FLOODS)
def test_a_client_that_floods_and_never_reads_costs_bounded_memory(server, kind):
    growth = Growth(server.worker())
    with opened(server.address) as peer:
        flood(narrow(peer), FLOODS[kind], 256 * MIB)
        assert growth.peak_bytes() < ROOM
        assert_serves(server)


def test_many_clients_that_never_read_leave_the_others_served(server):
    growth = Growth(server.worker())
    with ExitStack() as stack:
        for _ in range(20):
            peer = stack.enter_context(opened(server.address))
            with suppress(BlockingIOError, ConnectionError):
                while True:
                    peer.sock.send(FLOODS["large messages"])
        assert_serves(server)
        # Each at its own limits: far from the sum of what they sent.
        assert growth.peak_bytes() < 20 * 2 * MIB + ROOM
    assert_serves(server)


def test_a_slow_reader_gets_everything_in_order(server):
    growth = Growth(server.worker())
    messages = [struct.pack(">I", i) * 10_000 for i in range(500)]
    with opened(server.address) as peer, narrow(peer, 256 * 1024).sock.dup() as sock:
        sock.settimeout(DEADLINE_S)
        sender = threading.Thread(target=sock.sendall, args=[b"".join(frame(BINARY, each) for each in messages)])
        sender.start()
        for each in messages:
            assert peer.read() == ("binary", each)
        sender.join()
        peer.goodbye()
    assert growth.peak_bytes() < ROOM


MID_FRAME = [
    frame_head(BINARY, 50_000) + b"half",
    frame(TEXT, b"half", fin=False),
    text("x")[:1],
    frame(BINARY, deflated(bytes(1000)), fin=False, rsv=RSV1),
]


def test_a_thousand_connections_cut_within_a_frame_leave_nothing(server):
    pid = server.worker()
    before = n_open_files(pid)
    for turn in range(10):      # fewer at once than a plain user may open
        peers = [opened(server.address, DEFLATE) for _ in range(100)]
        for i, peer in enumerate(peers):
            peer.send(MID_FRAME[i % len(MID_FRAME)])
        assert n_open_files(pid) >= len(peers)
        for i, peer in enumerate(peers):
            if (turn + i) % 2:      # a reset instead of a FIN
                reset_on_close(peer.sock)
            peer.sock.close()
    wait_for(lambda: n_open_files(pid) <= before, "the worker to let go of every connection")
    assert server.worker() == pid
    assert_serves(server)


def test_a_killed_worker_is_replaced_and_serves(server):
    pid = server.worker()
    with opened(server.address) as peer:
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Ended):
            peer.read_frame()
    wait_for(lambda: server.workers() not in ([], [pid]), "another worker")
    assert server.worker() != pid
    assert_serves(server)       # the listening socket was there all the time


def test_a_stopped_server_says_going_away_to_every_socket(server):
    with ExitStack() as stack:
        peers = [stack.enter_context(opened(server.address)) for _ in range(20)]
        peers[0].send(frame(TEXT, b"half a message", fin=False))
        peers[1].send(text("answered first"))
        assert peers[1].read() == ("text", b"answered first")
        server.terminate()
        for peer in peers:
            assert peer.closing() == 1001
            peer.send(close_frame(1001))
            peer.is_over()
        assert server.process.wait() == 0


def test_a_client_that_does_not_answer_the_close_cannot_hold_up_the_end(start):
    server = start(config={"timeouts": {"drain": "1s"}})
    pid = server.worker()
    with opened(server.address) as mute:
        server.terminate()
        assert mute.closing() == 1001
        assert server.process.wait() == 0
        assert not is_alive(pid)


def n_data_segments(sock: socket.socket) -> int:
    """How many TCP segments with data came in: tcpi_data_segs_in of tcp_info (linux/tcp.h), since Linux 4.6."""
    return struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 156), 152)[0]


def test_many_frames_of_one_packet_are_answered_in_order_in_few_sends(server):
    with opened(server.address) as peer:
        before = n_data_segments(peer.sock)
        words = [f"message {i}" for i in range(1000)]
        peer.send(b"".join(map(text, words)))
        assert [peer.read().payload.decode() for _ in words] == words
        # One packet on loopback, one turn of the loop; with slack for other cuts. One send each would make 1000.
        assert n_data_segments(peer.sock) - before <= 50
        peer.goodbye()


def test_pings_of_one_packet_are_answered_in_order(server):
    with opened(server.address) as peer:
        peer.send(b"".join(frame(PING, str(i).encode()) for i in range(100)) + text("then"))
        pongs = [peer.read_frame() for _ in range(100)]
        # RFC 6455 section 5.5.3 lets a server answer only the last of several: ours answers each.
        assert [pong.payload for pong in pongs] == [str(i).encode() for i in range(100)]
        assert {pong.opcode for pong in pongs} == {PONG}
        assert peer.read() == ("text", b"then")
