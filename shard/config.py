"""The configuration of a cluster: its shards, its tables, and how they are served."""
from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

from hotpath.core.config import ONE_OR_MANY, Address, Duration, Problem, Scalar, Section, Size, spelled
from hotpath.core.serve import ServeConfig
from hotpath.core.serve.config import Limits

from .declare import TableConfig, table_of
from .endpoint import Endpoint
from .schema import NAME, NAMES, Table

SHARD_NAME = r"^[a-z][a-z0-9-]{0,30}$"
META_NAME = "meta"              # no shard may be called so: its file stands beside theirs

_ROWS = re.compile(r"([0-9]{1,9})(?:/([smh]))?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600}


def read_rows_rate(value: Scalar) -> float:
    """Rows per second of `20000/s`, `600/m` or a bare number; 0: no cap. Raises ValueError."""
    found = _ROWS.fullmatch(str(value)) if type(value) in (int, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no rate; allowed: rows per second, as 20000/s, or 0 for no cap")
    return int(found[1]) / _SECONDS[found[2]]


def write_rows_rate(rate: float) -> str:
    """As `read_rows_rate` reads it."""
    unit = next((unit for unit in ("s", "m") if math.isclose(rate * _SECONDS[unit] % 1, 0, abs_tol=1e-9)), "h")
    return f"{round(rate * _SECONDS[unit])}/{unit}"


RowsRate = Annotated[float, spelled(read_rows_rate, write_rows_rate)]


class ShardEntry(Section, frozen=True):
    """One of the shards that the first `up` makes."""

    short: ClassVar = "name"

    name: Annotated[str, msgspec.Meta(pattern=SHARD_NAME)]  # any but `meta`, which is ours
    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0    # its share, beside others' weights
    dsn: str | None = None                                  # with backend dsn: mysql://USER:PASSWORD@HOST:PORT/DATABASE

    def check(self) -> Iterator[Problem]:
        """The name is free, and the DSN is one."""
        if self.name == META_NAME:
            yield Problem(("name",), "'meta' is the name of our own database; allowed: any other")
        yield from _dsn_problem(self.dsn, "dsn")


class PoolConfig(Section, frozen=True):
    """Connections to one shard, of one worker."""

    max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16    # connections
    wait: Duration = 2.0        # for a connection, or for a row that somebody else holds
    connect: Duration = 3.0     # until a new one must stand
    statement: Duration = 10.0  # that a server may think about one
    idle: Duration = 300.0      # then it is closed
    age: Duration = 3600.0      # then too, whatever it does
    ping_after: Duration = 1.0  # idle for so long, it is asked whether it lives before it is used

    def check(self) -> Iterator[Problem]:
        """What nobody can wait for."""
        for name in ("wait", "connect", "statement", "idle", "age"):
            if getattr(self, name) == 0:
                yield Problem((name,), "0 is not allowed; allowed: from 1ms")


class MoveConfig(Section, frozen=True):
    """How rows are moved, where a command does not say otherwise."""

    rate: RowsRate = 20000.0                                        # rows per second; 0: no cap
    chunk: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500      # rows, at most, in one transaction
    latency: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 1.5    # x the p99 before: slow down above it
    hold: bool = False                                              # stop at `verified`, until told to complete
    keep_source: bool = False                                       # leave the moved rows where they were


class ShardLimits(Limits, frozen=True):
    """What one request may carry."""

    # bytes of the request line: 500 keys fit in a query
    line: Annotated[Size, msgspec.Meta(ge=64, le=65536)] = 48 * 1024
    head: Annotated[Size, msgspec.Meta(ge=256, le=60 * 1024)] = 56 * 1024       # bytes of a whole request head
    row: Annotated[Size, msgspec.Meta(ge=1024, le=16 * 1024**2)] = 1024**2      # bytes of one row
    bulk: Annotated[Size, msgspec.Meta(ge=1024, le=1024**3)] = 32 * 1024**2     # bytes of a request that holds many
    list: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000                 # rows on one page of a list


class DockerConfig(Section, frozen=True):
    """Containers, for `backend: docker`."""

    image: Annotated[str, msgspec.Meta(min_length=1)] = "mysql:8.4"    # of MySQL or MariaDB
    build: Literal["auto", "never", "always"] = "auto"  # make it from Debian's packages; auto: where it cannot be had
    memory: Annotated[Size, msgspec.Meta(ge=64 * 1024**2)] = 512 * 1024**2    # of one container
    args: tuple[str, ...] = ()                          # for the server in it


class ProcessConfig(Section, frozen=True):
    """Local servers, for `backend: process`."""

    binary: Annotated[str, msgspec.Meta(min_length=1)] = "auto"     # mariadbd or mysqld
    user: Annotated[str, msgspec.Meta(min_length=1)] = "auto"       # whom it runs as, if we are root
    args: tuple[str, ...] = ()                                      # for the server


class ShardConfig(ServeConfig, frozen=True):
    """One cluster, and one router for it."""

    # its name: of containers, and of the map's database
    cluster: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "blog"
    # where the router listens: one address, or a list
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8320),)
    # a file that holds the bearer token; needed off loopback
    token_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    # processes of the router; auto: one per CPU that we may use
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = 1
    # SQLite files, servers started here, containers, or databases that exist
    backend: Literal["embedded", "process", "docker", "dsn"] = "embedded"
    data: Annotated[str, msgspec.Meta(min_length=1)] = "shard-data"     # folder of the files, relative to this one
    # how many the first `up` makes (s0, s1, …), or which; from then on the map rules
    shards: Annotated[int, msgspec.Meta(ge=1, le=1000)] | tuple[ShardEntry, ...] = 3
    # points on the ring for each unit of weight; kept from the first `up`
    vnodes: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 256
    fence: bool = True          # false, at the first `up`: shards are never added or removed
    meta: str | None = None     # DSN of the map's database; null: a file in `data`, or a database on the first shard
    pool: PoolConfig = msgspec.field(default_factory=PoolConfig)
    move: MoveConfig = msgspec.field(default_factory=MoveConfig)
    limits: ShardLimits = msgspec.field(default_factory=ShardLimits)
    docker: DockerConfig = msgspec.field(default_factory=DockerConfig)
    process: ProcessConfig = msgspec.field(default_factory=ProcessConfig)
    # by name
    tables: Annotated[Mapping[str, TableConfig], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        """What the types cannot say."""
        for name in self.tables:
            if re.fullmatch(NAME, name) is None:
                yield Problem(("tables", name), f"{name!r} is no name; allowed: {NAMES}")
        yield from _dsn_problem(self.meta, "meta")
        if isinstance(self.shards, tuple):
            yield from self._check_shards(self.shards)
        elif self.backend == "dsn":
            yield Problem(("shards",), f"{self.shards} is not allowed with backend dsn; allowed: list of {{name, dsn}}")

    def _check_shards(self, shards: tuple[ShardEntry, ...]) -> Iterator[Problem]:
        if not shards:
            yield Problem(("shards",), "none; allowed: at least one")
        names = set()
        for i, shard in enumerate(shards):
            if shard.name in names:
                yield Problem(("shards", i, "name"), f"{shard.name!r} is there twice")
            names.add(shard.name)
            if self.backend == "dsn" and shard.dsn is None:
                yield Problem(("shards", i), f"dsn is missing; allowed: {Endpoint.forms}")
            if self.backend != "dsn" and shard.dsn is not None:
                yield Problem(("shards", i, "dsn"), f"not with backend {self.backend}; allowed: with backend dsn")

    @property
    def entries(self) -> tuple[ShardEntry, ...]:
        """The shards of the first `up`."""
        if isinstance(self.shards, tuple):
            return self.shards
        return tuple(ShardEntry(f"s{i}") for i in range(self.shards))

    @property
    def schema(self) -> Mapping[str, Table]:
        """The tables as declared."""
        return {name: table_of(name, declared) for name, declared in self.tables.items()}

    @property
    def exposed(self) -> int | None:
        """Which of `listen` others can reach although no token is asked for."""
        open_ = (i for i, address in enumerate(self.listen) if not address.is_loopback)
        return next(open_, None) if self.token_file is None else None


def _dsn_problem(dsn: str | None, key: str) -> Iterator[Problem]:
    if dsn is not None:
        try:
            Endpoint.parse(dsn)
        except ValueError as error:
            yield Problem((key,), str(error))
