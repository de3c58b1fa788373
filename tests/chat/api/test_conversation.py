"""HTTP on a connection: what is refused, what is bounded, what is kept."""
import re
import socket

import msgspec
import pytest

from hotpath.core.serve.config import Timeouts
from tests.chat.api.serving import PATIENCE_S, make_config, new_name, raw, serving

ONE_ENGINE = True

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


def connected(api):
    return socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_S)


def said(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def statuses(data):
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+) ", data, re.MULTILINE)]


def test_requests_of_one_connection_are_answered_in_order(api):
    answer = raw(api.port, (GET + b"\r\n") * 3 + b"GET /api/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [200, 200, 200, 401]


def test_a_request_may_come_byte_by_byte(api):
    body = b'{"name": "nobody", "password": "x"}'
    with connected(api) as sock:
        for byte in b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" \
                    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body):
            sock.sendall(bytes([byte]))
        assert statuses(said(sock)) == [401]


def test_a_chunked_body_is_a_body(api):
    head = (b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n")
    assert statuses(raw(api.port, head + b'10\r\n{"name": "nobody\r\n12;x=y\r\n", "password": "x"}\r\n'.replace(
        b"12;", b"11;") + b"0\r\nT: x\r\n\r\n")) in ([401], [400])
    assert statuses(raw(api.port, head + b"2\r\n{}\r\n0\r\n\r\n")) == [422]


@pytest.mark.parametrize(("data", "status"), [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /healthz\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),                                     # no Host
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    (GET + b"Bad Name: x\r\n\r\n", 400),
    (GET + b"X: a\x00b\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (GET + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 131073\r\n\r\n", 413),
    (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
])
def test_what_is_no_request_ends_the_connection_with_a_problem(api, data, status):
    answer = raw(api.port, data, close=False)
    assert statuses(answer) == [status]
    assert b"application/problem+json" in answer
    assert b"Traceback" not in answer


def test_two_lengths_for_one_body_are_not_a_second_request(api):
    data = (b"POST /api/me HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(raw(api.port, data)) in ([400], [405])


def test_a_chunked_body_is_bounded_too(api):
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with connected(api) as sock:
        sock.sendall(b"POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = b""
        try:
            for _ in range(200):
                sock.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            data = said(sock)
        except ConnectionResetError:
            return      # it has closed on our unread bytes, before we read
        assert statuses(data) in ([413], [])


def test_a_body_at_the_limit_is_read(api, bob):
    limit = api.config.limits.body
    body = b'{"client_msg_id": "a", "text": "' + b"x" * (limit - 34) + b'"}'
    assert len(body) == limit
    assert bob.post("/api/channels/1/messages", raw=body).status == 422
    answer = bob.post("/api/channels/1/messages", raw=body + b" ")
    assert answer.status == 413
    answer.problem()
    assert answer.fields["connection"] == "close"


def test_who_expects_to_be_asked_for_the_body_is_asked(api):
    with connected(api) as sock:
        sock.sendall(b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                     b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b"{}")
        assert statuses(said(sock)) == [422]


def test_who_asks_with_too_large_a_body_is_not_asked_for_it(api):
    answer = raw(api.port, b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n"
                           b"Expect: 100-continue\r\n\r\n", close=False)
    assert statuses(answer) == [413]


def test_head_is_get_without_the_body(api, bob):
    path = f"/api/channels/{bob.channel()}/messages"
    got, head = bob.get(path), bob.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.fields["content-length"] == got.fields["content-length"] == str(len(got.body))
    assert bob.ask("HEAD", "/api/users/999999").status == 404
    assert bob.get("/healthz").status == 200


def test_options_says_what_is_allowed(bob):
    answer = bob.ask("OPTIONS", "/api/channels")
    assert answer.status == 200
    assert set(answer.fields["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert "access-control-allow-origin" not in answer.fields


@pytest.mark.parametrize(("method", "path", "allow"), [
    ("POST", "/api/me", {"GET", "HEAD", "OPTIONS"}), ("GET", "/api/login", {"POST", "OPTIONS"}),
    ("BREW", "/api/channels", {"GET", "HEAD", "OPTIONS", "POST"}), ("DELETE", "/", {"GET", "HEAD", "OPTIONS"}),
    ("PATCH", "/api/channels/1/messages", {"GET", "HEAD", "OPTIONS", "POST"}),
])
def test_other_methods_are_405_with_those_that_are(bob, method, path, allow):
    answer = bob.ask(method, path)
    assert answer.status == 405
    answer.problem()
    assert set(answer.fields["allow"].split(", ")) == allow


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/", "/api/me/", "//api/me", "/api//me", "/API/me",
                                  "/api/me%00", "/api/me/..", "/%2e%2e/api/me", "/c/", "/c/x", "/api/%ff", "/\u00e9"])
def test_there_is_nothing_at_other_paths(bob, path):
    answer = bob.get(path.encode().decode("latin-1")) if path.isascii() else bob.get("/%C3%A9")
    assert answer.status == 404
    answer.problem()


def test_the_absolute_form_is_the_same_path(api):
    answer = raw(api.port, b"GET http://x/healthz?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [200]


def test_http_1_0_is_answered_and_closed(api):
    answer = raw(api.port, b"GET /healthz HTTP/1.0\r\n\r\n", close=False)
    assert statuses(answer) == [200]
    assert answer.endswith(b"ok\n")


def test_a_field_with_an_underscore_is_no_other_field(api, bob):
    token = bob.token.encode()
    answer = raw(api.port, GET.replace(b"/healthz", b"/api/me") + b"Authorization_: x\r\nhp_session: %b\r\n"
                 b"Connection: close\r\n\r\n" % token)
    assert statuses(answer) == [401]


def test_two_cookie_fields_are_one(api, bob):
    answer = raw(api.port, GET.replace(b"/healthz", b"/api/me") + b"Cookie: a=b\r\nCookie: hp_session=%b\r\n"
                 b"Connection: close\r\n\r\n" % bob.token.encode())
    assert statuses(answer) == [200]


def test_every_answer_says_that_nobody_keeps_it(bob):
    path = f"/api/channels/{bob.channel()}/read"
    for answer in (bob.get("/api/me"), bob.get("/api/users/999999"), bob.put(path, {"seq": 1})):
        assert answer.fields["cache-control"] == "no-store"
        assert answer.fields["x-content-type-options"] == "nosniff"
        assert answer.fields["date"]


@pytest.fixture(scope="module")
def hasty(redis_url, tmp_path_factory):
    timeouts = Timeouts(head=0.3, idle=0.3, body=0.3, send=0.5, drain=5.0)
    config = make_config(tmp_path_factory.mktemp("hasty"), redis_url, timeouts=timeouts)
    config = msgspec.structs.replace(config, limits=msgspec.structs.replace(
        config.limits, body=2048, body_rate=10_000))
    with serving(config) as api:
        yield api


def test_a_head_that_does_not_come_is_given_up(hasty):
    with connected(hasty) as sock:
        sock.sendall(b"GET /healthz HT")
        assert statuses(said(sock)) == [408]


def test_a_body_that_does_not_come_is_given_up(hasty):
    with connected(hasty) as sock:
        sock.sendall(b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert statuses(said(sock)) == [408]


def test_a_silent_connection_is_closed_without_a_word(hasty):
    with connected(hasty) as sock:
        assert said(sock) == b""
    with connected(hasty) as sock:
        sock.sendall(GET + b"\r\n")
        assert statuses(said(sock)) == [200]


def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(hasty):
    caller = hasty.person("ann")
    for _ in range(20):
        with connected(hasty) as sock:
            sock.sendall(b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    caller.hang_up()
    assert caller.get("/api/me").status == 200


def send_for_ever(sock, data):
    while True:
        sock.sendall(data)


def test_who_reads_nothing_is_given_up_and_others_are_served(hasty):
    caller = hasty.person("ann")
    channel = caller.channel()
    for _ in range(30):
        caller.send(channel, "x" * 1500)
    greedy = GET.replace(b"/healthz", b"/api/channels/%d/messages?limit=200" % channel) + \
        b"Authorization: Bearer %b\r\n\r\n" % caller.token.encode()
    with connected(hasty) as sock:
        sock.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|Broken pipe|reset"):
            send_for_ever(sock, greedy * 50)
        caller.hang_up()
        assert caller.get("/api/me").status == 200


@pytest.fixture(scope="module")
def strict(redis_url, tmp_path_factory):
    config = make_config(tmp_path_factory.mktemp("strict"), redis_url)
    config = msgspec.structs.replace(config, limits=msgspec.structs.replace(
        config.limits, line=64, fields=5, requests=3, connections=8))
    with serving(config) as api:
        yield api


@pytest.mark.parametrize(("n_line", "n_fields", "status"), [(64, 5, 200), (65, 5, 414), (64, 6, 431)])
def test_a_head_has_its_limits(strict, n_line, n_fields, status):
    target = b"/healthz?" + b"x" * (n_line - len("GET /healthz? HTTP/1.1"))
    fields = b"Host: x\r\nConnection: close\r\n" + b"X: y\r\n" * (n_fields - 2)
    answer = raw(strict.port, b"GET %b HTTP/1.1\r\n%b\r\n" % (target, fields))
    assert statuses(answer) == [status]
    assert status == 200 or b"application/problem+json" in answer


def test_a_connection_has_so_many_requests(strict):
    with connected(strict) as sock:
        sock.sendall((GET + b"\r\n") * 5)
        first, second, third = said(sock).split(b"HTTP/1.1 200 ")[1:]
    assert b"Connection: close" in third
    assert b"Connection:" not in first + second


def test_more_connections_than_allowed_wait_for_their_turn(strict):
    waiting = [connected(strict) for _ in range(30)]
    try:
        for sock in waiting:
            sock.sendall(GET + b"Connection: close\r\n\r\n")
        assert [statuses(said(sock)) for sock in waiting] == [[200]] * 30
    finally:
        for sock in waiting:
            sock.close()


def test_a_client_that_closes_its_side_gets_its_answer(api):
    name = new_name()
    body = b'{"name": "%b", "password": "long enough"}' % name.encode()
    answer = raw(api.port, b"POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    assert statuses(answer) == [201]
