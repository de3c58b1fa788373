"""What every kind of question about a table needs: the map, a lane for each shard, and who reads its rows."""
from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from hotpath.shard.schema import Table
from hotpath.shard.topology import Topology

from .lanes import Lanes
from .look import Look, Map, looking, with_map
from .reader import Readers

T = TypeVar("T")


class Asker:
    """Of one table."""

    def __init__(self, table: Table, map: Map, lanes: Lanes, readers: Readers, wait_s: float) -> None:
        """`wait_s`: how long a change of the map is waited for."""
        self._table = table
        self._map = map
        self._lanes = lanes
        self._readers = readers
        self._wait_s = wait_s

    def settled(self, work: Callable[[Topology], T]) -> T:
        """See with_map."""
        return with_map(self._map, self._wait_s, work)

    def looking(self, topology: Topology, names: Sequence[str] | None = None, held: Collection[str] | None = None
                ) -> AbstractContextManager[Look]:
        """See looking, of look.py."""
        return looking(self._map, self._lanes, topology, self._table.name, names, held)
