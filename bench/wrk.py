"""wrk: put load on a URL and read what it says about it."""
from __future__ import annotations

import os
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
UNIT_BYTES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}

# Each connection rests a random time around the mean before each request, so that all rivals carry the same load and no
# two connections march in step. wrk leaves the rest out of its latencies.
PACE_SCRIPT = "function delay() return math.random(0, {twice_mean_ms}) end\n"


class LoadError(Exception):
    """wrk could not run, or said something we do not understand."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask of a server."""

    connections: int = 64
    seconds: float = 4.0
    threads: int = 1
    pace_per_s: float | None = None     # requests per second over all connections; None: as fast as it answers
    closes: bool = False                # a connection for each request, with TLS also a full handshake


@dataclass(frozen=True, slots=True)
class Outcome:
    """What wrk saw: complete requests, failures, latency percentiles."""

    requests: int
    read_bytes: float                   # heads and bodies, also of answers that were not complete when the time was up
    errors: int                         # connect, read, write, timeout, and answers other than 2xx and 3xx
    seconds: float
    p50_ms: float
    p99_ms: float
    load_cpu_s: float                   # what wrk itself used

    @property
    def per_s(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def milliseconds(text: str) -> float:
    """`1.23ms`, `870.00us` or `1.02s` in milliseconds."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise LoadError(f"no duration: {text!r}")
    return float(found[1]) * UNIT_MS[found[2]]


def parse(text: str, load_cpu_s: float = 0.0) -> Outcome:
    """Read wrk's report, made with --latency."""
    total = re.search(r"(\d+) requests in ([\d.]+\w+), ([\d.]+)([KMG]?B) read", text)
    p50 = re.search(r"50%\s+([\d.]+\w+)", text)
    p99 = re.search(r"99%\s+([\d.]+\w+)", text)
    if total is None or p50 is None or p99 is None:
        raise LoadError(f"not a report of wrk:\n{text}")
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    wrong_status = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = sum(map(int, socket_errors.groups())) if socket_errors else 0
    errors += int(wrong_status[1]) if wrong_status else 0
    return Outcome(
        requests=int(total[1]), read_bytes=float(total[3]) * UNIT_BYTES[total[4]], errors=errors,
        seconds=milliseconds(total[2]) / 1000, p50_ms=milliseconds(p50[1]), p99_ms=milliseconds(p99[1]),
        load_cpu_s=load_cpu_s)


def preloadable(folder: Path, name: str) -> Path:
    """bench/NAME.h, compiled in `folder` as a library for LD_PRELOAD; LoadError when it does not compile."""
    library = folder / f"{name}.so"
    argv = ["gcc", "-O2", "-shared", "-fPIC", "-x", "c", "-o", str(library), str(HERE / f"{name}.h"), "-ldl"]
    if not library.exists():
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LoadError(f"{name}.h: {done.stderr}")
    return library


def run(url: str, load: Load, *, scratch: Path, host: str | None = None) -> Outcome:
    """Load `url` for the time of `load`; LoadError when wrk fails."""
    argv = ["wrk", "--latency", f"-t{load.threads}", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s"]
    if host is not None:
        argv += ["-H", f"Host: {host}"]
    environment = dict(os.environ)
    if load.closes:
        argv += ["-H", "Connection: close"]
        if url.startswith("https:"):
            environment["LD_PRELOAD"] = str(preloadable(scratch, "wrk_forget"))
    if load.pace_per_s is not None:
        script = scratch / "pace.lua"
        script.write_text(PACE_SCRIPT.format(twice_mean_ms=round(2000 * load.connections / load.pace_per_s)))
        argv += ["-s", str(script)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*argv, url], env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise LoadError(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return parse(done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
