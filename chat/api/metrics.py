"""What the API counts."""
from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

from hotpath.core.telemetry import Exposition

Fact = tuple[str, str, float]       # name, help, value

# A series for each method that a client makes up would grow without end.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Requests by method and status, and how long they took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._took = [0] * (len(BOUNDS_S) + 1)
        self._took_s = 0.0
        # Each says how many connections of one listening socket have a request under way.
        self.busy: list[Callable[[], int]] = []

    def count(self, method: str, status: int, took_s: float) -> None:
        """One answer."""
        self._requests[method if method in METHODS else "other", status] += 1
        self._took[bisect_left(BOUNDS_S, took_s)] += 1
        self._took_s += took_s

    def text(self, counts: Iterable[Fact], gauges: Iterable[Fact], gateways: Counter[str]) -> str:
        """All of it, in Prometheus' format."""
        out = Exposition()
        out.counter("chat_api_requests_total", "Requests answered.", [
            ({"method": method, "code": str(status)}, n) for (method, status), n in sorted(self._requests.items())])
        out.histogram("chat_api_request_seconds", "From a request's head to its answer.", BOUNDS_S,
                      [({}, self._took, self._took_s)])
        for name, help, value in counts:
            out.counter(name, help, [({}, value)])
        for name, help, value in gauges:
            out.gauge(name, help, [({}, value)])
        out.gauge("chat_api_gateways", "Gateways known, by state.",
                  [({"state": state}, gateways[state]) for state in ("up", "draining", "lost")])
        return out.text()
