"""What a gateway says of itself, and that it stops saying so."""
from __future__ import annotations

import msgspec
import pytest

from hotpath.chat.config import ChatConfig, GatewaysConfig
from hotpath.chat.connect import Report
from hotpath.chat.gateway.beacon import Beacon, urls_of


class Line:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, data: bytes) -> bool:
        self.said.append(data)
        return True


@pytest.mark.parametrize(("public", "url"), [
    (None, "ws://127.0.0.1:9/ws"), ("wss://chat.example/{id}/ws", "wss://chat.example/g1/ws")])
def test_it_says_where_clients_go_and_where_its_health_is(public: str | None, url: str):
    config = ChatConfig(gateways=GatewaysConfig(public_url=public))
    assert urls_of(config, "g1", "127.0.0.1:9") == (url, "http://127.0.0.1:9/healthz")


def test_the_api_understands_it_and_it_ends():
    line = Line()
    beacon = Beacon(line, ChatConfig(), "g1", "b00t", "127.0.0.1:9", sockets=lambda: 3,    # type: ignore[arg-type]
                    draining=lambda: True, now=lambda: 12.5)
    beacon.shine()
    words = line.said[0].split(b"\r\n")
    assert words[2:5:2] == [b"SET", b"hp:gw:g1"]
    assert msgspec.json.decode(words[6], type=Report) == Report(
        "g1", "ws://127.0.0.1:9/ws", "http://127.0.0.1:9/healthz", 3, True, "b00t", 12_500)
    assert words[8:11:2] == [b"PX", b"5000"]
    assert words[13:18:2] == [b"SADD", b"hp:gws", b"g1"]
    beacon.go_out()
    assert b"DEL" in line.said[1]
    beacon.shine()
    assert len(line.said) == 2
