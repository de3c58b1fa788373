"""An attacker's hour: what we thought of ourselves, from hosts to pipelines."""

from __future__ import annotations

from tests.proxy.exam_cases import END, HOST, Case, bad, coded, get, good, line, post
from tests.proxy.exam_requests import CHUNK, LENGTH, SMUGGLED

OURS = [
    # Hosts.
    *(
        bad(f"host {host!r}", get(b"", host=b"Host: " + host + b"\r\n"))
        for host in (
            *(b"exam:", b"exam:a", b"exam:0", b"exam:65536", b"exam:080808", b"exam:+80", b"exam:-1", b"exam: 80"),
            *(
                b"exam:80:80",
                b":80",
                b"[::1%25eth0]",
                b"[::1%eth0]",
                b"[::1",
                b"::1",
                b"[]",
                b"[::g]",
                b"[v1.a]",
                b"[::1]:",
            ),
            *(
                b"[::1]80",
                b"exam#",
                b"exam?",
                b"exam\\",
                b"exam\t80",
                b"http://exam",
                b"a@exam",
                b"a:b@exam",
                b"exam/",
                b"exam,",
            ),
            *(b"exam%2f", b'"exam"', b"exam;a", b"ex\xc3\xa4m", b"exam\x7f", b"e*am", b"(exam)", b"exam|", b"<exam>"),
        )
    ),
    *(
        good(f"host {host!r}", get(b"", host=b"Host: " + host + b"\r\n"), "GET", "/exam")
        for host in (
            b"exam:1",
            b"exam:65535",
            b"EXAM",
            b"exam.",
            b"1.2.3.4:80",
            b"[::1]",
            b"[2001:DB8::1.2.3.4]:8",
            b"a_b",
            b"-",
            b"~",
        )
    ),
    bad("host folded", get(b"", host=b"Host:\r\n exam\r\n")),
    bad("host behind a blank name", get(b"", host=b"Host : exam\r\n")),
    bad("host of another case too", get(b"", host=b"hOST: exam\r\nHost: exam\r\n")),
    bad("empty host in 1.0", b"GET /exam HTTP/1.0\r\nHost:\r\n\r\n"),
    # Targets.
    *(
        bad(f"target {target!r}", line(b"GET " + target + b" HTTP/1.1"))
        for target in (
            *(
                b"exam",
                b"?a",
                b"../x",
                b"@exam/",
                b":80/",
                b"\\exam",
                b"/\\..",
                b"/a#b",
                b"/?a#b",
                b"/%",
                b"/%0",
                b"/%g0",
                b"/%0g",
            ),
            *(
                b"/%00",
                b"/a/%00/b",
                b"/a%",
                b"/..",
                b"/../",
                b"/./..",
                b"/a/../..",
                b"/%2e%2E",
                b"/.%2e/x",
                b"/%2e./x",
                b"/a/..//../..",
            ),
            *(
                b"/x\x7f",
                b"/x\x80",
                b"/\xe2\x88\x95",
                b"/\t",
                b"*x",
                b"**",
                b"/x\x0b",
                b"http:/exam/",
                b"http:exam",
                b"http//exam/",
            ),
            *(
                b"https:///x",
                b"http://",
                b"http://exam:0/",
                b"http://exam:65536/",
                b"http://exam:/",
                b"http://@exam/",
                b"http://exam@/",
            ),
            *(
                b"http://exam#x",
                b"http://exam/#x",
                b"http://exam\\x/",
                b"http://[::1%25lo]/",
                b"ftp://exam/",
                b"ws://exam/",
                b"file:///x",
            ),
            *(
                b"http://exam%2fx/",
                b"http://ex%61m/",
                b"http://exam.example/",
                b"http://exam:80/",
                b"javascript:x",
                b"http://exam/%",
            ),
        )
    ),
    *(
        good(f"target {target!r}", line(b"GET " + target + b" HTTP/1.1"), "GET", seen)
        for target, seen in (
            *(
                (b"/.", "/"),
                (b"/./", "/"),
                (b"/a/..", "/"),
                (b"/a/../", "/"),
                (b"/a/../b", "/b"),
                (b"/a/./b", "/a/b"),
                (b"/a/b/../c/./d", "/a/c/d"),
            ),
            *((b"/a/%2e%2e/b", "/b"), (b"/a/%2E/b", "/a/b"), (b"/a/.%2E/b", "/b"), (b"/%2e", "/"), (b"/a/%2e%2e", "/")),
            *(
                (b"/...", "/..."),
                (b"/.a", "/.a"),
                (b"/a..", "/a.."),
                (b"/..a/b", "/..a/b"),
                (b"/..;/x", "/..;/x"),
                (b"/%2f..%2f", "/%2f..%2f"),
            ),
            *(
                (b"/%252e%252e/", "/%252e%252e/"),
                (b"//evil", "//evil"),
                (b"//", "//"),
                (b"/a//b", "/a//b"),
                (b"/a;b=c/d", "/a;b=c/d"),
            ),
            *(
                (b"/?..", "/?.."),
                (b"/a?/../b", "/a?/../b"),
                (b"/?%00%zz", "/?%00%zz"),
                (b"/?a?b", "/?a?b"),
                (b"/?", "/?"),
                (b"/%0a", "/%0a"),
            ),
            *(
                (b"http://exam/../", None),
                (b"http://EXAM/A", "/A"),
                (b"HTTPS://exam", "/"),
                (b"http://exam/a/../b?c", "/b?c"),
            ),
        )
        if seen is not None
    ),
    bad("absolute above the root", line(b"GET http://exam/.. HTTP/1.1")),
    bad("absolute, host has a port", b"GET http://exam/ HTTP/1.1\r\nHost: exam:80\r\n\r\n"),
    bad("absolute without Host", b"GET http://exam/ HTTP/1.1\r\n\r\n"),
    good("absolute in 1.0 without Host", b"GET http://exam/x HTTP/1.0\r\n\r\n", "GET", "/x"),
    good("absolute star", line(b"OPTIONS http://exam/ HTTP/1.1"), "OPTIONS", "/"),
    bad("star HEAD", line(b"HEAD * HTTP/1.1")),
    # First lines.
    *(
        bad(f"line {first!r}", line(first), *status)
        for first, status in (
            (b"GET /exam HTTP/1.10", (400,)),
            (b"GET /exam HTTP/1.1\t", (400,)),
            (b"GET\t/exam HTTP/1.1", (400,)),
            (b"GET /exam\tHTTP/1.1", (400,)),
            (b"GET\x0b/exam HTTP/1.1", (400,)),
            (b"GET /exam  HTTP/1.1", (400,)),
            (b"GET\x00 /exam HTTP/1.1", (400,)),
            (b"GET /exam HTTP/1.1\x00", (400,)),
            (b"GET /exam HTTP/-1.1", (400,)),
            (b"GET /exam HTTP/1,1", (400,)),
            (b"GET /exam HTTP /1.1", (400,)),
            (b"GET /exam Http/1.1", (400,)),
            (b"GET /exam HTTP/1.1 HTTP/1.1", (400,)),
            (b"GET /exam HTTP/1.1;x", (400,)),
            (b"GET /exam HTTP/0.0", (505,)),
            (b"GET /exam HTTP/2.0", (505,)),
            (b"GET /exam HTTP/3", (400,)),
            (b"GET /exam", (400,)),
            (b"GET", (400,)),
            (b"", (400,)),
            (b"TRACE /exam HTTP/1.1", (405,)),
            (b"CONNECT exam:80 HTTP/1.1", (405,)),
            (b"CONNECT exam HTTP/1.1", (400,)),
            (b"CONNECT http://exam/ HTTP/1.1", (400,)),
            (b"CONNECT * HTTP/1.1", (400,)),
        )
    ),
    good("connect in small letters", line(b"connect /exam HTTP/1.1"), "connect", "/exam"),
    bad("two leading CRLF", b"\r\n\r\n" + get(b"")),
    bad("leading CR", b"\r" + get(b"")),
    bad("leading LF", b"\n" + get(b"")),
    good("one leading CRLF", b"\r\n" + get(b""), "GET", "/exam"),
    Case(
        "CRLF behind a body",
        post(LENGTH, b"hello") + b"\r\n" + get(b""),
        (("POST", "/exam", b"hello"), ("GET", "/exam", b"")),
    ),
    Case(
        "two CRLF behind a body",
        post(LENGTH, b"hello") + b"\r\n\r\n" + get(b""),
        (("POST", "/exam", b"hello"),),
        (400,),
    ),
    Case(
        "a letter behind a body",
        post(LENGTH, b"hello") + b"X" + get(b""),
        (("POST", "/exam", b"hello"), ("XGET", "/exam", b"")),
    ),
    bad("HEAD with a fault is told without a body", b"HEAD /exam HTTP/1.1\r\nX : y\r\n\r\n"),
    bad("HEAD behind CRLF likewise", b"\r\nHEAD /exam HTTP/1.1\r\n" + HOST + b"X\r\n\r\n"),
    # Fields.
    *(
        bad(f"name {name!r}", get(name + b": x\r\n"))
        for name in (b" X", b"\tX", b"X ", b"X\t", b"", b" ", b"X Y", b"X,Y", b"X/Y", b"X=Y", b"X{", b"X\xff")
    ),
    good("value of nothing", get(b"X:\r\nY: \t \r\n"), "GET", "/exam"),
    good("colons in a value", get(b"X:: : y:\r\n"), "GET", "/exam"),
    good("a hundred fields", get(b"X: y\r\n" * 99), "GET", "/exam"),
    bad("a hundred and one fields", get(b"X: y\r\n" * 100), 431),
    good("underscores are dropped", get(b"X_Forwarded_For: 1.2.3.4\r\nContent_Length: 5\r\n_: x\r\n"), "GET", "/exam"),
    # What is said of the connection.
    *(
        good(f"Connection: {tokens}", get(b"Connection: " + tokens.encode() + b"\r\nX-A: b\r\n"), "GET", "/exam")
        for tokens in (
            "x-a",
            "X-A, Host, Content-Length, Transfer-Encoding",
            ",,,",
            "upgrade",
            "te",
            '"x-a"',
            "x-a;q=1",
            "keep-alive, x-a",
        )
    ),
    good(
        "h2c upgrade",
        get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
        "GET",
        "/exam",
    ),
    good(
        "websocket with a length",
        get(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        "GET",
        "/exam",
    ),
    good(
        "websocket by HEAD",
        get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n").replace(b"GET", b"HEAD"),
        "HEAD",
        "/exam",
    ),
    good("TE and Trailer", get(b"TE: trailers\r\nTrailer: X\r\nConnection: TE\r\n"), "GET", "/exam"),
    # Expectations.
    *(
        bad(f"Expect: {value}", post(LENGTH + b"Expect: " + value.encode() + b"\r\n", b"hello"), 417)
        for value in (
            "x 100-continue",
            "100-continue, x",
            "100",
            "100-continue;q=1",
            '"100-continue"',
            "y 100-continue",
        )
    ),
    good("Expect in capitals", post(LENGTH + b"Expect: 100-CONTINUE\r\n", b"hello"), "POST", "/exam", b"hello"),
    good("Expect twice", post(LENGTH + b"Expect: 100-continue\r\n" * 2, b"hello"), "POST", "/exam", b"hello"),
    good("Expect of nothing", post(LENGTH + b"Expect:\r\n", b"hello"), "POST", "/exam", b"hello"),
    good("Expect without a body", get(b"Expect: 100-continue\r\n"), "GET", "/exam"),
    # Pipelines: nothing behind a fault is looked at.
    Case("good, bad, good", get(b"") + get(b"X\r\n") + SMUGGLED, (("GET", "/exam", b""),), (400,)),
    Case(
        "chunked, then bad", coded(CHUNK + END) + get(b"", host=b"") + SMUGGLED, (("POST", "/exam", b"hello"),), (400,)
    ),
    Case("bad chunk, then good", get(b"") + coded(b"5\r\nhello\r\nX\r\n") + SMUGGLED, (("GET", "/exam", b""),), (400,)),
    Case(
        "length too small by a byte",
        post(b"Content-Length: 4\r\n", b"hello") + SMUGGLED,
        (("POST", "/exam", b"hell"), ("oGET", "/smuggled", b"")),
    ),
    Case("close, then more", get(b"Connection: close\r\n") + SMUGGLED, (("GET", "/exam", b""),)),
    Case("1.0, then more", b"GET /exam HTTP/1.0\r\n\r\n" + SMUGGLED, (("GET", "/exam", b""),)),
    Case(
        "refused expectation, then body",
        post(b"Expect: x\r\nContent-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
        (),
        (417,),
    ),
    bad("body above the limit", post(b"Content-Length: 16777217\r\n", SMUGGLED), 413),
]
