"""HTTP/2 clients who would stay for ever, ask for ever, or ask what cannot be asked: of a running proxy."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import h2.errors
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from tests.backends import Backend, Gate, saying
from tests.certificates import Pair
from tests.proxies import Proxy
from tests.waiting import DEADLINE_S, wait_for

from .test_front import NOISE, Peer, address_of, plain, site

Codes = h2.errors.ErrorCodes
PACE_S = 0.05       # shorter than the deadlines below: each byte comes before one is due
MAX_PACES = 100     # a deadline that can be put off is not met by then


def pace(peer: Peer, piece: bytes) -> bool:
    """Send it, listen for a moment; whether the connection goes on."""
    peer.sock.settimeout(PACE_S)
    try:
        peer.sock.sendall(piece)
        return peer.pull()
    except TimeoutError:
        return True
    except OSError:
        return False


def farewell(peer: Peer) -> int:
    """The code of the GOAWAY that came."""
    return int(next(event for event in peer.events if isinstance(event, h2.events.ConnectionTerminated)).error_code)


@pytest.mark.parametrize("asked", [False, True], ids=["never asked", "between requests"])
@pytest.mark.parametrize("what", ["PING", "a field at a time"])
def test_a_byte_now_and_then_does_not_put_the_deadline_off(
    backend: Backend, pair: Pair, folder: Path, asked: bool, what: str
) -> None:
    short = {"idle": "2s", "head": "60s"} if asked else {"head": "2s", "idle": "60s"}
    with Proxy(site(backend, pair, folder, timeouts=short)) as proxy, Peer(address_of(proxy)) as peer:
        if asked:
            peer.body(peer.ask("/canned"))
        else:
            peer.until(h2.events.SettingsAcknowledged)
        block = b"".join(b"\x00\x01a\x01%c" % (97 + i % 26) for i in range(MAX_PACES + 1))
        drip = HeadersFrame(3, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
        ping = PingFrame(0, b"12345678", flags=["ACK"]).serialize()     # not answered
        for i in range(MAX_PACES):
            if not pace(peer, ping if what == "PING" else drip[5 * i : 5 * i + 5]):
                break
        else:
            pytest.fail("it is still connected")
        assert farewell(peer) == Codes.NO_ERROR


def test_who_does_not_read_is_cut_though_it_writes(backend: Backend, pair: Pair, folder: Path) -> None:
    backend.on("/much", saying(plain(NOISE)))
    with Proxy(site(backend, pair, folder, timeouts={"send": "2s"})) as proxy, Peer(address_of(proxy)) as peer:
        peer.sock.settimeout(DEADLINE_S)
        wide = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}).serialize()
        peer.sock.sendall(wide + WindowUpdateFrame(0, 2**30).serialize())
        for _ in range(4):
            peer.ask("/much")
        backend.wait_seen("/much", 4)
        left = 900      # fewer than the frames that move nothing and would end the connection by themselves

        def gone() -> bool:
            nonlocal left
            left -= 1
            assert left, "it is still connected"
            with suppress(OSError):
                peer.sock.sendall(PingFrame(0, b"12345678").serialize())
            return proxy.connections() == 0

        wait_for(gone, "the client to be cut")


def test_requests_per_connection_are_counted_in_streams(backend: Backend, pair: Pair, folder: Path) -> None:
    gate = Gate(b"late")
    backend.on("/third", gate)
    with Proxy(site(backend, pair, folder, limits={"requests_per_connection": 3})) as proxy, \
            Peer(address_of(proxy)) as peer:
        for _ in range(2):
            peer.body(peer.ask("/canned"))
        assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in peer.events)
        peer.ask("/third")
        backend.wait_seen("/third")
        gate.open()
        raw = b""
        while more := peer.sock.recv(65536):    # h2, as a client, forgets its streams with the first GOAWAY
            raw += more
        assert GoAwayFrame(0, last_stream_id=5).serialize() in raw
        assert b"late" in raw


@pytest.mark.parametrize("malformed", ["a stream", "the connection"])
def test_what_is_refused_in_http_2_is_counted_and_logged(
    backend: Backend, pair: Pair, folder: Path, malformed: str
) -> None:
    file = folder / f"access-{malformed.split()[1]}"
    log = {"access": {"path": str(file), "format": "json", "flush": "50ms"}}
    with Proxy(site(backend, pair, folder, log=log)) as proxy, Peer(address_of(proxy)) as peer:
        if malformed == "a stream":
            pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/refused")]
            peer.h2.send_headers(1, pseudo, end_stream=True)
            peer.push()
            assert peer.until(h2.events.StreamReset, 1).error_code == Codes.PROTOCOL_ERROR
            peer.body(peer.ask("/canned"))
        else:
            peer.sock.sendall(HeadersFrame(1, b"\x80", flags=["END_HEADERS"]).serialize())
            assert peer.until(h2.events.ConnectionTerminated).error_code == Codes.PROTOCOL_ERROR
        wait_for(lambda: file.exists() and '"status":400' in file.read_text().replace(" ", ""), "its line")
        line = next(found for found in map(json.loads, file.read_text().splitlines()) if found["status"] == 400)
        assert (line["client"], line["target"]) == ("127.0.0.1", None)
        assert proxy.metric("hotpath_proxy_rejected_total", reason="malformed") == 1
        wait_for(lambda: proxy.connections() == (1 if malformed == "a stream" else 0), "nothing else to be left")
