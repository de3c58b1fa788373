import pytest

from bench.chat_gateways import Feed, channels_of, header_of, pushes
from hotpath.chat.topics import Kind, payload

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$5\r\nx:c:7\r\n:1\r\n"


def published(seq: int, frame: bytes) -> bytes:
    body = payload(frame, kind=Kind.EVENT, channel=7, seq=seq, actor=1)
    return b"*3\r\n$7\r\nmessage\r\n$5\r\nx:c:7\r\n$%d\r\n%b\r\n" % (len(body), body)


class Wire:
    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)


@pytest.fixture
def fed():
    """A feed, what it delivered and what it wrote."""
    delivered = []
    feed = Feed("x:", lambda channel, frames: delivered.append((channel, frames)))
    feed.connection_made(Wire())
    return feed, delivered


def test_pushes_do_not_depend_on_how_bytes_arrive():
    stream = SUBSCRIBED + published(1, b"one\r\n") + published(2, b"")
    for cut in range(len(stream) + 1):
        first, taken = pushes(stream[:cut])
        second, rest = pushes(stream[taken:])
        assert taken + rest == len(stream)
        assert [kind for kind, _, _ in first + second] == [b"subscribe", b"message", b"message"]


def test_frames_of_one_read_come_together(fed):
    feed, delivered = fed
    stream = SUBSCRIBED + published(8, b"one") + published(9, b"two")
    feed.data_received(stream[:-1])
    feed.data_received(stream[-1:])
    assert delivered == [(7, [b"one"]), (7, [b"two"])]
    assert feed.heads == {7: 9}


def test_a_socket_is_ready_once_redis_says_so(fed):
    feed, _ = fed
    ready = []
    feed.subscribe((7,), ready.append)
    feed.subscribe((7,), ready.append)
    assert feed.transport.written == [b"SUBSCRIBE x:c:7\r\n"]
    assert ready == []
    feed.data_received(SUBSCRIBED + published(4, b"four"))
    feed.subscribe((7,), ready.append)
    assert ready == [b'{"type":"ready","channels":[{"id":7,"head":%d}]}' % head for head in (0, 0, 4)]


def test_channels_stand_in_the_target():
    assert channels_of(b"/?channel=1,22") == (1, 22)


@pytest.mark.parametrize("size", [0, 125, 126, 65535])
def test_headers_are_those_of_websocket(size):
    header = header_of(bytes(size))
    assert header == (bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big"))
