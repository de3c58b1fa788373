"""Where the shards' servers come from: SQLite files, local processes, containers, or somebody else's by DSN."""
from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint

from .errors import CannotStart, Taken

__all__ = ["Backend", "CannotStart", "Server", "Taken", "backend_of"]


@dataclass(frozen=True, slots=True)
class Server:
    """What runs behind a shard. `server`: what to look for on the machine; None: no server of ours."""

    server: str | None
    pid: int | None
    up: bool


class Backend(Protocol):
    """Servers by the shards' names. All methods block; they raise CannotStart and Taken, whose text says who must act.

    Several processes may work on the same cluster at the same time: what changes servers takes `exclusive` itself.
    """

    def exclusive(self, deadline_s: float) -> AbstractContextManager[object]:
        """Nobody else starts or stops servers of this cluster meanwhile. One thread may enter it again."""
        ...

    def begun(self) -> bool:
        """Whether a first `up` has been here."""
        ...

    def up(self, names: tuple[str, ...], deadline_s: float) -> dict[str, Endpoint]:
        """Make and start what is missing of them, side by side; return when a login works on each.

        So does the server that the map is on, which is the first of them the first time. `deadline_s` is of
        time.monotonic().
        """
        ...

    def create(self, name: str, dsn: str | None = None) -> Endpoint:
        """One server more, as `up`; `dsn`: with the backend of that name."""
        ...

    def stop(self, name: str) -> None:
        """Stop it in order. Its data stay; one that does not run is no error."""
        ...

    def purge(self, name: str, dsn: str | None = None) -> None:
        """Stop it, and delete its data. Of somebody else's server our tables; `dsn` names it if no map does."""
        ...

    def forget(self) -> None:
        """When all shards are purged: delete what is left of the map, and give the data directory back."""
        ...

    def server(self, name: str) -> Server:
        """How it is now; asks no database."""
        ...

    def meta(self, first: str) -> Endpoint:
        """The database of the map: beside the shards, or on the one that was `first` the first time."""
        ...

    def all(self) -> tuple[str, ...]:
        """The names of all servers of ours, whether or not the map knows them."""
        ...

    def exists(self, name: str) -> bool:
        """Whether anything of ours stands under this name."""
        ...


def backend_of(config: ShardConfig) -> Backend:
    """The one that `config` names."""
    # Each knows libraries that the others need not wait for.
    match config.backend:
        case "embedded":
            from .embedded import Embedded
            return Embedded(config)
        case "process":
            from .process import Processes
            return Processes(config)
        case "docker":
            from .docker import Containers
            return Containers(config)
        case "dsn":
            from .dsn import Foreign
            return Foreign(config)
