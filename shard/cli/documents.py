"""The documents of a cluster and its reshard, as far as a terminal shows them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from hotpath.shard.mover.reshard import OVER

UNCOUNTED = frozenset({"preparing", "opening"})

T = TypeVar("T")


class Pool(msgspec.Struct, frozen=True):
    """Connections of one process to one shard."""

    size: int
    in_use: int
    waiting: int
    max: int


class ShardDoc(msgspec.Struct, frozen=True):
    """One shard."""

    name: str
    state: Literal["active", "joining", "leaving"]
    weight: float
    slots: int
    share: float
    epoch: int
    up: bool
    address: str | None
    server: str | None
    pid: int | None
    rows: Mapping[str, int | None] | None
    pool: Pool | None


class Slots(msgspec.Struct, frozen=True):
    """How many slots of a move are how far."""

    total: int
    copied: int
    verified: int


class Rows(msgspec.Struct, frozen=True):
    """How many rows of a move are how far; `total` is known once the sources are fenced."""

    total: int | None
    copied: int
    pulled: int
    dirty: int
    verified: int
    deleted: int


class Speed(msgspec.Struct, frozen=True):
    """Rows per second: allowed (0: any) and now."""

    limit: float
    now: float


class MoveDoc(msgspec.Struct, frozen=True):
    """What goes from one shard to another."""

    source: str
    target: str
    state: str
    slots: int
    rows: int | None


class ReshardDoc(msgspec.Struct, frozen=True):
    """A shard being added or removed."""

    id: int | str
    kind: Literal["add", "remove"]
    shard: str
    state: str
    paused: bool
    error: str | None
    hold: bool
    slots: Slots
    rows: Rows
    rate: Speed
    eta_s: float | None
    started: str | float | None
    finished: str | float | None
    moves: tuple[MoveDoc, ...]

    @property
    def title(self) -> str:
        """`add s3`."""
        return f"{self.kind} {self.shard}"

    @property
    def total(self) -> int | None:
        """Rows that move; None: not all sources are fenced yet, so nobody knows."""
        return None if self.state in UNCOUNTED else self.rows.total

    @property
    def is_copying(self) -> bool:
        """Whether rows move now, at a speed that says when they will have."""
        return self.state == "copying" and not self.paused

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.state in OVER

    @property
    def is_held(self) -> bool:
        """Whether it waits for `complete` or `cancel`."""
        return self.hold and self.state == "verified"

    @property
    def is_stuck(self) -> bool:
        """Whether somebody must look at `error` before it goes on."""
        return self.paused and self.error is not None


class RouterDoc(msgspec.Struct, frozen=True):
    """A process that serves the cluster."""

    id: int | str
    host: str
    pid: int
    version: int


class ClusterDoc(msgspec.Struct, frozen=True):
    """The whole cluster."""

    cluster: str
    version: int
    backend: str
    fence: bool
    state: Literal["stable", "moving"]
    shards: tuple[ShardDoc, ...]
    reshard: ReshardDoc | None
    routers: tuple[RouterDoc, ...]


def read(document: Mapping[str, object], kind: type[T]) -> T:
    """The document, typed."""
    return msgspec.convert(document, kind)
