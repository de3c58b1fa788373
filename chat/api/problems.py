"""Every error as a problem (RFC 9457): its status says who must act, its detail says what to do."""
from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypedDict

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from hotpath.core.errors import HotpathError
from hotpath.core.serve.problem import phrase

JSON_PROBLEM = "application/problem+json"

# Whoever is told to come back later: soon enough for a person, late enough for a database that restarts.
RETRY_AFTER_S = 1

# In place of what werkzeug says to people at browsers.
DETAILS = {
    404: "there is nothing at this path",
    405: "this path knows other methods: see Allow",
}


class FieldError(TypedDict):
    """One field of a body or of a query, and what is wrong with it."""

    field: str
    what: str


class Refusal(HotpathError):
    """The client: its request is refused with `status`; let out of a view, it is the answer."""

    def __init__(
        self, status: int, detail: str, *, errors: Iterable[FieldError] = (), retry_after_s: float | None = None
    ) -> None:
        """`errors` go with 422; `retry_after_s` with 429 and 503."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.retry_after_s = retry_after_s


def invalid(*errors: tuple[str, str]) -> Refusal:
    """422, for (field, what is wrong with it)."""
    fields: list[FieldError] = [{"field": field, "what": what} for field, what in errors]
    return Refusal(422, "; ".join(f"{field}: {what}" if field else what for field, what in errors), errors=fields)


def problem_body(status: int, detail: str, errors: Iterable[FieldError] = ()) -> bytes:
    """The JSON of a problem."""
    members: dict[str, object] = {"type": "about:blank", "title": phrase(status), "status": status, "detail": detail}
    listed = list(errors)
    return msgspec.json.encode({**members, "errors": listed} if listed else members)


def problem(
    status: int, detail: str, *, errors: Iterable[FieldError] = (), retry_after_s: float | None = None
) -> Response:
    """The answer."""
    response = Response(problem_body(status, detail, errors), status, content_type=JSON_PROBLEM)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    elif status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="chat"'
    return response


def http_problem(error: HTTPException) -> Response:
    """What werkzeug refuses, told as all else."""
    status = error.code or 500
    answer = problem(status, DETAILS.get(status, phrase(status)))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer
