"""What is written arrives, once and in order, whatever the peer does; what is read stops when nobody wants it."""
import errno
import gc
import hashlib
import os
import random
import select
import socket
import sys
import threading
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from tests.core.net.peers import MANY, pattern, read_all, read_and_join, reset_on_close
from tests.waiting import DEADLINE_S


def test_an_echo(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    assert ours.fileno() == -1
    seen = []
    stream.on_data = lambda stream, data: (seen.append(data), stream.write(data))
    peer.sendall(b"hello")
    run_until(lambda: seen)
    run_until(lambda: select.select([peer], [], [], 0)[0])
    assert peer.recv(100) == b"hello"


def test_one_that_nobody_holds_lives_until_the_loop_has_let_go_of_it(loop, run_until):
    """It fails within a call of the loop that the failure itself asks for again."""
    told = []
    for _ in range(200):
        ours, peer = socket.socketpair()
        stream = Stream(loop, ours)
        stream.on_close = lambda stream, error: told.append(error)
        peer.close()
        stream.write(b"x")
    del stream
    run_until(lambda: len(told) == 200)


def test_an_end_that_is_asked_for_while_connecting_waits_for_the_connection(loop, run_until):
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.socket()
        ours.setblocking(False)
        assert ours.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        stream = Stream(loop, ours, connected=False)
        stream.shut()
        seen = []
        stream.on_data = lambda stream, data: seen.append(data)
        peer, _ = server.accept()
        with peer:
            run_until(lambda: select.select([peer], [], [], 0)[0])
            assert peer.recv(10) == b""
            peer.sendall(b"still read")
            run_until(lambda: seen)
    assert seen == [b"still read"]
    stream.close()


def test_writes_of_one_turn_leave_in_one_send(loop, run_until):
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    peer.setblocking(False)
    stream = Stream(loop, ours)
    for letter in (b"a", bytearray(b"b"), memoryview(b"c")):
        assert stream.write(letter)
    with pytest.raises(BlockingIOError):
        peer.recv(10)
    loop.call_soon(loop.stop)
    loop.run()
    assert stream.n_unsent == 3     # the turn has only begun
    loop.call_later(0, loop.stop)
    loop.run()
    assert peer.recv(10) == b"abc"
    assert stream.n_unsent == 0
    peer.close()


def test_a_slow_reader_pauses_the_writer_and_gets_everything(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    piece = pattern(50_000)
    left = [piece] * (MANY // len(piece))
    drained = []

    def go_on(stream):
        drained.append(stream.n_unsent)
        while left:
            if not stream.write(left.pop()):
                return
        stream.on_drain = None
        stream.shut()

    stream.on_drain = go_on
    go_on(stream)
    loop.call_later(0.02, loop.stop)
    loop.run()
    assert left
    assert stream.n_unsent > 16384
    reader = read_all(peer)
    run_until(lambda: not reader.is_alive())
    assert reader.data == piece * (MANY // len(piece))
    assert len(drained) > 2
    assert all(unsent <= 16384 for unsent in drained)


def test_drain_is_told_also_when_a_large_write_finds_the_way_free_again(loop, run_until, pair):
    ours, _peer = pair
    stream = Stream(loop, ours)
    drained = []
    stream.on_drain = lambda _stream: drained.append(1)
    stream.set_water(high=0, low=0)
    assert not stream.write(b"small")
    assert not stream.write(b"x" * 20_000)
    run_until(lambda: drained)
    assert stream.write(b"") is True
    assert stream.n_unsent == 0


def test_pausing_holds_data_back_and_resuming_gets_all_of_it(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    wanted = pattern(MANY)
    seen = []

    def on_data(stream, data):
        seen.append(data)
        stream.pause()
        stream.pause()
        loop.call_soon(stream.resume)

    stream.on_data = on_data
    stream.pause()
    sender = threading.Thread(target=lambda: (peer.sendall(wanted), peer.shutdown(socket.SHUT_WR)))
    sender.start()
    loop.call_later(0.02, loop.stop)
    loop.run()
    assert not seen
    stream.resume()
    run_until(lambda: stream.closed)
    sender.join()
    assert b"".join(seen) == wanted


def test_data_that_came_before_anyone_asked_is_kept(loop, run_until, pair):
    ours, peer = pair
    peer.sendall(b"early")
    stream = Stream(loop, ours)
    loop.call_later(0.01, loop.stop)
    loop.run()
    seen = []
    stream.on_data = lambda _stream, data: seen.append(data)
    stream.resume()
    run_until(lambda: seen)
    assert seen == [b"early"]


def test_one_fast_sender_does_not_starve_another(loop, run_until, pair):
    """The flood is endless, yet the other's bytes come through, and timers too."""
    ours, peer = pair
    flood = Stream(loop, ours)
    flood.on_data = lambda _stream, _data: None
    stop = threading.Event()

    def send():
        peer.settimeout(0.1)
        while not stop.is_set():
            with suppress(TimeoutError):    # the kernel's buffers are full: look whether it is over
                peer.send(b"x" * 65536)

    sender = threading.Thread(target=send)
    sender.start()
    a, b = socket.socketpair()
    seen = []
    Stream(loop, a).on_data = lambda _stream, data: seen.append(data)
    loop.call_later(0.01, b.send, b"x")
    try:
        run_until(lambda: seen)
    finally:
        stop.set()
        sender.join()
        b.close()


def test_the_peers_end_is_told_and_ours_can_still_speak(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    seen, closed = [], []
    stream.on_data = lambda _stream, data: seen.append(data)
    stream.on_close = lambda _stream, error: closed.append(error)

    def on_end(stream):
        seen.append("end")
        loop.call_later(0.01, lambda: (stream.write(b"answer"), stream.shut()))

    stream.on_end = on_end
    peer.sendall(b"question")
    peer.shutdown(socket.SHUT_WR)
    reader = read_all(peer)
    run_until(lambda: closed)
    reader.join()
    assert (b"".join(seen[:-1]), seen[-1]) == (b"question", "end")
    assert reader.data == b"answer"
    assert closed == [None]
    assert stream.closed


def test_our_end_leaves_reading_open(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    seen, closed = [], []
    stream.on_data = lambda _stream, data: seen.append(data)
    stream.on_close = lambda _stream, error: closed.append(error)
    stream.write(b"question")
    stream.shut()
    with pytest.raises(RuntimeError):
        stream.write(b"more")
    with pytest.raises(RuntimeError):
        stream.sendfile(0, offset=0, size=1)
    reader = read_all(peer)
    run_until(lambda: not reader.is_alive())
    assert reader.data == b"question"
    peer.sendall(b"answer")
    run_until(lambda: seen)
    peer.close()
    run_until(lambda: closed)
    assert closed == [None]


def test_without_on_end_the_peers_end_closes(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_data = lambda _stream, _data: None
    stream.on_close = lambda stream, error: closed.append((stream, error))
    peer.close()
    run_until(lambda: closed)
    assert closed == [(stream, None)]
    assert not stream.write(b"x")
    assert stream.fileno() == -1


def test_a_reset_is_told_as_the_error_of_on_close(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_data = lambda _stream, _data: None
    stream.on_close = lambda _stream, error: closed.append(error)
    reset_on_close(peer)
    peer.close()
    run_until(lambda: closed)
    assert [type(error) for error in closed] == [ConnectionResetError]


def test_a_reset_behind_the_peers_end_is_told_too(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    told = []
    stream.on_data = lambda _stream, _data: None
    stream.on_end = lambda _stream: told.append("end")
    stream.on_close = lambda _stream, error: told.append(type(error))
    peer.shutdown(socket.SHUT_WR)
    run_until(lambda: told)
    reset_on_close(peer)
    peer.close()
    run_until(lambda: len(told) == 2)
    assert told == ["end", BrokenPipeError]     # so Linux calls a reset of what the peer had ended


@pytest.mark.parametrize("size", [1, 100_000])
def test_writing_to_a_peer_that_is_gone_closes_with_the_error(loop, run_until, pair, size):
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error)
    stream.pause()
    reset_on_close(peer)
    peer.close()
    stream.write(b"x" * size)
    run_until(lambda: closed)
    assert isinstance(closed[0], ConnectionResetError | BrokenPipeError)


def test_what_the_peer_said_before_it_left_is_read_before_the_write_error(loop, run_until):
    ours, peer = socket.socketpair()
    stream = Stream(loop, ours)
    seen, closed = [], []
    stream.on_data = lambda _stream, data: seen.append(data)
    stream.on_close = lambda _stream, error: closed.append(error)
    peer.sendall(b"too large")
    peer.close()
    stream.write(b"x" * 20_000)
    run_until(lambda: closed)
    assert seen == [b"too large"]


def test_closing_offers_what_was_written_and_tells_on_close_once(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    told = []
    stream.on_data = stream.on_drain = lambda *_args: told.append("never")
    stream.on_close = lambda _stream, error: told.append(error)
    stream.write(b"last words")
    stream.close()
    stream.close()
    assert stream.closed
    assert told == []
    run_until(lambda: told)
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert told == [None]
    assert read_and_join(peer) == b"last words"


def test_a_callback_that_raises_closes_its_stream_and_no_other(loop, run_until, pair, caplog):
    ours, peer = pair
    a, b = socket.socketpair()
    other = Stream(loop, a)
    seen = []
    other.on_data = lambda _stream, data: seen.append(data)
    bad = Stream(loop, ours)
    bad.on_data = lambda _stream, _data: 1 / 0
    peer.sendall(b"x")
    run_until(lambda: bad.closed)
    assert "ZeroDivisionError" in caplog.text
    b.send(b"x")
    run_until(lambda: seen)
    b.close()


def test_closing_a_neighbour_drops_its_events_of_the_same_batch(loop):
    """Every stream is ready at once, and the first to be told closes all others, whose memory may then go."""
    pairs = [socket.socketpair() for _ in range(30)]
    streams = []
    seen = []

    def on_data(stream, _data):
        seen.append(stream.fileno())
        for other in streams:
            if other is not stream:
                other.close()
        streams.clear()
        gc.collect()
        loop.call_later(0.01, loop.stop)

    for ours, peer in pairs:
        stream = Stream(loop, ours)
        stream.on_data = on_data
        streams.append(stream)
        peer.send(b"x")
    del stream
    loop.run()
    assert len(seen) == 1
    for _, peer in pairs:
        peer.close()


def test_writing_to_and_closing_a_neighbour_leaves_nothing_in_the_loop_that_points_at_it(loop):
    """The neighbour is freed before the end of the turn, when its write would leave; other objects take its memory."""
    pairs = [socket.socketpair() for _ in range(30)]
    streams = []
    taken = []

    def on_data(stream, _data):
        for other in streams:
            if other is not stream:
                other.write(b"x")
                other.close()
        streams.clear()
        loop.call_soon(lambda: taken.extend(bytes([255]) * size for size in range(256, 480, 8) for _ in range(200)))
        loop.call_later(0.01, loop.stop)

    for ours, peer in pairs:
        stream = Stream(loop, ours)
        stream.on_data = on_data
        streams.append(stream)
        peer.send(b"x")
    del stream
    loop.run()
    for _, peer in pairs:
        peer.close()


def test_a_file_is_sent_behind_what_was_written(loop, run_until, pair, tmp_path):
    ours, peer = pair
    stream = Stream(loop, ours)
    content = pattern(MANY)
    path = tmp_path / "file"
    path.write_bytes(content)
    drained = []
    stream.on_drain = lambda stream: (drained.append(1), stream.write(b"tail"), stream.shut())
    with open(path, "rb") as file:
        stream.write(b"head")
        assert not stream.sendfile(file.fileno(), offset=10, size=MANY - 20)
        with pytest.raises(RuntimeError):
            stream.write(b"not now")
        with pytest.raises(RuntimeError):
            stream.sendfile(file.fileno(), offset=0, size=1)
        reader = read_all(peer)
        run_until(lambda: not reader.is_alive())
    assert reader.data == b"head" + content[10:-10] + b"tail"
    assert drained == [1]


def test_a_small_file_leaves_at_once(loop, pair, tmp_path):
    ours, peer = pair
    stream = Stream(loop, ours)
    (tmp_path / "file").write_bytes(b"small")
    with open(tmp_path / "file", "rb") as file:
        assert stream.sendfile(file.fileno(), offset=0, size=5)
    assert peer.recv(10) == b"small"


def test_a_file_shorter_than_announced_closes_with_an_error(loop, run_until, pair, tmp_path):
    ours, _peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error.errno)
    (tmp_path / "file").write_bytes(b"short")
    with open(tmp_path / "file", "rb") as file:
        stream.sendfile(file.fileno(), offset=0, size=6)
        run_until(lambda: closed)
    assert closed == [errno.EIO]


def test_a_connection_is_told_when_it_stands_and_carries_what_was_written_before(loop, run_until):
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(server.getsockname())
        stream = Stream(loop, sock, connected=False)
        opened = []
        stream.on_open = lambda stream: opened.append(stream.peer)
        stream.write(b"early")
        run_until(lambda: opened)
        assert opened == [server.getsockname()]
        peer, _ = server.accept()
        run_until(lambda: stream.n_unsent == 0)
        assert peer.recv(10) == b"early"
        peer.close()


def test_a_refused_connection_is_told_as_the_error_of_on_close(loop, run_until, port):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    stream = Stream(loop, sock, connected=False)
    told = []
    stream.on_open = lambda _stream: told.append("open")
    stream.on_close = lambda _stream, error: told.append(type(error))
    run_until(lambda: told)
    assert told == [ConnectionRefusedError]


def test_a_connection_at_rest_is_quiet_until_bytes_or_an_end_wait(loop, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    assert stream.is_quiet()
    peer.send(b"x")
    assert not stream.is_quiet()
    a, b = socket.socketpair()
    other = Stream(loop, a)
    b.close()
    assert not other.is_quiet()
    other.close()
    assert not other.is_quiet()


def test_wrong_use_is_an_error(loop, pair):
    ours, _peer = pair
    stream = Stream(loop, ours)
    with pytest.raises(RuntimeError):
        stream.__init__(loop, _peer)
    with pytest.raises(ValueError, match="above"):
        stream.set_water(high=1, low=2)
    with pytest.raises(TypeError):
        stream.write("text")
    closed_loop = Loop()
    closed_loop.close()
    with pytest.raises(RuntimeError):
        Stream(closed_loop, _peer)
    assert _peer.fileno() >= 0


def test_closing_the_loop_tells_on_close(pair):
    ours, _peer = pair
    loop = Loop()
    stream = Stream(loop, ours)
    told = []
    stream.on_close = lambda _stream, error: told.append(error)
    stream.write(b"x")
    loop.close()
    assert told == [None]


def test_an_idle_stream_costs_at_most_512_bytes(loop):
    """In user memory, with callbacks that are shared functions; sockets are the kernel's."""
    n = 500
    pairs = [socket.socketpair() for _ in range(n)]

    def on_data(stream, data):
        stream.write(data)

    loop.call_later(0.01, loop.stop)
    loop.run()
    for ours, _ in pairs:       # grow the set of open streams in the same steps as at any size
        ours.setblocking(False)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for ours, _ in pairs:
        Stream(loop, ours).on_data = on_data
    cost = (tracemalloc.get_traced_memory()[0] - before) / n
    tracemalloc.stop()
    for _, peer in pairs:
        peer.close()
    assert cost <= 512


STEPS = st.lists(st.one_of(
    st.tuples(st.just("write"), st.integers(0, 300_000)),
    st.tuples(st.just("small writes"), st.integers(1, 400)),
    st.tuples(st.just("turn"), st.just(0)),
    st.tuples(st.just("read"), st.integers(1, 400_000)),
), max_size=30)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, unix=st.booleans(), buffer_size=st.sampled_from([65_536, 200_000]))
def test_nothing_is_lost_doubled_or_reordered_however_writes_and_reads_fall(steps, unix, buffer_size):
    loop = Loop()
    if unix:
        ours, peer = socket.socketpair()
        buffer_size //= 32      # TCP over loopback would then crawl: one window probe at a time
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            peer, _ = server.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_size)
    peer.setblocking(False)
    stream = Stream(loop, ours)
    source = random.Random(1)
    sent, received = hashlib.sha256(), hashlib.sha256()
    n_sent = n_received = 0

    def turn():
        loop.call_later(0, loop.stop)
        loop.run()

    def write(size):
        nonlocal n_sent
        data = source.randbytes(size)
        sent.update(data)
        n_sent += size
        stream.write(data)

    def read(size):
        nonlocal n_received
        try:
            data = peer.recv(size)
        except BlockingIOError:
            return
        received.update(data)
        n_received += len(data)

    for step, size in steps:
        if step == "write":
            write(size)
        elif step == "small writes":
            for i in range(size):
                write(i)
        elif step == "read":
            read(size)
        else:
            turn()
    overdue_s = time.monotonic() + DEADLINE_S
    while n_received < n_sent and time.monotonic() < overdue_s:
        turn()
        read(1 << 20)
    assert n_received == n_sent
    assert received.digest() == sent.digest()
    assert stream.n_unsent == 0
    loop.close()
    peer.close()


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 200_000), max_size=8), pauses=st.lists(st.booleans(), max_size=30))
def test_an_edge_missed_while_paused_is_made_up_for(sizes, pauses):
    loop = Loop()
    ours, peer = socket.socketpair()
    stream = Stream(loop, ours)
    wanted = [pattern(size, i) for i, size in enumerate(sizes)]
    received = []
    answers = iter(pauses)

    def on_data(stream, data):
        received.append(data)
        if next(answers, False):
            stream.pause()
            loop.call_soon(stream.resume)

    stream.on_data = on_data
    stream.on_close = lambda _stream, _error: loop.stop()
    sender = threading.Thread(target=lambda: ([peer.sendall(data) for data in wanted], peer.close()))
    sender.start()
    overdue = loop.call_later(DEADLINE_S, loop.stop)
    loop.run()
    overdue.cancel()
    sender.join()
    assert b"".join(received) == b"".join(wanted)
    loop.close()


def test_a_stream_is_freed_once_closed(loop, run_until, pair):
    ours, _peer = pair
    stream = Stream(loop, ours)
    references = sys.getrefcount(stream)
    stream.close()
    run_until(lambda: sys.getrefcount(stream) == references - 1)
    assert os.listdir("/proc/self/fd")
