"""A server as a command: the service that the master runs, or that is alone in its process."""
from __future__ import annotations

import argparse
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import msgspec

from hotpath.core import solo
from hotpath.core.config import Address, ConfigError, blame, dotted
from hotpath.core.crew import Plan
from hotpath.core.data.shared import Counters, Gauges
from hotpath.core.errors import HotpathError, ListenError
from hotpath.core.listen import Listeners, name_of
from hotpath.core.master import run as run_master
from hotpath.core.net.lines import LineFile
from hotpath.core.telemetry import CONTENT_TYPE, Ledger, LogFile, start_logging
from hotpath.core.worker import Identity, WorkerContext

from .config import Flags, Parser, ServeConfig, add_flags
from .hooks import Hooks
from .metrics import GAUGES, counter_names, expose
from .problem import problem
from .request import Request
from .response import Response
from .router import Router
from .worker import Worker

log = logging.getLogger(__name__)

App = Router | Callable[..., Router]

NO_NAMES: Mapping[str, str] = MappingProxyType({})

# How long a server that is alone waits for its address: whoever restarts it behind a `kill -9` need not.
PATIENCE_S = 1.0


# To listen on; workers tell each other of so many who accepts there.
MAX_SOCKETS = 256


class Shared:
    """What the workers of one generation share, mapped before the fork."""

    def __init__(self, patterns: list[str], workers: int) -> None:
        """For an application with these routes."""
        self.nudge = -1
        self.workers = workers
        self.counters = Counters(counter_names(patterns), workers)
        self.gauges = Gauges(GAUGES, workers)
        self.accepting = Gauges(map(str, range(MAX_SOCKETS)), workers)
        # By it a worker that leaves connections to the others wakes them.
        self.nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back."""
        nudge, self.nudge = self.nudge, -1
        if nudge >= 0:
            os.close(nudge)

    def __del__(self) -> None:
        """Of a generation that was never started nobody else gives it back."""
        self.close()


class ServerGeneration:
    """One configuration with its sockets and its shared memory: what the master forks workers from."""

    def __init__(self, service: ServerService, config: ServeConfig, app: Router, listeners: Listeners) -> None:
        """Bind. Raises ConfigError."""
        self._service = service
        self._config = config
        self._worker: Worker | None = None
        self._hooks: Hooks = app
        self._table = self._with_built_ins(app).table()
        self._shared = Shared([route.pattern for route in self._table.routes], config.worker_count)
        try:
            bound = _bind(listeners, config.listen, patience_s=PATIENCE_S if service.alone else 0.0)
        except ListenError as error:
            raise service.blame_listen(config, error) from None
        self._sockets = [one for group in bound for one in group]
        app.bound = tuple(Address.parse(name_of(group[0])) for group in bound)
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
            is_open = route.pattern in ("/healthz", f"{app.base}/healthz") or route.gate is not None
            whole.add(route.method, route.pattern, route.handler if is_open else self._guarded(route.handler),
                      max_body=None if route.max_body == -1 else route.max_body, gate=route.gate,
                      more=1 if route.gate is None else 2)
        for path, handler in (("/healthz", self.healthz), ("/metrics", self._guarded(self.metrics))):
            for base in {"", app.base}:
                with suppress(ValueError):      # the application's own stays
                    whole.add("GET", base + path, handler)
        return whole

    def _guarded(self, handler: Callable[..., object]) -> Callable[..., object]:
        """The handler behind the application's guard, if it has one."""
        guard = self._hooks.guard
        if guard is None:
            return handler

        def guarded(request: Request, *more: object, **values: object) -> object:
            refusal = guard(request)
            return handler(request, *more, **values) if refusal is None else refusal

        return guarded

    @property
    def plan(self) -> Plan:
        """What the master starts."""
        return Plan(sockets=self._sockets, workers=self._config.worker_count, drain_s=self._config.timeouts.drain,
                    user=self._config.user, pid_file=self._config.pid_file)

    def run_worker(self, context: WorkerContext) -> None:
        """In the child."""
        self._worker = Worker(self._config, self._table, self._shared, context.index, self._sockets,
                              self.access_log, self._hooks, self._service.log_reopeners())
        self._worker.run(context)

    def server(self, context: WorkerContext, *, early: bool) -> Worker:
        """What serves in this process, when it is alone."""
        self._worker = Worker(self._config, self._table, self._shared, context.index, context.sockets,
                              self.access_log, self._hooks, early=early)
        return self._worker

    def change(self, config: ServeConfig) -> None:
        """In the process that serves: let its hooks follow the new configuration, then limits and timeouts."""
        for reloader in self._hooks.reloaders:
            reloader(config)
        own = set() if self._hooks.reloaders else {*config.__struct_fields__} - {*ServeConfig.__struct_fields__}
        for key in sorted({"listen", "log", "pid_file", "user", *own}):
            if getattr(config, key) != getattr(self._config, key):
                log.warning("not changed: %s needs a restart", key)
        self._config = _replaced(self._config, limits=config.limits, timeouts=config.timeouts)
        if self._worker is not None:
            self._worker.limits(config)

    def healthz(self, request: Request) -> Response:
        """200 while this worker serves, 503 once it drains, or while the application says that it is not ready."""
        reason = None
        if self._worker is not None and self._worker.draining:
            reason = "draining"
        elif self._hooks.ready is not None:
            reason = self._hooks.ready()
        if reason is None:
            return Response("ok\n")
        return problem(503, detail=reason, headers=(("Retry-After", "1"),))

    def metrics(self, request: Request) -> Response:
        """Everything counted, by all workers."""
        gauges = {name: self._shared.gauges.total(i) for i, name in enumerate(GAUGES)}
        facts = {"reloads_ok": self._service.reloads.total(0), "reloads_failed": self._service.reloads.total(1),
                 "workers": self._config.worker_count}
        more = self._hooks.exposed() if self._hooks.exposed is not None else ""
        return Response(expose(self._service.ledger.totals(), gauges, facts) + more, content_type=CONTENT_TYPE)

    def worker_died(self, index: int) -> None:
        """Its gauges count nothing any more; its counters stay."""
        for gauges in (self._shared.gauges, self._shared.accepting):
            gauges.clear(index)

    def retired(self) -> None:
        """Nobody writes these counters any more."""
        self._service.ledger.retire(self.counters)
        self._shared.close()
        if self.access_log is not None:
            self.access_log.close()


class ServerService:
    """A server under a master, or alone: reads its file anew at every load."""

    def __init__(
        self, app: App, flags: Flags, model: type[ServeConfig] = ServeConfig, config: ServeConfig | None = None, *,
        alone: bool = False
    ) -> None:
        """`app`: a Router, or what makes one of a configuration. `config`: this one, whatever the file says."""
        self.alone = alone
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
        config = self._config if self._config is not None else self._flags.load(self._model)
        if not self.alone:
            return config
        if self._flags.workers not in (None, 1, "1") or config.workers not in (1, "auto"):
            raise self.blame(("workers",), "this server is one process; allowed: 1")
        return _replaced(config, workers=1)

    def blame(self, at: tuple[str | int, ...], message: str) -> ConfigError:
        """The error of a value in our file."""
        flag = self._flags.more.get(str(at[0]))
        if flag is not None:
            return ConfigError(flag.name, 0, dotted(at[1:]), message)
        by_flag = {"listen": self._flags.listen, "workers": self._flags.workers}.get(str(at[0]))
        if self._flags.config is None or by_flag is not None:
            return ConfigError(f"--{at[0]}", 0, "", message)
        return blame(self._flags.config, self._model, at, message, self._flags.more)

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
        """The application for this configuration. ValueError: it has hooks that only a server alone can call."""
        app = self._app if isinstance(self._app, Router) else self._app(config)
        if app.reloaders and not self.alone:
            raise ValueError("at_reload is for a server that is alone: workers are forked anew at a reload")
        return app

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

    def reload(self) -> None:
        """HUP in a server that is alone: the application and its sockets stay, what can change follows the file."""
        config = self.config()
        assert self._generation is not None
        self._generation.change(config)
        self.reloads.add(0, 1)

    def reload_failed(self, reason: str) -> None:
        """Counted; it is logged already."""
        self.reloads.add(1, 1)

    def log_reopeners(self) -> list[Callable[[], None]]:
        """What reopens each log of this process."""
        return [self._log.reopen] if self._log is not None else []

    def reopen_logs(self) -> None:
        """USR1 in the master, where a worker forked from now on must not go on in the old files, or in the server."""
        generation = self._generation
        access_log = [] if generation is None or generation.access_log is None else [generation.access_log.reopen]
        for reopen in (*self.log_reopeners(), *access_log):
            try:
                reopen()
            except OSError as error:
                log.error("log not reopened cause=%s", error)


def run(
    app: App, *, listen: str | Address | None = None, workers: int | str | None = None,
    config: str | ServeConfig | None = None, alone: bool = False
) -> int:
    """Serve `app` under a master until told to stop; answers the process's exit status.

    `config` is a YAML file's path or a ServeConfig; `listen` and `workers` win over it. `alone`: in this process,
    without a master. Raises ConfigError.
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
        return _run(ServerService(app, flags, type(own), own, alone=alone))
    return _run(ServerService(app, flags, alone=alone))


def serve_command(
    app: App, argv: Sequence[str] | None = None, *, prog: str, description: str, model: type[ServeConfig] = ServeConfig,
    alone: bool = False
) -> int:
    """The command `PROG serve --config FILE --listen A --workers N --check`; its exit status: 0, or 2 for a mistake."""
    parser = Parser(
        prog=prog, description=description, allow_abbrev=False,
        epilog="Signals to the started process: HUP reload, TERM or QUIT drain and stop, USR1 reopen logs, "
               "USR2 upgrade the binary.")
    commands = parser.add_subparsers(dest="command", metavar="serve", required=True, parser_class=Parser)
    add_flags(commands.add_parser("serve", help="serve until told to stop", allow_abbrev=False), alone=alone)
    return serve(app, parser.parse_args(argv), model=model, alone=alone)


def serve(
    app: App, given: argparse.Namespace, *, model: type[ServeConfig] = ServeConfig, names: Mapping[str, str] = NO_NAMES,
    alone: bool = False
) -> int:
    """What `serve_command` does once the flags are read.

    A flag of the service's own whose `dest` is a key of `model` wins over the file, unless it is None. `names`: how
    such a flag is typed, by its `dest`, where that is not `--dest`. `alone`: serve in this process, without a master.
    """
    service = ServerService(app, Flags.of(given, model, names), model, alone=alone)
    try:
        if given.check:
            service.check()
            print(f"{given.config or 'defaults'}: ok")
            return 0
        return _run(service)
    except ConfigError as error:
        # The master knows the key (pid_file), not the file it stands in; an application knows sandbox.kind.
        print(error if error.file else service.blame(tuple(error.path.split(".")), error.message), file=sys.stderr)
        return 2
    except HotpathError as error:
        print(error, file=sys.stderr)
        return 2


def _run(service: ServerService) -> int:
    return solo.run(service) if service.alone else run_master(service)


def _bind(listeners: Listeners, addresses: Sequence[Address], *, patience_s: float) -> list[tuple[socket.socket, ...]]:
    """As `listeners.bind`; an address that is in use may become free: a killed process ends a little after the kill."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return listeners.bind(addresses)
        except ListenError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE or time.monotonic() >= deadline_s:
                raise
        time.sleep(0.01)


def _replaced(config: ServeConfig, **changes: object) -> ServeConfig:
    return msgspec.structs.replace(config, **changes)


def _is_writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir()
