"""Many keys at once: each shard is asked once for those that it may have."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from hotpath.shard.engine import Value
from hotpath.shard.schema import Key, Row, quoted, slot_of
from hotpath.shard.topology import Topology

from .asker import Asker
from .look import Look, padded

# In one statement, of keys up to 255 characters.
KEYS_AT_ONCE = 512


class Many(Asker):
    """Reads of many keys of one table."""

    def get(self, keys: Sequence[Key]) -> list[Row | None]:
        """The row of each key, in the order of `keys`; None: there is none. Raises ShardUnavailable."""
        if not keys:
            return []
        found = self.settled(lambda topology: self._get(topology, dict.fromkeys(keys)))
        return [found.get(key) for key in keys]

    def _get(self, topology: Topology, keys: Iterable[Key]) -> dict[Key, Row]:
        wanted: dict[str, list[Key]] = {}
        held = set()
        for key in keys:
            route = topology.routes[slot_of(key)]
            wanted.setdefault(route.shard, []).append(key)
            if route.source is not None:
                wanted.setdefault(route.source, []).append(key)
                held |= {route.shard, route.source}
        found: dict[Key, Row] = {}
        with self.looking(topology, sorted(wanted), held) as look:
            for name, rows in look.ask(lambda name: self._rows(look, name, wanted[name])).items():
                reader = self._readers.of(look.dialect(name), self._readers.names)
                for row in look.counting(name, rows, reader.key):
                    found[reader.key(row)] = reader.row(row)
        return found

    def _rows(self, look: Look, name: str, keys: Sequence[Key]) -> list[tuple[Value, ...]]:
        """What one shard has under these keys."""
        reader = self._readers.of(look.dialect(name), self._readers.names)
        to_engine = reader.codec.key
        rows: list[tuple[Value, ...]] = []
        for piece in padded(keys, KEYS_AT_ONCE):
            rows += look.rows(name, reader.columns, f"FROM {quoted(self._table.name)} WHERE "
                              f"{quoted(self._table.key.name)} IN ({', '.join('?' * len(piece))})",
                              [to_engine(key) for key in piece])
        return rows
