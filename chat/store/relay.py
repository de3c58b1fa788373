"""The outbox: one process publishes anew what a crash or an absent Redis left unpublished.

At least once and in no order: the gateways drop what they know and fill what they miss.
"""
from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import redis

from .database import Database
from .errors import Refused, Unavailable
from .events import Event, event_of
from .leases import DropLease, MarkPublished, TakeLease
from .publisher import connect, wire
from .statements import Row
from .transaction import wall_clock_ms
from .writer import Writer

log = logging.getLogger(__name__)

LEASE = "relay"
# A holder that died is followed after that long. Nobody waits for it: gateways find the events by themselves.
TTL_MS = 5000
# What is younger is most likely on its way: its mark rides in the next transaction.
AGE_MS = 500
EVERY_S = 0.5
MAX_BATCH = 500


class Relay:
    """The thread that looks for unpublished events; in each API process, at work in one of them."""

    def __init__(self, database: Database, writer: Writer, redis_url: Callable[[], str], prefix: str, *,
                 wall_ms: Callable[[], int] = wall_clock_ms, every_s: float = EVERY_S) -> None:
        self._database = database
        self._writer = writer
        self._redis_url = redis_url
        self._prefix = prefix
        self._wall_ms = wall_ms
        self._every_s = every_s
        self._owner = secrets.token_hex(8)
        self._fence: int | None = None
        self._held_until_s = 0.0
        self._client: redis.Redis | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self.n_relayed = 0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; to be called before the writer's."""
        self._stop.set()
        self._thread.join()

    # ---- the thread

    def _run(self) -> None:
        pause_s = self._every_s
        while not self._stop.wait(pause_s):
            try:
                # A full batch has more behind it.
                pause_s = 0.0 if self.step() >= MAX_BATCH else self._every_s
            except (Unavailable, Refused, redis.RedisError) as error:
                log.debug("event=relay_waits error=%s", error)
                self._forget()
                pause_s = self._every_s
            except Exception:       # whatever it is: the next round may go better, and messages do not depend on us
                log.exception("event=relay_failed")
                self._forget()
                pause_s = self._every_s
        self._drop()

    def step(self) -> int:
        """One look; how many events were published. Unavailable, Refused, redis.RedisError."""
        rows = self._unpublished()
        if not rows or not self._hold():
            return 0
        events = [event_of(*row[:6]) for row in rows]
        self._send(events)
        ranges = {row[0]: (row[0], row[6], row[1]) for row in rows}
        assert self._fence is not None
        self._writer.call(MarkPublished(LEASE, self._fence, tuple(ranges.values())))
        self.n_relayed += len(events)
        log.info("event=relayed n=%d", len(events))
        return len(events)

    def _unpublished(self) -> list[Row]:
        found = self._database.read(lambda rows: rows.all(
            "SELECT e.channel_id, e.seq, e.kind, e.actor, e.data, e.at, c.published_seq FROM channels c "
            "JOIN events e ON e.channel_id = c.id AND e.seq > c.published_seq "
            "WHERE c.published_seq < c.last_seq AND e.at <= ? ORDER BY c.id, e.seq LIMIT ?",
            (self._wall_ms() - AGE_MS, MAX_BATCH)))
        # Clocks differ, and jump: of a channel nothing may be marked that stands behind an event which is too young.
        last: dict[int, int] = {}
        rows: list[Row] = []
        for row in found:
            if row[1] == last.get(row[0], row[6] or 0) + 1:
                last[row[0]] = row[1]
                rows.append(row)
        return rows

    def _hold(self) -> bool:
        now_s = time.monotonic()
        if self._fence is None or now_s > self._held_until_s:
            fence = self._writer.call(TakeLease(LEASE, self._owner, TTL_MS))
            self._fence = fence if isinstance(fence, int) else None
            self._held_until_s = now_s + TTL_MS / 2000
        return self._fence is not None

    def _send(self, events: list[Event]) -> None:
        if self._client is None:
            self._client = connect(self._redis_url())
        with self._client.pipeline(transaction=False) as pipeline:
            for event in events:
                pipeline.publish(*wire(self._prefix, event))
            pipeline.execute()

    def _forget(self) -> None:
        self._fence = None
        client, self._client = self._client, None
        if client is not None:
            # A broken connection need not be closed well.
            with suppress(redis.RedisError):
                client.close()

    def _drop(self) -> None:
        fence = self._fence
        self._forget()
        if fence is not None:
            # It ends by itself if it cannot be given back now.
            with suppress(Unavailable, Refused):
                self._writer.call(DropLease(LEASE, self._owner, fence))
