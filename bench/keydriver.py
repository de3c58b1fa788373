"""keydriver.h: put the same load on servers that speak HTTP and on one that speaks Redis' protocol."""
from __future__ import annotations

import subprocess
from pathlib import Path

from .processes import pinned
from .wrk import LoadError, Outcome

# A program, and yet no .c: those are what Cython made, and never kept.
SOURCE = Path(__file__).with_name("keydriver.h")


def built(folder: Path) -> Path:
    """The program, compiled in `folder`."""
    program = folder / "keydriver"
    argv = ["gcc", "-O2", "-x", "c", "-o", str(program), str(SOURCE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadError(f"{SOURCE.name}: {done.stderr}")
    return program


def parse(text: str) -> Outcome:
    """Read the driver's one line."""
    try:
        requests, errors, seconds, p50_us, p99_us, cpu_s = text.split()
        return Outcome(int(requests), 0.0, int(errors), float(seconds), int(p50_us) / 1000, int(p99_us) / 1000,
                       float(cpu_s))
    except ValueError:
        raise LoadError(f"not a report of keydriver: {text!r}") from None


def run(program: Path, port: int, kind: str, *, connections: int, seconds: float, keys: int, value_bytes: int,
        seed: int = 1, cpus: set[int] | None = None) -> Outcome:
    """`kind`: put, get, hello (HTTP) or set (Redis). Raises LoadError."""
    argv = [str(program), str(port), kind, *map(str, (connections, seconds, keys, value_bytes, seed))]
    done = subprocess.run(pinned(argv, cpus), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadError(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return parse(done.stdout)
