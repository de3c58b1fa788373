"""`hotpath-crdt demo`: three replicas and their page in one command.

They are what `hotpath-crdt serve` starts, each a process with a data directory of its own, peers of each other, with
`--drill` so that the page may cut them apart. One that dies is started again.
"""
from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hotpath.core.config import Address
from hotpath.core.probing import is_well
from hotpath.core.supervise import Part, Supervisor

from .config import TOKEN_VARIABLE

NAMES = ("a", "b", "c")
DEFAULT_LISTEN = "127.0.0.1:8091"
CONFIG = Path(__file__).with_name("demo.yaml")
CHECK_EVERY_S = 0.1             # while a replica is not well
IDLE_S = 60.0                   # all are well: signals, deaths and output wake us
# Before all were well once we give up on one that refuses to start (it says why and ends with 1 or 2), that dies this
# often, or that is not well by then; later, whatever happens is repaired for as long as we run.
REFUSALS = (1, 2)
DEATHS_ALLOWED = 5
WELL_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0            # more than the drain in demo.yaml


class CannotStart(Exception):
    """There is nothing to start; the message is the line for the person at the keyboard."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of `hotpath-crdt demo`."""
    parser.description = ("Start three replicas and a page that cuts them apart and heals them. Ctrl-C stops them; a "
                          "second one stops them at once.")
    parser.add_argument("--listen", default=DEFAULT_LISTEN, metavar="HOST:PORT", help=(
        "where replica a listens, and the page is; b and c take the next two ports, or free ones where those are "
        "taken; port 0 takes a free one (default: %(default)s)"))
    parser.add_argument("--data", metavar="DIR", type=Path, help=(
        "keep the replicas' data in DIR/a, DIR/b and DIR/c (default: a temporary directory, removed at the end)"))


def run(listen: str, data: Path | None) -> int:
    """Start the replicas, keep them, end them.

    Exit status: 0 after a clean stop, 1 when a replica does not get well, 2 for bad use.
    """
    logging.basicConfig(stream=sys.stdout, format="demo | %(message)s", level=logging.INFO)
    try:
        with ExitStack() as stack:
            addresses = choose(listen)
            folder = stack.enter_context(folder_for(data))
            supervisor = stack.enter_context(Supervisor(parts(addresses, folder), write=say))
            return keep(supervisor, addresses, data)
    except CannotStart as error:
        print(f"hotpath-crdt demo: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our log went away, and the interpreter would complain about that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def keep(supervisor: Supervisor, addresses: Mapping[str, Address], data: Path | None) -> int:
    """Wait until all are well, say where the page is, then run until a signal comes."""
    unwell = set(addresses)
    give_up_s = time.monotonic() + WELL_WITHIN_S
    while unwell and not supervisor.stopping:
        supervisor.turn(CHECK_EVERY_S)
        unwell -= {name for name in unwell if is_well(addresses[name])}
        hopeless = [child.part.name for child in supervisor.children
                    if (child.restarts and child.last_status in REFUSALS) or child.restarts >= DEATHS_ALLOWED]
        if hopeless or (unwell and time.monotonic() > give_up_s):
            names = ", ".join(hopeless or sorted(unwell))
            say(f"hotpath-crdt demo: cannot go on without {names}; the last words are above")
            supervisor.stop(STOP_WITHIN_S)
            return 1
    if not supervisor.stopping:
        say(welcome(addresses, data))

    restarts = {child.part.name: child.restarts for child in supervisor.children}
    while not supervisor.stopping:
        supervisor.turn(CHECK_EVERY_S if unwell else IDLE_S)
        for child in supervisor.children:
            name = child.part.name
            if child.restarts > restarts[name]:
                restarts[name] = child.restarts
                unwell.add(name)
        for name in sorted(unwell):
            if is_well(addresses[name]):
                unwell.remove(name)
                say(f"hotpath-crdt demo: {name} is back, with all it had written")
    say("hotpath-crdt demo: stopping")
    supervisor.stop(STOP_WITHIN_S)
    return 0


def choose(listen: str) -> dict[str, Address]:
    """Where each replica will listen, free at this moment. Raises CannotStart."""
    try:
        first = Address.parse(listen)
    except ValueError as error:
        raise CannotStart(f"--listen: {error}") from None
    if first.is_unix:
        raise CannotStart("--listen: a browser cannot open a unix socket; allowed: HOST:PORT")
    if not first.is_loopback:
        raise CannotStart(f"--listen: {first} can be reached by others, and a demo asks nobody who they are; "
                          "allowed: an address of this machine alone, as 127.0.0.1:8091")
    with ExitStack() as stack:
        # All stay open until each has its own.
        sockets = [stack.enter_context(listening(first.host, first.port))]
        port = sockets[0].getsockname()[1]
        for n in range(1, len(NAMES)):
            sockets.append(stack.enter_context(listening(first.host, port + n, or_free=True)))
        return {name: Address(host=first.host, port=sock.getsockname()[1])
                for name, sock in zip(NAMES, sockets, strict=True)}


@contextmanager
def listening(host: str, port: int, *, or_free: bool = False) -> Iterator[socket.socket]:
    """A listening socket; on a free port when this one is taken and `or_free`. Raises CannotStart."""
    try:
        family, *_, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.create_server(name[:2], family=family)
    except (OSError, OverflowError) as error:
        if not or_free:
            raise CannotStart(f"--listen: cannot listen on {Address(host=host, port=port)}: {error}; "
                              "stop what listens there, or name another HOST:PORT") from None
        with listening(host, 0) as free:
            yield free
        return
    with sock:
        yield sock


@contextmanager
def folder_for(data: Path | None) -> Iterator[Path]:
    """The folder of the replicas' folders. Raises CannotStart."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix="hotpath-crdt-demo-") as folder:
            yield Path(folder)
        return
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"--data: {data} is no folder, and cannot be made: {error.strerror}") from None
    yield data


def parts(addresses: Mapping[str, Address], folder: Path) -> list[Part]:
    """Each replica as a command, with the others as its peers."""
    def command(name: str) -> list[str]:
        peers = [f"--peer={other}=http://{address}" for other, address in addresses.items() if other != name]
        return [sys.executable, "-P", "-m", "hotpath.crdt", "serve", "--config", str(CONFIG), "--replica", name,
                "--listen", str(addresses[name]), "--data", str(folder / name), "--drill", *peers]

    # A browser brings no token, so none may be asked for, whatever the environment says.
    return [Part(name, command(name), env={TOKEN_VARIABLE: ""}) for name in addresses]


def welcome(addresses: Mapping[str, Address], data: Path | None) -> str:
    """What to do now that all run."""
    page = f"http://{addresses[NAMES[0]]}/"
    replicas = ", ".join(f"{name} http://{address}" for name, address in addresses.items())
    kept = "in a temporary directory" if data is None else f"in {data}"
    return "\n".join([
        "", "hotpath-crdt demo is up:",
        f"  {page}  the page: cut, edit, heal, watch them agree",
        f"  replicas: {replicas}; data {kept}",
        f"  curl -X PUT '{page}kv/tea?upsert=true' -H 'Content-Type: application/json' -d '\"green\"'",
        "Ctrl-C stops it.", ""])


def say(line: str) -> None:
    """One line on stdout, at once."""
    print(line, flush=True)
