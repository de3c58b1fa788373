"""From the writer to Redis, in commit order, without ever holding the writer up."""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec
import redis
from redis.client import Pipeline

from hotpath.chat.topics import Flag, Kind, channel_topic, payload, user_topic

from .events import Event, Notice

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode

# Kept while Redis is slow. What is dropped beyond it, the gateways' head checks and the relay make up for.
QUEUE = 20_000
# One pipeline: enough to amortise the round trip, little enough to stay below Redis' limits for one client.
MAX_BATCH = 512
# While Redis is away it is tried again that often; delivery goes through the head checks meanwhile.
RETRY_S = 0.2
TIMEOUT_S = 2.0


def wire(prefix: str, what: Event | Notice) -> tuple[str, bytes]:
    """(topic, payload)."""
    if isinstance(what, Notice):
        return user_topic(prefix, what.user), _encode(what.body)
    flags = (Flag.JOINED if what.joined else 0) | (Flag.LEFT if what.left else 0)
    return channel_topic(prefix, what.channel), payload(
        what.frame, kind=Kind.EVENT, channel=what.channel, seq=what.seq, actor=what.actor, subject=what.subject,
        flags=flags)


class Publisher:
    """The thread that publishes. `publish` is what the writer calls; `published` is told what Redis has taken."""

    def __init__(self, redis_url: Callable[[], str], prefix: str, *,
                 published: Callable[[list[tuple[int, int]]], None] = lambda done: None, queue: int = QUEUE) -> None:
        self._redis_url = redis_url
        self._prefix = prefix
        self._published = published
        self._limit = queue
        self._queue: deque[Event | Notice] = deque()
        self._work = threading.Condition(threading.Lock())
        self._stopping = False
        self._client: redis.Redis | None = None
        self._away_until_s = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.n_published = 0
        self.n_dropped = 0
        self.is_up = False

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish what is queued, if Redis is there, and end the thread."""
        with self._work:
            self._stopping = True
            self._work.notify()
        self._thread.join()

    def publish(self, batch: list[Event | Notice]) -> None:
        """Queue it; what there is no room for is dropped. Any thread."""
        with self._work:
            room = self._limit - len(self._queue)
            self._queue.extend(batch[:room])
            self.n_dropped += max(0, len(batch) - room)
            self._work.notify()

    # ---- the thread

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._send(batch)
            except redis.RedisError as error:
                self._fell_away(batch, error)
            except Exception:       # whatever it is: without this thread nothing is published any more
                log.exception("event=publish_failed")
                self._fell_away(batch, None)
        self._close()

    def _take(self) -> list[Event | Notice]:
        """What is queued; [] ends the thread."""
        with self._work:
            self._work.wait_for(lambda: self._queue or self._stopping)
            return [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]

    def _send(self, batch: list[Event | Notice]) -> None:
        if self._away_until_s > time.monotonic():
            self.n_dropped += len(batch)
            return
        with self._connected().pipeline(transaction=False) as pipeline:
            for what in batch:
                self._publish_one(pipeline, what)
            pipeline.execute()
        if not self.is_up:
            log.info("event=redis_up")
        self.is_up = True
        self.n_published += len(batch)
        self._published([(what.channel, what.seq) for what in batch if isinstance(what, Event)])

    def _publish_one(self, pipeline: Pipeline, what: Event | Notice) -> None:
        pipeline.publish(*wire(self._prefix, what))

    def _fell_away(self, batch: list[Event | Notice], error: Exception | None) -> None:
        if self.is_up and error is not None:
            log.warning("event=redis_down error=%s", error)
        self.is_up = False
        self.n_dropped += len(batch)
        self._away_until_s = time.monotonic() + RETRY_S
        self._close()

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = connect(self._redis_url())
        return self._client

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # A connection that is broken already need not be closed well.
            with suppress(redis.RedisError):
                client.close()


def connect(url: str) -> redis.Redis:
    """A client that gives up soon and tries nothing twice: who calls knows better when to."""
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S,
                                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
