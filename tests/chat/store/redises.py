"""A real Redis on a port of its own, that can be killed and started again, and somebody who listens to it."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from tests.waiting import free_port, wait_for


class Redis:
    """At 127.0.0.1:`port`; it keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers."""
        self._process = subprocess.Popen(
            [str(shutil.which("redis-server")), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, "redis-server to answer")

    def _answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """All that is published."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._subscription = self._client.pubsub()
        self._subscription.psubscribe("*")
        wait_for(lambda: (got := self._subscription.get_message(timeout=1)) and got["type"] == "psubscribe",
                 "the subscription")
        self.heard: list[tuple[str, bytes]] = []

    def listen(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of everything so far."""
        while (got := self._subscription.get_message(timeout=0.01)) is not None:
            message: dict[str, Any] = got
            self.heard.append((message["channel"].decode(), message["data"]))
        return self.heard

    def close(self) -> None:
        """Listen no more."""
        self._subscription.close()
        self._client.close()


@contextmanager
def running_redis() -> Iterator[Redis]:
    """A server while the block runs."""
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def listening(url: str) -> Iterator[Listener]:
    """Somebody who listens while the block runs."""
    listener = Listener(url)
    try:
        yield listener
    finally:
        listener.close()
