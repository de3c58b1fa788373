"""One key over HTTP: read it, add it, update it, remove it."""
from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.core.serve.conditions import is_known, tags_of
from hotpath.crdt.config import CrdtLimits
from hotpath.crdt.replica import Outcome, Replica, Wish

from .spelling import (
    TYPES,
    absent,
    body_of,
    checked_key,
    flag_of,
    key_of,
    path_of,
    payload_given,
    payload_of,
    query_of,
    stamped,
)

# What surrounds a value in the body of an add, beyond its key: base64 is a third longer, JSON may escape each byte.
ENVELOPE = 4096


class Addition(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an add."""

    key: str
    value: Any = UNSET
    value_b64: str | UnsetType = UNSET


class Keys:
    """The handlers of `/kv`, but for the listing."""

    def __init__(self, replica: Replica, limits: CrdtLimits) -> None:
        self._replica = replica
        self._limits = limits

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("GET", "/kv/{rest:raw}", self.get)
        app.add("PUT", "/kv/{rest:raw}", self.put, max_body=self._limits.value)
        app.add("DELETE", "/kv/{rest:raw}", self.delete)
        app.add("POST", "/kv", self.add, max_body=6 * (self._limits.value + self._limits.key) + ENVELOPE)

    def get(self, request: Request, rest: str) -> Response:
        """200 in the stored type, 304, or 404."""
        found = self._replica.read(key_of(rest, self._limits.key))
        if found is None:
            return absent(None)
        stamp, tag, body = found
        if tag < 0:
            return absent(stamp)
        text = str(stamp)
        fields = ("ETag", f'"{text}"'), ("LWW-Stamp", text)
        condition = request.field("if-none-match")
        if condition is not None and is_known(condition, text):
            return Response(None, 304, fields)
        return Response(body, 200, fields, TYPES[tag])

    def add(self, request: Request) -> Response:
        """201, or 409 if the key is live."""
        given = body_of(request, Addition)
        key = checked_key(given.key.encode(), self._limits.key)
        payload = payload_given(given.value, given.value_b64, self._limits.value)
        outcome = self._replica.write(Wish("add", key, payload))
        if outcome.verdict == "exists":
            return problem(409, detail="the key is live", headers=stamped(outcome.stamp), key=given.key,
                           stamp=str(outcome.stamp))
        return written(key, outcome, ("Location", path_of(key)))

    def put(self, request: Request, rest: str) -> Response:
        """200, 201, 404 or 412."""
        key = key_of(rest, self._limits.key)
        upsert = flag_of(query_of(request), "upsert")
        unless = request.field("if-none-match")
        match = request.field("if-match")
        if unless is not None and (match is not None or tags_of(unless) is not None):
            raise RequestError("a PUT takes If-Match, or If-None-Match: *", 422)
        wish = Wish("add" if unless is not None else "put" if upsert else "replace", key)
        wish = matched(wish, match)._replace(payload=payload_of(request, self._limits.value))
        outcome = self._replica.write(wish)
        if not outcome.done:
            return refused(outcome)
        return written(key, outcome, *((("Location", path_of(key)),) if outcome.verdict == "created" else ()))

    def delete(self, request: Request, rest: str) -> Response:
        """204 or 412."""
        wish = matched(Wish("remove", key_of(rest, self._limits.key)), request.field("if-match"))
        if request.field("if-none-match") is not None:
            raise RequestError("a DELETE takes If-Match only", 422)
        outcome = self._replica.write(wish)
        if not outcome.done:
            return refused(outcome)
        return Response(None, 204, stamped(outcome.stamp))


def matched(wish: Wish, condition: str | None) -> Wish:
    """The wish under If-Match: strong comparison, so a weak tag matches nothing."""
    if condition is None:
        return wish
    tags = tags_of(condition)
    if tags is None:
        return wish._replace(live=True)
    return wish._replace(live=True, match=frozenset(tag for weak, tag in tags if not weak))


def refused(outcome: Outcome) -> Response:
    """404, or 412 with the tag of what is live."""
    if outcome.verdict == "absent":
        return absent(outcome.stamp)
    detail = "the key is live" if outcome.verdict == "exists" else "the key is not live with a stamp of the condition"
    return problem(412, detail=detail, headers=stamped(outcome.stamp),
                   stamp=None if outcome.stamp is None else str(outcome.stamp))


def written(key: bytes, outcome: Outcome, *fields: tuple[str, str]) -> Response:
    """200 or 201."""
    body = msgspec.json.encode({"key": key.decode(), "stamp": str(outcome.stamp), "applied": True})
    return Response(body, 201 if outcome.verdict == "created" else 200, (*fields, *stamped(outcome.stamp)),
                    "application/json")
