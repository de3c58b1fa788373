"""Gateways of all contenders, each started as its users would: what they cost, and what their sockets ask for."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from . import chat_drivers, chat_house
from .chat_house import House, Plan
from .machine import first_line, packages
from .processes import Server, StartError, free_ports

OURS = "hotpath"
NPM_WS = "npm ws"
FLOOR = "bare C loop"       # no gateway, but what any would cost at least
RIVALS = ("picows", "picows, joined", "picows, lean", "websockets", "socketify", NPM_WS, FLOOR)
PACKAGES = ["picows", "websockets", "socketify", "uvloop"]
WS_VERSION = "8"        # the major one; npm takes its newest
HERE = Path(__file__).resolve().parent
NOTHING_SAID = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gateway that runs."""

    name: str
    pid: int                    # of the process that holds the sockets, and nothing else
    port: int
    topic: Callable[[int], str]                     # of a channel's events in Redis
    channels: Sequence[int]                         # ids, by the plan's numbers
    targets: Callable[[Sequence[int]], list[str]]   # what the sockets of these users ask for
    start: str                                      # what each says first


def node_folder() -> Path:
    """A folder with ws from npm in its node_modules; it is installed there once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hotpath-bench" / "ws"
    if not (cache / "node_modules" / "ws" / "package.json").exists():
        if not (shutil.which("npm") and shutil.which("node")):
            raise StartError("npm ws needs node and npm")
        cache.mkdir(parents=True, exist_ok=True)
        argv = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", f"ws@{WS_VERSION}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartError(f"{' '.join(argv)}: {done.stderr[-1000:]}")
    return cache


def missing(name: str) -> str:
    """Why a rival cannot run here; nothing when it can."""
    if name == FLOOR:
        return ""
    if name == NPM_WS:
        try:
            node_folder()
        except StartError as error:
            return str(error)
        return ""
    try:
        metadata.version(name.partition(",")[0])
    except metadata.PackageNotFoundError as error:
        return f"{error} is not installed"
    return ""


def versions() -> str:
    """Of the rivals that are here."""
    found = "absent"
    if not missing(NPM_WS):
        found = json.loads((node_folder() / "node_modules" / "ws" / "package.json").read_text())["version"]
    return f"{packages(PACKAGES)}, ws {found} on node {first_line('node', '--version')}"


@contextmanager
def rival(name: str, folder: Path, plan: Plan, *, redis_port: int, prefix: str | None = None,
          channels: Sequence[int] = (), cpus: set[int] | None = None) -> Iterator[Gate]:
    """One of RIVALS on a Redis that runs. `channels`: the ids it shall know; numbers from 1 without."""
    port, = free_ports(1)
    prefix = prefix or f"{hashlib.sha256(name.encode()).hexdigest()[:8]}:"
    known = channels or range(1, plan.channels + 1)
    if name == NPM_WS:
        # ws is found from the folder it was installed in.
        argv = ["env", "-C", str(node_folder()), "node", str(HERE / "chat_gateway.mjs")]
    elif name == FLOOR:
        argv = [str(chat_drivers.built(folder, "chat_floor"))]
    else:
        argv = [sys.executable, "-P", str(HERE / "chat_gateways.py"), name]
    argv += [str(port), str(redis_port), prefix]

    def targets(users: Sequence[int]) -> list[str]:
        return ["/?channel=" + ",".join(str(known[channel]) for channel in plan.channels_of(i)) for i in users]

    with Server(name, argv, port, folder / f"{port}.out", cpus) as server:
        yield Gate(name, server.pid, port, lambda channel: f"{prefix}c:{channel}", known, targets, NOTHING_SAID)


def of_house(found: House, name: str = "g1") -> Gate:
    """A gateway of a chat of ours."""
    pid, port = found.gateway(name)
    return Gate(OURS, pid, port, lambda channel: f"{found.prefix}c:{channel}", found.people.channels,
                lambda users: found.targets(name, users), chat_house.START)


@contextmanager
def ours(folder: Path, plan: Plan, *, redis_port: int, cpus: set[int] | None = None,
         others: set[int] | None = None) -> Iterator[Gate]:
    """Ours, of a whole chat whose other parts run on `others`; it takes events that are in no database."""
    with chat_house.house(folder, plan, redis_port=redis_port, head_check=chat_house.NO_HEAD_CHECK,
                          cpus=others) as found:
        gate = of_house(found)
        if cpus is not None:
            chat_house.pin(gate.pid, cpus)
        yield gate


@contextmanager
def gate_of(name: str, folder: Path, plan: Plan, *, redis_port: int, cpus: set[int] | None = None,
            others: set[int] | None = None) -> Iterator[Gate]:
    """The gateway of any contender."""
    if name == OURS:
        with ours(folder / "hotpath", plan, redis_port=redis_port, cpus=cpus, others=others) as gate:
            yield gate
    elif name in RIVALS:
        with rival(name, folder, plan, redis_port=redis_port, cpus=cpus) as gate:
            yield gate
    else:
        raise StartError(f"no gateway {name!r}: {', '.join((OURS, *RIVALS))}")


def two_sides() -> tuple[set[int] | None, set[int] | None]:
    """The gateway's CPU and all others; with a single CPU nobody is bound to anything."""
    cpus = sorted(os.sched_getaffinity(0))
    return ({cpus[0]}, set(cpus[1:])) if len(cpus) > 1 else (None, None)
