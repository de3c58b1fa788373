"""Who asks? A cookie or a bearer token, and the session that it opens."""
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from hotpath.chat.auth import token_hash

from .problems import Refusal

COOKIE = "hp_session"
SESSION_S = 30 * 24 * 3600
# A logout in another API process is obeyed here within that time; one in this process at once.
CACHE_S = 1.0
MAX_CACHED = 20_000
# Ours have 43; what is longer is not even hashed.
MAX_TOKEN = 128

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# (session, user, expires_at in ms), as the store knows a token's hash; None: no such session.
Lookup = Callable[[bytes], tuple[int, dict[str, Any], int] | None]


@dataclass(frozen=True, slots=True)
class Who:
    """A session that is open, and whose."""

    session: int
    user: Mapping[str, Any]     # as the contract shows it
    expires_ms: int

    @property
    def id(self) -> int:
        """The user's."""
        return int(self.user["id"])

    @property
    def is_admin(self) -> bool:
        """Whether they may what others may not."""
        return bool(self.user["admin"])


class Sessions:
    """The sessions of those who ask, remembered for a moment."""

    def __init__(
        self, lookup: Lookup, origins: Collection[str], *, clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time
    ) -> None:
        """`origins`: whose pages may write with our cookie."""
        self._lookup = lookup
        self._origins = origins
        self._clock = clock
        self._wall = wall
        self._cache: dict[str, tuple[float, Who]] = {}
        self._n_drops = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._cache)

    def required(self) -> Who:
        """Who asks. Raises Refusal 401."""
        who = self.optional()
        if who is None:
            raise Refusal(401, "log in: no session, or one that is over")
        return who

    def admin(self) -> Who:
        """Who asks. Raises Refusal 401, or 403 for whoever is no admin."""
        who = self.required()
        if not who.is_admin:
            raise Refusal(403, "this is for admins")
        return who

    def optional(self) -> Who | None:
        """Who asks, if they say so with a token that is good."""
        token = token_of(request.environ)
        if token is None:
            return None
        cached = self._cache.get(token)
        if cached is not None and cached[0] > self._clock():
            who = cached[1]
        else:
            found = self._look_up(token)
            if found is None:
                return None
            who = found
        return who if who.expires_ms > self._wall() * 1000 else None

    def drop(self, *, session: int = 0, user: int = 0) -> None:
        """Forget what is remembered of a session, or of all of a user's: it is over, or the user has changed."""
        self._n_drops += 1
        self._cache = {token: cached for token, cached in self._cache.items()
                       if cached[1].session != session and cached[1].id != user}

    def check_origin(self) -> None:
        """A write with the cookie comes from a page of ours. Raises Refusal 403.

        Browsers send the cookie along with what any page asks for; a bearer token nobody sends by accident.
        """
        environ = request.environ
        if environ["REQUEST_METHOD"] in SAFE_METHODS or COOKIE not in environ.get("HTTP_COOKIE", ""):
            return
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.lower() not in self._origins and cookie_of(environ) is not None:
            raise Refusal(403, "a page of another origin may not write with this cookie")

    def _look_up(self, token: str) -> Who | None:
        n_drops = self._n_drops
        found = self._lookup(token_hash(token))
        if found is None:
            self._cache.pop(token, None)
            return None
        who = Who(*found)
        # What was read before a logout must not be remembered behind it.
        if n_drops == self._n_drops:
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[token] = (self._clock() + CACHE_S, who)
        return who


def token_of(environ: Mapping[str, Any]) -> str | None:
    """The token that comes with a request; what is longer than ours is none."""
    said: str | None = environ.get("HTTP_AUTHORIZATION")
    if said is not None:
        scheme, _, token = said.partition(" ")
        token = token.strip()
        is_ours = scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN
        return token if is_ours else None
    return cookie_of(environ)


def cookie_of(environ: Mapping[str, Any]) -> str | None:
    """The token in our cookie."""
    for part in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = part.partition("=")
        if name.strip() == COOKIE:
            token: str = value.strip()
            return token if 0 < len(token) <= MAX_TOKEN else None
    return None


def cookie(token: str, *, max_age_s: int, is_secure: bool, path: str = "/") -> str:
    """The Set-Cookie field: no script reads it, and no other site's form sends it. `max_age_s` 0 ends it.

    `path`: below which we are, so that what else stands on this origin is not sent it.
    """
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={token}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"
