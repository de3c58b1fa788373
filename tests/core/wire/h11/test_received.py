"""What was received and not read is what came, less what was read."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire import http1

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
PIECE = st.binary(min_size=1, max_size=50) | st.integers(1, 40000).map(lambda n: b"x" * n)


@given(st.lists(st.tuples(PIECE, st.sampled_from([bytes, bytearray, memoryview]), st.booleans()), max_size=20))
def test_bytes_come_out_as_they_went_in(pieces):
    connection = http1.Connection(http1.SERVER)
    connection.receive_data(HEAD)
    connection.next_event()
    given_, read = b"", b""
    for piece, kind, reads in pieces:
        connection.receive_data(kind(piece))
        given_ += piece
        assert connection.trailing_data == (given_[len(read):], False)
        if reads:
            read += connection.next_event().data
            assert given_.startswith(read)
    connection.receive_data(b"")
    assert connection.trailing_data == (given_[len(read):], True)


@given(st.lists(PIECE, min_size=1, max_size=20), st.integers(1, 5))
def test_pipelined_requests_wait_unread(pieces, count):
    connection = http1.Connection(http1.SERVER)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    connection.receive_data(head * count)
    for piece in pieces:
        connection.receive_data(piece)
    for n in range(count):
        assert connection.next_event().target == b"/"
        assert isinstance(connection.next_event(), http1.EndOfMessage)
        assert connection.next_event() is http1.PAUSED
        assert connection.trailing_data[0] == head * (count - 1 - n) + b"".join(pieces)
        connection.send(http1.Response(status_code=204, headers=[]))
        connection.send(http1.EndOfMessage())
        connection.start_next_cycle()
