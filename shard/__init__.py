"""A sharded MySQL that grows while it serves: the library here, the router and its commands in `hotpath-shard`."""
from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hotpath.core.errors import (
    DuplicateKey,
    InvalidRow,
    PoolTimeout,
    ReshardConflict,
    SchemaDrift,
    ShardUnavailable,
    UncertainOutcome,
    UnknownTable,
)

# Before anything loads Python's ssl: the C extension brings an OpenSSL of its own, and finds its symbols only if it is
# the first. Else the driver turns to Python, which costs twice the CPU. It takes 3 ms, here and now.
with suppress(ImportError):
    import _mysql_connector  # type: ignore[import-not-found]    # noqa: F401

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Cluster", "DuplicateKey", "InvalidRow", "PoolTimeout", "ReshardConflict", "SchemaDrift", "ShardUnavailable",
           "UncertainOutcome", "UnknownTable"]


def __getattr__(name: str) -> object:
    """`Cluster` when it is first asked for: commands that only read a configuration do without all that it needs."""
    if name == "Cluster":
        from .cluster import Cluster
        return Cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
