"""The routes of replication: what clients merge and compare, what members exchange, who is a member, drills."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from hotpath.core.data.lww import Damaged, Stamp, bundle, encode, parse, split, unpack
from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.core.tasks import offload
from hotpath.crdt.gossip.exchange import CHUNK_BYTES
from hotpath.crdt.gossip.gossip import Gossip
from hotpath.crdt.gossip.group import Refusal
from hotpath.crdt.gossip.membership import NAME
from hotpath.crdt.gossip.messages import BadMessage
from hotpath.crdt.replica import Merged, Replica

from .spelling import (
    JSON,
    OCTETS,
    RETRY,
    accepts,
    body_of,
    checked_key,
    checked_length,
    checked_payload,
    decoded,
    from_base64,
    payload_given,
    type_of,
)

Handler = Callable[..., Response]

# The largest hello: a matrix of rows, and 1024 entries with two long urls each.
MAX_HELLO = 4 * 1024 * 1024


def is_address(url: str) -> bool:
    """Whether it names a host, and a port that there may be."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class JsonCell(msgspec.Struct, forbid_unknown_fields=True):
    """A cell as JSON: of key and value each in one of two forms, and no value if it is not live."""

    stamp: str
    live: bool
    key: str | UnsetType = UNSET
    key_b64: str | UnsetType = UNSET
    value: Any = UNSET
    value_b64: str | UnsetType = UNSET


class Cells(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of a merge."""

    cells: list[JsonCell]
    bias: str | UnsetType = UNSET


class NewMember(msgspec.Struct, forbid_unknown_fields=True):
    """The body that adds a member."""

    name: str
    url: str
    public: str | None = None


class Peers(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a drill; no name: all of them."""

    peers: list[str] = []


def routes(app: Router, replica: Replica, gossip: Gossip) -> None:
    """Add them."""
    sync = Sync(replica, gossip)
    most = gossip.settings.max_body
    # A member sends cells in chunks; one cell that is larger comes alone.
    most_cells = 2 * CHUNK_BYTES + gossip.settings.max_value + gossip.settings.max_key
    for method, path, handler, limit in (
        ("POST", "/sync/merge", sync.merge, most),
        ("GET", "/sync/digest", sync.digest, 0),
        ("POST", "/sync/exchange", sync.exchange, MAX_HELLO),
        ("POST", "/sync/cells", sync.cells, most_cells),
        ("GET", "/members", sync.members, 0),
        ("POST", "/members", sync.add, 64 * 1024),
        ("DELETE", "/members/{name}", sync.forget, 0),
        ("POST", "/drill/cut", sync.cut, 64 * 1024),
        ("POST", "/drill/heal", sync.heal, 64 * 1024),
    ):
        app.add(method, path, refusing(handler), max_body=limit)


def refusing(handler: Handler) -> Handler:
    """The handler, with what the group refuses as an answer."""

    @wraps(handler)
    def answered(*given: Any, **values: Any) -> Response:   # noqa: ANN401 - whatever the route has
        try:
            return handler(*given, **values)
        except Refusal as refusal:
            return problem(refusal.status, refusal.title, refusal.detail,
                           headers=RETRY if refusal.status == 503 else (), **refusal.more)
        except BadMessage as error:
            return problem(422, detail=str(error))

    return answered


class Sync:
    """The handlers."""

    def __init__(self, replica: Replica, gossip: Gossip) -> None:
        self._replica = replica
        self._gossip = gossip

    def merge(self, request: Request) -> Response:
        """200, all that was given is merged; 400, 409, 413, 415, 422, 503: nothing is."""
        kind, body = type_of(request), request.body()
        if kind not in (JSON, OCTETS):
            raise RequestError(f"cells are {JSON} or {OCTETS}", 415)
        # Not in the loop: a merge waits for the disk, and its decoding takes as long as it is large.
        merged = offload(self._merge, kind, body)
        return Response.json(merged._asdict())

    def _merge(self, kind: str, body: bytes) -> Merged:
        return self._gossip.merge(self._within_limits(body) if kind == OCTETS else self._delta_of(decoded(body, Cells)))

    def _within_limits(self, delta: bytes) -> bytes:
        """The client's delta itself: its cells are such as could have come one by one. RequestError 413, 422."""
        settings = self._gossip.settings
        try:
            cells = split(delta)
        except Damaged:
            return delta                # whoever merges it refuses and counts it
        for key, _stamp, live, payload in map(parse, cells):
            checked_length(key, settings.max_key)
            if live:
                checked_payload(payload, settings.max_value)
                try:
                    unpack(payload)
                except ValueError as error:
                    raise RequestError(str(error), 422) from None
        return delta

    def _delta_of(self, given: Cells) -> bytes:
        bias = self._replica.bias if given.bias is UNSET else given.bias
        if bias not in ("add", "remove"):
            raise RequestError(f"bias {bias!r} is not allowed; allowed: add, remove", 422)
        return bundle([self._encoded(cell) for cell in given.cells], bias)

    def _encoded(self, cell: JsonCell) -> bytes:
        settings = self._gossip.settings
        if (cell.key is UNSET) == (cell.key_b64 is UNSET):
            raise RequestError("a key is given by key or by key_b64, exactly one of them", 422)
        # Keys of the library may be any bytes; in paths they cannot.
        if isinstance(cell.key_b64, str):
            key = checked_length(from_base64(cell.key_b64), settings.max_key)
        else:
            assert isinstance(cell.key, str)
            key = checked_key(cell.key.encode(), settings.max_key)
        try:
            stamp = Stamp.parse(cell.stamp)
            encode(key, stamp, False, b"")      # what no clock could follow is none either
        except ValueError as error:
            raise RequestError(f"stamp: {error}", 422) from None
        if cell.live:
            return encode(key, stamp, True, payload_given(cell.value, cell.value_b64, settings.max_value))
        if cell.value is not UNSET or cell.value_b64 is not UNSET:
            raise RequestError("a cell that is not live has no value", 422)
        return encode(key, stamp, False, b"")

    def digest(self, request: Request) -> Response:
        """The digest, or what it sums up."""
        table = self._replica.table
        digest = table.digest()
        self._replica.barrier()
        if accepts(request, OCTETS):
            return Response(digest, content_type=OCTETS)
        held = table.stats()
        return Response.json({
            "replica": self._replica.name, "bias": self._replica.bias, "root": int.from_bytes(digest[8:16], "big"),
            "live": held["live"], "tombstones": held["tombstones"], "clock": table.clock, "collected": table.floor})

    def exchange(self, request: Request) -> Response:
        """Between members; binary."""
        return self._answer(request, "exchange", lambda body: self._gossip.answerer.exchange(body))

    def cells(self, request: Request) -> Response:
        """Between members; binary."""
        return self._answer(request, "cells", lambda body: self._gossip.answerer.cells(body))

    def _answer(self, request: Request, kind: str, answer: Callable[[bytes], tuple[str, bytes]]) -> Response:
        if type_of(request) != OCTETS:
            raise RequestError(f"members speak {OCTETS}", 415)
        body = request.body()
        name, said = offload(answer, body)
        self._gossip.answered(name, kind, len(body), len(said))
        return Response(said, content_type=OCTETS)

    def members(self, request: Request) -> Response:
        """All of them, and how they are."""
        return Response.json(self._gossip.described())

    def add(self, request: Request) -> Response:
        """201; 200 if it was one, and has this address now."""
        given = body_of(request, NewMember)
        if given.name == self._replica.name:
            raise RequestError(f"{given.name} is this replica itself", 422)
        if not (given.url.startswith("http://") and is_address(given.url)):
            raise RequestError(f"url {given.url!r} is not allowed; allowed: http://HOST:PORT", 422)
        if given.public and not given.public.startswith("/") and not is_address(given.public):
            raise RequestError(f"public {given.public!r} is not allowed; allowed: an address, or a path", 422)
        try:
            new = offload(self._gossip.add, given.name, given.url, given.public or "")
        except ValueError as error:
            raise RequestError(str(error), 422) from None
        except OSError as error:
            return not_written(error)
        return Response.json({"name": given.name, "url": given.url, "public": given.public or given.url},
                             201 if new else 200)

    def forget(self, request: Request, name: str) -> Response:
        """204; 404: no such member."""
        try:
            if not NAME.fullmatch(name):
                raise KeyError(name)
            offload(self._gossip.forget, name)
        except KeyError:
            return problem(404, detail=f"{name!r} is no member")
        except OSError as error:
            return not_written(error)
        return Response(None, 204)

    def cut(self, request: Request) -> Response:
        """200; 404: no such member, or no drills here."""
        return self._drill(request, self._gossip.cut)

    def heal(self, request: Request) -> Response:
        """200; 404: no drills here."""
        return self._drill(request, self._gossip.heal)

    def _drill(self, request: Request, act: Callable[[list[str]], list[str]]) -> Response:
        if not self._gossip.settings.drill:
            return problem(404, detail="this replica takes no drills; it does with --drill")
        # A drill for all may come without a body.
        names = body_of(request, Peers).peers if request.headers.get("content-type") is not None else []
        try:
            return Response.json({"cut": act(names)})
        except KeyError as error:
            return problem(404, detail=f"{error.args[0]!r} is no member")


def not_written(error: OSError) -> Response:
    """503: a membership that is not on disk is none."""
    return problem(503, detail=f"the membership cannot be written: {error.strerror}", headers=RETRY)
