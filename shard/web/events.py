"""Who watches the cluster: server-sent events, one whenever something changed, and twice a second while rows move."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from logging import getLogger
from time import monotonic

import msgspec

from hotpath.core.errors import ShardUnavailable
from hotpath.core.serve import Request, Response, Router, problem
from hotpath.core.tasks import Event, Task, sleep, spawn, timeout

from .problems import answered
from .queries import nothing_asked
from .status import Status

log = getLogger(__name__)

EVENTS = "text/event-stream"

# From one look at the cluster to the next, and so from event to event, while it moves; and while it does not.
MOVING_S = 0.4
STABLE_S = 1.0
# An idle stream says this often that it is there, so that either side notices when it is not.
KEEP_ALIVE_S = 10.0
# How long a cut client waits before it connects again.
RETRY_MS = 1000
# Watchers of one worker: each costs a connection, and an answer twice a second.
MAX_WATCHERS = 256


class Feed:
    """The handler of `/v1/cluster/events`, of one worker."""

    def __init__(self, status: Callable[[], Status], *, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._status = status
        self._keep_alive_s = keep_alive_s
        self._watching = 0
        self._looker: Task[None] | None = None
        self._news = Event()
        self._closed = False
        self._version = 0               # rises with each event that is not the one before
        self._event = b""               # the newest
        self._is_moving = False

    def routes(self, app: Router) -> None:
        """Add it."""
        app.add("GET", "/v1/cluster/events", answered(self.get))

    def get(self, request: Request) -> Response:
        """A stream of events, without an end but that of either side."""
        nothing_asked(request)
        if request.method == "HEAD":
            return Response(None, 200, (("Cache-Control", "no-store"),), EVENTS)
        if self._watching >= MAX_WATCHERS:
            return problem(503, detail=f"{MAX_WATCHERS} watch this worker already", headers=(("Retry-After", "5"),))
        return Response(self._events(), 200, (("Cache-Control", "no-store"),), EVENTS)

    def close(self) -> None:
        """In the loop, when a drain begins: every stream ends."""
        self._closed = True
        self._wake()

    def _events(self) -> Iterator[bytes]:
        self._watching += 1
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            if self._looker is None or self._looker.done:
                self._event = b""
                self._looker = spawn(self._look)
            seen = 0
            while not self._closed:
                if self._version > seen and self._event:
                    seen = self._version
                    yield self._event
                    continue
                try:
                    with timeout(MOVING_S if self._is_moving else self._keep_alive_s):
                        self._news.wait()
                except TimeoutError:
                    # While a shard that is dead is waited for, what is known is said again.
                    yield self._event if self._is_moving and self._event else b": still here\n\n"
        finally:
            self._watching -= 1

    def _look(self) -> None:
        """In a task, while anybody watches."""
        while self._watching and not self._closed:
            began_s = monotonic()
            try:
                document = self._status().document()
                event = b"event: status\ndata: %b\n\n" % msgspec.json.encode(document)
                self._is_moving = document["state"] == "moving"
            except ShardUnavailable as error:
                event = b"event: problem\ndata: %b\n\n" % msgspec.json.encode({"status": 503, "detail": str(error)})
                self._is_moving = False
            except Exception:
                log.exception("the status cannot be told")
                event = b'event: problem\ndata: {"status":500,"detail":"the server failed; its log knows more"}\n\n'
                self._is_moving = False
            if event != self._event or self._is_moving:
                self._event = event
                self._version += 1
                self._wake()
            pause_s = MOVING_S if self._is_moving else STABLE_S
            sleep(max(0.05, pause_s - (monotonic() - began_s)))

    def _wake(self) -> None:
        news, self._news = self._news, Event()
        news.set()
