"""The service over HTTP: all handlers, behind a token if there is one, open to the pages of the members."""
from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from urllib.parse import urlsplit

from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.core.serve.door import READING, is_ours
from hotpath.crdt.config import CrdtConfig
from hotpath.crdt.replica import BiasMismatch, Damaged, DriftTooLarge, Replica, TooOld, Unavailable

from . import pages
from .batch import Batch
from .feed import Feed
from .keys import Keys
from .listing import Listing
from .spelling import RETRY

# What a page of another origin may send and see (Fetch standard, section 3.2).
ALLOWED = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID"
EXPOSED = "ETag, LWW-Stamp, LWW-Tombstone, Location, Retry-After"
PREFLIGHT_S = 600


def add_routes(
    app: Router, replica: Replica, config: CrdtConfig, *, more: Router,
    stats: Callable[[], Mapping[str, object]], publics: Callable[[], Iterable[str]],
    waiting: Callable[[], str | None]
) -> None:
    """Add every route: ours, and those of `more`, in the same way.

    `stats`: what `/stats` says beside the data. `publics`: the addresses of the members' pages. `waiting`: why nobody
    should be shown the data yet, if there is a reason.
    """
    data = Router()
    Keys(replica, config.limits).routes(data)
    Batch(replica, config.limits).routes(data)
    Listing(replica).routes(data)
    Feed(replica.changes).routes(data)

    def show(request: Request) -> Response:
        return Response.json({**replica.stats(), **stats()})

    more.add("GET", "/stats", show)

    share = Sharing(lambda: {origin for url in publics() if (origin := origin_of(url)) is not None})
    methods: dict[str, list[str]] = {}
    for routes, reason in ((data.routes, waiting), (more.routes, nothing)):
        for route in routes:
            app.add(route.method, route.pattern, share.served(route.handler, reason),
                    max_body=None if route.max_body == -1 else route.max_body)
            methods.setdefault(route.pattern, []).append(route.method)
    for pattern, known in methods.items():
        app.add("OPTIONS", pattern, share.preflight(known))
    pages.routes(app)
    app.guard = share.guard(config.secret)


def nothing() -> None:
    """No reason to wait."""


def refusal_of(error: Exception) -> Response:
    """What a replica refuses, as an answer."""
    if isinstance(error, RequestError):
        return problem(error.error_status_hint, detail=str(error))
    if isinstance(error, Unavailable):
        return problem(503, detail=str(error), headers=RETRY)
    if isinstance(error, DriftTooLarge):
        return problem(409, detail=str(error), local_ms=error.local_ms, remote_ms=error.remote_ms)
    return problem(422 if isinstance(error, Damaged) else 409, detail=str(error))


class Sharing:
    """Which pages may read the answers (Fetch standard, section 3.2): those of the members."""

    def __init__(self, origins: Callable[[], set[str]]) -> None:
        self._origins = origins

    def served(self, handler: Callable[..., object], waiting: Callable[[], str | None]) -> Callable[..., object]:
        """The handler, once nothing waits; what it refuses is an answer; and the members' pages may read it."""

        @wraps(handler)
        def answered(request: Request, **values: object) -> object:
            try:
                reason = waiting()
                if reason is not None:
                    raise Unavailable(reason)
                response = handler(request, **values)
            except (RequestError, Unavailable, DriftTooLarge, TooOld, BiasMismatch, Damaged) as error:
                response = refusal_of(error)
            if request.field("origin") is not None and isinstance(response, Response):
                self._share(request, response)
            return response

        return answered

    def preflight(self, methods: list[str]) -> Callable[..., Response]:
        """What answers OPTIONS where these methods are: to a page's question, and to anybody's."""
        allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"}))

        def answer(request: Request, **_values: object) -> Response:
            response = Response(None, 204, (("Allow", allow),))
            if request.field("origin") is not None and self._share(request, response):
                response.add_header("Access-Control-Allow-Methods", allow)
                response.add_header("Access-Control-Allow-Headers", ALLOWED)
                response.add_header("Access-Control-Max-Age", PREFLIGHT_S)
            return response

        return answer

    def guard(self, token: str | None) -> Callable[[Request], Response | None]:
        """What asks for the token. Where there is none, no foreign page changes anything.

        A preflight brings no token (Fetch standard, section 4.8).
        """
        expected = None if token is None else token.encode()

        def ask(request: Request) -> Response | None:
            if expected is None:
                origin = request.field("origin")
                if (origin is not None and request.method not in (*READING, "OPTIONS") and origin not in self._origins()
                        and not is_ours(origin, request.field("host") or "", is_open=True)):
                    return problem(403, detail="a page of this origin may change nothing here")
                return None
            scheme, _, given = (request.field("authorization") or "").partition(" ")
            is_right = hmac.compare_digest(given.strip().encode("latin-1"), expected)
            if (is_right and scheme.lower() == "bearer") or request.method == "OPTIONS":
                return None
            response = problem(401, detail="the token is missing or wrong", headers=(("WWW-Authenticate", "Bearer"),))
            if request.field("origin") is not None:
                self._share(request, response)
            return response

        return ask

    def _share(self, request: Request, response: Response) -> bool:
        """Whether the asking page is a member's; the answer says so."""
        origin = request.field("origin")
        response.add_header("Vary", "Origin")
        if origin not in self._origins():
            return False
        response.add_header("Access-Control-Allow-Origin", origin)
        response.add_header("Access-Control-Expose-Headers", EXPOSED)
        return True


def origin_of(url: str) -> str | None:
    """The origin of an address, as a browser says it (RFC 6454 section 6.2); None: it is none, whoever told us."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")
