"""What fields mean together: framing, connection, expectations."""
import pytest

from hotpath.core.wire.probe import RequestHead, ResponseHead, parse_request, parse_response


def request(fields: bytes, version: bytes = b"1.1") -> RequestHead:
    head = parse_request(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n")
    assert isinstance(head, RequestHead), head
    return head


def response(fields: bytes, status: int = 200, method: bytes = b"GET", version: bytes = b"1.1") -> ResponseHead:
    head = parse_response(b"HTTP/%s %d X\r\n%s\r\n" % (version, status, fields), method=method)
    assert isinstance(head, ResponseHead), head
    return head


@pytest.mark.parametrize(("fields", "framing", "length"), [
    (b"", "none", -1),
    (b"Content-Length: 0\r\n", "length", 0),
    (b"Content-Length: 0012\r\n", "length", 12),
    (b"Content-Length: 9223372036854775807\r\n", "length", 2**63 - 1),
    (b"Transfer-Encoding: Chunked\r\n", "chunked", -1),
])
def test_framing_of_a_request(fields, framing, length):
    head = request(fields)
    assert (head.framing, head.content_length) == (framing, length)


@pytest.mark.parametrize(("fields", "status", "method", "framing", "length"), [
    (b"", 200, b"GET", "until-close", -1),
    (b"Content-Length: 5\r\n", 200, b"GET", "length", 5),
    (b"Transfer-Encoding: chunked\r\n", 200, b"GET", "chunked", -1),
    (b"Content-Length: 5\r\n", 200, b"HEAD", "none", -1),
    (b"Transfer-Encoding: chunked\r\n", 404, b"HEAD", "none", -1),
    (b"", 200, b"HEAD", "none", -1),
    (b"Content-Length: 5\r\n", 304, b"GET", "none", -1),
    (b"Content-Length: 5\r\n", 204, b"GET", "none", -1),
    (b"", 100, b"GET", "none", -1),
    (b"Content-Length: 5\r\n", 103, b"POST", "none", -1),
    (b"", 101, b"GET", "none", -1),
    (b"", 200, b"CONNECT", "none", -1),
    (b"Content-Length: 5\r\n", 299, b"CONNECT", "none", -1),
    (b"Content-Length: 5\r\n", 300, b"CONNECT", "length", 5),
    (b"", 407, b"CONNECT", "until-close", -1),
    (b"Content-Length: 0\r\n", 999, b"POST", "length", 0),
])
def test_framing_of_a_response(fields, status, method, framing, length):
    head = response(fields, status, method)
    assert (head.framing, head.content_length) == (framing, length)


@pytest.mark.parametrize(("fields", "bits", "alive_1_1", "alive_1_0"), [
    (b"", set(), True, False),
    (b"Connection: close\r\n", {"close"}, False, False),
    (b"Connection: CLOSE\r\n", {"close"}, False, False),
    (b"Connection: keep-alive\r\n", {"keep-alive"}, True, True),
    (b"Connection: Keep-Alive\r\n", {"keep-alive"}, True, True),
    (b"Connection: keep-alive, close\r\n", {"keep-alive", "close"}, False, False),
    (b"Connection: ,, close ,\r\n", {"close"}, False, False),
    (b"Connection: x-a\r\nA: b\r\nconnection: close\r\n", {"nominates", "close"}, False, False),
    (b"Connection: Upgrade, HTTP2-Settings\r\n", {"upgrade", "nominates"}, True, False),
    (b"Connection: closed\r\n", {"nominates"}, True, False),
    (b"Connection: not close\r\n", {"nominates"}, True, False),
    (b"Connection:\r\n", set(), True, False),
    (b"Proxy-Connection: close\r\n", set(), True, False),
])
def test_connection(fields, bits, alive_1_1, alive_1_0):
    for head in (request, response):
        assert head(fields).connection == bits
        assert head(fields).keep_alive is alive_1_1
        assert head(fields, version=b"1.0").keep_alive is alive_1_0


@pytest.mark.parametrize(("fields", "version", "continues", "other"), [
    (b"", b"1.1", False, False),
    (b"Expect: 100-continue\r\n", b"1.1", True, False),
    (b"Expect: 100-Continue\r\n", b"1.1", True, False),
    (b"Expect: 100-continue\r\n", b"1.0", False, False),
    (b"Expect: 200-ok\r\n", b"1.1", False, True),
    (b"Expect: 100-continue, x\r\n", b"1.1", True, True),
    (b"Expect: 100-continue\r\nExpect: x\r\n", b"1.1", True, True),
    (b"Expect: 100-continue;q=1\r\n", b"1.1", False, True),
    (b"Expect:\r\n", b"1.1", False, False),
])
def test_expectations(fields, version, continues, other):
    head = request(fields, version)
    assert (head.expects_continue, head.expects_other) == (continues, other)


@pytest.mark.parametrize(("fields", "upgrades"), [
    (b"", False),
    (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", True),
    (b"Connection: keep-alive, upgrade\r\nupgrade: WebSocket\r\n", True),
    (b"Upgrade: websocket\r\n", False),
    (b"Connection: Upgrade\r\n", False),
    (b"Upgrade: h2c\r\nConnection: Upgrade\r\n", False),
    (b"Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n", False),
    (b"Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", False),
    (b"Upgrade: websocket/13\r\nConnection: Upgrade\r\n", False),
])
def test_only_an_exact_websocket_upgrade_counts(fields, upgrades):
    assert request(fields).upgrades_websocket is upgrades
    assert response(fields, 101).upgrades_websocket is upgrades


@pytest.mark.parametrize(("fields", "length"), [
    (b"Content-Length: 5, 5\r\n", 5),
    (b"Content-Length: 5\r\nContent-Length: 5,5 ,\t5\r\n", 5),
    (b"Content-Length: 5,\r\n 5\r\n", 5),
    (b"Content-Length: 5, 6\r\n", None),
    (b"Content-Length: 5, 05\r\n", None),
    (b"Content-Length: 5,\r\n", None),
    (b"Content-Length: 5\r\nContent-Length: 6\r\n", None),
    (b"Content-Length: 00000000000000000005\r\n", 5),
    (b"Content-Length: 000000000000000000005\r\n", None),
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", -1),
])
def test_lengths_under_the_rules_of_h11(fields, length):
    head = parse_request(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n", strict=False)
    assert getattr(head, "content_length", None) == length
