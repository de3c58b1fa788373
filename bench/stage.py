"""A stage for the proxies: a scratch folder, one backend, any of the rivals in front of it."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import processes, rivals, wrk
from .harness import Sample, measure


@dataclass(frozen=True, slots=True)
class Stage:
    """Running servers, ready to be measured."""

    folder: Path
    backend: processes.Server
    proxies: dict[str, processes.Server]
    load_cpus: set[int] | None              # where wrk and the backend run; None: anywhere

    def load(self, name: str, body: str, load: wrk.Load) -> Sample:
        """Put `load` on one proxy and charge it for it."""
        server = self.proxies[name]
        url = f"http://127.0.0.1:{server.port}/api/{body}"
        return measure(
            server.pid, lambda: wrk.run(url, load, scratch=self.folder, host=rivals.HOST, cpus=self.load_cpus),
            beside=[self.backend.pid])

    def log_path(self, name: str) -> Path:
        """The access log of a proxy that writes one."""
        return self.folder / name / "access.log"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder in memory, where a slow disk cannot disturb, readable by servers that give up root."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hotpath-bench-", dir=memory) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def stage(names: list[str], *, workers: int = 1, connections: int = 4096, pinned: bool = False) -> Iterator[Stage]:
    """Start a backend and the proxies `names`.

    With `pinned`, the proxies have the first CPU to themselves, so that their CPU is the limit; wrk and the backend
    share the others.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if pinned and len(cpus) < 2:
        raise processes.StartError("pinning needs two CPUs")
    load_cpus = set(cpus[1:]) if pinned else None
    ports = processes.free_ports(2 + len(names))
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        backend = stack.enter_context(rivals.backend(folder, (ports[0], ports[1]), cpus=load_cpus))
        proxies = {}
        for name, port in zip(names, ports[2:], strict=True):
            own = folder / name
            own.mkdir()
            setup = rivals.Setup(own, port, (ports[0], ports[1]), workers, connections)
            server = rivals.PROXIES[name](setup)
            server.name = name
            server.cpus = {cpus[0]} if pinned else None
            proxies[name] = stack.enter_context(server)
        yield Stage(folder, backend, proxies, load_cpus)
