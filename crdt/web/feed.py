"""Who watches changes: by long polls, or by server-sent events that resume where they were cut."""
from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.core.tasks import timeout
from hotpath.crdt.changes import Changes, Gone

from .spelling import EVENTS, Item, accepts, item_of_cell, limit_of, query_of

# How long one poll may wait: shorter than what proxies between us take for a dead server.
MAX_WAIT_S = 50.0
# An idle stream says this often that it is there, so that either side notices when it is not.
KEEP_ALIVE_S = 15.0
# Events sent in one piece. A client that takes nothing holds this many, and what it misses meanwhile is in Changes.
EVENTS_PER_PIECE = 100
# And a piece ends behind the change that reaches this, for values may be large; so does a poll.
PIECE_BYTES = 256 * 1024
POLL_BYTES = 4 * 1024 * 1024
# How long a cut client waits before it connects again.
RETRY_MS = 1000

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


class Feed:
    """The handler of `/changes`."""

    def __init__(self, changes: Changes, *, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._changes = changes
        self._keep_alive_s = keep_alive_s

    def routes(self, app: Router) -> None:
        """Add it."""
        app.add("GET", "/changes", self.get)

    def get(self, request: Request) -> Response:
        """Changes behind `since` as JSON, at once or within `wait`; or a stream of events."""
        query = query_of(request)
        if accepts(request, EVENTS):
            since = request.field("last-event-id") or query.get("since") or self._changes.now
            events = self._events(since) if request.method != "HEAD" else iter(())
            return Response(events, 200, (("Cache-Control", "no-store"),), EVENTS)
        limit, wait_s = limit_of(query), wait_of(query)
        since = query.get("since", self._changes.now)
        try:
            cells, cursor = self._changes.since(since, limit, POLL_BYTES)
            if not cells and wait_s:
                with timeout(wait_s):
                    self._changes.await_news(since)
                cells, cursor = self._changes.since(since, limit, POLL_BYTES)
        except TimeoutError:
            pass
        except Gone:
            return problem(410, detail="the cursor is too old, or of another run: read everything again",
                           next=self._changes.now)
        return Response.json({"changes": list(map(change_of, cells)), "next": cursor},
                             headers=(("Cache-Control", "no-store"),))

    def _events(self, cursor: str) -> Iterator[bytes]:
        # An event without data is none, but its id is where the client goes on from.
        yield b"retry: %d\nid: %b\n\n" % (RETRY_MS, cursor.encode())
        changes = self._changes
        while not changes.closed:
            try:
                cells, after = changes.since(cursor, EVENTS_PER_PIECE, PIECE_BYTES)
            except Gone:
                cursor = changes.now
                yield b'id: %b\nevent: reset\ndata: {"next":"%b"}\n\n' % (cursor.encode(), cursor.encode())
                continue
            if cells:
                piece, cursor = events_of(cells, cursor), after
                yield piece
                continue
            try:
                with timeout(self._keep_alive_s):
                    changes.await_news(cursor)
            except TimeoutError:
                yield b": still here\n\n"


def wait_of(query: dict[str, str]) -> float:
    """`wait` in seconds; a longer one is cut. RequestError 422."""
    text = query.get("wait", "0")
    if not _SECONDS.fullmatch(text):
        raise RequestError(f"wait {text!r} is not allowed; allowed: seconds, up to {MAX_WAIT_S:g} count", 422)
    return min(MAX_WAIT_S, float(text))


def change_of(cell: bytes) -> Item:
    """A committed cell as a change."""
    item, is_live = item_of_cell(cell)
    item.op = "put" if is_live else "remove"
    return item


def events_of(cells: list[bytes], cursor: str) -> bytes:
    """The cells behind `cursor` as events; the id of each is where to go on behind it."""
    run, _, count = cursor.partition("-")
    pieces = []
    for seen, cell in enumerate(cells, int(count) + 1):
        item = change_of(cell)
        pieces.append(b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
            run.encode(), seen, str(item.op).encode(), msgspec.json.encode(item)))
    return b"".join(pieces)
