"""Heads: what is taken, what is refused, and that neither depends on how the bytes arrive."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire.probe import Broken, RequestHead, ResponseHead, parse_request, parse_response, reason_phrase
from tests.core.wire.cases import OK, REQUESTS, RESPONSES, Case, places
from tests.core.wire.page import page

BOTH = [pytest.param(parse_request, case, id=f"request: {case.name}") for case in REQUESTS] + [
    pytest.param(parse_response, case, id=f"response: {case.name}") for case in RESPONSES]
# What is cut at every pair of places; the long ones only add time.
SHORT = [case for case in REQUESTS if len(case.data) < 300]


def request(data: bytes, **limits: int) -> RequestHead:
    head = parse_request(data, **limits)
    assert isinstance(head, RequestHead), head
    return head


def response(data: bytes, method: bytes = b"GET") -> ResponseHead:
    head = parse_response(data, method=method)
    assert isinstance(head, ResponseHead), head
    return head


def in_pieces(parse, data, sizes):
    """The first answer while `data` grows to each of `sizes` in turn; `parse` is told what it has seen."""
    seen = 0
    for size in sizes:
        head = parse(data[:size], seen=seen)
        if head is not None:
            return head
        seen = size
    return None


@pytest.mark.parametrize(("parse", "case"), BOTH)
def test_the_verdict_is_that_of_the_table(parse, case: Case):
    head = parse(case.data)
    assert head is not None
    if case.status == OK:
        assert not isinstance(head, Broken), head
        assert head.consumed == len(case.data)
    else:
        assert isinstance(head, Broken), head
        assert head.status == case.status, head
        assert head.error


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.name)
def test_every_name_has_one_row(case: Case):
    assert [other.name for other in REQUESTS].count(case.name) == 1


@pytest.mark.parametrize(("parse", "case"), BOTH)
def test_a_head_in_two_pieces_is_the_same_head(parse, case: Case):
    whole = parse(case.data)
    for cut in places(case.data):
        assert in_pieces(parse, case.data, (cut, len(case.data))) == whole, cut


@pytest.mark.parametrize(("parse", "case"), BOTH)
def test_a_dripped_head_is_the_same_head(parse, case: Case):
    data = memoryview(case.data)
    assert in_pieces(parse, data, range(1, len(data) + 1)) == parse(data)


@given(st.sampled_from(SHORT), st.sets(st.integers(1, 300)))
def test_a_head_in_any_pieces_is_the_same_head(case: Case, cuts: set[int]):
    sizes = [cut for cut in sorted(cuts) if cut < len(case.data)] + [len(case.data)]
    assert in_pieces(parse_request, case.data, sizes) == parse_request(case.data)


@pytest.mark.parametrize(("parse", "case"), [row for row in BOTH if row.values[1].status == OK])
def test_a_taken_head_is_taken_at_its_last_byte_and_not_before(parse, case: Case):
    data = memoryview(case.data)
    assert in_pieces(parse, data, range(1, len(data))) is None
    assert parse(case.data + b"GET / HTTP/1.1\r\n").consumed == len(data)


@pytest.mark.parametrize("strict", [True, False], ids=["STRICT", "H11"])
@pytest.mark.parametrize(("parse", "case"), BOTH)
def test_no_byte_behind_the_input_is_read(parse, case: Case, strict: bool):
    with page() as memory:
        for size in [0, *places(case.data), len(case.data)]:
            parse(memory.holding(case.data[:size]), strict=strict)
            parse(memory.holding(case.data[:size]), strict=strict, seen=max(0, size - 1))


@pytest.mark.parametrize("first", [
    b"\x16\x03\x01", b"\x00", b" ", b"\r\r", b"\n", b"G\x00", b"{", b"GET /\x01", b"GET / HTTQ",
])
def test_nonsense_is_refused_without_waiting_for_more(first: bytes):
    assert isinstance(parse_request(first), Broken)


def test_dripped_nonsense_is_refused_before_it_has_doubled():
    data = b"GET " + b"/\x01" + b"a" * 100
    seen = 0
    for size in range(1, len(data)):
        if isinstance(parse_request(data[:size], seen=seen), Broken):
            assert size <= 8
            return
        seen = size
    pytest.fail("never refused")


def test_spans_of_a_request():
    head = request(b"GET /a/b?c=d HTTP/1.1\r\nHost: x:81\r\nX-A:  b \r\n\r\nrest")
    assert (head.method, head.method_id, head.target, head.form) == (b"GET", 1, b"/a/b?c=d", "origin")
    assert (head.path, head.query, head.host, head.version) == (b"/a/b", b"c=d", b"x:81", (1, 1))
    assert [(field.name, field.value) for field in head.fields] == [(b"Host", b"x:81"), (b"X-A", b"b")]


@pytest.mark.parametrize(("target", "method", "form", "path", "query", "host"), [
    (b"/", b"GET", "origin", b"/", None, b"a"),
    (b"/?", b"GET", "origin", b"/", b"", b"a"),
    (b"/b?c?d", b"GET", "origin", b"/b", b"c?d", b"a"),
    (b"*", b"OPTIONS", "asterisk", b"*", None, b"a"),
    (b"http://A", b"GET", "absolute", b"", None, b"A"),
    (b"http://A?b", b"GET", "absolute", b"", b"b", b"A"),
    (b"http://A/b/c?d", b"GET", "absolute", b"/b/c", b"d", b"A"),
    (b"a:80", b"CONNECT", "authority", b"", None, b"a"),
])
def test_forms_of_the_target(target, method, form, path, query, host):
    head = request(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.target, head.form, head.path, head.query, head.host) == (target, form, path, query, host)


@pytest.mark.parametrize(("path", "plain"), [
    (b"/", True), (b"/a", True), (b"/a/b-c_d~e;f=g", True), (b"/a.b", True), (b"/a/", True), (b"/a..", True),
    (b"//", False), (b"/a//b", False), (b"/.", False), (b"/..", False), (b"/a/./b", False), (b"/a/.b", False),
    (b"/%41", False), (b"/a%2e", False),
])
def test_a_plain_path_needs_no_normalising(path: bytes, plain: bool):
    assert request(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n").path_is_plain is plain
    assert request(b"GET " + path + b"?//%zz/. HTTP/1.1\r\nHost: a\r\n\r\n").path_is_plain is plain
    assert request(b"GET http://a" + path + b" HTTP/1.1\r\nHost: a\r\n\r\n").path_is_plain is plain


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_numbers(method: str):
    target = b"a:1" if method == "CONNECT" else b"/"
    head = request(method.encode() + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.method_id == METHODS.index(method) + 1


@pytest.mark.parametrize("method", [b"GETS", b"get", b"PU", b"POSTER", b"TRACK", b"X"])
def test_other_methods_have_number_0(method: bytes):
    assert request(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n").method_id == 0


NAMES = [
    "host", "connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection", "te", "trailer",
    "upgrade", "expect", "user-agent", "referer", "cookie", "authorization", "proxy-authorization", "x-forwarded-for",
    "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "date", "server",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title])
def test_known_names_have_numbers(name: str, spelling):
    value = "chunked" if name == "transfer-encoding" else "1"
    head = response(f"HTTP/1.1 200 OK\r\nA: b\r\n{spelling(name)}: {value}\r\n\r\n".encode())
    number = NAMES.index(name) + 1
    assert head.fields[1].known == number
    assert head.first == {number: 1}


@given(st.sampled_from(NAMES), st.integers(0, 19), st.sampled_from("_!0~^.z"))
def test_a_name_that_is_almost_known_is_not(name: str, at: int, other: str):
    almost = name[:at] + other + name[at + 1:]
    if almost in NAMES:
        return
    head = response(f"HTTP/1.1 200 OK\r\n{almost}: x\r\n\r\n".encode())
    assert (head.fields[0].known, head.first) == (0, {})


def test_the_first_field_of_a_name_is_remembered():
    head = request(b"GET / HTTP/1.1\r\nA: b\r\nCookie: c\r\nHost: a\r\nCookie: d\r\n\r\n")
    assert head.first == {NAMES.index("cookie") + 1: 1, NAMES.index("host") + 1: 2}


@pytest.mark.parametrize("name", [b"a_b", b"_", b"x" * 20 + b"_", b"_" + b"x" * 20])
def test_underscores_are_flagged(name: bytes):
    head = request(b"GET / HTTP/1.1\r\nHost: a\r\nA_: b\r\n" + name + b": c\r\nx-y: d_e\r\n\r\n")
    assert [field.underscore for field in head.fields] == [False, True, True, False]


def test_a_space_before_the_colon_of_a_response_leaves_no_trace():
    head = response(b"HTTP/1.1 200 OK\r\nContent-Length \t: 5\r\n\r\n")
    assert (head.fields[0].name, head.content_length) == (b"Content-Length", 5)


@pytest.mark.parametrize(("line", "status", "reason"), [
    (b"HTTP/1.1 200 OK", 200, b"OK"), (b"HTTP/1.1 200 ", 200, b""), (b"HTTP/1.1 200", 200, b""),
    (b"HTTP/1.0 404 Not  Found", 404, b"Not  Found"),
])
def test_spans_of_a_status_line(line: bytes, status: int, reason: bytes):
    head = response(line + b"\r\n\r\n")
    assert (head.status, head.reason) == (status, reason)


@pytest.mark.parametrize("front", [b"", b"\r\n"])
def test_the_line_limit_counts_the_line_alone(front: bytes):
    head = front + b"GET /123 HTTP/1.1\r\nHost: a\r\n\r\n"
    assert isinstance(parse_request(head, line=17), RequestHead)
    for seen in range(len(head)):
        refused = parse_request(head, line=16, seen=seen)
        assert refused is None or refused == Broken(414, "request line too long"), seen


@pytest.mark.parametrize("drip", [False, True])
def test_a_line_over_its_limit_is_refused_before_it_ends(drip: bool):
    data = b"GET /" + b"a" * 200
    assert in_pieces(lambda piece, seen: parse_request(piece, seen=seen, line=100), data,
                     range(1, 110) if drip else [102]) == Broken(414, "request line too long")


def test_the_head_limit_counts_the_whole_head():
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert isinstance(parse_request(data, head=len(data)), RequestHead)
    assert parse_request(data, head=len(data) - 1) == Broken(431, "head too large")


@pytest.mark.parametrize("drip", [False, True])
def test_a_head_over_its_limit_is_refused_before_it_ends(drip: bool):
    data = b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 200
    assert in_pieces(lambda piece, seen: parse_request(piece, seen=seen, head=100), data,
                     range(1, 101) if drip else [100]) == Broken(431, "head too large")


def test_the_field_limit_is_reached_with_the_field_that_is_too_many():
    data = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC"
    assert parse_request(data, fields=3) is None
    assert parse_request(data, fields=2) == Broken(431, "too many fields")


def test_a_head_holds_256_fields_whatever_is_allowed():
    data = b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * 256
    assert len(request(data + b"\r\n", fields=1000).fields) == 256
    assert parse_request(data + b"A: b\r\n\r\n", fields=1000) == Broken(431, "too many fields")


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(data: bytes):
    for parse in (parse_request, parse_response):
        for strict in (True, False):
            head = parse(data, strict=strict)
            assert head is None or isinstance(head, Broken) or head.consumed <= len(data)


@pytest.mark.parametrize(("status", "reason"), [
    (100, "Continue"), (200, "OK"), (404, "Not Found"), (431, "Request Header Fields Too Large"),
    (505, "HTTP Version Not Supported"),
    (299, ""), (600, ""), (0, ""), (-1, ""), (99999, ""),
])
def test_reason_phrases(status, reason):
    assert reason_phrase(status) == reason


# Longer than two registers, so that each byte is met by the wide path and by what is left over.
LONG = 40
VISIBLE = frozenset(range(0x21, 0x7f))
TOKEN = VISIBLE - frozenset(b"\"(),/:;<=>?@[\\]{}")


@pytest.mark.parametrize(("head", "allowed"), [
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nA: %s.\r\n\r\n", VISIBLE | {*b"\t ", *range(0x80, 0x100)}, id="value"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nA%s: b\r\n\r\n", TOKEN, id="name"),
    pytest.param(b"GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n", VISIBLE - set(b"#\\"), id="query"),
    pytest.param(b"GET /%sz HTTP/1.1\r\nHost: a\r\n\r\n", VISIBLE - set(b"#\\%"), id="path"),
    pytest.param(b"%sZ / HTTP/1.1\r\nHost: a\r\n\r\n", TOKEN, id="method"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: z%sz\r\n\r\n", TOKEN - set(b"!#$%&'*+^`|"), id="host"),
])
def test_each_byte_is_judged_the_same_wherever_it_stands(head: bytes, allowed: frozenset[int]):
    for place in range(LONG):
        for byte in range(256):
            middle = b"g" * place + bytes([byte]) + b"g" * (LONG - place)     # no digit, so that "%" begins no escape
            if byte == ord(":") and b"A%s:" in head:
                continue        # the name ends there, and the value begins
            verdict = parse_request(head.replace(b"%s", middle))
            assert isinstance(verdict, RequestHead) == (byte in allowed), (place, byte, verdict)
