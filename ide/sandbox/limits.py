"""How much the programs of a project may use: what the kernel counts for each process, and for all together."""
from __future__ import annotations

import math
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from hotpath.ide.config import SandboxConfig

# Programs of a project go first when the machine runs out of memory, and last when it runs out of time.
OOM_SCORE = 900
NICE = 5
STACK = 64 * 1024**2        # the first thread's may grow so far: RLIMIT_DATA does not count it
SOFT_STACK = 8 * 1024**2

# RLIMIT_DATA counts 8 MiB for the stack of each thread, used or not.
RESERVED = 4

Bound = tuple[int, int, int]        # RLIMIT_, soft, hard


def bounds(config: SandboxConfig, *, n_processes: int | None, counted: bool) -> list[Bound]:
    """The rlimits of one program. `n_processes`: for all of the user in this user namespace; None: leave it.

    Memory is RLIMIT_DATA: RLIMIT_AS counts what is only reserved, of which node takes many gigabytes at its start.
    `counted`: a control group counts what is really used, so this may be generous.
    """
    data = config.memory * (RESERVED if counted else 1)
    found = [
        (resource.RLIMIT_DATA, data, data),
        (resource.RLIMIT_NOFILE, min(1024, config.nofile), config.nofile),
        (resource.RLIMIT_FSIZE, config.file_size, config.file_size),
        (resource.RLIMIT_STACK, SOFT_STACK, STACK),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 1024**2, 1024**2),
        (resource.RLIMIT_RTPRIO, 0, 0),
    ]
    if n_processes is not None:
        found.append((resource.RLIMIT_NPROC, n_processes, n_processes))
    return found


@dataclass(frozen=True, slots=True)
class Processors:
    """Which processors a project runs on, where no control group shares them out."""

    allowed: Sequence[int]

    @classmethod
    def of_server(cls) -> Processors:
        """Those that we may use."""
        return cls(sorted(os.sched_getaffinity(0)))

    def chosen(self, cpus: float, id: str) -> list[int] | None:
        """As many whole ones as `cpus` asks for, others for other projects; None: all of them."""
        n = max(1, math.ceil(cpus))
        if n >= len(self.allowed):
            return None
        first = int.from_bytes(id.encode()[-4:], "big") % len(self.allowed)
        return [self.allowed[(first + i) % len(self.allowed)] for i in range(n)]
