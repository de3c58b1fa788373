"""The command `hotpath-chat`: everything at once, one part of it, or load for it."""
from __future__ import annotations

import argparse
import os
import re
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hotpath import __version__
from hotpath.core.config import Address, ConfigError, Flag, blame, dotted, load
from hotpath.core.errors import ListenError
from hotpath.core.listen import name_of
from hotpath.core.openfiles import raise_open_files
from hotpath.core.serve.command import run_command
from hotpath.core.serve.config import Parser

from .config import GATEWAY_ID, NO_UNIX, ORIGIN, ChatConfig
from .load import wanted
from .parts import redis_url

# Which key of the file a flag gives, where they are not spelled alike.
KEYS = {"gateways": "gateways.count", "redis": "redis.url", "database": "database.url"}

CONFIG_EPILOG = (
    "FILE (YAML) holds data, listen, public_url, origins, workers, registration, database: {url, pool, busy, "
    "group_commit: {max_batch, max_wait}}, redis: {url, prefix}, gateways: {count, listen, public_url, ring, "
    "resume_max, head_check, ping, drain, deflate}, limits: {send, login, connect, sockets_per_user, text, body, "
    "frame, queue_soft, queue_hard, queue_age}, and timeouts, log and pid_file as every server's. "
    "A flag wins over FILE. ")
EXITS = ("Exit status: 0 after a clean stop, 1 when something cannot run, 2 for a mistake in file or flags, "
         "with FILE:LINE: key: what is wrong, what is allowed.")


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of the configuration."""

    file: str | None
    flags: Mapping[str, Flag]

    @classmethod
    def of(cls, given: argparse.Namespace) -> Given:
        """Those flags that were typed."""
        flags = {}
        for dest in ("data", "listen", "workers", "gateways", "redis", "database"):
            value = getattr(given, dest, None)
            if value is not None:
                flags[KEYS.get(dest, dest)] = Flag(f"--{dest}", value)
        return cls(given.config, flags)

    def words(self, folder: Path) -> list[str]:
        """The command line that gives a part the same configuration; where each listens it is told apart."""
        own = {flag.name: flag.value for flag in self.flags.values() if flag.name != "--listen"}
        if self.file is not None:
            own["--config"] = str(Path(self.file).absolute())
        return [f"{name}={value}" for name, value in {**own, "--data": str(folder)}.items()]

    def config(self) -> ChatConfig:
        """The file and the flags. Raises ConfigError."""
        config = load(self.file, ChatConfig, self.flags)
        if config.user is not None:
            raise self.blame(("user",), "the data belongs to whoever started us; allowed: null, and to start "
                                        "hotpath-chat as that user")
        return config

    def blame(self, at: tuple[str | int, ...], message: str) -> ConfigError:
        """The error of a well-formed value that cannot be used after all."""
        if self.file is not None:
            return blame(self.file, ChatConfig, at, message, self.flags)
        flag = self.flags.get(dotted(at)) or self.flags.get(str(at[0]))
        return ConfigError(flag.name, 0, "", message) if flag else ConfigError("defaults", 0, dotted(at), message)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="hotpath-chat", allow_abbrev=False,
        description="Slack in small: durable before delivered, over WebSocket gateways, resumed without loss.",
        epilog="`hotpath-chat COMMAND --help` says more. " + EXITS)
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="up | api | gateway | load", required=True,
                                     parser_class=Parser)
    up = commands.add_parser(
        "up", aliases=["serve"], allow_abbrev=False, help="start everything, and keep it running (also: serve)",
        description="Start the API, the gateways and, unless one is named, a Redis; start again what dies. Ctrl-C "
                    "stops it; a second one stops it at once.",
        epilog=CONFIG_EPILOG + "Once every part answers, DATA/run.json says where each one is, and `ready: pid N, "
               "ADDRESSES` stands on stderr. Signals: TERM or INT stop. " + EXITS)
    shared_flags(up)
    up.add_argument("--listen", metavar="ADDR", help=f"of the API and the pages: {Address.forms} "
                                                     "(default: 127.0.0.1:8065; port 0: a free one)")
    up.set_defaults(run=run_up)

    api = commands.add_parser(
        "api", allow_abbrev=False, help="run the API and the pages alone",
        description="Run one API process: accounts, channels, messages, search, and the pages.",
        epilog=CONFIG_EPILOG + "An embedded Redis is the one of a running `up` with the same DATA. Signals: TERM or "
               "INT finish requests, then stop. " + EXITS)
    shared_flags(api)
    api.add_argument("--listen", metavar="ADDR", help=f"{Address.forms}, or fd:N for a listening socket that was "
                                                      "inherited (default: 127.0.0.1:8065)")
    api.add_argument("--new-epoch", action="store_true",
                     help="the database was restored from a copy: have every client forget its position")
    api.set_defaults(run=run_api)

    gateway = commands.add_parser(
        "gateway", allow_abbrev=False, help="run one gateway alone",
        description="Run one gateway: the process that holds clients' WebSockets.",
        epilog=CONFIG_EPILOG + "An embedded Redis is the one of a running `up` with the same DATA. Signals: TERM or "
               "INT close the sockets with 1001, then stop. " + EXITS)
    shared_flags(gateway)
    gateway.add_argument("--id", metavar="ID", required=True, type=gateway_id,
                         help="its name, unlike that of any other: as g1")
    gateway.add_argument("--listen", metavar="ADDR", dest="gateway_listen",
                         help=f"{Address.forms} (default: its place in gateways.listen, for g1 the first)")
    gateway.add_argument("--origin", metavar="URL", action="append", type=origin, dest="pages",
                         help="an Origin whose pages may connect; repeat it for more (default: public_url, or "
                              "http://LISTEN of the API, and origins)")
    gateway.set_defaults(run=run_gateway)

    wanted.configure(commands.add_parser("load", allow_abbrev=False, help="load a running chat, and check it"))
    return parser.parse_args(argv)


def shared_flags(parser: argparse.ArgumentParser) -> None:
    """What each part can be told."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration (YAML); without one, every default")
    parser.add_argument("--data", metavar="DIR", help="where everything is kept (default: ./chat-data)")
    parser.add_argument("--redis", metavar="URL", help="embedded, or redis://HOST:PORT/N (default: embedded)")
    parser.add_argument("--database", metavar="URL",
                        help="sqlite, or mysql+mysqlconnector://USER:PASSWORD@HOST:PORT/NAME (default: sqlite)")
    parser.add_argument("--gateways", metavar="N", type=number,
                        help="how many gateways `up` starts: 1 to 64 (default: 2)")
    parser.add_argument("--workers", metavar="N", type=number,
                        help="how many API processes `up` starts: 1 to 64; more than one needs MySQL (default: 1)")
    parser.add_argument("-t", "--check", action="store_true", help="check and exit: 0, or 2 with the reason")


def number(text: str) -> int | str:
    """A number as the file would have it; what is none is refused as the file's would be."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


def gateway_id(text: str) -> str:
    """For argparse."""
    return matched(text, GATEWAY_ID, "is no gateway's name; allowed: 1 to 16 of a-z, 0-9 and -, not - first")


def origin(text: str) -> str:
    """For argparse."""
    return matched(text, ORIGIN, "is no Origin; allowed: http://HOST:PORT or https://HOST")


def matched(text: str, pattern: str, refusal: str) -> str:
    """`text`, if it is like `pattern`."""
    if re.fullmatch(pattern, text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} {refusal}")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 when something cannot run, 2 for a mistake in file or flags."""
    return run_command("hotpath-chat", arguments(argv))


def run_up(given: argparse.Namespace) -> int:
    """Everything."""
    settings = Given.of(given)
    config = settings.config()
    if given.check:
        return checked(settings, config)
    # Each part imports what it alone needs: a gateway starts in half the time without Flask.
    from .up import Up
    return Up(config, settings.words(config.folder.absolute()), blame=settings.blame).run()


def run_api(given: argparse.Namespace) -> int:
    """One API process."""
    inherited = inherited_fd(given.listen)
    if inherited is not None:
        given.listen = name_of(inherited)
    settings = Given.of(given)
    config = settings.config()
    if given.check:
        return checked(settings, config)
    raise_open_files()
    config = prepared(settings, config)
    from .api import server
    return bound(settings, lambda: server.run(config, listen=inherited, new_epoch=given.new_epoch))


def run_gateway(given: argparse.Namespace) -> int:
    """One gateway."""
    settings = Given.of(given)
    config = settings.config()
    listen = gateway_listen(given.id, given.gateway_listen, config)
    if given.check:
        return checked(settings, config)
    raise_open_files()
    origins = frozenset(given.pages) if given.pages else config.allowed_origins(str(config.listen[0]))
    from . import gateway
    return gateway.run(prepared(settings, config), given.id, listen, origins=origins)


def checked(settings: Given, config: ChatConfig) -> int:
    """What `--check` says of a good configuration. Raises ConfigError for one that cannot be used here."""
    check_folder(settings, config)
    access = config.log.access.path if config.log.access is not None else "-"
    for name, path in (("error", config.log.error.path), ("access", access)):
        if path != "-" and not os.access(path if os.path.exists(path) else Path(path).parent, os.W_OK):
            raise settings.blame(("log", name, "path"), f"{path!r} cannot be written")
    print(f"{settings.file or 'defaults'}: ok")
    return 0


def check_folder(settings: Given, config: ChatConfig) -> None:
    """Whether the data directory is one, or can be made. Raises ConfigError."""
    folder = config.folder.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise settings.blame(("data",), f"{nearest} is no directory; allowed: a directory, or one to be made")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise settings.blame(("data",), f"{nearest} cannot be written; allowed: a directory that we may write")


def prepared(settings: Given, config: ChatConfig) -> ChatConfig:
    """The configuration of a part that runs by itself: a folder that is there, and a Redis that has an address.

    The pid file is `up`'s: each part would write its own over it.
    """
    check_folder(settings, config)
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = redis_url(config.folder) if config.redis.is_embedded else config.redis.url
    return msgspec.structs.replace(config, pid_file=None, redis=msgspec.structs.replace(config.redis, url=url))


def gateway_listen(name: str, flag: str | None, config: ChatConfig) -> Address:
    """Where gateway `name` listens: what the flag says, or its place in the file's list. Raises ConfigError."""
    if flag is not None:
        try:
            address = Address.parse(flag)
        except ValueError as error:
            raise ConfigError("--listen", 0, "", str(error)) from None
        if address.is_unix:
            raise ConfigError("--listen", 0, "", NO_UNIX)
        return address
    ordinal = re.fullmatch("g([1-9][0-9]*)", name)
    listed = config.gateways.listen
    if len(listed) == 1:
        return listed[0]
    if ordinal is None or int(ordinal[1]) > len(listed):
        raise ConfigError("--id", 0, "", f"{name} has no place in gateways.listen; allowed: g1 to g{len(listed)}, or "
                                         "an address with --listen")
    return listed[int(ordinal[1]) - 1]


def inherited_fd(listen: str | None) -> socket.socket | None:
    """The listening socket of `--listen fd:N`; None: it is an address. Raises ConfigError."""
    found = re.fullmatch("fd:([0-9]{1,6})", listen or "")
    if found is None:
        return None
    fd = int(found[1])
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError
        listener = socket.socket(fileno=fd)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.detach()       # not ours to close
            raise OSError
    except OSError:
        raise ConfigError("--listen", 0, "", f"fd:{fd} is no listening socket that was inherited") from None
    listener.set_inheritable(False)
    return listener


def bound(settings: Given, run: Callable[[], int]) -> int:
    """What `run` answers. Raises ConfigError when it cannot listen."""
    try:
        return run()
    except ListenError as error:
        raise settings.blame(("listen", 0), f"{error.cause}: {error.address}") from None
