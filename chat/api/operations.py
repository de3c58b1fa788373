"""What operators ask: whether it serves, and what it counts."""
from __future__ import annotations

from flask import Blueprint, Response

from hotpath.core.telemetry import CONTENT_TYPE

from .problems import Refusal
from .service import Service


def blueprint(service: Service) -> Blueprint:
    """/healthz and /metrics. Neither asks the database: a slow one must not make us look dead."""
    operations = Blueprint("operations", __name__)

    @operations.get("/healthz")
    def healthz() -> Response:
        if service.is_draining:
            raise Refusal(503, "draining", retry_after_s=1)
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @operations.get("/metrics")
    def metrics() -> Response:
        return Response(service.exposition(), content_type=CONTENT_TYPE)

    return operations
