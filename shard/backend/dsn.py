"""Shards on servers of somebody else, by DSN: nothing is started, nothing is stopped."""
from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from hotpath.core.errors import ShardUnavailable
from hotpath.shard import ddl
from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.schema import quoted
from hotpath.shard.topology import loaded

from . import Server
from .errors import Busy, CannotStart, Taken
from .login import NoLogin, ask, session
from .waiting import PATIENCE_S, POLL_S, after

log = logging.getLogger(__name__)

UNKNOWN_DATABASE = 1049
NO_SUCH_TABLE = 1146
TOO_MANY = 1040         # connections
# Of what we ask a server that is not ours to start: it answers, or it does not.
PROBE_S = 2.0
OURS = ("SELECT table_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND column_name = '_hp_slot' "
        "UNION SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name IN ('_hp_fence', '_hp_moved', '_hp_cursor')")
MAP = ("_hp_cluster", "_hp_reshard", "_hp_lease", "_hp_router")


class Foreign:
    """The DSNs of the configuration, and those that the map knows."""

    def __init__(self, config: ShardConfig) -> None:
        self._config = config
        self._endpoints = {entry.name: Endpoint.parse(entry.dsn) for entry in config.entries if entry.dsn is not None}
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def exclusive(self, deadline_s: float) -> Iterator[None]:
        """See Backend: by a lock of the server that the map is on."""
        if not self._thread.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise self._busy()
        try:
            if self._depth:
                yield
                return
            meta = self.meta(self._first)
            self._answering("meta", meta, deadline_s)
            with self._locked(meta, deadline_s):
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
        finally:
            self._thread.release()

    @contextmanager
    def _locked(self, meta: Endpoint, deadline_s: float) -> Iterator[None]:
        # The name is the whole server's, and has at most 64 characters.
        name = f"hotpath-shard {zlib.crc32(meta.database.encode()):08x}"
        try:
            with session(meta) as run:
                while run(f"SELECT GET_LOCK('{name}', 1)") != [(1,)]:
                    if time.monotonic() > deadline_s:
                        raise self._busy()
                yield
        except NoLogin as error:
            raise (CannotStart if _is_refusal(error.errno) else Busy)(f"meta: {meta.shown}: {error}") from None

    def _busy(self) -> Busy:
        return Busy(f"{self._config.cluster}: another command has been working on this cluster for too long; "
                           "wait for it, or end it")

    @property
    def _first(self) -> str:
        return self._config.entries[0].name

    def begun(self) -> bool:
        """Always: only the map can tell."""
        return True

    def up(self, names: tuple[str, ...], deadline_s: float) -> dict[str, Endpoint]:
        """Wait until each answers; make its database if it is missing and the account may."""
        for name in names:
            self._answering(name, self._endpoint(name), deadline_s)
        return {name: self._endpoint(name) for name in names}

    def create(self, name: str, dsn: str | None = None) -> Endpoint:
        """See Backend."""
        if dsn is None:
            raise CannotStart(f"{name}: dsn is missing; with backend dsn each shard is a server of yours: "
                              f"{Endpoint.forms}")
        endpoint = Endpoint.parse(dsn)
        self._answering(name, endpoint, after(PATIENCE_S))
        owner = self._owner(name, endpoint)
        if owner not in (None, self._config.cluster):
            raise Taken(f"{name}: {endpoint.shown} belongs to the cluster {owner!r}; name another database")
        self._endpoints[name] = endpoint
        return endpoint

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            self._endpoints |= self._mapped()
        if name not in self._endpoints:
            raise CannotStart(f"{name}: no such shard, neither in the configuration nor in the map")
        return self._endpoints[name]

    def _mapped(self) -> dict[str, Endpoint]:
        """What the map says, if there is one."""
        try:
            rows = ask(self.meta(self._first), "SELECT topology FROM _hp_cluster WHERE id = 1")
        except NoLogin as error:
            if error.errno in (UNKNOWN_DATABASE, NO_SUCH_TABLE):
                return {}
            raise CannotStart(f"meta: {self.meta(self._first).shown}: {error}") from None
        text = rows[0][0] if rows else None
        if not isinstance(text, bytes):
            return {}
        return {member.name: Endpoint.parse(member.endpoint) for member in loaded(text).members}

    def _owner(self, name: str, endpoint: Endpoint) -> str | None:
        """Whose its database says it is."""
        with closing(open_shard(name, endpoint, self._config.pool, max=1)) as shard:
            try:
                return ddl.owner_of(shard)
            except ShardUnavailable as error:
                raise CannotStart(f"{name}: {endpoint.shown}: {error.cause}") from None

    def _answering(self, name: str, endpoint: Endpoint, deadline_s: float) -> None:
        while True:
            try:
                ask(endpoint, "SELECT 1", timeout_s=PROBE_S)
                return
            except NoLogin as error:
                cause, errno = str(error), error.errno
            if errno == UNKNOWN_DATABASE:
                self._make_database(name, endpoint)
            elif _is_refusal(errno) or time.monotonic() > deadline_s:
                raise CannotStart(f"{name}: {endpoint.shown}: {cause}; whoever runs the server must put it right")
            else:
                time.sleep(POLL_S)

    def _make_database(self, name: str, endpoint: Endpoint) -> None:
        try:
            ask(endpoint, f"CREATE DATABASE IF NOT EXISTS {quoted(endpoint.database)}", database=False)
        except NoLogin as error:
            raise CannotStart(f"{name}: {endpoint.shown}: the database {endpoint.database} is missing, and cannot be "
                              f"made: {error}; make it, or give the account the right to") from None

    def stop(self, name: str) -> None:
        """It is not ours to stop."""

    def purge(self, name: str, dsn: str | None = None) -> None:
        """Delete our tables, if they are this cluster's; the database stays."""
        endpoint = Endpoint.parse(dsn) if dsn is not None else (self._endpoints | self._mapped()).get(name)
        if endpoint is None:
            log.warning("not purged shard=%s cause=nobody knows its DSN any more", name)
            return
        try:
            if self._owner(name, endpoint) != self._config.cluster:
                return
            with session(endpoint) as run:
                # The fence last: until then the database is known to be ours.
                for (table,) in sorted(run(OURS), key=lambda row: _text(row[0]) == "_hp_fence"):
                    run(f"DROP TABLE IF EXISTS {quoted(_text(table))}")
        except NoLogin as error:
            raise CannotStart(f"{name}: {endpoint.shown}: its tables could not be deleted: {error}") from None

    def forget(self) -> None:
        """See Backend."""
        with suppress(NoLogin), session(self.meta(self._first)) as run:
            for table in MAP:
                run(f"DROP TABLE IF EXISTS {table}")

    def server(self, name: str) -> Server:
        """Somebody else's; `up`: it answers."""
        try:
            ask(self._endpoint(name), "SELECT 1", timeout_s=PROBE_S)
        except (NoLogin, CannotStart):
            return Server(None, None, up=False)
        return Server(None, None, up=True)

    def meta(self, first: str) -> Endpoint:
        """The DSN of the configuration; else CLUSTER_meta on the server of its first shard."""
        if self._config.meta is not None:
            return Endpoint.parse(self._config.meta)
        return self._endpoints[first].in_database(f"{self._config.cluster}_meta")

    def all(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(self._endpoints | self._mapped())

    def exists(self, name: str) -> bool:
        """Whether it is known."""
        return name in self._endpoints


def _is_refusal(errno: int) -> bool:
    """Whether the server answered, and will answer the same again."""
    return 1000 < errno < 2000 and errno != TOO_MANY    # from 2000 on it is the driver that speaks


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
