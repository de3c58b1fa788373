"""Many operations in one request, with one sync behind them all."""
from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from hotpath.core.serve import Request, RequestError, Response, Router
from hotpath.core.tasks import offload
from hotpath.crdt.config import CrdtLimits
from hotpath.crdt.replica import Outcome, Replica, Wish

from .keys import matched
from .spelling import body_of, checked_key, payload_given

OPS = {"add": "add", "update": "replace", "put": "put", "remove": "remove"}

# A larger one would keep the loop for milliseconds, and has a thread of its own.
IN_LOOP_BYTES = 16 * 1024

# What the single request would have answered.
STATUS = {"created": 201, "updated": 200, "removed": 204, "exists": 409, "absent": 404, "mismatch": 412}


class Operation(msgspec.Struct, forbid_unknown_fields=True):
    """One of them."""

    op: Literal["add", "update", "put", "remove"]
    key: str
    value: Any = UNSET
    value_b64: str | UnsetType = UNSET
    if_match: str | UnsetType = UNSET       # a stamp, a list as in If-Match, or *


class Operations(msgspec.Struct, forbid_unknown_fields=True):
    """The body."""

    ops: list[Operation]


class Result(msgspec.Struct):
    """What became of one operation."""

    status: int
    stamp: str | None


class Batch:
    """The handler of `/batch`."""

    def __init__(self, replica: Replica, limits: CrdtLimits) -> None:
        self._replica = replica
        self._limits = limits

    def routes(self, app: Router) -> None:
        """Add it."""
        app.add("POST", "/batch", self.post, max_body=self._limits.body)

    def post(self, request: Request) -> Response:
        """200 with a result for each; anything malformed: nothing is done."""
        if len(request.body()) <= IN_LOOP_BYTES:
            return self._answer(request)
        return offload(self._answer, request)

    def _answer(self, request: Request) -> Response:
        outcomes = self._replica.batch(self._wishes(request))
        return Response.json({"results": list(map(result_of, outcomes))})

    def _wishes(self, request: Request) -> list[Wish]:
        ops = body_of(request, Operations).ops
        if len(ops) > self._limits.batch:
            raise RequestError(f"{len(ops)} operations; allowed: up to {self._limits.batch}", 413)
        wishes = []
        for i, op in enumerate(ops):
            try:
                wishes.append(self._wish(op))
            except RequestError as error:
                status = 413 if error.error_status_hint == 413 else 422
                raise RequestError(f"ops[{i}]: {error}", status) from None
        return wishes

    def _wish(self, op: Operation) -> Wish:
        wish = Wish(OPS[op.op], checked_key(op.key.encode(), self._limits.key))
        if isinstance(op.if_match, str):
            if op.op == "add":
                raise RequestError("an add has no if_match", 422)
            # A bare stamp is a list of one.
            wish = matched(wish, op.if_match if op.if_match[:1] in ('"', "*", "W") else f'"{op.if_match}"')
        if op.op != "remove":
            return wish._replace(payload=payload_given(op.value, op.value_b64, self._limits.value))
        if op.value is not UNSET or op.value_b64 is not UNSET:
            raise RequestError("a remove has no value", 422)
        return wish


def result_of(outcome: Outcome) -> Result:
    """As the body shows it."""
    return Result(STATUS[outcome.verdict], None if outcome.stamp is None else str(outcome.stamp))
