"""The admin API: what operators and scrapers ask of a running proxy.

    GET    /healthz  /metrics
    GET    /v1/upstreams
    POST   /v1/upstreams/NAME/servers           {"address", "weight"}
    PATCH  /v1/upstreams/NAME/servers/ADDR      {"weight", "state"}
    DELETE /v1/upstreams/NAME/servers/ADDR
    GET    /v1/workers  /v1/config
    POST   /v1/reload
"""
from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from hotpath.core.config import Address, plain
from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.core.serve.door import Guard, guard, is_loopback
from hotpath.core.tasks import offload
from hotpath.core.telemetry import CONTENT_TYPE

from . import config as schema
from .roster import Full, Known, Last, Server
from .state import State, Unresolved, resolve
from .syntax import Weight

MAX_BODY_BYTES = 4096

SERVERS = "/v1/upstreams/{name}/servers"
# The second: a unix socket whose slashes are not percent-encoded.
SERVER = (f"{SERVERS}/{{address}}", f"{SERVERS}/{{address:path}}")


class Proxy(Protocol):
    """What is administered."""

    @property
    def config(self) -> schema.ProxyConfig:
        """As it runs, flags included."""
        ...

    @property
    def state(self) -> State:
        """What its workers share."""
        ...

    def metrics(self) -> str:
        """Everything counted, as Prometheus text."""
        ...

    def workers(self) -> Sequence[Mapping[str, int]]:
        """What each worker does at the moment."""
        ...

    def reload(self) -> str | None:
        """In a task: take the file as it is now; why not, or None."""
        ...


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request says in JSON; `allowed` in words."""

    allowed: ClassVar[str]


class NewServer(Body, frozen=True):
    """A server to add."""

    allowed: ClassVar = f"address ({Address.forms}) and weight (1 to 1000)"

    address: str
    weight: Weight = 1


class Change(Body, frozen=True):
    """What is to be different; what is left out stays."""

    allowed: ClassVar = "weight (1 to 1000), state (up or draining)"

    weight: Weight | msgspec.UnsetType = msgspec.UNSET
    state: Literal["up", "draining"] | msgspec.UnsetType = msgspec.UNSET


B = TypeVar("B", bound=Body)


def said(request: Request, kind: type[B]) -> B:
    """The body. Raises RequestError: 422 names the member that is wrong, and what is allowed."""
    try:
        return request.json(kind)
    except RequestError as error:
        if error.error_status_hint != 422:
            raise
        raise RequestError(f"{error}; allowed: {kind.allowed}", 422) from None


def shown(server: Server) -> dict[str, object]:
    """As the API tells of it."""
    return {
        "address": server.address, "weight": server.weight, "state": server.state, "source": server.source,
        "in_flight": server.in_flight, "requests": server.requests, "failures": server.failures,
        "ewma_ms": server.ewma_ms, "idle": server.idle,
    }


def by_own_name(ask: Guard) -> Guard:
    """`ask`, for an API without a token: only who names us as nobody else can be named is asked further.

    The page of a name that was made to point here once it had loaded (DNS rebinding) is of our origin to its browser,
    which lets it read; the name still stands in Host. No page can be loaded from `localhost` or an address but ours.
    """
    def named(request: Request) -> Response | None:
        host = request.field("host")
        if host is None or is_own_name(urlsplit(f"//{host}").hostname or ""):
            return ask(request)
        return problem(403, detail=f"no token is set, so the name {host} is not answered; allowed: localhost or an IP "
                                   "address in Host, or a token_file beside admin's address")

    return named


def is_own_name(name: str) -> bool:
    """Whether no name server can say where it leads."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return is_loopback(name.rstrip("."))
    return True


class Admin:
    """The handlers, over one proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._roster = proxy.state.roster

    def router(self, token: str | None, *, pages_reach_it: bool) -> Router:
        """The application. `token`: what `Authorization: Bearer` must say, whatever is asked; None: nothing.

        `pages_reach_it`: whether a browser can connect to where it listens.
        """
        app = Router()
        app.gate = guard(token, (), realm="hotpath-proxy")
        if pages_reach_it and token is None:
            app.gate = by_own_name(app.gate)
        routes: list[tuple[str, str, Callable[..., Response]]] = [
            ("GET", "/healthz", self.health), ("GET", "/metrics", self.metrics),
            ("GET", "/v1/upstreams", self.upstreams), ("POST", SERVERS, self.add),
            *(("PATCH", place, self.change) for place in SERVER), *(("DELETE", place, self.remove) for place in SERVER),
            ("GET", "/v1/workers", self.workers), ("GET", "/v1/config", self.config),
            ("POST", "/v1/reload", self.reload),
        ]
        for method, path, handler in routes:
            app.add(method, path, handler, max_body=MAX_BODY_BYTES)
        return app

    def health(self, request: Request) -> Response:
        """200 as soon as this generation serves."""
        return Response.json({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        """Summed over workers, and over what came before a reload."""
        return Response(self._proxy.metrics(), content_type=CONTENT_TYPE)

    def upstreams(self, request: Request) -> Response:
        """All servers, as all workers see them."""
        return Response.json({
            name: {"balance": self._proxy.config.upstreams[name].balance,
                   "servers": [shown(server) for server in self._proxy.state.servers(name)]}
            for name in self._roster.upstreams
        })

    def add(self, request: Request, name: str) -> Response:
        """One more server, in all workers; its name must mean something."""
        self._servers(name)
        new = said(request, NewServer)
        try:
            wanted = schema.Server(address=Address.parse(new.address), weight=new.weight)
        except ValueError as error:
            raise RequestError(f"address: {error}", 422) from None
        for wrong in wanted.check():
            raise RequestError(f"{wrong.path[0]}: {wrong.message}", 422)
        try:
            resolved = offload(resolve, wanted.address)
            server = self._roster.add(name, wanted.address, new.weight, resolved)
        except Unresolved as error:
            raise RequestError(f"address: {wanted.address} does not resolve: {error.strerror}", 422) from None
        except (Known, Full) as error:
            raise RequestError(str(error), 409) from None
        place = SERVER[0].format(name=quote(name, safe=""), address=quote(server.address, safe=":"))
        return Response.json(shown(server), 201, {"Location": place})

    def change(self, request: Request, name: str, address: str) -> Response:
        """Another weight; or no new requests (draining), or requests again (up)."""
        change = said(request, Change)
        if change == Change():
            raise RequestError(f"nothing is to be changed; allowed: {Change.allowed}", 422)
        weight = None if change.weight is msgspec.UNSET else change.weight
        draining = None if change.state is msgspec.UNSET else change.state == "draining"
        # Looked for when the body is there: while we wait for that, the server may go.
        spelled = self._find(name, address)
        return self._told(name, self._roster.change(name, spelled, weight=weight, draining=draining), 200)

    def remove(self, request: Request, name: str, address: str) -> Response:
        """It drains, then it is gone."""
        try:
            return self._told(name, self._roster.remove(name, self._find(name, address)), 202)
        except Last as error:
            raise RequestError(str(error), 409) from None

    def workers(self, request: Request) -> Response:
        """Those of this generation; one that was just killed has no row until the next is there."""
        return Response.json(self._proxy.workers())

    def config(self, request: Request) -> Response:
        """Every default spelled out, as `-T` prints it."""
        return Response.json(plain(self._proxy.config))

    def reload(self, request: Request) -> Response:
        """As HUP, and what the master says to it."""
        refused = self._proxy.reload()
        if refused is not None:
            return problem(422, detail=refused)
        return Response.json({"status": "reloading"}, 202)

    def _told(self, upstream: str, changed: Server, status: int) -> Response:
        """With what it has answered, which the roster does not know."""
        servers = self._proxy.state.servers(upstream)
        return Response.json(next(shown(server) for server in servers if server.slot == changed.slot), status)

    def _servers(self, upstream: str) -> list[Server]:
        try:
            return self._roster.servers(upstream)
        except KeyError:
            known = ", ".join(self._roster.upstreams) or "none"
            raise RequestError(f"there is no upstream {upstream!r}; known: {known}", 404) from None

    def _find(self, upstream: str, address: str) -> str:
        """`address` as the list spells it. Raises RequestError: 404."""
        try:
            spelled = str(Address.parse(address))
        except ValueError:
            spelled = address
        if not any(server.address == spelled for server in self._servers(upstream)):
            raise RequestError(f"upstream {upstream} has no server {address!r}", 404)
        return spelled
