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

from .config_route import Route
from .syntax import (
    BalanceName,
    Count,
    ErrorStatus,
    HeaderName,
    HostName,
    LimitKey,
    LogFormat,
    Name,
    StatusRanges,
    UrlPath,
    Weight,
    ranges_of,
)


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
    token_file: str | None = None   # holds the bearer token; needed off loopback, or to be asked by a name in Host

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
    # which fields tell servers about the client; what strangers say in them is dropped, also by off
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
