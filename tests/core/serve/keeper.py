"""A service with a journal and a lock, for the tests of a server that is alone.

    python -P keeper.py serve --name NAME --data FOLDER [--peer URL]... [--config FILE] [--listen ADDR]
"""
from __future__ import annotations

import argparse
import fcntl
import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import msgspec

from hotpath.core.config import ConfigError, Section
from hotpath.core.serve import Request, Response, Router, ServeConfig
from hotpath.core.serve.config import Parser, add_flags
from hotpath.core.serve.service import serve
from hotpath.core.solo import die
from hotpath.core.tasks import Event, offload


class Peer(Section, frozen=True):
    """Another keeper."""

    url: Annotated[str, msgspec.Meta(pattern="^http://")]


class KeeperConfig(ServeConfig, frozen=True, kw_only=True):
    """What it needs; `name` has no default."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z]{1,8}$")]
    data: str = "."
    peers: tuple[Peer, ...] = ()
    in_use: bool = False            # give up at once where another has the lock
    open_gate: str | None = None    # FIFOs that are read to their end before it is open, and before it is closed
    stop_gate: str | None = None
    refuse: bool = False            # a reload


class Keeper:
    """Lines in a journal."""

    def __init__(self, config: KeeperConfig) -> None:
        self.config = config
        self.reason: str | None = None
        self.draining = Event()

    def open(self) -> None:
        offload(self.take)
        self.lines = (Path(self.config.data) / "journal").read_text().splitlines()

    def take(self) -> None:
        if self.config.open_gate:
            Path(self.config.open_gate).read_bytes()
        self.fd = os.open(Path(self.config.data) / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | (fcntl.LOCK_NB if self.config.in_use else 0))
        except BlockingIOError:
            raise ConfigError(self.config.data, 0, "", "another keeper has it") from None

    def keep(self, line: str) -> None:
        os.write(self.fd, f"{line}\n".encode())
        os.fdatasync(self.fd)
        self.lines.append(line)

    def close(self) -> None:
        print("closing", file=sys.stderr, flush=True)
        if self.config.stop_gate:
            Path(self.config.stop_gate).read_bytes()
        self.keep(f"closed {os.getpid()}")
        os.close(self.fd)

    def reload(self, config: ServeConfig) -> None:
        assert isinstance(config, KeeperConfig)
        if config.refuse:
            raise ConfigError("", 0, "refuse", "it was told to")
        self.config = config


def app_of(config: KeeperConfig) -> Router:
    """Its routes and hooks."""
    app, keeper = Router(), Keeper(config)
    app.ready = lambda: keeper.reason
    app.at_open(keeper.open)
    app.at_reload(keeper.reload)
    app.at_drain(keeper.draining.set)
    app.at_stop(keeper.close)

    @app.route("GET", "/lines")
    def lines(request: Request) -> Response:
        return Response.json(keeper.lines)

    @app.route("POST", "/lines")
    def keep(request: Request) -> Response:
        keeper.keep(request.body().decode())
        return Response.json(os.getpid(), 201)

    @app.route("GET", "/who")
    def who(request: Request) -> Response:
        return Response.json([os.getpid(), os.getuid(), keeper.config.name, [peer.url for peer in keeper.config.peers]])

    @app.route("POST", "/reason")
    def excuse(request: Request) -> Response:
        keeper.reason = request.body().decode() or None
        return Response("")

    @app.route("GET", "/until-drained")
    def until_drained(request: Request) -> Response:
        print("waiting", file=sys.stderr, flush=True)
        keeper.draining.wait()
        return Response("drained")

    @app.route("GET", "/for-ever")
    def for_ever(request: Request) -> Response:
        print("waiting", file=sys.stderr, flush=True)
        Event().wait()
        return Response("")

    @app.route("GET", "/gate/{path:path}")
    def behind_a_gate(request: Request, path: str) -> Response:
        print("waiting", file=sys.stderr, flush=True)
        offload(Path(f"/{path}").read_bytes)
        return Response.json(os.getpid())

    @app.route("POST", "/die")
    def end(request: Request) -> Response:
        threading.Thread(target=die, args=("disk failed cause=%s", "a test"), daemon=True).start()
        Event().wait()
        return Response("")

    return app


def main() -> int:
    """The command."""
    parser = Parser(prog="keeper", allow_abbrev=False)
    command = parser.add_subparsers(required=True, parser_class=Parser).add_parser("serve")
    add_flags(command)
    command.add_argument("--name")
    command.add_argument("--data")
    command.add_argument("--peer", action="append", dest="peers", type=lambda url: {"url": url})
    command.add_argument("--in-use", action="store_true", default=None)
    command.add_argument("--open-gate")
    command.add_argument("--stop-gate")
    given: argparse.Namespace = parser.parse_args()
    return serve(app_of, given, model=KeeperConfig, names={"peers": "--peer"}, alone=True)


if __name__ == "__main__":
    sys.exit(main())
