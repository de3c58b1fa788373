"""A close that lingers: the last words arrive, and nobody is waited for for ever."""
import threading
from contextlib import suppress

from hotpath.core.net.stream import Stream
from tests.core.net.peers import MANY, pattern, read_all


def test_a_lingering_close_delivers_a_400_though_input_is_unread(loop, run_until, pair):
    """Without lingering the unread bytes make the kernel send RST, and the peer loses the answer."""
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error)
    stream.pause()
    peer.sendall(b"x" * 30_000)
    stream.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    stream.close(linger_s=30)
    peer.sendall(b"y" * 20_000)
    reader = read_all(peer)
    run_until(lambda: not reader.is_alive())
    assert reader.data == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert not closed
    peer.close()
    run_until(lambda: closed)
    assert closed == [None]


def test_a_lingering_close_sends_what_a_slow_reader_has_not_taken(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    body = pattern(MANY)
    stream.write(body)
    stream.close(linger_s=30)
    assert not stream.closed
    assert not stream.write(b"more")
    reader = read_all(peer)
    run_until(lambda: not reader.is_alive())
    assert reader.data == body


def test_a_lingering_close_gives_up_on_a_peer_that_never_stops(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error)

    def flood():
        with suppress(OSError):     # the end we wait for
            while True:
                peer.send(b"x" * 10_000)

    sender = threading.Thread(target=flood)
    sender.start()
    stream.close(linger_s=3600)
    run_until(lambda: closed)
    sender.join()
    assert stream.closed


def test_a_lingering_close_gives_up_on_a_silent_peer(loop, run_until, pair):
    ours, peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error)
    stream.close(linger_s=0.05)
    assert not stream.closed
    run_until(lambda: closed)
    assert peer.recv(1) == b""


def test_closing_again_cuts_a_linger_short(loop, run_until, pair):
    ours, _peer = pair
    stream = Stream(loop, ours)
    closed = []
    stream.on_close = lambda _stream, error: closed.append(error)
    stream.close(linger_s=3600)
    stream.close(linger_s=1)
    assert not stream.closed
    stream.close()
    assert stream.closed
    run_until(lambda: closed)
    assert closed == [None]
