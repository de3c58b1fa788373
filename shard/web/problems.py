"""What the cluster refuses, as an answer: which status says who must act?"""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps

from hotpath.core.errors import (
    DuplicateKey,
    HotpathError,
    InvalidRow,
    ReshardConflict,
    SchemaDrift,
    ShardUnavailable,
    UnknownTable,
)
from hotpath.core.serve import RequestError, Response, problem
from hotpath.shard.mover import InvalidRequest, UnknownShard

# What `answered` makes an answer of; anything else is our own mistake, and a 500.
REFUSALS = (RequestError, DuplicateKey, InvalidRequest, InvalidRow, ReshardConflict, SchemaDrift, ShardUnavailable,
            UnknownShard, UnknownTable)


def status_of(error: Exception) -> int:
    """The status that says who must act."""
    match error:
        case RequestError():
            return error.error_status_hint
        case InvalidRow() | InvalidRequest():
            return 422
        case DuplicateKey() | ReshardConflict():
            return 409
        case UnknownTable() | UnknownShard():
            return 404
        case _:
            return 503


def refused(error: HotpathError) -> Response:
    """The error as an answer."""
    status = status_of(error)
    match error:
        case InvalidRow() | InvalidRequest():
            return problem(422, detail=str(error), errors=error.errors)
        case ShardUnavailable():
            return problem(status, detail=str(error), headers=(("Retry-After", retry_after(error)),),
                           shard=error.shard, outcome=error.outcome)
        case SchemaDrift():
            return problem(status, detail=str(error), headers=(("Retry-After", "10"),), outcome="none")
        case _:
            return problem(status, detail=str(error))


def retry_after(error: ShardUnavailable) -> str:
    """Whole seconds, at least one (RFC 9110 section 10.2.3)."""
    return str(max(1, math.ceil(error.retry_after_s)))


def answered(handler: Callable[..., Response]) -> Callable[..., Response]:
    """The handler, with what it refuses as an answer."""
    @wraps(handler)
    def handle(*given: object, **values: object) -> Response:
        try:
            return handler(*given, **values)
        except REFUSALS as error:
            return refused(error)
        except RecursionError:
            return problem(400, detail="the JSON is nested too deeply")

    return handle
