"""The HTTP API: a Flask application over the store, under gevent's server."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

from flask import Flask, Request, Response, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from hotpath.chat.connect import NoGateway
from hotpath.chat.limits import TooOften
from hotpath.chat.store import Refused, Unavailable

from . import assignment, channels, messages, operations, pages, users
from .answers import Answer
from .bridge import Overloaded
from .problems import DETAILS, FieldError, Refusal, http_problem, problem
from .queries import IdConverter
from .service import Service

log = logging.getLogger(__name__)


class _NoSessions(SessionInterface):
    """Ours are in the database."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """None of Flask's."""
        return NullSession()

    def save_session(self, app: Flask, session: object, response: Response) -> None:
        """Nothing to save."""


class App(Flask):
    """Flask, without what it looks for at each request and never finds here."""

    response_class = Answer

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """No subdomains, no server name, so nothing of it need be read out of the request."""
        if request is None:
            return super().create_url_adapter(request)
        environ = request.environ
        return MapAdapter(self.url_map, "localhost", "", "", "http", environ["PATH_INFO"].encode("latin-1").decode(
            errors="replace"), environ["REQUEST_METHOD"], environ["QUERY_STRING"])

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine."""
        return func


def make_app(service: Service) -> Flask:
    """The application; each error is a problem, whoever raises it."""
    app = App(__name__, static_folder=None)
    app.debug = False       # whatever FLASK_DEBUG says
    app.session_interface = _NoSessions()
    # `//api/users` is no other spelling of a path, but one that leads nowhere.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.converters["id"] = IdConverter
    app.before_request(_check_path)
    app.before_request(service.sessions.check_origin)
    for part in (operations, users, channels, messages, assignment, pages):
        app.register_blueprint(part.blueprint(service))
    _tell_errors(app)
    return app


def _check_path() -> None:
    # werkzeug passes over slashes in front.
    if request.environ["PATH_INFO"].startswith("//"):
        raise Refusal(404, DETAILS[404])


class _Outage:
    """Whether it is worth a line: thousands of requests may meet the same one in a second."""

    def __init__(self) -> None:
        self._told_s = 0.0

    def is_news(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._told_s < 1.0:
            return False
        self._told_s = now_s
        return True


def _tell_errors(app: Flask) -> None:
    outage = _Outage()

    @app.errorhandler(Refusal)
    def refusal(error: Refusal) -> Response:
        return problem(error.status, error.detail, errors=error.errors, retry_after_s=error.retry_after_s)

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return problem(error.status, error.detail, errors=cast(list[FieldError], error.errors))

    @app.errorhandler(Unavailable)
    def unavailable(error: Unavailable) -> Response:
        if outage.is_news():
            log.warning("database unavailable cause=%s", error)
        return problem(503, "the database does not answer; nothing was stored: try again")

    @app.errorhandler(Overloaded)
    @app.errorhandler(NoGateway)
    def busy(error: Exception) -> Response:
        return problem(503, str(error))

    @app.errorhandler(TooOften)
    def too_often(error: TooOften) -> Response:
        return problem(429, str(error), retry_after_s=error.retry_after_s)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return http_problem(error)

    @app.errorhandler(Exception)
    def our_fault(error: Exception) -> Response:
        log.error("request failed", exc_info=error)
        return problem(500, "an error of ours; it is logged here")
