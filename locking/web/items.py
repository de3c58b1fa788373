"""Items over HTTP: made, read, and written by whoever knows their version."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from sqlalchemy import select

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.conditions import is_known
from hotpath.core.telemetry import utc_of
from hotpath.locking.errors import Missing
from hotpath.locking.lease import Lease, holders, revoke
from hotpath.locking.optimistic import cas_update
from hotpath.locking.work import Tx

from .bodies import Text, body_of
from .database import Database
from .holding import Asked, etag, holder_of, name_of, tag_of
from .problems import answered
from .tables import MAX_BODY, MAX_TITLE, Item

# JSON may spell each character with twelve bytes.
MAX_BYTES = 12 * (MAX_TITLE + MAX_BODY) + 4096
# Items in one read of the listing.
PAGE = 100

Title = Annotated[Text, msgspec.Meta(min_length=1, max_length=MAX_TITLE)]
Body = Annotated[Text, msgspec.Meta(max_length=MAX_BODY)]


class New(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST."""

    title: Title
    body: Body = ""


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a PUT."""

    title: Title
    body: Body


class Lock(msgspec.Struct):
    """Who holds an item, and until when, for all to see: the token is the holder's alone."""

    owner: str
    expires: str


class Shown(msgspec.Struct):
    """An item as it is answered."""

    id: int
    title: str
    body: str
    version: int
    lock: Lock | None


class Items:
    """The handlers of `/items`, but for locks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("POST", "/items", answered(self.make), max_body=MAX_BYTES)
        app.add("GET", "/items", answered(self.listing))
        app.add("GET", "/items/{id:int}", answered(self.get))
        app.add("PUT", "/items/{id:int}", answered(self.put), max_body=MAX_BYTES)
        app.add("DELETE", "/items/{id:int}", answered(self.delete))

    def make(self, request: Request) -> Response:
        """201."""
        given = body_of(request, New)

        def work(tx: Tx) -> Shown:
            row = Item(title=given.title, body=given.body)
            tx.session.add(row)
            tx.session.flush()
            return shown(row, None)

        item = self._database.write(work)
        return told(item, 201, ("Location", f"/items/{item.id}"))

    def listing(self, request: Request) -> Response:
        """All of them, by id; each page is read when the client has taken the one before."""
        first = self._page(0)
        if len(first) < PAGE:
            return Response.json({"items": first})
        return Response(self._pieces(first), content_type="application/json")

    def _pieces(self, page: list[Shown]) -> Iterator[bytes]:
        yield b'{"items":[' + inner(page)
        while len(page) == PAGE:
            page = self._page(page[-1].id)
            if page:
                yield b"," + inner(page)
        yield b"]}"

    def _page(self, after: int) -> list[Shown]:
        def work(tx: Tx) -> list[Shown]:
            rows = tx.session.scalars(select(Item).where(Item.id > after).order_by(Item.id).limit(PAGE)).all()
            held = holders(tx.session, [name_of(row.id) for row in rows])
            return [shown(row, held.get(name_of(row.id))) for row in rows]

        return self._database.read(work)

    def get(self, request: Request, id: int) -> Response:
        """200, 304, or 404."""
        condition = request.field("if-none-match")

        def work(tx: Tx) -> Shown:
            row = tx.session.get(Item, id)
            if row is None:
                raise Missing(Item, id)
            return shown(row, holder_of(tx.session, id))

        item = self._database.read(work)
        if condition is not None and is_known(condition, tag_of(item.version)):
            return Response(None, 304, (etag(item.version),))
        return told(item, 200)

    def put(self, request: Request, id: int) -> Response:
        """200; 404, 428, 412, 423, asked in this order."""
        given, asked = body_of(request, Content), Asked.of(request)

        def work(tx: Tx) -> Shown:
            row, held = asked.writable(tx, id)
            # Not by the row's attributes: the same content is a change, too.
            version = cas_update(tx.session, Item, id, row.version, title=given.title, body=given.body)
            return Shown(id, given.title, given.body, version, lock_of(held))

        return told(self._database.write(work), 200)

    def delete(self, request: Request, id: int) -> Response:
        """204; 404, 428, 412, 423, asked in this order. Its lock ends with it."""
        asked = Asked.of(request)

        def work(tx: Tx) -> None:
            row, held = asked.writable(tx, id)
            if held is not None:
                revoke(tx.session, held.name)
            tx.session.delete(row)

        self._database.write(work)
        return Response(None, 204)


def shown(row: Item, held: Lease | None) -> Shown:
    """An item that was read."""
    return Shown(row.id, row.title, row.body, row.version, lock_of(held))


def lock_of(held: Lease | None) -> Lock | None:
    """What all may see of it."""
    return None if held is None else Lock(held.owner, utc_of(held.expires))


def told(item: Shown, status: int, *fields: tuple[str, str]) -> Response:
    """The item, with its ETag."""
    return Response.json(item, status, (etag(item.version), *fields))


def inner(items: list[Shown]) -> bytes:
    """A JSON list without its brackets."""
    return msgspec.json.encode(items)[1:-1]
