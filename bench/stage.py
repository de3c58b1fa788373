"""A stage for the proxies: a scratch folder, one backend, any of the rivals in front of it."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import answers, processes, rivals, wrk
from .harness import Sample, measure
from .quota import cpu_quota
from .rivals import PLAIN, Wiring


@dataclass(frozen=True, slots=True)
class Stage:
    """Running servers, ready to be measured."""

    folder: Path
    backend: processes.Server
    proxies: dict[str, processes.Server]
    wiring: Wiring

    def url(self, name: str, body: str) -> str:
        """Of that body behind that proxy."""
        return f"{'https' if self.wiring.tls else 'http'}://127.0.0.1:{self.proxies[name].port}/api/{body}"

    def run(self, name: str, body: str, load: wrk.Load) -> wrk.Outcome:
        """Put `load` on one proxy."""
        return wrk.run(self.url(name, body), load, scratch=self.folder, host=rivals.HOST)

    def load(self, name: str, body: str, load: wrk.Load) -> Sample:
        """Put `load` on one proxy and charge it for it."""
        return measure(self.proxies[name].pid, lambda: self.run(name, body, load), beside=[self.backend.pid])

    def check(self, bodies: list[str]) -> None:
        """Raise WrongAnswer unless every proxy does its work."""
        for server in self.proxies.values():
            try:
                answers.check(server, bodies, self.wiring, trusted=self.trusted)
            except OSError as error:
                raise rivals.WrongAnswer(f"{server.name}: {error}") from error

    @property
    def trusted(self) -> Path | None:
        """The certificate that all proxies show; None without TLS."""
        return self.folder / "certificate" if self.wiring.tls else None

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
def stage(names: list[str], *, workers: int = 1, connections: int = 4096, wiring: Wiring = PLAIN,
          quota_cpus: float | None = None) -> Iterator[Stage]:
    """Start a backend and the proxies `names`.

    With `quota_cpus`, the processes of all proxies together get no more CPU than that; one has work at a time.
    """
    ports = processes.free_ports(2 + len(names))
    pair = ports[0], ports[1]
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        if wiring.tls:
            rivals.make_certificate(folder)
        group = None if quota_cpus is None else stack.enter_context(cpu_quota(quota_cpus))
        backend = stack.enter_context(rivals.backend(folder, pair))
        servers = rivals.addresses(folder, pair, wiring)
        proxies = {}
        for name, port in zip(names, ports[2:], strict=True):
            own = folder / name
            own.mkdir()
            server = rivals.PROXIES[name](rivals.Setup(own, port, servers, workers, connections, wiring))
            server.name = name
            server.group = group
            proxies[name] = stack.enter_context(server)
        yield Stage(folder, backend, proxies, wiring)
