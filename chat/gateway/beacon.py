"""Every second a gateway says that it lives, where, and how full it is: the API chooses by that."""
from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from hotpath.chat.config import ChatConfig
from hotpath.chat.topics import registry_ids, registry_key

from .redisline import RedisLine, command

EVERY_S = 1.0
# Who has not said so for as long is taken for dead.
LIFE_MS = 5000


def urls_of(config: ChatConfig, id: str, listening: str) -> tuple[str, str]:
    """Where clients connect, and where the API asks for its health. `listening`: HOST:PORT in fact bound."""
    public = config.gateways.public_url
    return (public.replace("{id}", id) if public is not None else f"ws://{listening}/ws"), f"http://{listening}/healthz"


class Beacon:
    """What is written about this gateway."""

    def __init__(
        self, line: RedisLine, config: ChatConfig, id: str, boot: str, listening: str, *,
        sockets: Callable[[], int], draining: Callable[[], bool], now: Callable[[], float] = time.time
    ) -> None:
        """`line`: for commands. `now`: seconds since 1970."""
        self._line, self._id, self._boot = line, id, boot
        self._url, self._health = urls_of(config, id, listening)
        self._key = registry_key(config.redis.prefix, id)
        self._ids = registry_ids(config.redis.prefix)
        self._sockets, self._draining, self._now = sockets, draining, now
        self._is_out = False

    def shine(self) -> None:
        """Write it."""
        if self._is_out:
            return
        report = msgspec.json.encode({
            "id": self._id, "url": self._url, "health": self._health, "sockets": self._sockets(),
            "draining": self._draining(), "boot": self._boot, "at": int(self._now() * 1000)})
        self._line.write(command("SET", self._key, report, "PX", str(LIFE_MS)) + command("SADD", self._ids, self._id))

    def go_out(self) -> None:
        """It is about to end: nobody is to be sent here any more."""
        self._is_out = True
        self._line.write(command("DEL", self._key))
