"""What a route of a proxy.yaml may say: which requests it takes, and what becomes of them."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from hotpath.core.config import ONE_OR_MANY, Duration, Problem, Section, Size

from .syntax import (
    Count,
    HeaderName,
    HeaderValue,
    HostPattern,
    MediaType,
    Method,
    Name,
    PathPattern,
    RedirectTarget,
    Status,
    UrlPath,
)

# Fields that frame a message or belong to one connection (RFC 9110 7.6.1): the relay writes these itself.
OUR_FIELDS = frozenset({
    "connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})


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

    # where to; a query goes along with the path, unless `to` has one of its own
    to: RedirectTarget
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


def twins(path: tuple[str, ...], names: Mapping[str, object]) -> Iterator[Problem]:
    """Header names that differ only in case, which HTTP takes for one."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            yield Problem((*path, name), f"{name.lower()} stands here already; header names have no case")
        seen.add(name.lower())
