"""A gateway as a process: who is let in, what it says of itself, how it ends."""
from __future__ import annotations

import signal

from tests.chat.gateway.rig import Place, Rig, refused
from tests.waiting import wait_for
from tests.wsclient import Client, handshake


def test_a_ticket_is_good_once_for_its_gateway_and_for_a_while(place: Place):
    (ann,) = place.people(1)
    ticket = ann.ticket()
    assert refused(place.gateway, f"/ws?ticket={ticket}") == 101
    assert refused(place.gateway, f"/ws?ticket={ticket}") == 401
    assert refused(place.gateway, "/ws") == 401
    assert refused(place.gateway, "/ws?ticket=x") == 401
    assert refused(place.gateway, f"/ws?ticket={ann.ticket()[:-1]}x") == 401
    assert refused(place.gateway, f"/ws?ticket={ann.ticket(gateway='g2')}") == 401
    assert refused(place.gateway, f"/ws?ticket={ann.ticket(boot='0')}") == 401
    assert refused(place.gateway, f"/ws?ticket={ann.ticket(expires_ms=1)}") == 401


def test_a_foreign_page_is_refused_before_the_ticket_is_used(place: Place):
    (ann,) = place.people(1)
    ticket = ann.ticket()
    assert refused(place.gateway, f"/ws?ticket={ticket}", ("Origin", "http://evil.example")) == 403
    port = place.chat.config.listen[0].port
    assert refused(place.gateway, f"/ws?ticket={ticket}", ("Origin", f"http://127.0.0.1:{port}")) == 101


def test_another_version_is_426(place: Place):
    (ann,) = place.people(1)
    with Client(place.gateway.address) as client:
        client.send(handshake(f"/ws?ticket={ann.ticket()}", ("Sec-WebSocket-Version", "12"),
                              drop=["Sec-WebSocket-Version"]))
        assert client.read_head().status == 426


def test_health_and_metrics_are_answered(place: Place):
    with Client(place.gateway.address) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_head().status == 200
    with Client(place.gateway.address) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.read_head().status == 200
        assert b"chat_gateway_sockets" in client.rest()


def test_too_many_sockets_of_a_user_are_closed_4009(place: Place):
    (ann,) = place.people(1)
    sockets = [ann.connect(place.gateway) for _ in range(place.chat.config.limits.sockets_per_user)]
    with Client(place.gateway.address) as client:
        client.open(f"/ws?ticket={ann.ticket()}", host=place.gateway.address)
        assert client.read_to_close()[1][:2] == (4009).to_bytes(2, "big")
    sockets.pop().close()
    wait_for(lambda: place.chat.report().sockets, "a report")

    def fits() -> bool:
        with Client(place.gateway.address) as client:
            client.open(f"/ws?ticket={ann.ticket()}", host=place.gateway.address)
            return client.read().kind == "text"

    wait_for(fits, "room again")


def test_a_refused_socket_that_does_not_go_takes_nobodys_place(place: Place):
    (ann,) = place.people(1)
    sockets = [ann.connect(place.gateway) for _ in range(place.chat.config.limits.sockets_per_user)]
    with Client(place.gateway.address) as refused:
        refused.open(f"/ws?ticket={ann.ticket()}", host=place.gateway.address)
        assert refused.read().kind == "close"
        leaver = sockets.pop()
        leaver.client.send_close(1000)
        leaver.client.read_to_close()
        ann.start(place.gateway)


def test_sigterm_says_1001_and_ends_with_0(chat: Rig):
    gateway = chat.gateway()
    socket = chat.user("ann").start(gateway)
    gateway.signal(signal.SIGTERM)
    assert socket.close_code() == 1001
    assert gateway.wait() == 0
    assert chat.redis.client.get("hp:gw:g1") is None
