"""`hotpath-chat up`: all parts, started in order, kept running, and ended together."""
from __future__ import annotations

import errno
import fcntl
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from socket import socket

from hotpath.core.config import ConfigError
from hotpath.core.errors import HotpathError, ListenError
from hotpath.core.listen import Listeners
from hotpath.core.notify import READY, STOPPING, notify
from hotpath.core.pidfile import PidFile
from hotpath.core.supervise import Supervisor
from hotpath.core.voice import Voice

from . import parts
from .config import ChatConfig
from .parts import Crew, Kept

log = logging.getLogger(__name__)

CHECK_EVERY_S = 0.05            # while a part is not well
IDLE_S = 60.0                   # all are well: signals, deaths and output wake us
# Before all were well once we give up on one that refuses to start (2), that dies this often, or that is not well by
# then; later, whatever happens is repaired for as long as we run.
REFUSED = 2
DEATHS_ALLOWED = 5
WELL_WITHIN_S = 60.0
KNOWN_WITHIN_S = 3.0            # of the API that it hears of the gateways
STOP_SPARE_S = 5.0              # more than a part may take to drain
# Those of an `up` that was killed end a little after it.
PATIENCE_S = 3.0
RETRY_S = 0.02

Blame = Callable[[tuple[str | int, ...], str], ConfigError]


class InUse(HotpathError):
    """The operator must act: another process keeps a chat in this data directory."""


class CannotGoOn(HotpathError):
    """The operator must act: something that we need cannot be used, or does not get well."""


class Up:
    """A running chat."""

    def __init__(self, config: ChatConfig, words: Sequence[str], *, blame: Blame) -> None:
        """`words`: flags that give a part the same configuration. `blame` makes the error of one of its values."""
        self._config = config
        self._words = words
        self._blame = blame
        self._folder = config.folder.absolute()
        self._run_file = self._folder / "run.json"
        self._voice = Voice(sys.stdout.fileno())
        self._epoch: str | None = None
        self._known_by_s = 0.0

    def run(self) -> int:
        """Start, keep, end; 0 after a clean stop. Raises HotpathError."""
        with ExitStack() as stack:
            stack.enter_context(self._voice.logging("up    | "))
            stack.enter_context(self._only_us())
            # What an `up` left here that was killed is about processes that are gone.
            self._run_file.unlink(missing_ok=True)
            self._epoch = self._prepared_database()
            # Whoever starts us may keep our sockets open, so that nobody is refused while we are started again.
            listeners = Listeners.inherited(os.environ)
            stack.callback(listeners.close)
            kept = self._parts(listeners)
            pid_file = PidFile()
            pid_file.move(self._config.pid_file)
            stack.callback(pid_file.remove)
            self._crew = Crew(kept)
            self._kept = {each.part.name: each for each in kept}
            with Supervisor([each.part for each in kept], write=self._hear) as supervisor:
                self._supervisor = supervisor
                try:
                    self._keep()
                finally:
                    notify(STOPPING)
                    self._run_file.unlink(missing_ok=True)
                    # Redis last: the others still say what they have committed.
                    supervisor.stop(self._config.timeouts.drain + STOP_SPARE_S, last=[parts.REDIS])
        return 0

    def _keep(self) -> None:
        supervisor, crew = self._supervisor, self._crew
        # Tables and secret are made by the API, and read by the gateways.
        gateways = [child for child in supervisor.children if child.part.name in self._gateways]
        for child in gateways:
            child.due_s = math.inf
        started_s = time.monotonic()
        is_up = False
        while not supervisor.stopping:
            unwell = crew.unwell(supervisor.children)
            supervisor.turn(IDLE_S if is_up and not unwell else CHECK_EVERY_S)
            got_well = crew.check(supervisor.children)
            unwell = crew.unwell(supervisor.children)
            if not is_up:
                if set(unwell) <= self._gateways:
                    for child in gateways:
                        child.due_s = 0.0 if child.due_s == math.inf else child.due_s
                if not unwell and self._are_gateways_known():
                    is_up = True
                    self._write_run_file()
                    self._announce()
                    continue
                self._give_up_on(unwell, started_s)
            elif got_well:
                log.info("back part=%s", ",".join(got_well))
                try:
                    self._write_run_file()
                except OSError as error:    # a full disk, say: the parts serve all the same
                    log.error("run.json not written cause=%s", error.strerror)

    def _are_gateways_known(self) -> bool:
        """Whether the API sends clients to all gateways: it looks for new ones once a second."""
        if not self._known_by_s:
            self._known_by_s = time.monotonic() + KNOWN_WITHIN_S
        return (parts.n_assignable(self._api) >= self._config.gateways.count
                or time.monotonic() > self._known_by_s)     # whoever comes then is told to try again

    def _give_up_on(self, unwell: list[str], started_s: float) -> None:
        hopeless = [child.part.name for child in self._supervisor.children
                    if child.restarts and (child.last_status == REFUSED or child.restarts >= DEATHS_ALLOWED)]
        if hopeless or time.monotonic() > started_s + WELL_WITHIN_S:
            names = hopeless or unwell
            words = f"in {self._folder / parts.REDIS_LOG}" if names == [parts.REDIS] else "above"
            raise CannotGoOn(f"cannot go on without {', '.join(names)}; its own words are {words}")

    def _parts(self, listeners: Listeners) -> list[Kept]:
        config = self._config
        kept = []
        if config.redis.is_embedded:
            port = parts.redis_port(self._folder)
            if not parts.is_free(port):
                port = parts.redis_port(self._folder, fresh=True)
            kept.append(parts.redis(self._folder, port))
        api, *gateways = self._bound(listeners)
        self._api = parts.address_of(api)
        names = ["api"] if config.workers == 1 else [f"api-{n}" for n in range(1, config.workers + 1)]
        kept += [parts.api(name, api, self._words) for name in names]
        self._gateways = {f"g{n}" for n in range(1, config.gateways.count + 1)}
        origins = config.allowed_origins(str(self._api))
        kept += [parts.gateway(f"g{n}", listener, self._words, origins) for n, listener in enumerate(gateways, 1)]
        return kept

    def _bound(self, listeners: Listeners) -> list[socket]:
        config = self._config
        wanted = [config.listen[0], *(config.gateways.listen_of(n) for n in range(config.gateways.count))]
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return parts.bind(listeners, *wanted)
            except ListenError as error:
                cause = error.__cause__
                is_taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
                if not is_taken or time.monotonic() > deadline_s:
                    at = [str(address) for address in wanted].index(error.address)
                    key = ("listen", 0) if at == 0 else (
                        "gateways", "listen", at - 1 if len(config.gateways.listen) > 1 else 0)
                    raise self._blame(key, f"{error.cause}: {error.address}") from None
            time.sleep(RETRY_S)

    def _prepared_database(self) -> str:
        """Its tables made, and which epoch it is in. Raises HotpathError."""
        # Here, because whoever asks for --help or --check need not wait for it.
        from .store import Database, Unavailable
        try:
            with closing(Database.open(self._config)) as database:
                return database.epoch()
        except Unavailable as error:
            what = (f"{self._folder / 'chat.db'}: {error}" if self._config.database.is_sqlite
                    else self._blame(("database", "url"), str(error)))
            raise CannotGoOn(str(what)) from None

    @contextmanager
    def _only_us(self) -> Iterator[None]:
        """The data directory, ours alone. Raises InUse or ConfigError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._blame(("data",), f"{self._folder} cannot be used: {error.strerror}; allowed: a directory, or "
                                         "one to be made") from None
        try:
            # The kernel takes it back when we die, however we die.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise InUse(f"{self._folder} is in use by another hotpath-chat up; stop that one, or name another "
                        "directory with --data") from None
        try:
            yield
        finally:
            os.close(fd)

    def _hear(self, line: str) -> None:
        self._crew.hear(line)
        self._voice.say(line)

    def _write_run_file(self) -> None:
        """Say where everything is; renamed into place, so that nobody reads half of it."""
        fresh = self._run_file.with_suffix(".new")
        # It names the database, perhaps with a password.
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._where(), file, indent=1)
            file.write("\n")
        fresh.replace(self._run_file)

    def _where(self) -> dict[str, object]:
        pids = {child.part.name: parts.pid_of(child) for child in self._supervisor.children}
        config = self._config
        return {
            "pid": os.getpid(),
            "api": {"url": f"http://{self._api}",
                    "pids": [pid for name, pid in pids.items() if name.startswith("api")]},
            "gateways": [{"id": name, "url": config.gateways.url_of(name, str(self._kept[name].address)), "pid": pid}
                         for name, pid in pids.items() if name in self._gateways],
            "redis": {"url": parts.redis_url(self._folder) if config.redis.is_embedded else config.redis.url,
                      "pid": pids.get(parts.REDIS)},
            "database": {"url": f"sqlite:///{self._folder / 'chat.db'}" if config.database.is_sqlite
                         else config.database.url},
            "epoch": self._epoch,
        }

    def _announce(self) -> None:
        notify(READY)
        addresses = [str(self._api), *(str(self._kept[name].address) for name in self._kept if name in self._gateways)]
        url = self._config.public_url or f"http://{self._api}"
        self._voice.say(f"\nhotpath-chat is up: open {url}/\n  data in {self._config.folder}; Ctrl-C stops it.\n")
        # Whoever read our stderr may be gone; we go on.
        with suppress(OSError):
            print(f"ready: pid {os.getpid()}, {', '.join(addresses)}", file=sys.stderr, flush=True)
