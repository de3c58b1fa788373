"""`hotpath up`: the whole house on one machine, behind the proxy.

Starts every part, says where to look when all of them are well, keeps them running, shows their logs as one stream,
and ends them together. What they are doing stands in `status.json`, which the landing page reads.
"""
from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotpath import __version__
from hotpath.core.config import Address
from hotpath.core.probing import is_well
from hotpath.core.supervise import Part, Supervisor

HERE = Path(__file__).parent
DEFAULT_LISTEN = "127.0.0.1:8080"
CHECK_EVERY_S = 2.0
CHECK_AGAIN_S = 0.1             # while something is not well yet
# Before the house is up for the first time we give up on a part that refuses its configuration (status 2), dies this
# often (3 s in all), or is not well by then; later, whatever happens is repaired for as long as we run.
DEATHS_ALLOWED = 5
WELL_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0            # more than the drain in up.yaml


@dataclass(frozen=True, slots=True)
class Member:
    """A part of the house with what a visitor should know of it."""

    part: Part
    title: str
    about: str
    health: tuple[Address, str]                     # where `GET path` answers 200 when it is well
    links: Mapping[str, str]                        # paths on the proxy, to what is there


class CannotStart(Exception):
    """The house cannot be started; the message is the line for the person at the keyboard."""


def main(argv: Sequence[str] | None = None) -> int:
    """The `hotpath` command. Exit status: 0 after a clean stop, 1 when a part does not get well, 2 for bad use."""
    parser = argparse.ArgumentParser(
        prog="hotpath", description="Classic systems on one small hand-written Cython core.")
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start everything that exists, behind the proxy", description=(
        "Start every system behind the proxy, on embedded defaults, and keep it running. "
        "Ctrl-C stops it; a second one stops it at once."))
    up.add_argument("--listen", default=DEFAULT_LISTEN, metavar="HOST:PORT",
                    help="where the proxy listens; port 0 takes a free one (default: %(default)s)")
    options = parser.parse_args(argv)

    logging.basicConfig(stream=sys.stdout, format="hotpath  | %(message)s", level=logging.INFO)
    try:
        return run(options.listen)
    except CannotStart as error:
        print(f"hotpath up: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our log went away, and the interpreter would complain about that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def run(listen: str) -> int:
    """Start the house, keep it, end it."""
    with ExitStack() as stack:
        address = choose(listen)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotpath-up-")))
        status = folder / "public" / "status.json"
        status.parent.mkdir()
        members = furnish(address, folder, stack)
        supervisor = stack.enter_context(Supervisor([member.part for member in members], write=say))
        watch = Watch(members, supervisor, status)

        give_up_s = time.monotonic() + WELL_WITHIN_S
        while not supervisor.stopping and not watch.all_well:
            hopeless = [child.part.name for child in supervisor.children
                        if child.last_status == 2 or child.restarts >= DEATHS_ALLOWED]
            if hopeless or time.monotonic() > give_up_s:
                say(f"hotpath up: cannot go on without {', '.join(hopeless or watch.unwell)}; its own words are above")
                supervisor.stop(STOP_WITHIN_S)
                return 1
            supervisor.turn(CHECK_AGAIN_S)
            watch.check()
        if not supervisor.stopping:
            say(welcome(address, members))
        while not supervisor.stopping:
            supervisor.turn(CHECK_EVERY_S)
            watch.check_when_due()
        say("hotpath up: stopping")
        supervisor.stop(STOP_WITHIN_S)
    return 0


def furnish(address: Address, folder: Path, stack: ExitStack) -> list[Member]:
    """Every part of the house, with the sockets they inherit; a new system adds its members here."""
    samples = [stack.enter_context(listening("127.0.0.1")) for _ in range(2)]
    return [proxy(address, folder, samples), *(sample(n, sock) for n, sock in enumerate(samples, 1))]


def proxy(address: Address, folder: Path, samples: Sequence[socket.socket]) -> Member:
    """The front door: `up.yaml` with today's addresses."""
    admin = Address(path=str(folder / "admin.sock"))
    return Member(
        Part("proxy", [sys.executable, "-P", "-m", "hotpath.proxy", "-c", str(HERE / "up.yaml")], env={
            "HOTPATH_UP_LISTEN": str(address),
            "HOTPATH_UP_ADMIN": str(admin),
            "HOTPATH_UP_PAGE": str(HERE / "page"),
            "HOTPATH_UP_STATUS": str(folder / "public"),
            **{f"HOTPATH_UP_SAMPLE_{n}": str(address_of(sock)) for n, sock in enumerate(samples, 1)},
        }),
        title="Reverse proxy",
        about="Routes, balances, limits and logs every request of this house, this page included.",
        health=(admin, "/healthz"), links={"/": "this page, served by it"})


def sample(n: int, sock: socket.socket) -> Member:
    """One of the servers behind the sample route."""
    name = f"sample-{n}"
    return Member(
        Part(name, [sys.executable, "-P", "-m", "hotpath.sample", "--fd", str(sock.fileno()), "--name", name],
             pass_fds=[sock.fileno()]),
        title=f"Sample server {n}",
        about="A small HTTP server for the proxy to balance over.",
        health=(address_of(sock), "/healthz"),
        links={"/sample/whoami": "who answers?", "/sample/echo": "what arrived?"})


class Watch:
    """Asks every member how it is, and writes down what it heard."""

    def __init__(self, members: Sequence[Member], supervisor: Supervisor, status: Path) -> None:
        self.members = members
        self.supervisor = supervisor
        self.status = status
        self.latency_ms: dict[str, float | None] = {member.part.name: None for member in members}   # None: not well
        self.due_s = 0.0

    @property
    def unwell(self) -> list[str]:
        """The names of the parts that did not answer the last check."""
        return [name for name, latency_ms in self.latency_ms.items() if latency_ms is None]

    @property
    def all_well(self) -> bool:
        """Whether every part answered the last check."""
        return not self.unwell

    def check_when_due(self) -> None:
        """Check, unless that was done a moment ago."""
        if time.monotonic() >= self.due_s:
            self.check()

    def check(self) -> None:
        """Ask everybody, write the answers to the status file."""
        for member in self.members:
            self.latency_ms[member.part.name] = asked_ms(*member.health)
        self.due_s = time.monotonic() + (CHECK_EVERY_S if self.all_well else CHECK_AGAIN_S)
        # Renamed into place: the page never reads half of it.
        fresh = self.status.with_suffix(".new")
        fresh.write_text(json.dumps(self.report()), encoding="utf-8")
        fresh.rename(self.status)

    def report(self) -> dict[str, Any]:
        """What the page shows."""
        restarts = {child.part.name: child.restarts for child in self.supervisor.children}
        return {"check_every_s": CHECK_EVERY_S, "parts": [{
            "name": member.part.name, "title": member.title, "about": member.about,
            "links": [{"path": path, "text": text} for path, text in member.links.items()],
            "well": self.latency_ms[member.part.name] is not None,
            "latency_ms": self.latency_ms[member.part.name],
            "restarts": restarts[member.part.name],
        } for member in self.members]}


def asked_ms(address: Address, path: str) -> float | None:
    """Milliseconds until `GET path` was answered with 200; None when it was not."""
    started_s = time.monotonic()
    return round((time.monotonic() - started_s) * 1000, 1) if is_well(address, path) else None


def choose(listen: str) -> Address:
    """Where the proxy will listen: free at this moment, port 0 replaced by a real one. Raises CannotStart."""
    try:
        address = Address.parse(listen)
    except ValueError as error:
        raise CannotStart(f"--listen: {error}") from None
    if address.is_unix:
        raise CannotStart("--listen: a browser cannot open a unix socket; allowed: HOST:PORT")
    try:
        with listening(address.host, address.port) as sock:
            return Address(host=address.host, port=sock.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"--listen: {address} is taken; stop what listens there, or name another HOST:PORT") from None
        raise CannotStart(f"--listen: cannot listen on {address}: {error.strerror}") from None


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[socket.socket]:
    """A listening TCP socket. Raises OSError."""
    family, *_, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.create_server(name[:2], family=family) as sock:
        yield sock


def address_of(sock: socket.socket) -> Address:
    """Where it listens."""
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)


def welcome(address: Address, members: Sequence[Member]) -> str:
    """What to do now that everything runs."""
    paths = dict(link for member in members for link in member.links.items())
    urls = {f"http://{address}{path}": text for path, text in paths.items()}
    width = max(map(len, urls))
    lines = [f"  {url:{width}}  {text}" for url, text in urls.items()]
    return "\n".join(["", "hotpath is up:", *lines, "Ctrl-C stops it.", ""])


def say(line: str) -> None:
    """One line on stdout, at once. Raises BrokenPipeError when nobody reads any more."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
