"""The thread that carries a reshard on: in every process that serves, and one of them at a time."""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from hotpath.core.errors import HotpathError, ShardUnavailable
from hotpath.shard.backend import Backend, backend_of
from hotpath.shard.backend.errors import Busy
from hotpath.shard.config import ShardConfig
from hotpath.shard.directory import Directory, Superseded
from hotpath.shard.engine.errors import Full

from .job import LEASE, LEASE_S, Blocked, Foreign, Interrupted, Job
from .reshard import Reshard, dumped, loaded
from .stages import Held, drive
from .throttle import Throttle

log = logging.getLogger(__name__)

# How often we look whether there is something to do, and try again what a dead server stopped.
LOOK_S = 0.5
RETRY_S = 0.5
HELP_S = 0.01
# A server that is silent can keep a step waiting for longer.
CLOSE_S = 10.0
PUZZLED = 100


class Mover:
    """`start` it and forget it; `close` before the process ends. Nothing is lost if that is forgotten too."""

    def __init__(self, directory: Directory, config: ShardConfig, holder: str, *, backend: Backend | None = None,
                 p99: Callable[[], float | None] | None = None) -> None:
        """`holder`: a name that no other mover has. `p99`: seconds that requests take now, as this process sees it."""
        self.moved: dict[tuple[str, str], int] = {}     # rows that this process copied, by (source, target)
        self._directory = directory
        self._config = config
        self._holder = holder
        self._backend = backend
        self._p99 = p99
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look for work until `close`."""
        self._thread = threading.Thread(target=self._run, name="hotpath-shard-mover", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave what is being done to others; returns once this is so, or nearly: no step of it is half done."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            self._thread = None

    def run_until_done(self) -> Reshard | None:
        """Carry it on in this thread, until it is over, paused or held; how it stands then. None: there is none."""
        while not self._closing.is_set():
            self._look()
            record = self._record()
            if record is None or record.over or _rests(record):
                return record
            self._closing.wait(LOOK_S)
        return self._record()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
            except ShardUnavailable as error:
                log.debug("reshard waits: %s", error)       # the map's database is down: nobody can do anything
            except Exception:
                log.exception("the mover failed, and tries again")
            self._closing.wait(LOOK_S)

    def _record(self) -> Reshard | None:
        text = self._directory.meta.reshard()
        return None if text is None else loaded(text)

    def _look(self) -> None:
        """Do what there is to do, if nobody else does it."""
        record = self._record()
        if record is None or record.over or _rests(record):
            return
        if not self._directory.meta.take_lease(LEASE, self._holder, LEASE_S):
            return
        try:
            job = self._job(record)
            log.info("reshard id=%s shard=%s state=%s holder=%s", record.id, record.shard, record.state, self._holder)
            self._carry(job)
        except Interrupted as reason:       # somebody changed it before we began
            log.info("reshard id=%s left: %s", record.id, reason)
        finally:
            self._directory.meta.drop_lease(LEASE, self._holder)

    def _job(self, record: Reshard) -> Job:
        before_s = record.before_s
        if before_s is None and self._p99 is not None and record.state == "preparing":
            before_s = self._p99()
        throttle = Throttle(record.rate, self._config.move.chunk, latency=self._config.move.latency,
                            before_s=before_s, p99=self._p99)
        job = Job(record.id, self._holder, self._directory, self._config, throttle, self._closing, self.moved)
        if before_s != record.before_s:
            job.change(lambda record: msgspec.structs.replace(record, before_s=before_s))
        return job

    def _carry(self, job: Job) -> None:
        """Until it is over, or is not to go on."""
        if self._backend is None:
            self._backend = backend_of(self._config)
        puzzled = 0     # times in a row that a shard and the map did not agree
        while not self._closing.is_set():
            try:
                drive(job, self._backend)
            except (Interrupted, Held) as reason:
                log.info("reshard id=%s left: %s", job.id, reason)
                return
            except (Superseded, Foreign) as error:
                # The map went on, by our own hand or another's, or is about to.
                log.info("reshard id=%s looks again: %s", job.id, error)
                puzzled = puzzled + 1 if isinstance(error, Foreign) else 0
                if puzzled < PUZZLED:
                    self._help()
                else:
                    _wait(job, f"{error}: a transition is stuck, or a database was restored from a copy")
                    self._closing.wait(RETRY_S)
            except Full as error:
                if _stop(job, f"{error}: make room there, then resume"):
                    return
            except (ShardUnavailable, Busy) as error:
                _wait(job, str(error))
                self._closing.wait(RETRY_S)
            except Exception as error:
                if not isinstance(error, HotpathError):
                    log.exception("reshard id=%s", job.id)
                if _stop(job, str(error) if isinstance(error, Blocked) else f"{type(error).__name__}: {error}"):
                    return

    def _help(self) -> None:
        """Finish the transition that a dead process began, and give one that lives the time for it."""
        self._closing.wait(HELP_S)
        try:
            intent = self._directory.meta.read().intent
            if intent is not None:
                self._directory.finish(intent)
        except ShardUnavailable as error:
            log.info("a transition waits: %s", error)


def _rests(record: Reshard) -> bool:
    """Nobody is to go on with it now."""
    return record.paused or (record.state == "verified" and record.hold)


def _stop(job: Job, error: str) -> bool:
    """Pause it: somebody must look at this. False: it went on while we were at it, and our trouble is an old one."""
    def stopped(text: bytes | None) -> bytes | None:
        record = None if text is None else loaded(text)
        if record is None or record.id != job.id or record.state != job.state:
            return None
        return dumped(msgspec.structs.replace(job.noted(record), paused=True, error=error, now=0.0))

    text = job.directory.meta.change_reshard(stopped)
    record = None if text is None else loaded(text)
    if record is not None and record.id == job.id and not record.paused:
        log.info("reshard id=%s: %s; but it went on", job.id, error)
        return False
    log.error("reshard id=%s paused: %s", job.id, error)
    return True


def _wait(job: Job, error: str) -> None:
    """Say what it waits for. It goes on by itself."""
    log.warning("reshard id=%s waits: %s", job.id, error)
    try:
        job.directory.meta.take_lease(LEASE, job.holder, LEASE_S)
        job.change(lambda record: msgspec.structs.replace(record, error=f"waiting for {error}", now=0.0)
                   if not record.paused else record)
    except (ShardUnavailable, Interrupted):
        log.debug("and nobody can be told")
