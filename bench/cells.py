"""Under which conditions are the proxies compared? One thing at a time around a base, and the corners."""
from __future__ import annotations

from dataclasses import dataclass, replace

from .harness import Sample
from .rivals import FILE_SIZES, PLAIN, Wiring
from .wrk import Load

# One proxy at this share of a CPU leaves wrk and the backend enough of two CPUs never to be the limit.
QUOTA_CPUS = 0.4
BUSY = Load()
BODY_NAMES = {"64": "64 B", "1k": "1 KiB", "64k": "64 KiB", "1m": "1 MiB", "10m": "10 MiB"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One condition under which all contenders are measured."""

    axis: str                           # the table it stands in
    name: str                           # its condition, in words; no two cells of an axis have the same
    body: str = "64"                    # of rivals.BODIES
    workers: int = 1
    load: Load = BUSY
    wiring: Wiring = PLAIN
    quota_cpus: float | None = None     # what the proxy may use
    with_debians: bool = False          # also Debian's builds with debug options

    @property
    def is_large(self) -> bool:
        """Whether bytes are what costs, rather than the request."""
        return self.body in FILE_SIZES

    def cost(self, sample: Sample) -> float:
        """What to compare: CPU per MB of large bodies, as many are unfinished at the end; else CPU per request."""
        return sample.cpu_us_per_mb if self.is_large else sample.cpu_us

    def limit(self, sample: Sample, *, cpus: int) -> str:
        """What kept the throughput from being higher, on a machine with so many CPUs."""
        proxy, load, backend = sample.shares
        allowed = min(self.workers, cpus)
        if self.load.pace_per_s is not None:
            return "pace"
        if self.quota_cpus is not None and proxy >= 0.9 * self.quota_cpus:
            return "proxy (quota)"
        if proxy >= 0.9 * allowed:
            return "proxy"
        if load >= 0.9 * self.load.threads:
            return "wrk"
        if backend >= 0.9:
            return "backend"
        if proxy + load + backend >= 0.9 * cpus:
            return "all CPUs"
        if proxy + load + backend + sample.others_share >= 0.9 * cpus:
            return "others"
        return "round trips"

    def __str__(self) -> str:
        """As progress and verdicts name it."""
        return f"{self.axis}: {self.name}"


def body_cells(axis: str, bodies: str, base: Cell) -> list[Cell]:
    """`base` with each of the bodies."""
    return [replace(base, axis=axis, name=BODY_NAMES[body], body=body) for body in bodies.split()]


def all_cells(seconds: float) -> list[Cell]:
    """Every cell, axis by axis, `seconds` per run."""
    busy = Load(64, seconds)
    base = Cell("", "", load=busy)
    crowd = Load(1000, seconds)
    tls, unix, fresh = Wiring(tls=True), Wiring(unix=True), Wiring(keeps=False)
    closing = replace(busy, closes=True)

    one = body_cells("bodies, 1 worker", "64 1k 64k 1m 10m", base)
    one[0] = replace(one[0], with_debians=True)
    two = body_cells("bodies, 2 workers", "64 1k 64k 1m", replace(base, workers=2))

    axis = "client connections"
    connections = [replace(base, axis=axis, name=f"{n:,}", load=Load(n, seconds)) for n in (1, 16, 256, 1000)]
    connections += [Cell(axis, "1, 1 MiB", "1m", load=Load(1, seconds)), Cell(axis, "1,000, 64 KiB", "64k", load=crowd),
                    Cell(axis, "1,000, 2 workers", workers=2, load=crowd)]
    axis = "a connection for each request"
    closes = [Cell(axis, "from the client", load=closing),
              Cell(axis, "to the server", load=busy, wiring=fresh),
              Cell(axis, "both", load=closing, wiring=fresh),
              Cell(axis, "both, 2 workers", load=closing, wiring=fresh, workers=2)]
    sockets = body_cells("servers behind unix sockets", "64 64k 1m", replace(base, wiring=unix))
    axis = "TLS to the client"
    encrypted = body_cells(axis, "64 64k 1m", replace(base, wiring=tls))
    encrypted.append(Cell(axis, "64 B, a connection and a full handshake for each request", load=closing, wiring=tls))
    limited = replace(base, axis="the same CPU quota", quota_cpus=QUOTA_CPUS)
    quotas = [*body_cells(limited.axis, "64 1k 64k", limited),
              replace(limited, name="64 B, 1,000 connections", load=crowd),
              replace(limited, name="64 B, 2 workers", workers=2)]
    axis = "the same load"
    paces = [Cell(axis, f"{pace:,} requests/s", load=replace(busy, pace_per_s=pace)) for pace in (4000, 16000)]
    return [*one, *two, *connections, *closes, *sockets, *encrypted, *quotas, *paces]
