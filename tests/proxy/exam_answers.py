"""What servers have been known to answer, from llhttp and from named bugs, and what their clients may see of it."""

from __future__ import annotations

from typing import NamedTuple

OK = b"HTTP/1.1 200 OK\r\n"
CODED = b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CHUNK = b"5\r\nhello\r\n"
EVIL = b"HTTP/1.1 299 Evil\r\nContent-Length: 4\r\n\r\nevil"


class Told(NamedTuple):
    """An answer as a server sends it, and what its client gets: `status` and `body`, or 502, or a connection cut."""

    name: str
    data: bytes
    status: int = 502
    body: bytes = b""
    cut_behind: int = 0  # bytes that begin a good answer; what follows breaks it. 0: nothing of it is any good
    method: str = "GET"
    keeps: bool = False  # the connection to the server may carry the next request
    interim: tuple[int, ...] = ()
    closes: bool = True  # the server ends the connection behind it


def length(n: bytes | int) -> bytes:
    """The field, with the end of the head behind it."""
    return b"Content-Length: " + (n if isinstance(n, bytes) else b"%d" % n) + b"\r\n\r\n"


def broken(name: str, head: bytes, body: bytes) -> Told:
    """A body that goes wrong."""
    return Told(name, head + body, 200, cut_behind=len(head))


def kept(name: str, data: bytes, status: int, body: bytes = b"", method: str = "GET", **more: tuple[int, ...]) -> Told:
    """Complete, with nothing behind it."""
    return Told(name, data, status, body, method=method, keeps=True, closes=False, **more)


BAD_HEADS = [
    Told(name, data)
    for name, data in [
        # The first line.
        ("nothing", b""),
        ("an empty line", b"\r\n\r\n"),
        ("a leading CRLF", b"\r\n" + OK + length(0)),
        ("a leading LF", b"\n" + OK + length(0)),
        ("no HTTP at all", b"220 mail ready\r\n\r\n"),
        ("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("HTP", b"HTP/1.1 200 OK\r\n" + length(0)),
        ("HTTPER", b"HTTPER/1.1 200 OK\r\n" + length(0)),
        ("RTSP", b"RTSP/1.1 200 OK\r\n" + length(0)),
        ("ICE", b"ICE/1.1 200 OK\r\n" + length(0)),
        ("ICY", b"ICY 200 OK\r\n" + length(0)),
        ("small http", b"http/1.1 200 OK\r\n" + length(0)),
        ("0.9", b"HTTP/0.9 200 OK\r\n" + length(0)),
        ("1.2", b"HTTP/1.2 200 OK\r\n" + length(0)),
        ("2.0", b"HTTP/2.0 200 OK\r\n" + length(0)),
        ("2", b"HTTP/2 200 OK\r\n" + length(0)),
        ("5.6", b"HTTP/5.6 200 OK\r\n" + length(0)),
        ("01.1", b"HTTP/01.1 200 OK\r\n" + length(0)),
        ("11.1", b"HTTP/11.1 200 OK\r\n" + length(0)),
        ("1.01", b"HTTP/1.01 200 OK\r\n" + length(0)),
        ("no version", b"HTTP 200 OK\r\n" + length(0)),
        ("tab behind the version", b"HTTP/1.1\t200 OK\r\n" + length(0)),
        ("two blanks behind the version", b"HTTP/1.1  200 OK\r\n" + length(0)),
        ("tab behind the status", b"HTTP/1.1 200\tOK\r\n" + length(0)),
        ("no status", b"HTTP/1.1 \r\n" + length(0)),
        ("status of one digit", b"HTTP/1.1 2 OK\r\n" + length(0)),
        ("status of two digits", b"HTTP/1.1 20 OK\r\n" + length(0)),
        ("status of four digits", b"HTTP/1.1 2000 OK\r\n" + length(0)),
        ("status 0", b"HTTP/1.1 000 OK\r\n" + length(0)),
        ("status 99", b"HTTP/1.1 099 OK\r\n" + length(0)),
        ("status below zero", b"HTTP/1.1 -20 OK\r\n" + length(0)),
        ("status with a letter", b"HTTP/1.1 2OO OK\r\n" + length(0)),
        ("status stuck to its reason", b"HTTP/1.1 200OK\r\n" + length(0)),
        ("CR in the reason", b"HTTP/1.1 200 O\rK\r\n" + length(0)),
        ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n" + length(0)),
        ("DEL in the reason", b"HTTP/1.1 200 O\x7fK\r\n" + length(0)),
        ("line ended by CR", b"HTTP/1.1 200 OK\rContent-Length: 4\r\n\r\nevil"),
        ("line ended by CR CR", b"HTTP/1.1 200 OK\r\rContent-Length: 4\r\n\r\nevil"),
        ("line ended by LF", b"HTTP/1.1 200 OK\n" + length(0)),
        ("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 4\n\nevil"),
        # Fields.
        ("folded", OK + b"X: y\r\n z\r\n" + length(0)),
        ("folded by a tab", OK + b"X: y\r\n\tz\r\n" + length(0)),
        ("folded before any", OK + b" X: y\r\n" + length(0)),
        ("no colon", OK + b"X\r\n" + length(0)),
        ("no name", OK + b": y\r\n" + length(0)),
        ("blank for a name", OK + b" : y\r\n" + length(0)),
        ("blank in a name", OK + b"en-US Content-Type: text/xml\r\n" + length(0)),
        ("bracket in a name", OK + b"X[: y\r\n" + length(0)),
        ("utf-8 in a name", OK + "é: y\r\n".encode() + length(0)),
        ("NUL in a name", OK + b"X\0: y\r\n" + length(0)),
        ("NUL in a value", OK + b"X: y\0\r\n" + length(0)),
        ("control in a value", OK + b"X: y\x1b[0m\r\n" + length(0)),
        ("CR in a value", OK + b"X: y\rSet-Cookie: evil\r\n" + length(0)),
        ("LF behind a value", OK + b"X: y\nSet-Cookie: evil\r\n" + length(0)),
        ("LF for the empty line", OK + b"X: y\r\n\n" + EVIL),
        ("CR CR LF", OK + b"X: y\r\r\n" + length(0)),
        ("too many fields", OK + b"X: y\r\n" * 101 + length(0)),
        ("a head without end", OK + b"X: " + b"y" * 200_000),
        ("a head too large", OK + b"X: " + b"y" * 40_000 + b"\r\n" + length(0)),
        ("half a head", OK + b"Content-Le"),
        ("half an empty line", OK + b"Content-Length: 0\r\n\r"),
        # Framing.
        ("length and chunked", OK + b"Content-Length: 5\r\n" + CODED + CHUNK + END),
        ("chunked and length", OK + b"Transfer-Encoding: chunked\r\n" + length(5) + CHUNK + END),
        ("two lengths", OK + b"Content-Length: 4\r\n" + length(5) + b"hello"),
        ("two lengths alike", OK + b"Content-Length: 5\r\n" + length(5) + b"hello"),
        ("chunked twice", OK + b"Transfer-Encoding: chunked\r\n" + CODED + CHUNK + END),
        *(
            (f"length {value!r}", OK + length(value) + b"hello")
            for value in (
                *(
                    b"5, 5",
                    b"5,",
                    b"+5",
                    b"-5",
                    b"0x5",
                    b"5.0",
                    b"5e0",
                    b"5 5",
                    b"",
                    b" ",
                    b"five",
                    b"5;q=1",
                    b'"5"',
                ),
                *(b"5_0", b"9223372036854775808", b"18446744073709551621", b"1" * 40),
            )
        ),
        *(
            (f"coding {value!r}", OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + CHUNK + END)
            for value in (
                *(
                    b"gzip",
                    b"identity",
                    b"gzip, chunked",
                    b"chunked, chunked",
                    b"chunked, identity",
                    b"chunked;q=1",
                    b"xchunked",
                ),
                *(
                    b"",
                    b",chunked",
                    b"chunked,",
                    b'"chunked"',
                    b"chunked identity",
                    b"\xa0chunked",
                    b"chunkedchunked",
                ),
            )
        ),
        (
            "chunked with a blank, and a length",
            OK + b"Transfer-Encoding : chunked\r\n" + length(5) + CHUNK + END,
        ),
        ("chunked in 1.0", b"HTTP/1.0 200 OK\r\n" + CODED + CHUNK + END),
        ("length and chunked in a 204", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n" + CODED),
        ("two lengths in a 304", b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n" + length(5)),
        # Interim answers.
        ("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nevil"),
        ("101 to h2c", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nevil"),
        ("nothing but an interim answer", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ("interim answers without end", b"HTTP/1.1 102 Processing\r\n\r\n" * 17 + OK + length(0)),
        ("an interim answer with a fault", b"HTTP/1.1 103 Early Hints\r\nX\r\n\r\n" + OK + length(0)),
        ("a fault behind an interim answer", b"HTTP/1.1 103 Early Hints\r\n\r\n\r\n" + OK + length(0)),
        (
            "an interim answer with a body",
            b"HTTP/1.1 103 Early\r\nContent-Length: 4\r\n\r\nevil" + OK + length(0),
        ),
    ]
]

BROKEN_BODIES = [
    broken(name, OK + length(10), b"five!") if name == "short" else broken(name, OK + CODED, body)
    for name, body in [
        ("short", b""),
        ("no last chunk", CHUNK),
        ("no end behind the last chunk", CHUNK + b"0\r\n"),
        ("half an end behind the last chunk", CHUNK + b"0\r\n\r"),
        ("nothing", b""),
        ("cut in a chunk", b"a\r\nhello"),
        ("cut in a size", b"1"),
        ("no size", CHUNK + b"\r\n" + END),
        ("size of letters", CHUNK + b"xyz\r\n" + END),
        ("size in 0x", CHUNK + b"0x0\r\n\r\n"),
        ("size with a sign", CHUNK + b"+0\r\n\r\n"),
        ("size below zero", CHUNK + b"-1\r\n" + END),
        ("size behind a blank", CHUNK + b" 0\r\n\r\n"),
        ("size before a blank", b"5 \r\nhello\r\n" + END),
        ("size of 17 digits", b"00000000000000005\r\nhello\r\n" + END),
        ("size that wraps", b"10000000000000005\r\nhello\r\n" + END),
        ("size below zero by 2**63", b"8000000000000005\r\nhello\r\n" + END),
        ("size ended by LF", b"5\nhello\r\n" + END),
        ("size ended by CR", b"5\rhello\r\n" + END),
        ("last size ended by LF", CHUNK + b"0\n\r\n"),
        ("ended by LF", CHUNK + b"0\r\n\n"),
        ("data ended by LF", b"5\r\nhello\n" + END),
        ("data ended by nothing", b"5\r\nhello" + END),
        ("data too long", b"5\r\nhello!\r\n" + END),
        ("extension without a semicolon", b"5 abc\r\nhello\r\n" + END),
        ("extension of nothing", b"5;\r\nhello\r\n" + END),
        ("extension with an open quote", b'5;a="b\r\nhello\r\n' + END),
        ("extension with a LF", b"5;a\nb\r\nhello\r\n" + END),
        ("extensions without end", b"5;" + b"a" * 5000 + b"\r\nhello\r\n" + END),
        ("trailer without a colon", CHUNK + b"0\r\nX\r\n\r\n"),
        ("trailer with a blank name end", CHUNK + b"0\r\nX : y\r\n\r\n"),
        ("trailer folded", CHUNK + b"0\r\nX: y\r\n z\r\n\r\n"),
        ("trailer with NUL", CHUNK + b"0\r\nX: y\0\r\n\r\n"),
        ("trailer ended by LF", CHUNK + b"0\r\nX: y\n\r\n"),
        ("trailers without end", CHUNK + b"0\r\n" + b"X: 0123456789\r\n" * 3000 + b"\r\n"),
        ("another answer for a chunk", CHUNK + EVIL),
    ]
]

GOOD = [
    kept("length", OK + length(5) + b"hello", 200, b"hello"),
    kept("length of zero", OK + length(0), 200),
    kept("length with zeros", OK + length(b"0005") + b"hello", 200, b"hello"),
    kept("length among blanks", OK + length(b" \t5 \t") + b"hello", 200, b"hello"),
    kept("chunked", OK + CODED + CHUNK + b"6\r\n world\r\n" + END, 200, b"hello world"),
    kept("chunked of nothing", OK + CODED + END, 200),
    kept("chunked in capitals", OK + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + CHUNK + END, 200, b"hello"),
    kept(
        "chunked with all there is",
        OK + CODED + b'005;a;b=c;d="e;\\"f"\r\nhello\r\n00;x\r\nX: y\r\n\r\n',
        200,
        b"hello",
    ),
    kept("framing in trailers", OK + CODED + CHUNK + b"0\r\nContent-Length: 99\r\n\r\n", 200, b"hello"),
    kept("no reason", b"HTTP/1.1 200\r\n" + length(5) + b"hello", 200, b"hello"),
    kept("a blank for a reason", b"HTTP/1.1 200 \r\n" + length(5) + b"hello", 200, b"hello"),
    kept("two blanks before the reason", b"HTTP/1.1 200  OK\r\n" + length(5) + b"hello", 200, b"hello"),
    kept("obs-text in the reason", b"HTTP/1.1 500 Ori\xc3\xabntatie\r\n" + length(0), 500),
    kept("blank before a colon", OK + b"X : y\r\nContent-Length\t: 5\r\n\r\nhello", 200, b"hello"),
    kept("underscores", OK + b"DCLK_imp: v7\r\n" + length(0), 200),
    kept("obs-text", OK + b"X: caf\xe9\r\n" + length(0), 200),
    kept("names that begin alike", OK + b"Content-Length-X: 9\r\n" + length(5) + b"hello", 200, b"hello"),
    kept("upgrade offered", OK + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + length(5) + b"hello", 200, b"hello"),
    *(
        kept(f"status {status}", b"HTTP/1.1 %d Odd\r\n" % status + length(2) + b"ok", status, b"ok")
        for status in (206, 226, 299, 404, 599)
    ),
    kept("204", b"HTTP/1.1 204 No\r\n\r\n", 204),
    kept("204 with a length of zero", b"HTTP/1.1 204 No\r\n" + length(0), 204),
    kept("205", b"HTTP/1.1 205 Reset\r\n" + length(0), 205),
    kept("304", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304),
    kept("304 with a length", b"HTTP/1.1 304 Not Modified\r\n" + length(99), 304),
    kept("304 chunked", b"HTTP/1.1 304 Not Modified\r\n" + CODED, 304),
    kept("HEAD", OK + length(99), 200, method="HEAD"),
    kept("HEAD chunked", OK + CODED, 200, method="HEAD"),
    kept("HEAD without framing", OK + b"\r\n", 200, method="HEAD"),
    kept(
        "early hints",
        b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK + length(5) + b"hello",
        200,
        b"hello",
        interim=(103,),
    ),
    kept("sixteen interim answers", b"HTTP/1.1 102 Processing\r\n\r\n" * 16 + OK + length(0), 200, interim=(102,) * 16),
    kept("100 nobody waits for", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + length(0), 200),
    kept("interim with a length", b"HTTP/1.1 103 Early Hints\r\n" + length(9) + OK + length(0), 200, interim=(103,)),
    kept("1.0 that keeps", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length(5) + b"hello", 200, b"hello"),
    Told("1.0", b"HTTP/1.0 200 OK\r\n" + length(5) + b"hello", 200, b"hello"),
    Told("close", OK + b"Connection: close\r\n" + length(5) + b"hello", 200, b"hello"),
    Told("until close", OK + b"\r\nhello", 200, b"hello"),
    Told("until close, of nothing", OK + b"\r\n", 200),
    Told("until close in 1.0", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", 200, b"hello"),
    Told("until close, like an answer", OK + b"\r\n" + EVIL, 200, EVIL),
]

# Complete, but the server goes on: what is behind the end is nobody's.
TALKATIVE = [
    Told(f"{name}, and {more}", data + behind, status, body, method=method, closes=False)
    for name, data, status, body, method in [
        ("length", OK + length(5) + b"hello", 200, b"hello", "GET"),
        ("length of zero", OK + length(0), 200, b"", "GET"),
        ("chunked", OK + CODED + CHUNK + END, 200, b"hello", "GET"),
        ("204", b"HTTP/1.1 204 No\r\n\r\n", 204, b"", "GET"),
        ("204 with a length", b"HTTP/1.1 204 No\r\n" + length(4), 204, b"", "GET"),
        ("304 with a length", b"HTTP/1.1 304 No\r\n" + length(4), 304, b"", "GET"),
        ("HEAD with a length", OK + length(4), 200, b"", "HEAD"),
        ("HEAD chunked", OK + CODED, 200, b"", "HEAD"),
    ]
    for more, behind in [("an answer", EVIL), ("a byte", b"e"), ("CRLF", b"\r\n"), ("a body", b"evil")]
]
