"""Who may open a websocket? Decided before the 101."""
from __future__ import annotations

from collections.abc import Callable, Collection

from .exchange import Exchange, Upgraded
from .options import Options
from .problem import problem
from .request import Request
from .response import Response

Authorize = Callable[[Request], object]
Upgrade = Callable[[Exchange], Upgraded | Response]


class Gate:
    """What a websocket's route asks of an upgrade, and allows it.

    A browser sends the Origin of the page: it must be one of `origins`, or the site itself; "*" in `origins` lets any
    in. Whoever sends none is no browser. `authorize(request)` answers False or a Response for who may not; anything
    true is kept as `request.state`. `upgrade(exchange)`, in its task: what takes the connection over, or a Response
    that refuses; it asks this gate itself. None: as the server does with every other websocket.
    """

    def __init__(self, origins: Collection[str], authorize: Authorize | None, options: Options,
                 upgrade: Upgrade | None = None) -> None:
        """Keep them; origins in any case, with or without a slash at the end."""
        self.origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self.authorize = authorize
        self.options = options
        self.upgrade = upgrade

    def __call__(self, request: Request) -> Response | None:
        """What refuses the upgrade; None: it may be."""
        origin = request.headers.get("origin")
        if origin is not None and "*" not in self.origins and not self._is_allowed(origin.lower(), request):
            return problem(403, detail="a page of this origin may not connect")
        if self.authorize is None:
            return None
        verdict = self.authorize(request)
        if isinstance(verdict, Response):
            return verdict
        if not verdict:
            return problem(403, detail="not authorized")
        request.state = verdict
        return None

    def _is_allowed(self, origin: str, request: Request) -> bool:
        if origin in self.origins:
            return True
        scheme, separator, authority = origin.partition("://")
        host = request.headers.get("host", "").lower()
        return bool(separator) and scheme in ("http", "https") and authority == host != ""
