"""Through a filter a stream is the same stream: nothing it holds is lost, and what it made counts as unsent."""
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hotpath.core.net.stream import Stream
from tests.core.cmodules import compiled
from tests.core.net.peers import pattern, read_all

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def c_filter(tmp_path_factory):
    """The Cython module beside this file."""
    module = compiled(HERE / "c_filter.pyx", tmp_path_factory.mktemp("c_filter"))
    yield module
    assert module.count_open() == 0


@pytest.fixture
def filtered(c_filter, loop, pair):
    """(a stream whose filter hands out 3 bytes at a time, the peer, which speaks hexadecimal)."""
    ours, peer = pair
    stream = Stream(loop, ours)
    c_filter.put_filter(stream, 3)
    yield stream, peer
    stream.close()
    with suppress(RuntimeError):
        loop.call_soon(loop.stop)
        loop.run()


def test_what_the_filter_holds_is_read_without_another_edge(filtered, run_until):
    stream, peer = filtered
    seen = []
    stream.on_data = lambda _stream, data: seen.append(data)
    peer.sendall(b"hello, world".hex().encode())
    run_until(lambda: b"".join(seen) == b"hello, world")
    assert max(map(len, seen)) == 3
    for letter in b"again".hex():
        peer.sendall(letter.encode())
    run_until(lambda: b"".join(seen) == b"hello, worldagain")


def test_what_the_filter_holds_survives_a_pause(filtered, loop, run_until):
    stream, peer = filtered
    seen = []

    def on_data(stream, data):
        seen.append(data)
        stream.pause()
        loop.call_soon(stream.resume)

    stream.on_data = on_data
    peer.sendall(bytes(range(100)).hex().encode())
    run_until(lambda: b"".join(seen) == bytes(range(100)))


def test_an_end_comes_behind_what_is_held_and_a_cut_is_no_end(filtered, run_until):
    stream, peer = filtered
    seen = []
    stream.on_data = lambda _stream, data: seen.append(data)
    stream.on_end = lambda _stream: seen.append("end")
    peer.sendall(b"the last words".hex().encode())
    peer.shutdown(1)
    run_until(lambda: seen[-1:] == ["end"])
    assert b"".join(seen[:-1]) == b"the last words"


def test_half_a_byte_is_a_failure(filtered, run_until):
    stream, peer = filtered
    ended = []
    stream.on_data = lambda _stream, _data: None
    stream.on_end = lambda _stream: ended.append("end")
    stream.on_close = lambda _stream, _error: ended.append("closed")
    peer.sendall(b"414")
    peer.shutdown(1)
    run_until(lambda: ended)
    assert ended == ["closed"]


def test_everything_written_is_filtered_and_ends_with_its_last_bytes(filtered, loop, run_until):
    stream, peer = filtered
    large = pattern(200_000)
    reader = read_all(peer)
    stream.write(b"small")      # into `unsent`
    stream.write(large)         # at once, and what the kernel does not take
    stream.write(b"end")
    run_until(lambda: stream.n_unsent == 0)
    stream.shut()
    stream.shut()
    run_until(lambda: not reader.is_alive())
    assert reader.data == (b"small" + large + b"end").hex().encode() + b"!"


def test_unsent_counts_what_the_filter_made(filtered, loop):
    stream, peer = filtered
    n = 1_500_000
    stream.write(bytes(n))
    held = stream.n_unsent
    assert n < held < 2 * n
    reader = read_all(peer)
    stream.on_drain = lambda stream: stream.shut()
    thread = threading.Thread(target=reader.join)
    thread.start()
    while thread.is_alive():
        loop.call_later(0.005, loop.stop)
        loop.run()
    assert reader.data == b"0" * 2 * n + b"!"


def test_a_file_goes_through_the_filter(filtered, loop, run_until, tmp_path):
    stream, peer = filtered
    content = pattern(300_000)
    (tmp_path / "file").write_bytes(content)
    reader = read_all(peer)
    with (tmp_path / "file").open("rb") as file:
        if not stream.sendfile(file.fileno(), offset=1000, size=len(content) - 1000):
            run_until(lambda: stream.n_unsent == 0)
    stream.shut()
    run_until(lambda: not reader.is_alive())
    assert reader.data == content[1000:].hex().encode() + b"!"


def test_a_try_takes_all_or_nothing(c_filter, filtered, loop):
    stream, _peer = filtered
    assert c_filter.try_once(stream, b"one") == 3
    stream.write(bytes(3_000_000))
    assert stream.n_unsent > 0
    assert c_filter.try_once(stream, b"two") == 0


def test_a_lingering_close_says_its_last_bytes_and_lets_the_filter_go(c_filter, filtered, loop, run_until):
    stream, peer = filtered
    gone = []
    stream.on_close = lambda _stream, _error: gone.append(True)
    stream.write(b"bye")
    stream.close(linger_s=5)
    assert c_filter.count_open() == 0
    assert peer.recv(100) == b"bye".hex().encode() + b"!"
    peer.sendall(b"not hexadecimal at all")     # discarded as it is
    peer.close()
    run_until(lambda: gone)


def test_without_its_filter_a_stream_goes_on(c_filter, filtered, run_until):
    stream, peer = filtered
    seen = []
    stream.on_data = lambda _stream, data: seen.append(data)
    c_filter.take_filter(stream)
    peer.sendall(b"plain")
    run_until(lambda: b"".join(seen) == b"plain")
    stream.write(b"as it is")
    run_until(lambda: stream.n_unsent == 0)
    assert peer.recv(100) == b"as it is"
