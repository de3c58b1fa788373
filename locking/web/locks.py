"""Locks of items over HTTP: leases, each with a token that is greater than all before."""
from __future__ import annotations

from typing import Annotated

import msgspec

from hotpath.core.serve import Request, Response, Router
from hotpath.core.telemetry import utc_of
from hotpath.locking.lease import Held, Lease, acquire, release, renew
from hotpath.locking.work import Tx

from .bodies import Text, body_of
from .database import Database
from .holding import holder_of, name_of, not_yours, token_of
from .problems import Refusal, answered
from .tables import Item

TTL_S = 30.0
MAX_TTL_S = 86400.0
MAX_OWNER = 255
MAX_BYTES = 12 * MAX_OWNER + 4096

Ttl = Annotated[float, msgspec.Meta(gt=0, le=MAX_TTL_S)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The body that takes a lock; `ttl` in seconds."""

    owner: Annotated[Text, msgspec.Meta(min_length=1, max_length=MAX_OWNER)]
    ttl: Ttl = TTL_S


class Renewal(msgspec.Struct, forbid_unknown_fields=True):
    """The body that renews one; without a ttl, for as long as it was taken."""

    ttl: Ttl | None = None


class Locks:
    """The handlers of `/items/ID/lock`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("POST", "/items/{id:int}/lock", answered(self.take), max_body=MAX_BYTES)
        app.add("PUT", "/items/{id:int}/lock", answered(self.renew), max_body=MAX_BYTES)
        app.add("DELETE", "/items/{id:int}/lock", answered(self.release))

    def take(self, request: Request, id: int) -> Response:
        """201; 404; 423 while it is held, be it by the same owner."""
        wanted = body_of(request, Wanted)

        def work(tx: Tx) -> Lease:
            tx.load(Item, id)
            try:
                return acquire(tx.session, name_of(id), owner=wanted.owner, ttl=wanted.ttl)
            except Held as held:
                raise not_yours(tx.session, held) from None

        taken = self._database.write(work)
        return Response.json({"owner": taken.owner, "token": taken.token, "expires": utc_of(taken.expires)}, 201,
                             (("Lock-Token", str(taken.token)),))

    def renew(self, request: Request, id: int) -> Response:
        """204; 404, 428, 423. There need not be a body."""
        token = token_of(request)
        wanted = body_of(request, Renewal) if request.body() else Renewal()

        def work(tx: Tx) -> None:
            self._holds(tx, id, token)
            assert token is not None
            renew(tx.session, name_of(id), token, ttl=wanted.ttl)

        self._database.write(work)
        return Response(None, 204)

    def release(self, request: Request, id: int) -> Response:
        """204; 404, 428, 423."""
        token = token_of(request)

        def work(tx: Tx) -> None:
            self._holds(tx, id, token)
            assert token is not None
            release(tx.session, name_of(id), token)

        self._database.write(work)
        return Response(None, 204)

    def _holds(self, tx: Tx, item: int, token: int | None) -> None:
        """The token is that of who holds the item's lock now. Missing; Refusal 428, 423."""
        tx.load(Item, item)
        if token is None:
            raise Refusal(428, "a lock is renewed and released with Lock-Token: the token that it came with")
        held = holder_of(tx.session, item)
        if held is None or held.token != token:
            raise not_yours(tx.session, held)
