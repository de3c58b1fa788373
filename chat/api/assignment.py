"""Which gateway a client goes to, and the ticket for it; what gateways there are, for admins."""
from __future__ import annotations

import time
from collections.abc import Collection

from flask import Blueprint, Response

from hotpath.chat.auth import TICKET_S, new_ticket, sign_ticket
from hotpath.chat.connect import NoGateway, Report

from .answers import answer
from .bodies import Connect, body
from .problems import Refusal
from .service import Service

# How clients come back: full jitter over min(cap, base * 2 ** attempt). Ten thousand of one gateway are back in time.
RETRY = {"base_ms": 500, "cap_ms": 10_000}


def blueprint(service: Service) -> Blueprint:
    """The routes of the connection manager."""
    assignment = Blueprint("assignment", __name__, url_prefix="/api")
    sessions = service.sessions

    @assignment.post("/connect")
    def connect() -> Response:
        who = sessions.required()
        service.connect_limit.take(str(who.id))
        exclude = body(Connect, optional=True).exclude
        gateway = _chosen(service, exclude)
        ticket = new_ticket(who.id, who.session, gateway.id, gateway.boot, now_s=time.time())
        return answer({"url": gateway.url, "ticket": sign_ticket(service.secret, ticket), "gateway": gateway.id,
                       "expires_in": TICKET_S, "retry": RETRY})

    @assignment.get("/gateways")
    def list_gateways() -> Response:
        sessions.admin()
        return answer({"gateways": [
            {"id": gateway.id, "url": gateway.report.url, "state": gateway.state, "sockets": gateway.report.sockets}
            for gateway in service.registry.gateways()]})

    @assignment.post("/gateways/<string:gateway>/drain")
    def drain(gateway: str) -> Response:
        sessions.admin()
        try:
            service.read(service.registry.drain, gateway)
        except KeyError:
            raise Refusal(404, f"there is no gateway {gateway[:16]!r}") from None
        return answer({"gateway": gateway, "state": "draining"}, 202)

    return assignment


def _chosen(service: Service, exclude: Collection[str]) -> Report:
    registry = service.registry
    try:
        return registry.choose(exclude)
    except NoGateway:
        if registry.redis_is_away:
            raise
    # One may have come up since the last look, as when all has just been started.
    service.read(registry.look)
    return registry.choose(exclude)
