"""What stands between a program and its screen: echo, throughput, CPU, Ctrl-C in a flood, memory."""
from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from . import ide_house, processes
from .harness import Spread, interleave
from .ide_house import NODE, Ide
from .ide_sockets import Bare, End, until
from .processes import Server
from .work import own_cpu

OURS, BARE = "hotpath-ide", "bare PTY"
PAYLOADS = {            # name: (command, bytes as the terminal shows them)
    "yes": ("yes | head -c 10000000", 15_000_000),
    "text": (f"yes {'x' * 74} | head -c 37500000", 38_000_000),
    "raw": ("stty raw; head -c 60000000 /dev/zero", 60_000_000),
}
FLOOD = f"yes {'y' * 74}\n".encode()
SCREEN_BYTES_PER_S = 10e6
FLOOD_S = 1.0
PROMPT = b"READY> "
SHELL = ["bash", "--norc", "--noprofile", "-i"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A payload that went through."""

    mb_per_s: float
    cpu_us_per_mb: float


class House:
    """Both servers, with what to ask of them."""

    def __init__(self, ide: Ide, node: Server) -> None:
        self.ide, self.node = ide, node
        self.project = ide.project("bench")
        self.pids = {OURS: ide.pid, NODE: node.pid}

    def begin(self, name: str, command: str) -> End:
        """A command on a terminal, by whom it says."""
        if name == OURS:
            return self.ide.run(self.project, command)
        argv = ["sh", "-c", command]
        return ide_house.node_term(self.node, argv) if name == NODE else Bare(argv)

    def shell(self, name: str) -> End:
        """A shell, at its prompt."""
        end: End
        if name == OURS:
            end = self.ide.shell(self.project)
        else:
            end = ide_house.node_term(self.node, SHELL) if name == NODE else Bare(SHELL)
        end.write(b"PS1='READ''Y> '\n")
        until(end, PROMPT)
        return end


def own_cpu_s(pid: int) -> float:
    """Of the process, without its children, which are the programs."""
    return own_cpu(pid).total_s


# ---------------------------------------------------------------------------------------------------- echo

def echoes(house: House, name: str, keys: int) -> list[float]:
    """Seconds from a key to its echo, by the terminal itself: the program only sleeps."""
    with closing(house.begin(name, "stty -icanon; echo on; exec sleep 1000")) as end:
        until(end, b"on\r\n")
        found = []
        for n in range(keys):
            key = b"%c" % (97 + n % 26)
            began = time.perf_counter()
            end.write(key)
            until(end, key)
            found.append(time.perf_counter() - began)
            time.sleep(0.001)       # as nobody types; else what is measured is a busy machine
        return found


def echo(house: House, *, keys: int, rounds: int) -> list[tuple[str, ...]]:
    """The rows."""
    taken = interleave({name: partial(echoes, house, name, keys) for name in (BARE, OURS, NODE)},
                       rounds=rounds, title="echo")
    rows = []
    for name, samples in taken.items():
        middle = [median(one) for one in samples]
        worst = [quantiles(one, n=100)[98] for one in samples]
        more = median(a - median(b) for a, b in zip(middle, taken[BARE], strict=True))
        rows.append((name, f"{median(middle) * 1e6:.0f}", "" if name == BARE else f"{more * 1e6:.0f}",
                     f"{median(worst) * 1e6:.0f}"))
    return rows


# ---------------------------------------------------------------------------------------------------- throughput

def bare_flow(command: str, size: int) -> Flow:
    """By a process that does nothing but read."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            end = Bare(["sh", "-c", command])
            began, total = time.perf_counter(), 0
            while n := end.count():
                total += n
            spent = resource.getrusage(resource.RUSAGE_SELF)
            took = time.perf_counter() - began
            os.write(theirs, json.dumps([total, took, spent.ru_utime + spent.ru_stime]).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    said = os.read(ours, 1000)
    os.close(ours)
    os.waitpid(pid, 0)
    total, took, cpu = json.loads(said)
    check_size(total, size, BARE)
    return Flow(total / took / 1e6, cpu / total * 1e12)


def least(name: str, size: int) -> int:
    """How much must come: node-pty now and then loses some KB when the program ends, and is forgiven."""
    return size - size // 1000 if name == NODE else size


def check_size(total: int, size: int, name: str) -> None:
    """That all of it came."""
    if not least(name, size) <= total <= size * 1.01 + 1000:
        raise processes.StartError(f"{name}: {total} bytes instead of {size}")


def flow(house: House, name: str, command: str, size: int) -> Flow:
    """A payload, from its first byte on."""
    if name == BARE:
        return bare_flow(command, size)
    with closing(house.begin(name, f"stty -echo; echo on; read x; {command}")) as end:
        until(end, b"on\r\n")
        before = own_cpu_s(house.pids[name])
        began, total = time.perf_counter(), 0
        end.write(b"\n")
        while data := end.read():
            total += len(data)
            if total >= least(name, size):
                break
        took = time.perf_counter() - began
        spent = own_cpu_s(house.pids[name]) - before
    check_size(total, size, name)
    return Flow(total / took / 1e6, spent / total * 1e12)


def against(samples: Sequence[Flow], bare: Sequence[Flow], figure: Callable[[Flow], float]) -> str:
    """`figure` over that of the bare PTY, by round."""
    if samples is bare:
        return ""
    return str(Spread.of([figure(a) / figure(b) for a, b in zip(samples, bare, strict=True)]))


def throughput(house: House, *, rounds: int) -> list[tuple[str, ...]]:
    """The rows."""
    rows = []
    for payload, (command, size) in PAYLOADS.items():
        taken = interleave({name: partial(flow, house, name, command, size) for name in (BARE, OURS, NODE)},
                           rounds=rounds, title=payload)
        for name, samples in taken.items():
            speed, cpu = (lambda one: one.mb_per_s), (lambda one: one.cpu_us_per_mb)
            rows.append((f"{payload}, {name}", f"{median(map(speed, samples)):.1f}",
                         against(samples, taken[BARE], speed), f"{median(map(cpu, samples)) / 1000:.2f}",
                         against(samples, taken[BARE], cpu)))
    return rows


# ---------------------------------------------------------------------------------------------------- Ctrl-C

def interrupted(house: House, name: str) -> float:
    """Seconds from Ctrl-C in a flood to the prompt, on a screen that shows 10 MB/s."""
    with closing(house.shell(name)) as end:
        end.write(FLOOD)
        due_s = began = time.perf_counter()
        while time.perf_counter() < began + FLOOD_S:
            due_s += len(end.read()) / SCREEN_BYTES_PER_S
            time.sleep(max(0.0, due_s - time.perf_counter()))
        pressed = time.perf_counter()
        end.write(b"\x03")
        until(end, PROMPT, bytes_per_s=SCREEN_BYTES_PER_S)
        return time.perf_counter() - pressed


def interrupts(house: House, *, rounds: int) -> list[tuple[str, ...]]:
    """The rows."""
    taken = interleave({name: partial(interrupted, house, name) for name in (BARE, OURS, NODE)},
                       rounds=rounds, title="Ctrl-C")
    return [(name, f"{median(times) * 1e3:.1f}", f"{max(times) * 1e3:.1f}") for name, times in taken.items()]


# ---------------------------------------------------------------------------------------------------- memory

def private_bytes(pid: int) -> int:
    """What nobody shares with the process."""
    return sum(int(line.split()[1]) * 1024 for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
               if line.startswith("Private_Dirty:"))


def memory(house: House, *, terminals: int) -> list[tuple[str, ...]]:
    """The rows: of the server's own process, for each idle shell with its client."""
    rows = []
    for name in (OURS, NODE):
        few = [house.shell(name) for _ in range(8)]         # what the first ones bring about is not theirs
        before = private_bytes(house.pids[name])
        ends: Sequence[End] = [house.shell(name) for _ in range(terminals)]
        time.sleep(1.0)
        each = (private_bytes(house.pids[name]) - before) / terminals
        rows.append((name, str(terminals), f"{each / 1024:.1f}"))
        for end in (*few, *ends):
            end.close()
    return rows
