"""What the routers count, in Prometheus' words, summed over the workers."""
from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import wraps

from hotpath.core.errors import Cancelled
from hotpath.core.serve import Request, Response
from hotpath.core.telemetry import Exposition, Labels

from .latency import Latency
from .tally import Tally

PREFIX = "hotpath_shard_"

# From an embedded read to a statement that a server thinks about for as long as it may.
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# A count for each bound, one above them all, and the sum in microseconds.
WIDTH = len(BOUNDS_S) + 2

# Family -> (what it says, its labels), in the order of the exposition.
COUNTERS = {
    "requests_total": ("Requests for rows, by what became of them.", ("table", "op", "code")),
    "epoch_retries_total": ("Operations begun anew: a shard's fence was not at the epoch of our map.", ()),
    "fallback_reads_total": ("Reads of a key that was not on its new shard yet, and so asked the old one.", ()),
    "pulls_total": ("Rows that a write brought to their new shard before it changed them.", ()),
    "move_rows_total": ("Rows copied by a mover of this router.", ("source", "target")),
}
HISTOGRAMS = {
    "op_seconds": ("How long an operation on one row took at its shard.", ("shard", "op")),
    "pool_wait_seconds": ("How long operations waited for a connection.", ("shard",)),
}


class Meter:
    """Counts for this process; any thread may."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._lock = threading.Lock()
        self._before: dict[str, int] = {}           # what `rising` was last told
        self.latency = Latency()

    def counted(self, table: str, op: str, handler: Callable[..., Response]) -> Callable[..., Response]:
        """The handler, its answers counted; under another `op`, if it says so in `request.state`."""
        @wraps(handler)
        def handle(request: Request, **values: str) -> Response:
            code = 500
            try:
                response = handler(request, **values)
                code = response.status
            except Cancelled:           # the client has gone: there is no answer
                code = 0
                raise
            finally:
                if code:
                    self._tally.add(f"requests_total\t{table}\t{request.state or op}\t{code}")
            return response

        return handle

    def took(self, shard: str, op: str, seconds: float) -> None:
        """An operation on one row, at its shard."""
        self._observe(f"op_seconds\t{shard}\t{op}", seconds)
        self.latency.took(seconds)

    def waited(self, shard: str, seconds: float) -> None:
        """Somebody got a connection, or did not, after so long."""
        self._observe(f"pool_wait_seconds\t{shard}", seconds)

    def rising(self, name: str, value: int, *labels: str) -> None:
        """What something of this process has counted by itself so far."""
        key = "\t".join((name, *labels))
        with self._lock:
            before = self._before.get(key, 0)
            self._before[key] = max(before, value)
        # Somebody may have told of a later moment before us; then nothing is new.
        if value > before:
            self._tally.add(key, value - before)

    def connections(self, shard: str, *, in_use: int, idle: int, waiting: int) -> None:
        """Of this process, now."""
        for state, n in (("in_use", in_use), ("idle", idle), ("waiting", waiting)):
            self._tally.set(f"pool_connections\t{shard}\t{state}", n)

    def text(self, slots: Mapping[str, int]) -> str:
        """All families. `slots`: how many each shard owns."""
        page = Exposition()
        totals = self._tally.totals()

        def samples(family: str, labels: tuple[str, ...]) -> list[tuple[Labels, list[int]]]:
            found = []
            for name, values in totals.items():
                first, *rest = name.split("\t")
                if first == family:
                    found.append((dict(zip(labels, rest, strict=True)), values))
            return sorted(found, key=lambda one: list(one[0].values()))

        for family, (about, labels) in COUNTERS.items():
            found = [(of, float(values[0])) for of, values in samples(family, labels)]
            page.counter(PREFIX + family, about, found or ([] if labels else [({}, 0)]))
        for family, (about, labels) in HISTOGRAMS.items():
            page.histogram(PREFIX + family, about, BOUNDS_S, [
                (of, values[:-1], values[-1] / 1e6) for of, values in samples(family, labels)])
        standing = [(name.split("\t")[1:], n) for name, n in self._tally.standing().items()
                    if name.startswith("pool_connections\t")]
        page.gauge(PREFIX + "pool_connections", "Connections to a shard, and who waits for one, of all workers.",
                   [({"shard": shard, "state": state}, n) for (shard, state), n in sorted(standing)])
        page.gauge(PREFIX + "slots", "Slots that a shard owns, of 65,536.",
                   [({"shard": shard}, n) for shard, n in sorted(slots.items())])
        return page.text()

    def _observe(self, name: str, seconds: float) -> None:
        place = self._tally.place(name, WIDTH)
        if place >= 0:
            self._tally.add_at(place + bisect_left(BOUNDS_S, seconds), 1)
            self._tally.add_at(place + WIDTH - 1, round(seconds * 1e6))
