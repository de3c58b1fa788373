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

    certificate: str    # the certificate, and its chain behind it
    key: str            # its private key

    def check(self) -> Iterator[Problem]:
        """Both files exist."""
        for field, file in (("certificate", self.certificate), ("key", self.key)):
            if not Path(file).is_file():
                yield Problem((field,), f"{file!r} is not a file")


class Tls(Certificate, frozen=True):
    """What a TLS listener shows: its certificate, or the one of `more` that bears the name asked for (SNI)."""

    minimum: Literal["1.2", "1.3"] = "1.2"  # the oldest version that is spoken
    more: tuple[Certificate, ...] = ()      # further certificates, each for the names in it


class Listen(Section, frozen=True):
    """One address clients connect to."""

    short: ClassVar = "address"

    address: Address    # where clients connect; port 0: a free one
    tls: Tls | None = None
    http2: bool = False             # offer HTTP/2 by ALPN: needs tls, and the extra `http2`
    proxy_protocol: bool = False    # each connection begins with its header; from trusted_proxies only
    backlog: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1024    # connections that may wait to be accepted

    def check(self) -> Iterator[Problem]:
        """No HTTP/2 in the clear: a h2c upgrade is a known way around a proxy's rules."""
        if self.http2 and self.tls is None:
            yield Problem(("http2",), "true needs tls beside it; allowed: false")
        elif self.http2 and find_spec("h2") is None:
            yield Problem(("http2",), "true needs a library that is not installed: pip install 'hotpath[http2]'")


class Admin(Section, frozen=True):
    """Where the admin API listens; `token_file` holds the bearer token."""

    short: ClassVar = "address"

    address: Address                # where it listens
    token_file: str | None = None   # a file that holds the bearer token; needed off loopback

    def check(self) -> Iterator[Problem]:
        """Whoever can reach it can move traffic: beyond this machine it needs a token."""
        if self.token_file is None:
            if not self.address.is_loopback:
                yield Problem(("address",), f"{self.address} is not loopback and needs a token_file beside it")
        elif not Path(self.token_file).is_file():
            yield Problem(("token_file",), f"{self.token_file!r} is not a file")


class Limits(Section, frozen=True):
    """Sizes and counts; 0 means none."""

    connections: Annotated[int, msgspec.Meta(ge=1, le=2**24)] = 16384    # of clients, per worker
    connections_per_ip: Count = 0       # of one client address, over all workers
    request_line: Size = 8 * 1024       # bytes of a request's first line
    head: Size = 32 * 1024              # bytes of a whole request head, or of the trailers behind a body
    fields: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100    # header fields of one request
    body: Size = 16 * 1024**2           # bytes of a request body, where its route has no limit of its own
    requests_per_connection: Count = 0  # then the client's connection is closed

    def check(self) -> Iterator[Problem]:
        """A head is buffered whole: its limits bound what one silent peer can make us keep."""
        if not 64 <= self.request_line <= 64 * 1024:
            yield Problem(("request_line",), f"{self.request_line} bytes; allowed: 64 to 64k")
        if not 256 <= self.head <= 64 * 1024:
            yield Problem(("head",), f"{self.head} bytes; allowed: 256 to 64k")


class Timeouts(Section, frozen=True):
    """How long the proxy waits for each step; 0 means for ever."""

    head: Duration = 10.0       # for the whole request head
    body: Duration = 30.0       # between two reads of a request body
    send: Duration = 30.0       # between two writes
    idle: Duration = 75.0       # between two requests of a client
    connect: Duration = 2.0     # to an upstream server
    response: Duration = 60.0   # for the response head, once the request is sent
    read: Duration = 60.0       # between two reads of a response body
    tunnel: Duration = 3600.0   # of silence in both directions
    request: Duration = 0.0     # for the whole exchange
    drain: Duration = 30.0      # for the last requests of a worker that ends


class AccessLog(Section, frozen=True):
    """One line per request."""

    path: str = "-"                 # "-": standard output
    format: LogFormat = "combined"  # combined: as Apache's; json: an object on each line; or your own text
    buffer: Size = 64 * 1024        # lines are gathered up to this size
    flush: Duration = 1.0           # and wait no longer than this


class ErrorLog(Section, frozen=True):
    """What went wrong, one line per event."""

    path: str = "-"                                                 # "-": standard error
    level: Literal["debug", "info", "warning", "error"] = "info"    # what weighs less is left out
    format: Literal["text", "json"] = "text"                        # text: key=value; json: an object on each line


class Log(Section, frozen=True):
    """The two logs."""

    access: Annotated[AccessLog | None, OFF] = msgspec.field(default_factory=AccessLog)
    error: ErrorLog = msgspec.field(default_factory=ErrorLog)


class RateLimit(Section, frozen=True):
    """How many requests per key may pass; `burst: B` lets B + 1 through at once."""

    rate: Rate          # so many requests of one key may pass
    # what is counted by; several: by their combination. A request without it is not limited
    key: Annotated[tuple[LimitKey, ...], msgspec.Meta(min_length=1, max_length=16), ONE_OR_MANY] = ("client_ip",)
    burst: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0     # so many more may come at once
    # keys kept in shared memory; when it is full, the oldest of a neighbourhood goes
    slots: Annotated[int, msgspec.Meta(ge=8, le=2**26)] = 65536
    status: ErrorStatus = 429   # of the answer to who came too often
    # which answers carry the fields RateLimit and RateLimit-Policy
    headers: Literal["rejected", "always", "never"] = "rejected"
    dry_run: bool = False   # count what would be refused, and let it pass


class Server(Section, frozen=True):
    """One server of an upstream."""

    short: ClassVar = "address"

    address: Address            # where it listens; a name is asked for again every `resolve`
    weight: Weight = 1          # its share, beside others' weights
    max_connections: Count = 0  # requests at the same time, over all workers
    backup: bool = False        # used only while none of the others is in service

    def check(self) -> Iterator[Problem]:
        """One can listen on port 0, not connect to it."""
        if not self.address.is_unix and self.address.port == 0:
            yield Problem(("address",), f"{self.address} has port 0; allowed: 1 to 65535")


class Keepalive(Section, frozen=True):
    """Idle connections kept per worker and server."""

    idle: Count = 64            # connections that rest, at most
    timeout: Duration = 30.0    # one that rests longer is closed
    requests: Count = 0         # that one connection may carry


class PassiveHealth(Section, frozen=True):
    """`failures` within `window` take a server out for `eject`; 0 failures: off."""

    failures: Count = 3         # that take a server out of service
    window: Duration = 10.0     # in which they must happen
    eject: Duration = 10.0      # how long it stays out


class ActiveHealth(Section, frozen=True):
    """A request made on purpose to see whether a server lives."""

    path: UrlPath = "/"                                     # what is asked for
    interval: Duration = 5.0                                # between two checks of one server
    timeout: Duration = 2.0                                 # for the answer
    rise: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 2   # good answers in a row, until it is up
    fall: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3   # bad ones in a row, until it is down
    status: StatusRanges = "200-399"                        # of a good answer
    host: HostName | None = None                            # the field Host; null: the server's address

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

    attempts: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1    # on other servers, after the first
    timeout: Duration = 10.0                                    # then no further attempt begins
    statuses: tuple[ErrorStatus, ...] = ()                      # of answers that count as failures, as 502


class Upstream(Section, frozen=True):
    """Servers that answer alike, and how to choose among them."""

    servers: Annotated[tuple[Server, ...], msgspec.Meta(min_length=1)]  # at least one that is no backup
    balance: BalanceName = "round_robin"                                # how one is chosen
    keepalive: Keepalive = msgspec.field(default_factory=Keepalive)
    passive: PassiveHealth = msgspec.field(default_factory=PassiveHealth)
    active: ActiveHealth | None = None
    retry: Retry = msgspec.field(default_factory=Retry)
    slow_start: Duration = 0.0  # a server that comes into service gets its whole weight after so long
    host: HostName = "preserve"  # what servers get in Host: preserve (the client's), server (their address), or a name

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

    value: HeaderValue | None = None    # the field says exactly this
    regex: PathPattern | None = None    # a match somewhere in the field
    present: bool = False               # the field is there, whatever it says

    def check(self) -> Iterator[Problem]:
        """One condition, not two."""
        if (self.value is not None) + (self.regex is not None) + self.present != 1:
            yield Problem((), "needs exactly one of: a value, regex: PATTERN, present: true")


class Match(Section, frozen=True):
    """Which requests a route takes; what is left out asks for nothing. Hosts are in lower case."""

    host: Annotated[tuple[HostPattern, ...], ONE_OR_MANY] = ()    # exact, or `*.` and a domain; without a port
    path: UrlPath | None = None         # exactly this path
    prefix: UrlPath | None = None       # this path, and all below it
    regex: PathPattern | None = None    # a match in the path; patterns that a path could make slow are refused
    methods: Annotated[tuple[Method, ...], ONE_OR_MANY] = ()    # none: any; HEAD goes where GET goes
    # conditions by field name; all must hold
    headers: Mapping[HeaderName, HeaderMatch] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        """A path is matched one way."""
        given = [field for field in ("path", "prefix", "regex") if getattr(self, field) is not None]
        if len(given) > 1:
            yield Problem((given[1],), f"stands beside {given[0]}; allowed: one of path, prefix, regex")
        yield from twins(("headers",), self.headers)


class HeaderEdits(Section, frozen=True):
    """Header fields to set (replacing all of that name), to add, to remove; removed first, then set, then added."""

    set: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)    # in place of all fields of that name
    add: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)    # beside those that are there
    remove: tuple[HeaderName, ...] = ()     # names of fields

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
    """A route's own timeouts; null: as for the whole proxy."""

    body: Duration | None = None        # instead of the proxy's `timeouts.body`
    send: Duration | None = None        # instead of the proxy's `timeouts.send`
    response: Duration | None = None    # instead of the proxy's `timeouts.response`
    read: Duration | None = None        # instead of the proxy's `timeouts.read`
    tunnel: Duration | None = None      # instead of the proxy's `timeouts.tunnel`
    request: Duration | None = None     # instead of the proxy's `timeouts.request`


class RouteLimits(Section, frozen=True):
    """A route's own limits; null: as for the whole proxy."""

    body: Size | None = None    # instead of the proxy's `limits.body`


class Respond(Section, frozen=True):
    """A canned answer."""

    status: Status = 200                                                                # of the answer
    body: str = ""                                                                      # its text
    headers: Mapping[HeaderName, HeaderValue] = msgspec.field(default_factory=dict)     # its further fields

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

    to: RedirectTarget                              # where to
    status: Literal[301, 302, 303, 307, 308] = 308  # 307 and 308 keep the method


class Static(Section, frozen=True):
    """Files below `root`; `fallback` is the file to send for what is not there."""

    root: str                       # a folder
    index: str = "index.html"       # what is sent for a path that ends with /
    fallback: str | None = None     # what is sent for what is not there; null: 404

    def check(self) -> Iterator[Problem]:
        """The folder exists, and the two files stay inside it."""
        if not self.root or not Path(self.root).is_dir():      # Path("") is where we happened to be started
            yield Problem(("root",), f"{self.root!r} is not a directory")
        for field, file in (("index", self.index), ("fallback", self.fallback)):
            if file is not None and (not file or ".." in Path(file).parts or Path(file).is_absolute()):
                yield Problem((field,), f"{file!r} is not a file name below root")


class Gzip(Section, frozen=True):
    """Answers of servers to compress: text-like ones of at least `min` bytes that nobody has encoded yet."""

    # media types that are worth it
    types: Annotated[tuple[MediaType, ...], msgspec.Meta(min_length=1)] = (
        "text/html", "text/css", "text/plain", "text/xml", "text/javascript", "application/javascript",
        "application/json", "application/problem+json", "application/xml", "image/svg+xml",
    )
    min: Size = 1024                                        # smaller answers stay as they are
    level: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5     # 1 is fastest, 9 is smallest


class Route(Section, frozen=True):
    """Requests that match, and what becomes of them: exactly one of upstream, respond, redirect, static."""

    name: Name = ""     # in logs, metrics and limits; empty: route-N, counted from 1
    match: Match = msgspec.field(default_factory=Match)
    upstream: Name | None = None    # whose servers answer
    respond: Respond | None = None
    redirect: Redirect | None = None
    static: Static | None = None
    # taken off the path before it is sent on, put back in Location
    strip_prefix: UrlPath | None = None
    # put before the path that is sent on, taken off in Location
    add_prefix: UrlPath | None = None
    rate_limit: Annotated[tuple[Name, ...], ONE_OR_MANY] = ()   # names in `rate_limits`; all of them must agree
    concurrency: Count = 0                                      # requests at the same time, over all workers
    # edits of what servers get: removed first, then set, then added
    request_headers: HeaderEdits = msgspec.field(default_factory=HeaderEdits)
    # edits of what clients get, in the same order
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

    # where clients connect: one address, or a list
    listen: Annotated[tuple[Listen, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (
        Listen(address=Address("127.0.0.1", 8080)),
    )
    admin: Admin | None = None
    # processes; auto: one per CPU that we may use
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = "auto"
    pid_file: str | None = None                 # where the master's pid is written
    user: str | None = None                     # whom workers run as, once the sockets are bound; needs root
    trusted_proxies: tuple[Network, ...] = ()   # whose X-Forwarded-For and PROXY headers are believed
    # which fields tell servers about the client
    forwarded: Literal["x-forwarded", "rfc7239", "both", "off"] = "x-forwarded"
    via: Annotated[HeaderName | None, OFF] = "hotpath"  # our name in the field Via; off: no such field
    limits: Limits = msgspec.field(default_factory=Limits)
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    log: Log = msgspec.field(default_factory=Log)
    resolve: Duration = 30.0    # how often names of servers are asked for again; 0: only at the start and on reload
    # by name; a route names those that hold for it
    rate_limits: Mapping[Name, RateLimit] = msgspec.field(default_factory=dict)
    upstreams: Mapping[Name, Upstream] = msgspec.field(default_factory=dict)    # groups of servers, by name
    routes: tuple[Route, ...] = ()  # the one that says most wins, see Routing

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
                elif limit in route.rate_limit[:n]:             # it would count each request twice
                    yield Problem(("routes", i, "rate_limit", n), f"{limit} stands here already")


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
