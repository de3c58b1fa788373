"""Problems (RFC 9457): how every error is told."""
from __future__ import annotations

from http import HTTPStatus

import msgspec

from hotpath.core.errors import RemoteProtocolError

from .response import Response


class RequestError(RemoteProtocolError):
    """This request cannot be served, and its sender must act: let out of a handler, it answers `error_status_hint`."""


def problem(
    status: int, title: str | None = None, detail: str | None = None, *,
    headers: tuple[tuple[str, str], ...] = (), **more: object
) -> Response:
    """An `application/problem+json` answer; `title` is the status's own if not given, `more` are further members."""
    members: dict[str, object] = {"type": "about:blank", "title": title or phrase(status), "status": status}
    if detail is not None:
        members["detail"] = detail
    return Response(msgspec.json.encode({**members, **more}), status, headers, "application/problem+json")


def phrase(status: int) -> str:
    """The status's name, or "Error"."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
