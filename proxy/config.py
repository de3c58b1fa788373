"""What a proxy.yaml may say: every option, its default, and what it must agree with.

Readers see one shape whatever the spelling: `listen: ADDR` is a tuple of one `Listen`, `off` is None, a rate limit's
key is a tuple, every route has a name. Options of the schema that this version does not do are refused, never ignored.
"""
from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from hotpath.core.config import OFF, ONE_OR_MANY, Address, Duration, Network, Problem, Rate, Section, Size

from .syntax import (
    BalanceName,
    HeaderName,
    HeaderValue,
    HostName,
    HostPattern,
    LimitKey,
    LogFormat,
    MediaType,
    Method,
    Name,
    PathPattern,
    RedirectTarget,
    StatusRanges,
    UrlPath,
    ranges_of,
)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]            # 0 means none, wherever it stands
# A ring gives 256 points to each unit of weight: 1000 keeps its table below a few megabytes.
Weight = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
ErrorStatus = Annotated[int, msgspec.Meta(ge=400, le=599)]

# Fields that frame a message or belong to one connection (RFC 9110 7.6.1): the relay writes these itself.
OUR_FIELDS = frozenset({
    "connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})


class Certificate(Section, frozen=True):
    """A certificate (with its chain) and its key, PEM files."""

    certificate: str
    key: str

    def check(self) -> Iterator[Problem]:
        """Both files exist."""
        for field, file in (("certificate", self.certificate), ("key", self.key)):
            if not Path(file).is_file():
                yield Problem((field,), f"{file!r} is not a file")


class Tls(Certificate, frozen=True):
    """What a TLS listener shows: its certificate, or the one of `more` that bears the name asked for (SNI)."""

    minimum: Literal["1.2", "1.3"] = "1.2"
    more: tuple[Certificate, ...] = ()


class Listen(Section, frozen=True):
    """One address clients connect to."""

    short: ClassVar = "address"

    address: Address
    tls: Tls | None = None
    http2: bool = False             # by ALPN
    proxy_protocol: bool = False    # each connection begins with its header; from trusted_proxies only
    backlog: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1024

    def check(self) -> Iterator[Problem]:
        """No HTTP/2 in the clear: a h2c upgrade is a known way around a proxy's rules."""
        if self.http2 and self.tls is None:
            yield Problem(("http2",), "true needs tls beside it; allowed: false")
        elif self.http2 and find_spec("h2") is None:
            yield Problem(("http2",), "true needs a library that is not installed: pip install 'hotpath[http2]'")


class Admin(Section, frozen=True):
    """Where the admin API listens; `token_file` holds the bearer token."""

    short: ClassVar = "address"

    address: Address
    token_file: str | None = None

    def check(self) -> Iterator[Problem]:
        """Whoever can reach it can move traffic: beyond this machine it needs a token."""
        if self.token_file is None:
            if not self.address.is_loopback:
                yield Problem(("address",), f"{self.address} is not loopback and needs a token_file beside it")
        elif not Path(self.token_file).is_file():
            yield Problem(("token_file",), f"{self.token_file!r} is not a file")


class Limits(Section, frozen=True):
    """Sizes and counts; 0 means none."""

    connections: Annotated[int, msgspec.Meta(ge=1, le=2**24)] = 16384      # per worker
    connections_per_ip: Count = 0
    request_line: Size = 8 * 1024
    head: Size = 32 * 1024
    fields: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    body: Size = 16 * 1024**2
    requests_per_connection: Count = 0

    def check(self) -> Iterator[Problem]:
        """A head is buffered whole: its limits bound what one silent peer can make us keep."""
        if not 64 <= self.request_line <= 64 * 1024:
            yield Problem(("request_line",), f"{self.request_line} bytes; allowed: 64 to 64k")
        if not 256 <= self.head <= 64 * 1024:
            yield Problem(("head",), f"{self.head} bytes; allowed: 256 to 64k")


class Timeouts(Section, frozen=True):
    """How long the proxy waits for each step; 0 means for ever."""

    head: Duration = 10.0           # for the whole request head
    body: Duration = 30.0           # between two reads of a request body
    send: Duration = 30.0           # between two writes
    idle: Duration = 75.0           # between two requests of a client
    connect: Duration = 2.0         # to an upstream server
    response: Duration = 60.0       # for the response head, once the request is sent
    read: Duration = 60.0           # between two reads of a response body
    tunnel: Duration = 3600.0       # of silence in both directions
    request: Duration = 0.0         # for the whole exchange
    drain: Duration = 30.0          # for the last requests of a worker that ends


class AccessLog(Section, frozen=True):
    """One line per request."""

    path: str = "-"                 # "-": standard output
    format: LogFormat = "combined"  # combined | json | text with {fields}
    buffer: Size = 64 * 1024
    flush: Duration = 1.0


class ErrorLog(Section, frozen=True):
    """What went wrong, one line per event."""

    path: str = "-"                 # "-": standard error
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Log(Section, frozen=True):
    """The two logs; `access` is None when off."""

    access: Annotated[AccessLog | None, OFF] = msgspec.field(default_factory=AccessLog)
    error: ErrorLog = msgspec.field(default_factory=ErrorLog)


class RateLimit(Section, frozen=True):
    """How many requests per key may pass; `burst: B` lets B + 1 through at once."""

    rate: Rate
    key: Annotated[tuple[LimitKey, ...], msgspec.Meta(min_length=1, max_length=16), ONE_OR_MANY] = ("client_ip",)
    burst: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    slots: Annotated[int, msgspec.Meta(ge=8, le=2**26)] = 65536
    status: ErrorStatus = 429
    headers: Literal["rejected", "always", "never"] = "rejected"
    dry_run: bool = False


class Server(Section, frozen=True):
    """One server of an upstream."""

    short: ClassVar = "address"

    address: Address
    weight: Weight = 1
    max_connections: Count = 0
    backup: bool = False

    def check(self) -> Iterator[Problem]:
        """One can listen on port 0, not connect to it."""
        if not self.address.is_unix and self.address.port == 0:
            yield Problem(("address",), f"{self.address} has port 0; allowed: 1 to 65535")


class Keepalive(Section, frozen=True):
    """Idle connections kept per worker and server."""

    idle: Count = 64
    timeout: Duration = 30.0
    requests: Count = 0


class PassiveHealth(Section, frozen=True):
    """`failures` within `window` take a server out for `eject`; 0 failures: off."""

    failures: Count = 3
    window: Duration = 10.0
    eject: Duration = 10.0


class ActiveHealth(Section, frozen=True):
    """A request made on purpose to see whether a server lives."""

    path: UrlPath = "/"
    interval: Duration = 5.0
    timeout: Duration = 2.0
    rise: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2
    fall: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    status: StatusRanges = "200-399"
    host: HostName | None = None

    def accepts(self, status: int) -> bool:
        """Whether an answer with this status says that the server is well."""
        return any(low <= status <= high for low, high in ranges_of(self.status))

    def check(self) -> Iterator[Problem]:
        """A check that never comes, or never ends, checks nothing."""
        for field in ("interval", "timeout"):
            if getattr(self, field) <= 0:
                yield Problem((field,), "0 would check nothing; allowed: 100ms or more")


class Retry(Section, frozen=True):
    """`attempts` after the first, all within `timeout`; `statuses` are answers that count as failures."""

    attempts: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    timeout: Duration = 10.0
    statuses: tuple[ErrorStatus, ...] = ()


class Upstream(Section, frozen=True):
    """Servers that answer alike, and how to choose among them."""

    servers: Annotated[tuple[Server, ...], msgspec.Meta(min_length=1)]
    balance: BalanceName = "round_robin"
    keepalive: Keepalive = msgspec.field(default_factory=Keepalive)
    passive: PassiveHealth = msgspec.field(default_factory=PassiveHealth)
    active: ActiveHealth | None = None
    retry: Retry = msgspec.field(default_factory=Retry)
    slow_start: Duration = 0.0      # a server that comes into service gets its whole weight after so long
    host: HostName = "preserve"     # preserve | server | a name

    @property
    def hash_key(self) -> str | None:
        """What `balance: hash:KEY` hashes, as `client_ip` or `header:x-user`; None for every other balance."""
        kind, _, key = self.balance.partition(":")
        return key if kind == "hash" else None

    def check(self) -> Iterator[Problem]:
        """Servers are told apart by address, and one of them is the first choice."""
        seen: set[Address] = set()
        for i, server in enumerate(self.servers):
            if server.address in seen:
                yield Problem(("servers", i, "address"), f"{server.address} is listed twice")
            seen.add(server.address)
        if all(server.backup for server in self.servers):
            yield Problem(("servers",), "all are backups; at least one must not be")


class HeaderMatch(Section, frozen=True):
    """One condition on a request header: equal to `value`, matching `regex`, or just `present`."""

    short: ClassVar = "value"

    value: HeaderValue | None = None
    regex: PathPattern | None = None
    present: bool = False

    def check(self) -> Iterator[Problem]:
        """One condition, not two."""
        if (self.value is not None) + (self.regex is not None) + self.present != 1:
            yield Problem((), "needs exactly one of: a value, regex: PATTERN, present: true")


class Match(Section, frozen=True):
    """Which requests a route takes; an empty tuple or None asks for nothing. Hosts are in lower case."""

    host: Annotated[tuple[HostPattern, ...], ONE_OR_MANY] = ()
    path: UrlPath | None = None
    prefix: UrlPath | None = None
    regex: PathPattern | None = None
    methods: Annotated[tuple[Method, ...], ONE_OR_MANY] = ()
    headers: Mapping[HeaderName, HeaderMatch] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        """A path is matched one way."""
        given = [field for field in ("path", "prefix", "regex") if getattr(self, field) is not None]
        if len(given) > 1:
            yield Problem((given[1],), f"stands beside {given[0]}; allowed: one of path, prefix, regex")
        yield from twins(("headers",), self.headers)


class HeaderEdits(Section, frozen=True):
    """Header fields to set (replacing all of that name), to add, to remove; removed first, then set, then added."""

    set: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)
    add: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)
    remove: tuple[HeaderName, ...] = ()

    def check(self) -> Iterator[Problem]:
        """Nobody edits the fields that frame a message: that is how requests are smuggled."""
        for field, names in (("set", self.set), ("add", self.add), ("remove", self.remove)):
            for i, name in enumerate(names):
                if name.lower() in OUR_FIELDS:
                    last = i if field == "remove" else name
                    yield Problem((field, last), f"{name} is written by the proxy itself and cannot be edited")
        yield from twins(("set",), self.set)
        yield from twins(("add",), self.add)


class RouteTimeouts(Section, frozen=True):
    """A route's own timeouts; None: as for the whole proxy."""

    body: Duration | None = None
    send: Duration | None = None
    response: Duration | None = None
    read: Duration | None = None
    tunnel: Duration | None = None
    request: Duration | None = None


class RouteLimits(Section, frozen=True):
    """A route's own limits; None: as for the whole proxy."""

    body: Size | None = None


class Respond(Section, frozen=True):
    """A canned answer."""

    status: Status = 200
    body: str = ""
    headers: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        """The proxy frames the answer; RFC 9110 15.3.5 and 15.4.5 forbid a body with two statuses."""
        for name in self.headers:
            if name.lower() in OUR_FIELDS:
                yield Problem(("headers", name), f"{name} is written by the proxy itself and cannot be set")
        yield from twins(("headers",), self.headers)
        if self.body and self.status in (204, 304):
            yield Problem(("body",), f"a {self.status} has no body")


class Redirect(Section, frozen=True):
    """An answer that sends the client elsewhere; `{path}` in `to` is the request's path."""

    to: RedirectTarget
    status: Literal[301, 302, 303, 307, 308] = 308


class Static(Section, frozen=True):
    """Files below `root`; `fallback` is the file to send for what is not there."""

    root: str
    index: str = "index.html"
    fallback: str | None = None

    def check(self) -> Iterator[Problem]:
        """The folder exists, and the two files stay inside it."""
        if not Path(self.root).is_dir():
            yield Problem(("root",), f"{self.root!r} is not a directory")
        for field, file in (("index", self.index), ("fallback", self.fallback)):
            if file is not None and (not file or ".." in Path(file).parts or Path(file).is_absolute()):
                yield Problem((field,), f"{file!r} is not a file name below root")


class Gzip(Section, frozen=True):
    """Answers of servers to compress: text-like ones of at least `min` bytes that nobody has encoded yet."""

    types: Annotated[tuple[MediaType, ...], msgspec.Meta(min_length=1)] = (
        "text/html", "text/css", "text/plain", "text/xml", "text/javascript", "application/javascript",
        "application/json", "application/problem+json", "application/xml", "image/svg+xml",
    )
    min: Size = 1024
    level: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5


class Route(Section, frozen=True):
    """Requests that match, and what becomes of them: exactly one of upstream, respond, redirect, static."""

    name: Name = ""                 # "" becomes route-N, counted from 1
    match: Match = msgspec.field(default_factory=Match)
    upstream: Name | None = None
    respond: Respond | None = None
    redirect: Redirect | None = None
    static: Static | None = None
    strip_prefix: UrlPath | None = None
    add_prefix: UrlPath | None = None
    rate_limit: Annotated[tuple[Name, ...], ONE_OR_MANY] = ()
    concurrency: Count = 0
    request_headers: HeaderEdits = msgspec.field(default_factory=HeaderEdits)
    response_headers: HeaderEdits = msgspec.field(default_factory=HeaderEdits)
    timeouts: RouteTimeouts = msgspec.field(default_factory=RouteTimeouts)
    limits: RouteLimits = msgspec.field(default_factory=RouteLimits)
    gzip: Gzip | None = None

    def check(self) -> Iterator[Problem]:
        """One outcome, not two and not none."""
        given = [field for field in ("upstream", "respond", "redirect", "static") if getattr(self, field) is not None]
        if not given:
            yield Problem((), "leads nowhere; allowed: exactly one of upstream, respond, redirect, static")
        if len(given) > 1:
            yield Problem((given[1],), f"stands beside {given[0]}; allowed: one of upstream, respond, redirect, static")
        if self.gzip is not None:
            if self.upstream is None:
                yield Problem(("gzip",), "compresses the answers of servers; allowed: only beside upstream")
            for field in ("set", "add"):
                for name in getattr(self.response_headers, field):
                    if name.lower() == "content-encoding":
                        yield Problem(("response_headers", field, name), f"{name} is written by gzip and cannot be set")


class ProxyConfig(Section, frozen=True):
    """The whole file."""

    listen: Annotated[tuple[Listen, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (
        Listen(address=Address("127.0.0.1", 8080)),
    )
    admin: Admin | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = "auto"
    pid_file: str | None = None
    user: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    forwarded: Literal["x-forwarded", "rfc7239", "both", "off"] = "x-forwarded"
    via: Annotated[HeaderName | None, OFF] = "hotpath"
    limits: Limits = msgspec.field(default_factory=Limits)
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    log: Log = msgspec.field(default_factory=Log)
    resolve: Duration = 30.0        # 0: only at the start and on reload
    rate_limits: Mapping[Name, RateLimit] = msgspec.field(default_factory=dict)
    upstreams: Mapping[Name, Upstream] = msgspec.field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        """Give every route its name."""
        named = (msgspec.structs.replace(r, name=r.name or f"route-{n}") for n, r in enumerate(self.routes, 1))
        msgspec.structs.force_setattr(self, "routes", tuple(named))

    @property
    def worker_count(self) -> int:
        """How many workers to start: `auto` is one per CPU that we may use."""
        return min(256, len(os.sched_getaffinity(0))) if self.workers == "auto" else self.workers

    def timeouts_of(self, route: Route) -> Timeouts:
        """The timeouts that hold on `route`: its own, then the proxy's."""
        own = msgspec.structs.asdict(route.timeouts)
        return msgspec.structs.replace(self.timeouts, **{name: s for name, s in own.items() if s is not None})

    def body_limit_of(self, route: Route) -> int:
        """The largest request body on `route`, in bytes."""
        return self.limits.body if route.limits.body is None else route.limits.body

    def check(self) -> Iterator[Problem]:
        """Names lead somewhere, and what must be unique is."""
        if self.user is not None and not is_user(self.user):
            yield Problem(("user",), f"there is no user {self.user!r} on this machine")
        for i, listen in enumerate(self.listen):
            if listen.proxy_protocol and not self.trusted_proxies:
                yield Problem(("listen", i, "proxy_protocol"), "true needs trusted_proxies, who may send it")
        bound: set[Address] = set()
        for i, listen in enumerate(self.listen):
            # Port 0 is a new port each time.
            if listen.address in bound and (listen.address.port or listen.address.is_unix):
                yield Problem(("listen", i, "address"), f"{listen.address} is listened on twice")
            bound.add(listen.address)
        shares = self.admin is not None and self.admin.address in bound
        if self.admin is not None and shares and (self.admin.address.port or self.admin.address.is_unix):
            yield Problem(("admin", "address"), f"{self.admin.address} is an address of listen already")
        names: set[str] = set()
        for i, route in enumerate(self.routes):
            if route.name in names:
                yield Problem(("routes", i, "name"), f"two routes are called {route.name}")
            names.add(route.name)
            if route.upstream is not None and route.upstream not in self.upstreams:
                yield Problem(("routes", i, "upstream"), unknown("upstream", route.upstream, self.upstreams))
            for n, limit in enumerate(route.rate_limit):
                if limit not in self.rate_limits:
                    yield Problem(("routes", i, "rate_limit", n), unknown("rate limit", limit, self.rate_limits))


def is_user(name: str) -> bool:
    """Whether this machine knows the user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def unknown(kind: str, name: str, known: Mapping[str, object]) -> str:
    """The sentence about a name that leads nowhere."""
    return f"there is no {kind} {name!r}; allowed: {', '.join(known) or f'none, as no {kind} is defined'}"


def twins(path: tuple[str, ...], names: Mapping[str, object]) -> Iterator[Problem]:
    """Header names that differ only in case, which HTTP takes for one."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            yield Problem((*path, name), f"{name.lower()} stands here already; header names have no case")
        seen.add(name.lower())
