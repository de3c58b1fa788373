"""`hotpath-proxy`: the command, and the service that the master runs."""
from __future__ import annotations

import argparse
import logging
import os
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec

from hotpath import __version__
from hotpath.core.config import Address, ConfigError, blame, dump, load
from hotpath.core.crew import Plan as CrewPlan
from hotpath.core.errors import HotpathError, ListenError
from hotpath.core.listen import Listeners
from hotpath.core.master import WorkerContext
from hotpath.core.master import run as run_master
from hotpath.core.openfiles import raise_open_files
from hotpath.core.telemetry import Ledger, LogFile, start_logging
from hotpath.core.worker import Identity

from . import certificates, warden
from .config import Listen, ProxyConfig
from .log import AccessLog
from .metrics import GAUGES, by_worker, expose
from .plan import Plan
from .reloads import Reloads
from .route import Table
from .state import MAX_SOCKETS, State, Unresolved
from .worker import Worker

log = logging.getLogger(__name__)



class ProxyGeneration:
    """One configuration with its sockets and its shared memory: what the master forks workers from."""

    def __init__(
        self, service: ProxyService, config: ProxyConfig, state: State, listeners: Listeners, number: int
    ) -> None:
        """Read the certificates, bind, and open the access log. Raises ConfigError."""
        contexts = service.contexts(config)
        self._service = service
        self._config = config
        self.state = state
        self.number = number
        self.before: ProxyGeneration | None = None      # until that one is retired
        addresses = [listen.address for listen in config.listen]
        admin = [config.admin.address] if config.admin is not None else []
        try:
            bound = listeners.bind([*addresses, *admin])
        except ListenError as error:
            raise service.blame(_place_of(config, error.address), f"{error.cause}: {error.address}") from None
        self._sockets = [one for group in bound[:len(addresses)] for one in group]
        if len(self._sockets) > MAX_SOCKETS:
            raise service.blame(("listen",), f"{len(self._sockets)} sockets to listen on; allowed: {MAX_SOCKETS}")
        self._doors = [
            (one, listen, context)
            for listen, context, group in zip(config.listen, contexts, bound, strict=False) for one in group
        ]
        self._admin = [one for group in bound[len(addresses):] for one in group]
        for listen, group in zip(config.listen, bound, strict=False):
            for one in group:
                one.listen(listen.backlog)
        self.access_log: AccessLog | None = None
        if config.log.access is not None:
            try:
                self.access_log = AccessLog(config.log.access)
            except OSError as error:
                message = f"{config.log.access.path!r} cannot be opened: {error.strerror}"
                raise service.blame(("log", "access", "path"), message) from None
        self._token = service.token(config)

    @property
    def plan(self) -> CrewPlan:
        """What the master starts."""
        return CrewPlan(
            sockets=[*self._sockets, *self._admin],
            workers=self._config.worker_count,
            helpers={"warden": self.run_warden},
            drain_s=self._config.timeouts.drain,
            user=self._config.user,
            pid_file=self._config.pid_file,
        )

    def run_worker(self, worker: WorkerContext) -> None:
        """In the child."""
        self.before = None      # and with it the descriptors of its shared memory
        for one in self._admin:
            one.close()
        Worker(self._config, self.state, worker.index, self._doors, self.access_log).run(worker)

    def run_warden(self, context: WorkerContext) -> None:
        """In the child."""
        self.before = None
        for one in self._sockets:
            one.close()
        warden.run(context, self._admin, self, self._token)

    def metrics(self) -> str:
        """Everything counted, as Prometheus text."""
        gauges = {name: self.state.gauges.total(i) for i, name in enumerate(GAUGES)}
        facts = {
            "reloads_ok": self._service.reloads.n_ok, "reloads_failed": self._service.reloads.n_failed,
            "workers": self._config.worker_count, "generation": self.number,
        }
        return expose(self._service.ledger.totals(), gauges, servers=self.state.in_service(), facts=facts)

    @property
    def config(self) -> ProxyConfig:
        """As it runs, flags included."""
        return self._config

    def workers(self) -> list[dict[str, int]]:
        """What each worker does at the moment; `idle` are connections to servers that wait for a request."""
        return [
            {"index": index, "pid": told["pid"], "generation": self.number, "connections": told["clients"],
             "requests": told["active"] - told["tunnels"], "tunnels": told["tunnels"], "idle": told["idle_peers"]}
            for index, told in enumerate(by_worker(self.state.gauges)) if told["pid"]
        ]

    def reload(self) -> str | None:
        """In a task of the warden: ask the master to load the file again; why it did not, or None."""
        return self._service.reloads.ask()

    def worker_died(self, index: int) -> None:
        """Its gauges count nothing any more; its counters stay."""
        self.state.forget(index)

    def retired(self) -> None:
        """Nobody writes these counters any more."""
        self._service.ledger.retire(self.state.counted)
        self._service.left(self)
        if self.access_log is not None:
            self.access_log.close()


class ProxyService:
    """hotpath-proxy under a master: reads the file anew at every load."""

    def __init__(self, path: str, *, listen: str | None = None, workers: str | None = None) -> None:
        """`listen` and `workers` are flags, which win over the file."""
        self._path = path
        self._listen = listen
        self._workers = workers
        self._generation: ProxyGeneration | None = None
        self._log: LogFile | None = None
        self.ledger = Ledger()
        self.reloads = Reloads()

    def config(self) -> ProxyConfig:
        """The file and the flags. Raises ConfigError."""
        config = load(self._path, ProxyConfig)
        if config == ProxyConfig():
            # A file that somebody is still writing: to take it on a reload would drop every address.
            raise ConfigError(self._path, 0, "", "says nothing; allowed: at least one route")
        if self._listen is not None:
            try:
                address = Address.parse(self._listen)
            except ValueError as error:
                raise ConfigError("--listen", 0, "", str(error)) from None
            config = msgspec.structs.replace(config, listen=(Listen(address=address),))
        if self._workers is not None:
            if self._workers != "auto" and not (self._workers.isdecimal() and 1 <= int(self._workers) <= 256):
                raise ConfigError("--workers", 0, "", f"{self._workers!r} is not allowed; allowed: auto, or 1 to 256")
            config = msgspec.structs.replace(config, workers="auto" if self._workers == "auto" else int(self._workers))
        return config

    def blame(self, at: tuple[str | int, ...], message: str) -> ConfigError:
        """The error of a value in our file."""
        if at[:1] == ("listen",) and self._listen is not None:
            return ConfigError("--listen", 0, "", message)
        return blame(self._path, ProxyConfig, at, message)

    def state(self, config: ProxyConfig) -> State:
        """The generation's shared memory. Raises ConfigError for a server whose name does not resolve."""
        try:
            return State(config, self._generation.state if self._generation is not None else None)
        except Unresolved as error:
            message = f"{error.address} does not resolve: {error.strerror}"
            raise self.blame(_server_at(config, error.address), message) from None

    def contexts(self, config: ProxyConfig) -> tuple[ssl.SSLContext | None, ...]:
        """The TLS of each listener. Raises ConfigError for a certificate that cannot be used."""
        try:
            return certificates.contexts(config.listen)
        except certificates.Unfit as error:
            raise self.blame(error.at, error.message) from None

    def token(self, config: ProxyConfig) -> str | None:
        """What admin's token_file holds. Raises ConfigError."""
        if config.admin is None or config.admin.token_file is None:
            return None
        at = ("admin", "token_file")
        try:
            token = Path(config.admin.token_file).read_text("ascii").strip()
        except OSError as error:
            raise self.blame(at, f"{config.admin.token_file!r} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self.blame(at, f"{config.admin.token_file!r} holds more than ASCII text") from None
        if not token:
            raise self.blame(at, f"{config.admin.token_file!r} is empty; it must hold the token")
        return token

    def check(self) -> None:
        """All that can be known without binding. Raises ConfigError."""
        config = self.config()
        Table(Plan(config, self.state(config), 0))
        for name, file in (("access", config.log.access), ("error", config.log.error)):
            if file is not None and file.path != "-" and not _is_writable(Path(file.path)):
                raise self.blame(("log", name, "path"), f"{file.path!r} cannot be written")
        self.token(config)
        self.contexts(config)
        self.check_user(config)

    def check_user(self, config: ProxyConfig) -> None:
        """Whether workers may become `user`. Raises ConfigError."""
        if config.user is not None:
            try:
                Identity.of(config.user)
            except ConfigError as error:
                raise self.blame(("user",), error.message) from None

    def load(self, listeners: Listeners) -> ProxyGeneration:
        """A generation of the file as it is now."""
        config = self.config()
        self.check_user(config)
        state = self.state(config)
        Table(Plan(config, state, 0))
        number = self._generation.number + 1 if self._generation is not None else 1
        generation = ProxyGeneration(self, config, state, listeners, number)
        error = config.log.error
        try:
            self._log = start_logging(error.path, level=error.level, format=error.format)
        except OSError as cause:
            raise self.blame(("log", "error", "path"), f"{error.path!r} cannot be opened: {cause.strerror}") from None
        self.ledger.attach(state.counted)
        if self._generation is not None:
            if self._generation.state.roster.is_changed:
                log.warning("servers changed at run time are as in the file again")
            self.reloads.taken()
        generation.before = self._generation
        self._generation = generation
        return generation

    def left(self, generation: ProxyGeneration) -> None:
        """It is retired. If it was the newest, it never served, and the one before it still does."""
        newer = self._generation
        if newer is generation:
            self._generation = generation.before
            return
        while newer is not None and newer.before is not generation:
            newer = newer.before
        if newer is not None:
            newer.before = generation.before

    def reload_failed(self, reason: str) -> None:
        """Counted, and kept for whoever asked; the master has logged it."""
        self.reloads.refused(reason)

    def reopen_logs(self) -> None:
        """USR1 in the master: a worker forked from now on must not go on in the old files."""
        if self._log is not None:
            with _logged("error log"):
                self._log.reopen()
        if self._generation is not None and self._generation.access_log is not None:
            with _logged("access log"):
                self._generation.access_log.reopen()


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("%s not reopened cause=%s", what, error)


def _place_of(config: ProxyConfig, address: str) -> tuple[str | int, ...]:
    for i, listen in enumerate(config.listen):
        if str(listen.address) == address:
            return ("listen", i, "address")
    return ("admin", "address")


def _server_at(config: ProxyConfig, address: Address) -> tuple[str | int, ...]:
    return next(
        ("upstreams", name, "servers", i, "address")
        for name, upstream in config.upstreams.items()
        for i, server in enumerate(upstream.servers) if server.address == address
    )


def _is_writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir()


EPILOG = """
FILE (YAML) holds listen (addresses, each with tls: {certificate, key, minimum, more}, http2, proxy_protocol, backlog),
admin: {address, token_file}, workers, pid_file, user, trusted_proxies, forwarded, via, limits: {connections,
connections_per_ip, request_line, head, fields, body, requests_per_connection}, timeouts: {head, body, send, idle,
connect, response, read, tunnel, request, drain}, log: {access: {path, format, buffer, flush}, error: {path, level,
format}}, resolve, rate_limits: {NAME: {key, rate, burst, slots, status, headers, dry_run}}, upstreams: {NAME: {servers
(each {address, weight, max_connections, backup}), balance, keepalive: {idle, timeout, requests}, passive: {failures,
window, eject}, active: {path, interval, timeout, rise, fall, status, host}, retry: {attempts, timeout, statuses},
slow_start, host}}, and routes, each with name, match: {host, path, prefix, regex, methods, headers: {NAME: a value,
{regex} or {present}}}, one of upstream, respond: {status, body, headers}, redirect: {to, status} and static: {root,
index, fallback}, and strip_prefix, add_prefix, rate_limit, concurrency, request_headers and response_headers: {set,
add, remove}, timeouts, limits and gzip: {types, min, level}. `-T` prints all of it with the defaults. A flag wins over
FILE. Signals to the started process: HUP reload, TERM or QUIT drain and stop, USR1 reopen logs, USR2 upgrade the
binary. Exit status: 0; 2 for a mistake in file or flags, with FILE:LINE: key: what is wrong, what is allowed.
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit status 2."""
        self.exit(2, f"{self.prog}: {message}; allowed: see --help\n")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; `serve` is optional, so that nginx's habit and the house's both work."""
    parser = Parser(
        prog="hotpath-proxy", allow_abbrev=False,
        description="A reverse proxy: routes, balances, limits and logs HTTP as its YAML file says.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    parser.add_argument("command", nargs="?", choices=["serve"], help="may be left out")
    parser.add_argument("-c", "--config", metavar="FILE", required=True, help="the configuration (YAML)")
    parser.add_argument("-t", "--check", action="store_true", help="check and exit: 0, or 2 with the reason")
    parser.add_argument("-T", "--dump", action="store_true",
                        help="check, print the effective configuration (YAML) and exit")
    parser.add_argument("--listen", metavar="ADDR", help=f"instead of the file's listen: {Address.forms}")
    parser.add_argument("--workers", metavar="N", help="instead of the file's workers: auto, or 1 to 256")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit status: 0, or 2 for a bad file or flag."""
    given = arguments(argv)
    service = ProxyService(given.config, listen=given.listen, workers=given.workers)
    try:
        if given.check or given.dump:
            service.check()
            print(dump(service.config()) if given.dump else f"{given.config}: ok", end="" if given.dump else "\n")
            return 0
        raise_open_files()
        return run_master(service)
    except ConfigError as error:
        # The master knows the key (pid_file), not the file it stands in.
        print(error if error.file else service.blame((error.path,), error.message), file=sys.stderr)
        return 2
    except HotpathError as error:
        print(error, file=sys.stderr)
        return 2
