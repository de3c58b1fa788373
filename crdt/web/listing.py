"""Everything there is: keys page by page, the whole state as a snapshot."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from hotpath.core.data.lww import Stamp, split
from hotpath.core.serve import Request, Response, Router
from hotpath.crdt.replica import Replica

from .spelling import NDJSON, OCTETS, accepts, base64_of, from_base64, item_of, item_of_cell, limit_of, query_of

# A page ends behind the value that reaches this, for a thousand large values are no answer.
PAGE_BYTES = 4 * 1024 * 1024
# Of a snapshot's lines, sent in one piece.
PIECE_BYTES = 64 * 1024


class Listing:
    """The handlers of `/kv?…` and `/snapshot`."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("GET", "/kv", self.page)
        app.add("GET", "/snapshot", self.snapshot)

    def page(self, request: Request) -> Response:
        """Live keys in byte order: `after` is the last, to go on behind it; null: that was all."""
        query = query_of(request)
        limit = limit_of(query)
        after = query["after"].encode() if "after" in query else None
        if "after_b64" in query:                # of a key that is no UTF-8
            after = from_base64(query["after_b64"])
        found = self._replica.page(query.get("prefix", "").encode(), after, limit + 1)
        shown = bounded(found[:limit])
        more: dict[str, str | None] = {"after": None}
        if len(shown) < len(found):
            last = shown[-1][0]
            try:
                more = {"after": last.decode()}
            except UnicodeDecodeError:
                more = {"after": None, "after_b64": base64_of(last)}
        return Response.json({"items": [item_of(*row) for row in shown], **more})

    def snapshot(self, request: Request) -> Response:
        """Every cell, tombstones too: lines of JSON, or a delta."""
        delta = self._replica.delta()
        if accepts(request, NDJSON):
            return Response(lines_of(split(delta)), 200, (), NDJSON)
        return Response(delta, 200, (), OCTETS)


def bounded(rows: list[tuple[bytes, Stamp, int, bytes]]) -> list[tuple[bytes, Stamp, int, bytes]]:
    """The first of them, up to what one answer may hold."""
    size = 0
    for n, row in enumerate(rows, 1):
        size += len(row[3])
        if size >= PAGE_BYTES:
            return rows[:n]
    return rows


def lines_of(cells: Iterable[bytes]) -> Iterator[bytes]:
    """JSON cells, a line each."""
    piece = bytearray()
    for cell in cells:
        item, live = item_of_cell(cell)
        item.live = live
        piece += msgspec.json.encode(item)
        piece += b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
