"""Who may open a websocket? Decided before the 101."""
from __future__ import annotations

from collections.abc import Callable, Collection

from .problem import problem
from .request import Request
from .response import Response

Authorize = Callable[[Request], object]


def gate(origins: Collection[str], authorize: Authorize | None) -> Callable[[Request], Response | None]:
    """What answers an upgrade that may not be: a Response, or None for one that may.

    A browser sends the Origin of the page: it must be one of `origins`, or the site itself; "*" in `origins` lets any
    in. Whoever sends none is no browser. `authorize(request)` answers False or a Response for who may not; anything
    true is kept as `request.state`.
    """
    allowed = frozenset(origin.rstrip("/").lower() for origin in origins)

    def decide(request: Request) -> Response | None:
        origin = request.headers.get("origin")
        if origin is not None and "*" not in allowed and not _is_allowed(origin, request, allowed):
            return problem(403, detail="a page of this origin may not connect")
        if authorize is None:
            return None
        verdict = authorize(request)
        if isinstance(verdict, Response):
            return verdict
        if not verdict:
            return problem(403, detail="not authorized")
        request.state = verdict
        return None

    return decide


def _is_allowed(origin: str, request: Request, allowed: frozenset[str]) -> bool:
    origin = origin.lower()
    if origin in allowed:
        return True
    scheme, separator, authority = origin.partition("://")
    host = request.headers.get("host", "").lower()
    return bool(separator) and scheme in ("http", "https") and authority == host != ""
