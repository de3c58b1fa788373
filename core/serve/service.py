"""A server as a command: the service that the master runs."""
from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from hotpath.core.config import Address, ConfigError, blame
from hotpath.core.crew import Plan
from hotpath.core.data.shared import Counters, Gauges
from hotpath.core.errors import HotpathError, ListenError
from hotpath.core.listen import Listeners
from hotpath.core.master import run as run_master
from hotpath.core.net.lines import LineFile
from hotpath.core.telemetry import CONTENT_TYPE, Ledger, LogFile, start_logging
from hotpath.core.worker import Identity, WorkerContext

from .config import Flags, Parser, ServeConfig, add_flags
from .metrics import GAUGES, counter_names, expose
from .problem import problem
from .request import Request
from .response import Response
from .router import Router
from .worker import Worker

log = logging.getLogger(__name__)

App = Router | Callable[..., Router]


class Shared:
    """What the workers of one generation share, mapped before the fork."""

    def __init__(self, patterns: list[str], workers: int) -> None:
        """For an application with these routes."""
        self.workers = workers
        self.counters = Counters(counter_names(patterns), workers)
        self.gauges = Gauges(GAUGES, workers)
        # By it a worker that leaves connections to the others wakes them.
        self.nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.nudge)


class ServerGeneration:
    """One configuration with its sockets and its shared memory: what the master forks workers from."""

    def __init__(self, service: ServerService, config: ServeConfig, app: Router, listeners: Listeners) -> None:
        """Bind. Raises ConfigError."""
        self._service = service
        self._config = config
        self._worker: Worker | None = None
        self._app = self._with_built_ins(app)
        self._table = self._app.table()
        self._shared = Shared([route.pattern for route in self._table.routes], config.worker_count)
        try:
            bound = listeners.bind(config.listen)
        except ListenError as error:
            raise service.blame_listen(config, error) from None
        self._sockets = [one for group in bound for one in group]
        self.access_log: LineFile | None = None
        access = config.log.access
        if access is not None:
            try:
                self.access_log = LineFile(access.path, buffer=access.buffer, flush_s=access.flush)
            except OSError as error:
                raise service.blame(
                    ("log", "access", "path"), f"{access.path!r} cannot be opened: {error.strerror}") from None
        self.counters = self._shared.counters

    def _with_built_ins(self, app: Router) -> Router:
        """The application, and /healthz and /metrics unless it has its own."""
        whole = Router()
        for route in app.routes:
            whole.add(route.method, route.pattern, route.handler,
                      max_body=None if route.max_body == -1 else route.max_body, gate=route.gate,
                      more=1 if route.gate is None else 2)
        whole.starters, whole.attachers = app.starters, app.attachers
        for path, handler in (("/healthz", self.healthz), ("/metrics", self.metrics)):
            with suppress(ValueError):      # the application's own stays
                whole.add("GET", path, handler)
        return whole

    @property
    def plan(self) -> Plan:
        """What the master starts."""
        return Plan(sockets=self._sockets, workers=self._config.worker_count, drain_s=self._config.timeouts.drain,
                    user=self._config.user, pid_file=self._config.pid_file)

    def run_worker(self, context: WorkerContext) -> None:
        """In the child."""
        self._worker = Worker(self._config, self._table, self._shared, context.index, self._sockets,
                              self.access_log, self._app.starters, self._service.log_reopeners(),
                              self._app.attachers)
        self._worker.run(context)

    def healthz(self, request: Request) -> Response:
        """200 while this worker serves, 503 once it drains."""
        if self._worker is not None and self._worker.draining:
            return problem(503, detail="draining", headers=(("Retry-After", "1"),))
        return Response("ok\n")

    def metrics(self, request: Request) -> Response:
        """Everything counted, by all workers."""
        gauges = {name: self._shared.gauges.total(i) for i, name in enumerate(GAUGES)}
        facts = {"reloads_ok": self._service.reloads.total(0), "reloads_failed": self._service.reloads.total(1),
                 "workers": self._config.worker_count}
        return Response(expose(self._service.ledger.totals(), gauges, facts), content_type=CONTENT_TYPE)

    def worker_died(self, index: int) -> None:
        """Its gauges count nothing any more; its counters stay."""
        self._shared.gauges.clear(index)

    def retired(self) -> None:
        """Nobody writes these counters any more."""
        self._service.ledger.retire(self.counters)
        self._shared.close()
        if self.access_log is not None:
            self.access_log.close()


class ServerService:
    """A server under a master: reads its file anew at every load."""

    def __init__(
        self, app: App, flags: Flags, model: type[ServeConfig] = ServeConfig, config: ServeConfig | None = None
    ) -> None:
        """`app`: a Router, or what makes one of a configuration. `config`: this one, whatever the file says."""
        self._app = app
        self._flags = flags
        self._model = model
        self._config = config
        self._generation: ServerGeneration | None = None
        self._log: LogFile | None = None
        self.ledger = Ledger()
        self.reloads = Counters(("ok", "failed"), 1)
        self.reloads.worker = 0

    def config(self) -> ServeConfig:
        """The configuration as it is now. Raises ConfigError."""
        return self._config if self._config is not None else self._flags.load(self._model)

    def blame(self, at: tuple[str | int, ...], message: str) -> ConfigError:
        """The error of a value in our file."""
        if self._flags.config is None or (at[:1] == ("listen",) and self._flags.listen is not None):
            return ConfigError(f"--{at[0]}", 0, "", message)
        return blame(self._flags.config, self._model, at, message)

    def blame_listen(self, config: ServeConfig, error: ListenError) -> ConfigError:
        """The error of an address that cannot be bound."""
        at = next((i for i, address in enumerate(config.listen) if str(address) == error.address), 0)
        return self.blame(("listen", at), f"{error.cause}: {error.address}")

    def check(self) -> None:
        """All that can be known without binding. Raises ConfigError."""
        config = self.config()
        self.app(config)
        access = config.log.access.path if config.log.access is not None else "-"
        for name, path in (("error", config.log.error.path), ("access", access)):
            if path != "-" and not _is_writable(Path(path)):
                raise self.blame(("log", name, "path"), f"{path!r} cannot be written")
        self.check_user(config)

    def check_user(self, config: ServeConfig) -> None:
        """Whether workers may become `user`. Raises ConfigError."""
        if config.user is not None:
            try:
                Identity.of(config.user)
            except ConfigError as error:
                raise self.blame(("user",), error.message) from None

    def app(self, config: ServeConfig) -> Router:
        """The application for this configuration."""
        return self._app if isinstance(self._app, Router) else self._app(config)

    def load(self, listeners: Listeners) -> ServerGeneration:
        """A generation of the configuration as it is now."""
        config = self.config()
        self.check_user(config)
        generation = ServerGeneration(self, config, self.app(config), listeners)
        error = config.log.error
        try:
            self._log = start_logging(error.path, level=error.level, format=error.format)
        except OSError as cause:
            raise self.blame(("log", "error", "path"), f"{error.path!r} cannot be opened: {cause.strerror}") from None
        self.ledger.attach(generation.counters)
        if self._generation is not None:
            self.reloads.add(0, 1)
        self._generation = generation
        return generation

    def reload_failed(self, reason: str) -> None:
        """Counted; the master has logged it."""
        self.reloads.add(1, 1)

    def log_reopeners(self) -> list[Callable[[], None]]:
        """What reopens each log of this process."""
        return [self._log.reopen] if self._log is not None else []

    def reopen_logs(self) -> None:
        """USR1 in the master: a worker forked from now on must not go on in the old files."""
        generation = self._generation
        access_log = [] if generation is None or generation.access_log is None else [generation.access_log.reopen]
        for reopen in (*self.log_reopeners(), *access_log):
            try:
                reopen()
            except OSError as error:
                log.error("log not reopened cause=%s", error)


def run(
    app: App, *, listen: str | Address | None = None, workers: int | str | None = None,
    config: str | ServeConfig | None = None
) -> int:
    """Serve `app` under a master until told to stop; answers the process's exit status.

    `config` is a YAML file's path or a ServeConfig; `listen` and `workers` win over it. Raises ConfigError.
    """
    flags = Flags(config if isinstance(config, str) else None, None if listen is None else str(listen), workers)
    if isinstance(config, ServeConfig):
        # The flags on top of it, checked as flags are.
        own = config
        changed = flags.load(ServeConfig)
        if listen is not None:
            own = _replaced(own, listen=changed.listen)
        if workers is not None:
            own = _replaced(own, workers=changed.workers)
        return run_master(ServerService(app, flags, type(own), own))
    return run_master(ServerService(app, flags))


def serve_command(
    app: App, argv: Sequence[str] | None = None, *, prog: str, description: str, model: type[ServeConfig] = ServeConfig
) -> int:
    """The command `PROG serve --config FILE --listen A --workers N --check`; its exit status: 0, or 2 for a mistake."""
    parser = Parser(
        prog=prog, description=description, allow_abbrev=False,
        epilog="Signals to the started process: HUP reload, TERM or QUIT drain and stop, USR1 reopen logs, "
               "USR2 upgrade the binary.")
    commands = parser.add_subparsers(dest="command", metavar="serve", required=True, parser_class=Parser)
    add_flags(commands.add_parser("serve", help="serve until told to stop", allow_abbrev=False))
    return serve(app, parser.parse_args(argv), model=model)


def serve(app: App, given: argparse.Namespace, *, model: type[ServeConfig] = ServeConfig) -> int:
    """What `serve_command` does once the flags are read."""
    service = ServerService(app, Flags(given.config, given.listen, given.workers), model)
    try:
        if given.check:
            service.check()
            print(f"{given.config or 'defaults'}: ok")
            return 0
        return run_master(service)
    except ConfigError as error:
        # The master knows the key (pid_file), not the file it stands in.
        print(error if error.file else service.blame((error.path,), error.message), file=sys.stderr)
        return 2
    except HotpathError as error:
        print(error, file=sys.stderr)
        return 2


def _replaced(config: ServeConfig, **changes: object) -> ServeConfig:
    return msgspec.structs.replace(config, **changes)


def _is_writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir()
