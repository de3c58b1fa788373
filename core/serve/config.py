"""What every server's configuration says, and its flags."""
from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NoReturn, TypeVar

import msgspec

from hotpath.core.config import NO_FLAGS, OFF, ONE_OR_MANY, Address, ConfigError, Duration, Flag, Section, Size, load

LogFormat = Literal["combined", "json"]


class Timeouts(Section, frozen=True):
    """How long each step may take; 0: for ever."""

    head: Duration = 10.0   # from the first byte of a head, or from the accept, to its end
    idle: Duration = 60.0   # between two requests of a connection
    body: Duration = 30.0   # of waiting for a body; what arrives buys more time at `limits.body_rate`
    send: Duration = 30.0   # in which the client takes nothing
    drain: Duration = 30.0  # for the last requests of a worker that ends


class Limits(Section, frozen=True):
    """What one client may ask for."""

    line: Annotated[Size, msgspec.Meta(ge=64, le=65536)] = 8 * 1024         # bytes of the request line
    head: Annotated[Size, msgspec.Meta(ge=256, le=60 * 1024)] = 32 * 1024   # bytes of a whole request head
    fields: Annotated[int, msgspec.Meta(ge=1, le=256)] = 100                # header fields of one request
    # bytes of a request's body, where its route has no limit of its own; off: any
    body: Annotated[Size | None, OFF] = 1024 * 1024
    body_rate: Size = 1024  # bytes per second: what arrives of a body buys more time at this rate
    connections: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10_000    # of one worker; 0: any
    requests: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0    # of one connection; 0: any
    unsent: Annotated[Size, msgspec.Meta(ge=4096, le=2**30)] = 256 * 1024    # above it, whoever produces waits


class AccessLog(Section, frozen=True):
    """One line per request."""

    short: ClassVar = "path"

    path: str = "-"                 # "-": standard output
    format: LogFormat = "combined"  # combined: as Apache's; json: an object on each line
    buffer: Size = 64 * 1024        # lines are gathered up to this size
    flush: Duration = 1.0           # and wait no longer than this


class ErrorLog(Section, frozen=True):
    """What went wrong, one line per event."""

    short: ClassVar = "path"

    path: str = "-"                                                 # "-": standard error
    level: Literal["debug", "info", "warning", "error"] = "info"    # what weighs less is left out
    format: Literal["text", "json"] = "text"                        # text: key=value; json: an object on each line


class Log(Section, frozen=True):
    """The two logs."""

    access: Annotated[AccessLog | None, OFF] = msgspec.field(default_factory=AccessLog)
    error: ErrorLog = msgspec.field(default_factory=ErrorLog)


class ServeConfig(Section, frozen=True):
    """What every server on the core understands; a service adds fields of its own in a subclass."""

    # where it listens: one address, or a list; port 0: a free one
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8000),)
    # processes; auto: one per CPU that we may use
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = "auto"
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    limits: Limits = msgspec.field(default_factory=Limits)
    log: Log = msgspec.field(default_factory=Log)
    pid_file: str | None = None     # where the pid is written
    user: str | None = None         # who serves, once the sockets are bound; needs root

    @property
    def worker_count(self) -> int:
        """How many workers to start: `auto` is one per CPU that we may use."""
        return min(256, len(os.sched_getaffinity(0))) if self.workers == "auto" else self.workers


C = TypeVar("C", bound=ServeConfig)


class Flags:
    """What the command line says; it wins over the file."""

    def __init__(
        self, config: str | None = None, listen: str | None = None, workers: str | int | None = None,
        more: Mapping[str, Flag] = NO_FLAGS
    ) -> None:
        """`config` is the file's path; None: every default. `more`: the service's own flags, by the key they give."""
        self.config = config
        self.listen = listen
        self.workers = workers
        self.more = more

    @classmethod
    def of(cls, given: argparse.Namespace, model: type[ServeConfig], names: Mapping[str, str]) -> Flags:
        """What was parsed. A flag whose `dest` is a key of `model` gives it, unless it is None.

        `names`: how a flag is typed, by its `dest`, where that is not `--dest`.
        """
        more = {
            field.encode_name: Flag(names.get(field.name, f"--{field.name.replace('_', '-')}"), value)
            for field in msgspec.structs.fields(model)
            if field.name not in ("listen", "workers") and (value := getattr(given, field.name, None)) is not None
        }
        return cls(given.config, given.listen, given.workers, more)

    def load(self, model: type[C]) -> C:
        """The file and the flags. Raises ConfigError."""
        config = load(self.config, model, self.more)
        if self.listen is not None:
            try:
                address = Address.parse(self.listen)
            except ValueError as error:
                raise ConfigError("--listen", 0, "", str(error)) from None
            config = msgspec.structs.replace(config, listen=(address,))
        if self.workers is not None:
            text = str(self.workers)
            if text != "auto" and not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 256):
                raise ConfigError("--workers", 0, "", f"{text!r} is not allowed; allowed: auto, or 1 to 256")
            config = msgspec.structs.replace(config, workers="auto" if text == "auto" else int(text))
        return config


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit status 2."""
        allowed = "" if "allowed: " in message else "; allowed: see --help"
        self.exit(2, f"{self.prog}: {message}{allowed}\n")


def add_flags(parser: argparse.ArgumentParser, *, alone: bool = False) -> None:
    """The flags that every `serve` command takes; `alone`: of a server that is one process."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration (YAML); without one, every default")
    parser.add_argument("--listen", metavar="ADDR", help=f"instead of the file's listen: {Address.forms}")
    workers = "this server is one process: 1" if alone else "instead of the file's workers: auto, or 1 to 256"
    parser.add_argument("--workers", metavar="N", help=workers)
    parser.add_argument("-t", "--check", action="store_true", help="check and exit: 0, or 2 with the reason")
