"""Signing in with the token, and out."""
from __future__ import annotations

from logging import getLogger

import msgspec

from hotpath.core.serve import Request, Response
from hotpath.core.tasks import Lock, offload, timeout

from .asked import body_of
from .gate import Credential, Gate, unauthorized
from .problems import refused
from .routes import Routes, whole
from .sessions import AGE_S, Failures, Sessions

log = getLogger(__name__)

# So long a sign-in waits for the disk. One that is behind with the writes of others may take minutes for an fsync.
PATIENCE_S = 2.0


class Shown(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody signs in with."""

    token: str


class Signing:
    """The handlers of `/api/session`."""

    def __init__(self, routes: Routes, gate: Gate, sessions: Sessions) -> None:
        self._gate = gate
        self._sessions = sessions
        self._path = routes.base or "/"
        self._saving = Lock()
        self.failures = Failures()
        self.n_failed = 0               # for metrics
        routes.add("POST", "/api/session", self.open)
        routes.add("GET", "/api/session", self.show)
        routes.add("DELETE", "/api/session", self.close)

    def open(self, request: Request) -> Response:
        """204 and a cookie; 401, and 429 for who guesses."""
        given = body_of(request, Shown)     # first: it waits, and behind the look many would pass meanwhile
        client = request.client[0] if request.client is not None else None
        wait_s = self.failures.wait_s(client)
        if wait_s:
            return refused(429, "too-many", "too many wrong tokens; wait, then try the right one",
                           headers=(("Retry-After", str(wait_s)),))
        if not (self._gate.lets_all_in or self._gate.is_token(given.token)):
            self.failures.note(client)
            self.n_failed += 1
            return unauthorized("this is not the token; `hotpath-ide serve` prints it, behind #token=")
        cookie = self._sessions.open()
        try:
            self.save(PATIENCE_S)
        except TimeoutError:
            log.warning("sessions not saved yet, a crash would end them cause=the disk took more than %g s", PATIENCE_S)
        return Response(None, 204, (("Set-Cookie", self._line(request, cookie, round(AGE_S))),))

    def show(self, request: Request) -> Response:
        """200: the gate let it in."""
        credential = request.state
        is_cookie = isinstance(credential, Credential) and credential.session is not None
        mode = "none" if self._gate.lets_all_in else "cookie" if is_cookie else "token"
        return Response.json({"credential": mode})

    def close(self, request: Request) -> Response:
        """204; the session's sockets are closed."""
        credential = request.state
        if isinstance(credential, Credential) and credential.session is not None:
            self._sessions.close(credential.session)
            self.save()
        return Response(None, 204, (("Set-Cookie", self._line(request, "", 0)),))

    def save(self, patience_s: float | None = None) -> None:
        """In a task: sessions are on disk when this returns, so that a restart ends none.

        A full disk keeps nobody out: who is to make room must get in. A client that goes leaves nothing half-written.
        Raises TimeoutError after `patience_s`; the writing goes on.
        """
        with timeout(patience_s):
            whole(self._save)

    def _save(self) -> None:
        with self._saving:
            if self._sessions.dirty:
                try:
                    offload(self._sessions.save, self._sessions.facts())
                except OSError as error:
                    self._sessions.dirty = True
                    log.warning("sessions not saved, a restart ends them cause=%s", error)

    def _line(self, request: Request, value: str, age_s: int) -> str:
        secure = "; Secure" if (request.field("origin") or "").lower().startswith("https://") else ""
        return (f"{self._gate.cookie}={value}; Path={self._path}; Max-Age={age_s}; HttpOnly; "
                f"SameSite=Strict{secure}")
