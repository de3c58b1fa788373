"""What has fooled named servers: the trophies of the HTTP Garden, and the payloads of two smuggling tools."""

from __future__ import annotations

from tests.proxy.exam_cases import CODED, END, HOST, Case, bad, coded, get, good, line, post
from tests.proxy.exam_requests import CHUNK, LENGTH, SMUGGLED

# github.com/narfindustries/http-garden, TROPHIES.md: a bug of a named server or proxy each.
GARDEN = [
    bad("size as Python's int reads it", coded(b"0_2e\r\n\r\n" + SMUGGLED + END)),
    bad("length as Python's int reads it", post(b"Content-Length: +1_0\r\n", b"0123456789")),
    bad("NUL and CR in a value", get(b"X: v\x00\ralue\r\n")),
    bad("blank behind Content-Length", post(b"Content-Length : 39\r\n", SMUGGLED)),
    bad("tab before the first name", b"GET /exam HTTP/1.1\r\n\tContent-Length: 1\r\n" + HOST + b"\r\nX"),
    bad("version by its longest prefix", line(b"GET /exam HTTP/1.32"), 505),
    bad("method by its longest prefix", line(b'G=":<>(e),[T];?" /exam HTTP/1.1')),
    bad("target that is none", line(b"GET ! HTTP/1.1")),
    bad("LF for a blank", line(b"GET /\nHTTP/1.1")),
    bad("0xa0 around chunked", post(b"Transfer-Encoding: \xa0chunked\xa0\r\n", END)),
    bad("0xff around chunked", post(b"Transfer-Encoding: \xffchunked\xff\r\n", END)),
    bad("CR ends a field", get(b"Visible: :/\rSmuggled: :)\r\n")),
    bad(
        "all that a name may not hold",
        get(bytes(byte for byte in range(33) if byte not in b"\r\n") + b'"(),/;<=>?@[]{}: x\r\n'),
    ),
    bad("CR in the version", line(b"GET /exam HTTP/\r\r1.1")),
    bad("empty size", coded(b"\r\n\r\n")),
    bad("colon alone", get(b":\r\nI: am chopped off\r\n")),
    bad("LF LF ends a head", get(b"Useless:\n\n" + SMUGGLED)),
    bad("0x85 behind a name", post(b"Content-Length\x85: 10\r\n", b"0123456789")),
    bad("versions of many digits", line(b"GET /exam HTTP/4294967295.255")),
    bad("length below zero", post(b"Content-Length: -48\r\n")),
    bad("length without a colon", post(b"Content-Length 10\r\n", b"0123456789")),
    bad(
        "CR Z ends a head", b"GET /exam HTTP/1.1\r\n" + HOST + b"\r\n\rZGET /evil: HTTP/1.1\r\n" + HOST + b"\r\n"
    )._replace(arrive=(("GET", "/exam", b""),)),
    bad("CR CR behind a size", coded(b"5\r\r;ABCD\r\n34\r\nE\r\n" + END + SMUGGLED)),
    good("length that is no octal", post(b"Content-Length: 010\r\n", b"0123456789"), "POST", "/exam", b"0123456789"),
    bad("value cut by NUL", get(b"Test: test\x00THESE BYTES GET DROPPED\r\n")),
    bad("CR CR behind an extension", coded(b"41;a=b\r\r" + b"X" * 65 + b"\r\n" + END + SMUGGLED)),
    bad("name across lines", post(b"Transfer-\r\nEncoding: chunked\r\n" + LENGTH, END)),
    bad("empty length before a request", post(b"Content-Length: \r\n", SMUGGLED)),
    bad("empty length, then one", post(b"Content-Length: \r\nContent-Length: 43\r\n", SMUGGLED)),
    bad("NUL for a method", b"\x00 / HTTP/............0596.7407.\r\n\r\n"),
    good("0x85 and 0xa0 are no blanks", get(b"User: \x85admin\xa0\r\n"), "GET", "/exam"),
    good("trailer like a request line", coded(b"0\r\nX:POST / HTTP/1.1\r\n\r\n"), "POST", "/exam"),
    bad("unknown coding", post(b"Transfer-Encoding: blegh\r\n", b"1\r\nZ\r\n" + END), 501),
    good("bytes behind a close", get(b"Connection: close\r\n") + b"Invalid\r\n\r\n", "GET", "/exam"),
    bad("bytes of 0xff in the host", get(b"", host=b"Host: \xffa\xff\r\n")),
    bad("chunks that are none", coded(b"INVALID!!!\r\n" + SMUGGLED)),
    bad("Z for a size", coded(b"Z\r\nZZ\r\nZZZ\r\n\r\n")),
    bad("size, CR, no LF", coded(b"1\r0\n")),
    bad("bytes behind a size", coded(b"1these-bytes-never-get-validated\r\nZ\r\n" + END)),
    bad("NUL in the host", get(b"", host=b"Host: exam\x00.example\r\n")),
    bad("LF behind data", coded(b"a\r\n0123456789\n" + END)),
    bad("LF in a name", get(b"Te\nst: test\r\n")),
    bad("LF everywhere", b"GET /exam HTTP/1.1\nHost: exam\nConnection: close\n\n"),
    bad("minus 0x0", coded(b"-0x0\r\n\r\n")),
    bad("NUL for a colon", get(b"a:b\r\nc\x00\r\n")),
    good(
        "GET keeps its body",
        post(b"Content-Length: 10\r\n", b"1234567890", method=b"GET"),
        "GET",
        "/exam",
        b"1234567890",
    ),
    bad("the last length counts", post(b"Content-Length: 0\r\nContent-Length: 39\r\n", SMUGGLED)),
    bad("blanks before a size", coded(b"           0\r\n\r\n")),
    Case("NUL behind a body", coded(END) + b"\x00", (("POST", "/exam", b""),), (400,)),
]

# defparam/smuggler, PortSwigger/http-request-smuggler: ways to write a framing field so that only one of two sees it.
# What changes a single byte is swept over all 256 in test_exam_bytes.py.
HIDDEN = (
    [
        bad(name, post(b"Content-Length: 15\r\n" + lines, CHUNK + END), *status)
        for name, lines, status in [
            ("folded into the field above", b"Foo: bar\r\n " + CODED, (400,)),
            ("folded by a tab", b"Foo: bar\r\n\t" + CODED, (400,)),
            ("two blanks", b"Transfer-Encoding:  chunked\r\n", (400,)),
            ("no blank", b"Transfer-Encoding:chunked\r\n", (400,)),
            ("blank in the name", b"Transfer Encoding: chunked\r\n", (400,)),
            ("LF before the value", b"Transfer-Encoding:\n chunked\r\n", (400,)),
            ("folded twice", b"Transfer-Encoding:\r\n \r\n chunked\r\n", (400,)),
            ("LF before the colon", b"Transfer-Encoding\n : chunked\r\n", (400,)),
            ("behind CR", b"Foo: bar\r" + CODED, (400,)),
            ("behind LF", b"Foo: bar\n" + CODED, (400,)),
            ("behind CR on a line", b"Foo: bar\r\n\r" + CODED, (400,)),
            ("LF and vertical tab", b"Transfer-Encoding: \n\x0bchunked\r\n", (400,)),
            ("folded by CRLF and tab", b"Transfer-Encoding: \r\n\tchunked\r\n", (400,)),
            ("mixed case", b"tRANSFER-ENCODING: chunked\r\n", (400,)),
            ("CR in the name", b"Tra\rnsfer-Encoding: chunked\r\n", (400,)),
            ("word behind the name", b"Transfer-Encoding x: chunked\r\n", (400,)),
            ("backslash in the name", b"Transfer\\Encoding: chunked\r\n", (400,)),
            ("nominated away", b"Connection: Transfer-Encoding\r\n" + CODED, (400,)),
            ("LF LF in a value", b"Foo: bar\n\n" + CODED, (400,)),
            ("encoded words", b"Transfer-Encoding: =?utf-8?B?Y2h1bmtlZA==?=\r\n", (400, 501)),
            ("soft hyphen for a dash", b"Transfer\xadEncoding: chunked\r\n", (400,)),
            ("accent in the name", b"Transf\x82r-Encoding: chunked\r\n", (400,)),
            ("accent in the value", b"Transfer-Encoding: ch\x96nked\r\n", (400,)),
            ("identity in another field", b"Transfer-encoding: identity\r\n" + CODED, (400,)),
            ("nested", b"Transfer-Encoding: identity, chunked, identity\r\n", (400,)),
            ("chunk", b"Transfer-Encoding: chunk\r\n", (400,)),
            ("an invalid field between", b"X-Invalid Y: \r\n" + CODED, (400,)),
        ]
    ]
    + [
        good(name, post(b"Content-Length: 5\r\n" + lines, b"hello"), "POST", "/exam", b"hello")
        for name, lines in [
            ("escaped name", b"Transfer-%45ncoding: chunked\r\n"),
            ("Content-Encoding", b"Content-Encoding: chunked\r\n"),
            ("length nominated away", b"Connection: Content-Length, Host\r\n"),
            ("in a value", b"X: X Transfer-Encoding: chunked\r\n"),
            ("method overridden", b"X-HTTP-Method-Override: HEAD\r\n"),
            ("range of one byte", b"Range: bytes=0-0\r\n"),
        ]
    ]
    + [
        bad(f"length, {name}", post(b"Content-Length:" + value + b"\r\n", b"hello"))
        for name, value in [
            ("0 and blank before", b" 0 5"),
            ("0 listed before", b" 0, 5"),
            ("0 listed behind", b" 5, 0"),
            ("e0", b" 5e0"),
            (".0", b" 5.0"),
        ]
    ]
)
