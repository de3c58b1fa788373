"""From a configuration to a cluster that stands: its servers, its tables, its map; and back to nothing."""
from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace

import msgspec

from hotpath.core.errors import ConfigError, ReshardConflict, SchemaDrift, ShardUnavailable

from . import ddl
from .backend import Backend, CannotStart, Taken, backend_of
from .backend.waiting import after
from .config import ShardConfig
from .directory import fence_of, raise_fence
from .endpoint import Endpoint
from .engine import Shard, Statement
from .engine.opening import open_shard
from .meta import Facts, Meta
from .schema import Table, quoted
from .topology import Member, Topology, placed
from .transitions import Intent

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
FIRST_EPOCH = 1
CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class House:
    """A cluster that stands: where its servers come from, and its map."""

    config: ShardConfig
    backend: Backend
    meta: Meta

    def close(self) -> None:
        """Let go of the map; the servers go on."""
        self.meta.close()


def bring_up(config: ShardConfig, *, timeout_s: float = TIMEOUT_S, start: bool = True) -> House:
    """Start what does not run, make what is missing, and check the rest; `start` False: only find the map.

    May be called again, and by several processes at once. A reshard that is under way is left to go on. Raises
    ConfigError, CannotStart, Taken, SchemaDrift, ReshardConflict and ShardUnavailable, whose texts say what to do.
    """
    backend = backend_of(config)
    first = config.entries[0].name
    if not start:
        if not backend.begun():
            raise CannotStart(f"{config.cluster} is not up: hotpath-shard up")
        return House(config, backend, Meta.open(backend.meta(first), config.pool))
    deadline_s = after(timeout_s)
    with backend.exclusive(deadline_s):
        if backend.begun():
            backend.up((), deadline_s)      # only the map knows who there is
        else:
            _check_no_map(config)
            backend.up(tuple(entry.name for entry in config.entries), deadline_s)
        meta = Meta.open(backend.meta(first), config.pool)
        try:
            if meta.exists():
                _bring_back(config, backend, meta, deadline_s)
            else:
                _found(config, backend, meta, deadline_s)
        except BaseException:
            meta.close()
            raise
    return House(config, backend, meta)


def take_down(config: ShardConfig, *, purge: bool = False) -> tuple[str, ...]:
    """Stop all servers of the cluster, and delete all it has if `purge`; the names of its shards."""
    backend = backend_of(config)
    names = backend.all()
    if not names and not backend.begun():
        return ()
    with backend.exclusive(after(TIMEOUT_S)):
        for name in names:
            if purge:
                backend.purge(name)
            else:
                backend.stop(name)
        if purge:
            backend.forget()
    return names


def prepare(shard: Shard, cluster: str, tables: Iterable[Table]) -> None:
    """Make what a shard needs before it may join. Raises Taken, SchemaDrift and ShardUnavailable."""
    owner = ddl.owner_of(shard)
    if owner not in (None, cluster):
        raise Taken(f"{shard.name}: {shard.endpoint.shown} belongs to the cluster {owner!r}; name another database")
    ddl.sidecars(shard, cluster)
    ddl.create(shard, tables)
    ddl.check(shard, tables)


# ---- the first time

def _check_no_map(config: ShardConfig) -> None:
    """A map without what it is about would have us start on empty servers."""
    if config.meta is None:
        return
    meta = Meta.open(Endpoint.parse(config.meta), config.pool)
    try:
        if meta.exists():
            raise CannotStart(f"meta: {Endpoint.parse(config.meta).shown} knows a cluster, but {config.data} has none "
                              "of its data; name the right directory with `data`, or another database with `meta`")
    finally:
        meta.close()


def _found(config: ShardConfig, backend: Backend, meta: Meta, deadline_s: float) -> None:
    """Make the cluster that the configuration describes."""
    entries = config.entries
    names = tuple(entry.name for entry in entries)
    endpoints = backend.up(names, deadline_s)
    if len(set(endpoints.values())) < len(names):
        raise ConfigError("", 0, "shards", "two have the same database; allowed: one for each")
    tables = config.schema
    for name in names:
        with _opened(name, endpoints[name], config) as shard:
            prepare(shard, config.cluster, tables.values())
            with shard.reading() as session:
                _, highest = fence_of(session)
            if highest > FIRST_EPOCH or any(shard.rows(_any_row(table)) for table in tables.values()):
                raise Taken(f"{name}: {endpoints[name].shown} belongs to a cluster already, whose map is elsewhere; "
                            "say where with `meta`, or name another database")
            raise_fence(shard, FIRST_EPOCH)
    members = tuple(Member(entry.name, entry.weight, "active", str(endpoints[entry.name]), config.backend != "dsn")
                    for entry in entries)
    owners = placed({entry.name: entry.weight for entry in entries}, config.vnodes, names)
    topology = Topology(1, members, dict.fromkeys(names, FIRST_EPOCH), owners)
    meta.create(topology, Facts(config.cluster, config.backend, config.vnodes, config.fence,
                                ddl.described(tables.values())))
    log.info("made cluster=%s backend=%s shards=%s", config.cluster, config.backend, ",".join(names))


def _any_row(table: Table) -> Statement:
    return Statement(f"SELECT 1 FROM {quoted(table.name)} LIMIT 1")


# ---- and every time after

def _bring_back(config: ShardConfig, backend: Backend, meta: Meta, deadline_s: float) -> None:
    """Start the servers that the map knows, and hold them against the configuration."""
    facts = meta.facts()
    _check_facts(config, facts)
    members = meta.read().topology.members
    managed = tuple(member.name for member in members if member.managed)
    for name in managed:
        if not backend.exists(name):
            raise CannotStart(f"{name} is a shard of {config.cluster}, but its data are gone; put them back where "
                              "they were, or start anew after `hotpath-shard down --purge`")
    _relocate(meta, config, backend.up(managed, deadline_s))
    _bring_tables(config, meta, facts)


def _check_facts(config: ShardConfig, facts: Facts) -> None:
    """What the first `up` settled for ever."""
    for key in ("cluster", "backend", "vnodes", "fence"):
        was, is_ = getattr(facts, key), getattr(config, key)
        if was != is_:
            raise ConfigError("", 0, key, f"{_shown(is_)} is not what the cluster was made with, {_shown(was)}; put "
                                          "that back: it cannot change")


def _relocate(meta: Meta, config: ShardConfig, endpoints: Mapping[str, Endpoint]) -> None:
    """Whoever moves the data directory moves the servers: the map learns where they are."""
    state = meta.read()
    old = state.topology
    members = tuple(replace(one, endpoint=str(endpoints.get(one.name, one.endpoint))) for one in old.members)
    if members == old.members:
        return
    intent = Intent(replace(old, version=old.version + 1, members=members), ())
    if not (meta.propose(intent) and meta.publish(intent)):
        raise CannotStart(f"{config.cluster}: its data are not where the map says, and a step of a reshard is half "
                          "done; put them back there, start, and move them after it is over")
    log.info("moved cluster=%s", config.cluster)


def _bring_tables(config: ShardConfig, meta: Meta, facts: Facts) -> None:
    """Compare those that are known with each shard, and make new ones on all."""
    topology = meta.read().topology
    tables = config.schema
    fresh = [table for name, table in tables.items() if name not in facts.tables]
    known = [table for name, table in tables.items() if name in facts.tables]
    if fresh and (topology.moves or any(member.state != "active" for member in topology.members)):
        raise ReshardConflict(f"tables: {', '.join(table.name for table in fresh)} cannot be made while a reshard "
                              "runs; wait until it is over, or leave it out until then")
    for member in topology.members:
        with _opened(member.name, Endpoint.parse(member.endpoint), config) as shard:
            try:
                ddl.check(shard, known)
            except ShardUnavailable as error:
                # Its keys wait; those of the others need not.
                if member.managed or fresh:
                    raise
                log.warning("not checked shard=%s cause=%s", member.name, error.cause)
    _check_declared(facts, known)
    for member in topology.members if fresh else ():
        with _opened(member.name, Endpoint.parse(member.endpoint), config) as shard:
            ddl.create(shard, fresh)
            ddl.check(shard, fresh)
    if fresh:
        meta.set_facts(msgspec.structs.replace(facts, tables={**facts.tables, **ddl.described(fresh)}))
        log.info("made tables=%s", ",".join(table.name for table in fresh))


def _check_declared(facts: Facts, tables: Iterable[Table]) -> None:
    """What a database does not tell: to SQLite, string(64) and string(200) are the same."""
    for name, now in ddl.described(tables).items():
        before = facts.tables[name]
        if before == now:
            continue
        assert isinstance(before, dict)
        assert isinstance(now, dict)
        found = [f"{column}: declared {now['columns'].get(column, 'no more')}, made as "
                 f"{before['columns'].get(column, 'none')}"
                 for column in {**before["columns"], **now["columns"]}
                 if before["columns"].get(column) != now["columns"].get(column)]
        found = found or [f"the {key}: declared {now[key]}, made as {before[key]}" for key in ("key", "indexes")
                          if now[key] != before[key]] or ["the columns stand in another order"]
        raise SchemaDrift(f"table {name} of every shard is not as declared: "
                          f"{'; '.join(f'{name}.{what}' for what in found)}. Change `tables` back: a table cannot be "
                          "changed online yet")


def _opened(name: str, endpoint: Endpoint, config: ShardConfig) -> AbstractContextManager[Shard]:
    return closing(open_shard(name, endpoint, config.pool, max=CONNECTIONS))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
