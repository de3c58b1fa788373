"""A server's processes: start them, read what they cost, leave none behind."""
from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 10.0


class StartError(Exception):
    """A server did not come up; its own words are in the message."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds since birth, in user code and in the kernel."""

    user_s: float
    sys_s: float

    def __sub__(self, earlier: Cpu) -> Cpu:
        """What was spent since `earlier`."""
        return Cpu(self.user_s - earlier.user_s, self.sys_s - earlier.sys_s)

    @property
    def total_s(self) -> float:
        """User and system time together."""
        return self.user_s + self.sys_s


def children(pid: int) -> list[int]:
    """Direct children of `pid`, whichever thread forked them; empty when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def tree(pid: int) -> list[int]:
    """`pid` and all that descend from it, parents first."""
    found = [pid]
    for each in found:
        found += children(each)
    return found


def cpu(pid: int) -> Cpu:
    """CPU time of the whole tree under `pid`, with what its dead and reaped children used."""
    ticks = [0, 0]
    for each in tree(pid):
        with suppress(OSError):     # died since we listed it: its parent's cutime has it now
            # proc(5): field 2 may hold spaces and ends at the last ")"; 14 to 17 are utime stime cutime cstime.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks[0] += int(fields[11]) + int(fields[13])
            ticks[1] += int(fields[12]) + int(fields[14])
    return Cpu(ticks[0] / TICKS_PER_S, ticks[1] / TICKS_PER_S)


def machine_busy_s() -> float:
    """CPU seconds that all processors spent busy since boot, including what the hypervisor took (steal)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def pss_bytes(pid: int) -> int:
    """Proportional set size of the tree: pages shared by n processes count 1/n in each."""
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_until_connectable(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once 127.0.0.1:`port` accepts; StartError when the process ends or the deadline passes first."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"exited with {process.returncode} before listening on port {port}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise StartError(f"port {port} not open after {START_DEADLINE_S:.0f} s")


def free_ports(n: int) -> list[int]:
    """`n` different TCP ports that nobody held a moment ago, from below the range that outgoing connections use.

    Chosen at random: whoever else looks for some at this moment finds others.
    """
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20000, first_ephemeral), k=first_ephemeral - 20000):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == n:
            return found
    raise StartError(f"no {n} free ports below {first_ephemeral}")


def pinned(argv: list[str], cpus: set[int] | None) -> list[str]:
    """`argv` made to run only on `cpus`, with all that it forks; None: anywhere."""
    return argv if cpus is None else ["taskset", "-c", ",".join(map(str, sorted(cpus))), *argv]


def confined(argv: list[str], group: Path | None) -> list[str]:
    """`argv` made to run in that control group, with all that it forks; None: wherever we are."""
    return argv if group is None else ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"), *argv]


@dataclass(slots=True)
class Server:
    """One running server: a context manager that starts it in its own process group and ends the group with it."""

    name: str
    argv: list[str]
    port: int
    output: Path                                # stdout and stderr of the server
    cpus: set[int] | None = None                # run only on these
    group: Path | None = None                   # run in this control group
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The first process, parent of all others."""
        assert self.process is not None, "not started"
        return self.process.pid

    def __enter__(self) -> Self:
        """Start it and wait until it accepts; StartError, with its output, when it does not."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(confined(pinned(self.argv, self.cpus), self.group),
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True)
        try:
            wait_until_connectable(self.port, self.process)
        except BaseException as error:
            self.stop()
            if isinstance(error, StartError):
                words = self.output.read_text(errors="replace").strip()[-2000:]
                raise StartError(f"{self.name}: {error}\n{words}") from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Ask the first process to end, then kill what is left of its group."""
        assert self.process is not None, "not started"
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_DEADLINE_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)         # start_new_session made pid the group's number
        self.process.wait()
