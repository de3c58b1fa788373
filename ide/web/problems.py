"""How refusals are told: each problem has a stable `code`, each answer the headers that keep browsers strict."""
from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import msgspec

from hotpath.core.serve import Request, RequestError, Response, problem
from hotpath.ide.errors import NoRoom, Refusal
from hotpath.ide.files.confine import NO_ROOM

Handler = Callable[..., Response]

# Of what the server itself refuses, by status.
CODES = {
    400: "bad-request", 401: "unauthorized", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
    408: "request-timeout", 411: "length-required", 413: "too-large", 415: "unsupported-media-type",
    416: "range-not-satisfiable", 417: "expectation-failed", 422: "invalid", 426: "upgrade-required",
    429: "too-many", 500: "internal", 501: "not-implemented", 503: "unavailable",
}
PROBLEM = "application/problem+json"

# Nothing of ours is for other sites to embed, and a file of a project is never what its bytes look like.
STRICT = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


def refused(status: int, code: str, detail: str, *, headers: tuple[tuple[str, str], ...] = (),
            **members: object) -> Response:
    """A problem with its code."""
    return problem(status, None, detail, headers=headers, code=code, **members)


def told(refusal: Refusal) -> Response:
    """A refusal as an answer."""
    return refused(refusal.status, refusal.code, refusal.detail, headers=refusal.headers, **refusal.members)


def refusing(handler: Callable[..., Response]) -> Handler:
    """The handler, with what it refuses as an answer."""

    @wraps(handler)
    def answered(*given: object, **values: object) -> Response:
        try:
            return handler(*given, **values)
        except Refusal as refusal:
            return told(refusal)
        except RequestError as error:
            status = error.error_status_hint
            return refused(status, CODES.get(status, "bad-request"), str(error))
        except OSError as error:
            full = no_room(error)
            if full is None:
                raise
            return told(full)

    return answered


def no_room(error: NoRoom | OSError) -> NoRoom | None:
    """The refusal that it is; None: an error of another kind."""
    if isinstance(error, NoRoom):
        return error
    return NoRoom(f"the disk is full: {error.strerror}") if error.errno in NO_ROOM else None


def finish(request: Request, response: Response) -> Response:
    """Of every answer: problems have a code, whoever found them; headers are strict; data are not kept by caches."""
    fields = response.headers
    names = {name.lower() for name, _value in fields}
    if (response.status >= 400 and ("Content-Type", PROBLEM) in fields):
        response = _coded(response, fields)
    for name, value in STRICT:
        response.add_header(name, value)
    if "cache-control" not in names:
        response.add_header("Cache-Control", "no-store")
    return response


def _coded(response: Response, fields: list[tuple[str, str]]) -> Response:
    """The problem with a code, if it had none."""
    members = msgspec.json.decode(bytes(response.body), type=dict[str, object])     # type: ignore[call-overload]
    if "code" in members:
        return response
    members["code"] = CODES.get(response.status, "error")
    others = tuple(field for field in fields if field[0] != "Content-Type")
    return Response(msgspec.json.encode(members), response.status, others, PROBLEM)
