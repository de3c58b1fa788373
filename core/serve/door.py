"""Who may ask: whoever has the token, and no page but ours may change anything."""
from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from .problem import problem
from .request import Request
from .response import Response

READING = ("GET", "HEAD")

Guard = Callable[[Request], Response | None]


def guard(token: str | None, open_routes: Collection[str], *, realm: str) -> Guard:
    """What is asked before every handler. `open_routes` need no token: they show no data. `realm`: who asks for it."""
    expected = None if token is None else token.encode()

    def ask(request: Request) -> Response | None:
        if request.method not in READING:
            origin = request.field("origin")
            if origin is not None and not is_ours(origin, request.field("host") or "", is_open=token is None):
                return problem(403, detail="a page of this origin may change nothing here")
        if expected is None or request.route in open_routes:
            return None
        scheme, _, given = (request.field("authorization") or "").partition(" ")
        if hmac.compare_digest(given.strip().encode("latin-1"), expected) and scheme.lower() == "bearer":
            return None
        return problem(401, detail="the token is missing or wrong; allowed: Authorization: Bearer TOKEN",
                       headers=(("WWW-Authenticate", f'Bearer realm="{realm}"'),))

    return ask


def is_ours(origin: str, host: str, *, is_open: bool) -> bool:
    """Whether a page of `origin` is one that this server, asked for by the name `host`, has sent.

    Without a token (`is_open`) the name must be a loopback's, too: any other may be a foreign page's own, which had
    its name point here once it was loaded.
    """
    scheme, _, authority = origin.lower().partition("://")
    if scheme not in ("http", "https") or not authority or authority != host.strip().lower():
        return False
    return not is_open or is_loopback(urlsplit(f"//{authority}").hostname or "")


def is_loopback(name: str) -> bool:
    """Whether the host name means this machine, whatever a name server says (RFC 6761 section 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
