"""Streams of bytes to read: whole messages, mutated ones, and pieces of HTTP in any order."""
from __future__ import annotations

from hypothesis import strategies as st

PIECES = [
    b"GET", b"POST", b"CONNECT", b"HEAD", b"/", b"/a?b", b"*", b"http://a/", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0",
    b"HTTP/0.9", b"200", b"204", b"304", b"100", b"101", b"OK", b" ", b"  ", b"\t", b"\r\n", b"\n", b"\r",
    b"\r\n\r\n", b"\r\n ", b"\n\n", b":", b",", b";", b"=", b'"', b"_", b"Host", b"Host: a\r\n", b"Content-Length",
    b"Content-Length: 5\r\n", b"Content-Length: 5, 5\r\n", b"Transfer-Encoding", b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: Chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"chunked", b"Connection: close\r\n",
    b"Upgrade: x\r\n", b"upgrade: ,\r\n", b"Expect: 100-continue\r\n", b"A: b\r\n", b"A: b\r\n c\r\n",
    b"5\r\nhello\r\n", b"5", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0",
    b'5;a="b"\r\nhello\r\n', b"5  \r\nhello\r\n", b"99999999999999999999", b"fffffffffffffffff", b"hello", b"\x00",
    b"\x01", b"\x0b", b"\x7f", b"\x80",
]
REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nhost: a\r\nAccept: */*\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3  \r\nabc\r\n00\r\nT: u\r\n v\r\nW: x\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\ntunnel",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nframes",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n  folded \r\n\tagain\r\nB:\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil the end",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nframes",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 \r\nA: \xff\x80\r\n folded\r\nContent-Length: 1\r\n\r\n!",
]


@st.composite
def mutated(draw: st.DrawFn, messages: list[bytes]) -> bytes:
    """A few messages one behind the other, with some pieces put in, taken out or doubled."""
    data = b"".join(draw(st.lists(st.sampled_from(messages), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 6)))
        data = data[:at] + draw(st.sampled_from([b"", data[at:to] * 2, *PIECES])) + data[to:]
    return data


def streams(messages: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mutated messages, or pieces in any order behind the beginning of one."""
    beginnings = st.sampled_from([b"", *(message[:message.index(b"\n") + 1] for message in messages)])
    tails = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
    return mutated(messages) | st.builds(lambda head, tail: head + tail + b"\r\n\r\n", beginnings, tails)


CUTS = st.lists(st.integers(0, 400), max_size=8)
EVERY_BYTE = list(range(2000))
