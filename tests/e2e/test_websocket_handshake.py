"""What opens a WebSocket, and what is answered to everything else?"""
from __future__ import annotations

import re
from contextlib import suppress

import pytest

from tests.echoing import EchoServer, echo_servers
from tests.waiting import DEADLINE_S, wait_for
from tests.wsclient import RSV1, TEXT, Ended, accept_of, frame
from tests.wspeer import DEFLATE, KEY, UPGRADE, Peer, deflated, opened, request, text, upgrade


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with echo_servers(tmp_path_factory.mktemp("echo")) as start:
        yield start


@pytest.fixture(scope="module")
def server(start) -> EchoServer:
    return start()


@pytest.fixture(scope="module")
def choosy(start) -> EchoServer:
    return start("--origin", "https://a.example", "--origin", "https://b.example:8443",
                 "--subprotocol", "a", "--subprotocol", "b")


@pytest.fixture
def peer(server):
    with Peer(server.address) as peer:
        yield peer


def echoes(peer: Peer, words: str = "hello") -> bool:
    peer.send(text(words))
    return peer.read() == ("text", words.encode())


GOOD = {
    "as every client does": upgrade(),
    "as Firefox does": upgrade(connection="keep-alive, Upgrade"),
    "in capitals": upgrade(upgrade="WebSocket", connection="UPGRADE"),
    "in two lines": [*upgrade(connection="keep-alive"), ("Connection", "upgrade")],
    "with names in lower case": [(name.lower(), value) for name, value in UPGRADE],
    "with a foreign Origin, which nobody asked to refuse": upgrade(origin="https://evil.example"),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_handshake_opens(peer, case):
    answer = peer.ask(GOOD[case])
    assert answer.status == 101
    assert answer.value("upgrade").lower() == "websocket"
    assert answer.value("connection").lower() == "upgrade"
    assert answer.value("sec-websocket-accept") == accept_of(KEY)
    assert answer.value("content-length") is None        # RFC 9110 section 8.6
    assert answer.value("transfer-encoding") is None
    assert echoes(peer)


BAD_KEYS = {
    "no key": upgrade(sec_websocket_key=None),
    "an empty key": upgrade(sec_websocket_key=""),
    "15 bytes": upgrade(sec_websocket_key="AAAAAAAAAAAAAAAAAAAA"),
    "17 bytes": upgrade(sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAAA="),
    "no base64": upgrade(sec_websocket_key="dGhlIHNhbXBsZSBub25j*Q=="),
    "no padding": upgrade(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ"),
    "two keys": [*UPGRADE, ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")],
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_bad_key_is_a_bad_request(peer, case):
    assert peer.ask(BAD_KEYS[case]).status == 400


@pytest.mark.parametrize("version", ["8", "12", "0", "14", "130", "013", "x", None])
def test_another_version_is_told_ours(peer, version):
    answer = peer.ask(upgrade(sec_websocket_version=version))
    assert answer.status == 426
    assert answer.value("sec-websocket-version") == "13"
    # RFC 9110 section 15.5.22: a 426 names what to upgrade to.
    assert answer.value("upgrade").lower() == "websocket"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS"])
def test_only_get_opens(peer, method):
    # 405 says that the resource is for GET alone (RFC 9110 section 15.5.6), 400 that the handshake is bad
    # (RFC 6455 section 4.2.1): both are true.
    answer = peer.ask([*UPGRADE, ("Content-Length", "0")], method=method)
    assert answer.status in (400, 405)
    assert answer.status == 400 or "GET" in answer.value("allow")


# Some servers answer these as requests that ask for no WebSocket: 426 says what to ask for.
NO_HANDSHAKES = {
    "Upgrade without Connection": upgrade(connection=None),
    "Connection that does not name Upgrade": upgrade(connection="keep-alive"),
    "Connection without Upgrade": upgrade(upgrade=None),
    "Upgrade to something else": upgrade(upgrade="websockets"),
}


@pytest.mark.parametrize("case", NO_HANDSHAKES)
def test_half_a_handshake_is_refused(peer, case):
    assert peer.ask(NO_HANDSHAKES[case]).status in (400, 426)


def test_http_1_0_cannot_upgrade(peer):
    # 505 would do as well: RFC 6455 section 4.2.1 wants "HTTP/1.1 or higher".
    assert peer.ask(UPGRADE, version="HTTP/1.0").status in (400, 426, 505)


def test_a_handshake_without_host_is_refused(peer):
    assert peer.ask(upgrade(host=None)).status == 400


@pytest.mark.parametrize(("fields", "status"), [
    (upgrade(sec_websocket_key=None), 400),
    (upgrade(sec_websocket_version="8"), 426),
    (upgrade(origin="https://evil.example"), 403),
])
def test_a_refusal_is_a_problem_document(choosy, fields, status):
    with Peer(choosy.address) as peer:
        answer = peer.ask(fields)
        assert answer.status == status
        assert answer.value("content-type") == "application/problem+json"
        assert str(status).encode() in peer.exactly(int(answer.value("content-length")))


@pytest.mark.parametrize("origin", [
    "https://evil.example", "http://a.example", "https://a.example:444", "https://a.example.evil.example",
    "https://b.example", "null", "", "a.example"])
def test_a_foreign_origin_is_refused_before_the_socket_opens(choosy, origin):
    with Peer(choosy.address) as peer:
        assert peer.ask(upgrade(origin=origin)).status == 403


@pytest.mark.parametrize("origin", ["https://a.example", "https://b.example:8443", None])
def test_a_known_origin_opens_and_so_does_a_client_that_is_no_browser(choosy, origin):
    with opened(choosy.address, upgrade(origin=origin)) as peer:
        assert echoes(peer)


def test_two_origins_are_refused(choosy):
    with Peer(choosy.address) as peer:
        answer = peer.ask([*upgrade(origin="https://a.example"), ("Origin", "https://evil.example")])
        assert answer.status in (400, 403)


@pytest.mark.parametrize(("offered", "chosen"), [
    (None, None), ("c", None), ("a", "a"), ("b", "b"), ("b, a", "b"), ("c, a, b", "a"), ("c,b", "b"), ("A", None),
    ("ab", None)])
def test_the_first_offered_subprotocol_that_is_known_is_chosen(choosy, offered, chosen):
    with Peer(choosy.address) as peer:
        answer = peer.ask(upgrade(sec_websocket_protocol=offered))
        assert answer.status == 101
        assert answer.value("sec-websocket-protocol") == chosen
        assert echoes(peer)


def test_subprotocols_may_be_offered_in_several_lines(choosy):
    with Peer(choosy.address) as peer:
        answer = peer.ask([*upgrade(sec_websocket_protocol="c"), ("Sec-WebSocket-Protocol", "b, a")])
        assert answer.value("sec-websocket-protocol") == "b"


def test_a_server_that_knows_no_subprotocol_chooses_none(peer):
    answer = peer.ask(upgrade(sec_websocket_protocol="a, b"))
    assert answer.status == 101
    assert answer.value("sec-websocket-protocol") is None


DECLINED = [
    "permessage-deflate; unknown",
    "permessage-deflate; unknown=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover=true",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=010",
    "permessage-deflate; server_max_window_bits=1x",
    'permessage-deflate; server_max_window_bits="16"',
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; client_max_window_bits=-10",
    'permessage-deflate; client_max_window_bits="7"',
    "permessage-bzip2",
    "x-webkit-deflate-frame",
]


@pytest.mark.parametrize("offer", DECLINED)
def test_a_bad_extension_offer_is_declined_and_the_socket_opens(peer, offer):
    answer = peer.ask(upgrade(sec_websocket_extensions=offer))
    assert answer.status == 101
    assert answer.value("sec-websocket-extensions") is None
    assert echoes(peer)


@pytest.mark.parametrize("offer", DECLINED)
def test_a_good_offer_behind_a_bad_one_is_taken(peer, offer):
    answer = peer.ask(upgrade(sec_websocket_extensions=f"{offer}, permessage-deflate"))
    assert answer.status == 101
    assert answer.value("sec-websocket-extensions").partition(";")[0] == "permessage-deflate"
    assert inflated_echo(peer, b"hello" * 100) == b"hello" * 100


def inflated_echo(peer: Peer, data: bytes) -> bytes:
    """What comes back for one compressed message, inflated with just the window that was promised."""
    peer.send(frame(TEXT, deflated(data), rsv=RSV1))
    kind, echo = peer.read()
    assert kind == "text"
    return echo


# Words that come again far behind: a window larger than promised would be noticed.
LONG = b"".join(b"%d " % (n * n) for n in range(300)) * 12


@pytest.mark.parametrize("bits", range(8, 16))
def test_the_window_that_was_promised_is_kept(peer, bits):
    answer = peer.ask(upgrade(sec_websocket_extensions=f"permessage-deflate; server_max_window_bits={bits}"))
    assert answer.status == 101
    accepted = answer.value("sec-websocket-extensions")
    if accepted is None:
        assert bits == 8        # zlib has no raw deflate with 256 bytes
        assert echoes(peer)
        return
    match = re.search(r"server_max_window_bits=(\d+)", accepted)
    assert match is not None
    assert 8 <= int(match[1]) <= bits
    assert inflated_echo(peer, LONG) == LONG


def test_a_quoted_window_is_a_number_or_declined(peer):
    # RFC 6455 section 9.1 lets any value be quoted, RFC 7692 section 7.1.2 speaks of digits only.
    answer = peer.ask(upgrade(sec_websocket_extensions='permessage-deflate; server_max_window_bits="10"'))
    assert answer.status == 101
    accepted = answer.value("sec-websocket-extensions")
    assert accepted is None or "server_max_window_bits=10" in accepted
    assert echoes(peer) if accepted is None else inflated_echo(peer, LONG) == LONG


def test_no_parameter_is_answered_that_was_not_offered(peer):
    # RFC 7692 section 7.1.2.2: client_max_window_bits may only be answered when offered.
    answer = peer.ask(upgrade(sec_websocket_extensions="permessage-deflate"))
    assert answer.value("sec-websocket-extensions").startswith("permessage-deflate")
    assert "client_max_window_bits" not in answer.value("sec-websocket-extensions")


def test_without_deflate_an_offer_is_declined(start):
    with Peer(start("--no-deflate").address) as peer:
        answer = peer.ask(upgrade(sec_websocket_extensions="permessage-deflate; client_max_window_bits"))
        assert answer.status == 101
        assert answer.value("sec-websocket-extensions") is None
        assert echoes(peer)


def test_a_handshake_may_come_byte_by_byte(peer):
    peer.drip(request(DEFLATE))
    assert peer.read_head().status == 101
    assert inflated_echo(peer, b"hello" * 10) == b"hello" * 10


def test_frames_in_the_packet_of_the_handshake_are_answered(peer):
    peer.send(request() + text("one") + text("two") + text("three")[:4])
    assert peer.read_head().status == 101
    assert peer.read() == ("text", b"one")
    assert peer.read() == ("text", b"two")
    peer.send(text("three")[4:])
    assert peer.read() == ("text", b"three")
    peer.goodbye()


def test_a_handshake_may_follow_a_request_on_the_same_connection(peer):
    answer = peer.ask(upgrade(sec_websocket_version="8"))
    assert answer.status == 426
    if answer.value("connection") == "close":
        peer.exactly(int(answer.value("content-length")))
        peer.is_over()
    else:
        peer.exactly(int(answer.value("content-length")))
        assert peer.ask().status == 101
        assert echoes(peer)


@pytest.fixture(scope="module")
def hasty(start) -> EchoServer:
    """A server that gives a head one second."""
    return start(config={"timeouts": {"head": "1s"}})


def test_a_handshake_that_drips_for_ever_is_ended(hasty):
    with Peer(hasty.address) as peer:
        peer.send(request()[:-2])
        peer.sock.setblocking(False)

        def answer() -> bytes | None:
            try:
                peer.sock.send(b"X-Drip: drip\r\n")
                return peer.sock.recv(1000) or b"closed"
            except BlockingIOError:
                return None
            except ConnectionError:
                return b"closed"

        got = wait_for(answer, "the end of the handshake", DEADLINE_S)
        assert got == b"closed" or got.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_says_nothing_is_ended(hasty):
    with Peer(hasty.address) as peer, suppress(Ended):      # nothing was asked, so nothing need be answered
        assert peer.read_head().status == 408


def test_an_open_socket_outlives_the_deadline_of_heads(hasty):
    with opened(hasty.address) as patient, Peer(hasty.address) as silent:
        with pytest.raises(Ended):     # by then the deadline of the patient one is over too
            silent.exactly(1 << 20)
        assert echoes(patient)
