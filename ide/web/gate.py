"""Who may ask anything at all? Decided before routes, methods and upgrades are looked at."""
from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from hotpath.core.config import Address
from hotpath.core.serve import Request, Response

from .problems import refused
from .sessions import Session, Sessions

# What changes nothing, whoever had the browser send it.
READING = ("GET", "HEAD", "OPTIONS")
NAMES = ("127.0.0.1", "localhost", "[::1]")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credential:
    """What let a request in; it is the request's `state`."""

    session: Session | None = None      # None: the token itself, or nobody is asked


class Gate:
    """Asked first. The order is the contract's: Host, credential, Origin, Origin beside a cookie."""

    def __init__(
        self, sessions: Sessions, *, lets_all_in: bool, origins: Collection[str], base: str,
        bound: Callable[[], Iterable[Address]]
    ) -> None:
        """`bound`: where we listen, asked when the first request is here."""
        self._sessions = sessions
        self.lets_all_in = lets_all_in
        self.token = ""                 # until it is known nobody has it
        self._fronts = origins
        self._base = base
        self._bound = bound
        self._hosts: frozenset[str] = frozenset()
        self._origins: frozenset[str] = frozenset()
        self.cookie = ""
        # Routes that anybody may ask for: they show nothing, or are how one gets a credential. By pattern.
        self.open = frozenset(
            {"/healthz", f"{base}/healthz", f"{base}/", f"{base}/p/{{id}}", f"{base}/static/{{rest:path}}"}
            | ({base} if base else set()))
        self.sign_in = f"{base}/api/session"

    def prepare(self) -> None:
        """Once it is known where we listen."""
        hosts, origins = set(), set()
        ports = []
        for address in self._bound():
            if address.is_unix:
                hosts.add("localhost")
                continue
            ports.append(address.port)
            for name in NAMES:
                hosts.add(f"{name}:{address.port}")
                origins.add(f"http://{name}:{address.port}")
                if address.port == DEFAULT_PORTS["http"]:
                    hosts.add(name)
                    origins.add(f"http://{name}")
        for front in self._fronts:
            scheme, authority, other = spellings(front)
            hosts |= {authority, other}
            origins |= {f"{scheme}://{authority}", f"{scheme}://{other}"}
        self._hosts, self._origins = frozenset(hosts), frozenset(origins)
        # Cookies ignore ports (RFC 6265 section 8.5): two of us on one host must not sign each other out.
        self.cookie = f"hotpath_ide_{ports[0]}" if ports else "hotpath_ide"

    def __call__(self, request: Request) -> Response | None:
        """What refuses the request; None: it may be answered."""
        if not self._hosts:
            self.prepare()
        if not self._is_host(request):
            return refused(421, "wrong-host", "this host is not served here; allowed: the address that is listened "
                                              "on, and those of auth.origins")
        credential = self.credential(request)
        if credential is None and self._needs_one(request):
            return unauthorized("no token and no session; allowed: Authorization: Bearer TOKEN, or POST /api/session")
        origin = request.field("origin")
        if origin is not None and origin.lower() not in self._origins:
            return refused(403, "wrong-origin", "a page of this origin may not ask; allowed: our own pages, and those "
                                                "of auth.origins")
        is_change = request.method not in READING or request.field("upgrade") is not None
        if origin is None and is_change and credential is not None and credential.session is not None:
            return refused(403, "origin-required", "with a cookie a change says where it comes from; allowed: an "
                                                   "Origin of ours, or the token as Authorization: Bearer")
        request.state = credential
        return None

    def credential(self, request: Request) -> Credential | None:
        """The token, or the cookie of a session; None: neither."""
        if self.lets_all_in:
            return Credential()
        scheme, _, given = (request.field("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return Credential()
        for part in (request.field("cookie") or "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie and (session := self._sessions.find(value)) is not None:
                return Credential(session)
        return None

    def is_token(self, given: str) -> bool:
        """Whether it is the token, in a time that does not tell how far."""
        return bool(self.token) and hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _is_host(self, request: Request) -> bool:
        host = request.field("host")
        if host is None or host.lower() not in self._hosts:
            return False
        # In absolute form the target's host is the one that counts (RFC 9112 section 3.2.2).
        target = request.target
        if target[:1] in "/*":
            return True
        try:
            return urlsplit(target).netloc.lower() in self._hosts
        except ValueError:              # brackets with no address in them
            return False

    def _needs_one(self, request: Request) -> bool:
        """Whatever has a route, but for the open ones; and all below /api and /metrics, be it there or not."""
        route = request.route
        if route:
            return route not in self.open and not (route == self.sign_in and request.method == "POST")
        path = request.path
        return any(path == closed or path.startswith(f"{closed}/")
                   for closed in (f"{self._base}/api", f"{self._base}/metrics", "/metrics"))


def unauthorized(detail: str) -> Response:
    """401."""
    return refused(401, "unauthorized", detail, headers=(("WWW-Authenticate", 'Bearer realm="hotpath-ide"'),))


def spellings(origin: str) -> tuple[str, str, str]:
    """(scheme, authority, authority otherwise spelled): a scheme's own port may be said or not."""
    parts = urlsplit(origin.lower())
    authority, default = parts.netloc, DEFAULT_PORTS.get(parts.scheme)
    if authority.endswith(f":{default}"):
        return parts.scheme, authority.removesuffix(f":{default}"), authority
    if parts.port is None:
        return parts.scheme, authority, f"{authority}:{default}"
    return parts.scheme, authority, authority
