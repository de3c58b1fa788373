"""A page of a list over all shards: merged in order, each key once, with a cursor that names values and no shard."""
from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from hotpath.shard.engine import Value
from hotpath.shard.rows.query import Query
from hotpath.shard.rows.sql import sql_of
from hotpath.shard.schema import Row, quoted
from hotpath.shard.topology import Topology

from .asker import Asker
from .look import Look
from .reader import Readers


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list; `next` is the cursor of those behind them. None: they are the last."""

    rows: list[Row]
    next: str | None


class Listing(Asker):
    """The lists of one table."""

    def page(self, query: Query) -> Page:
        """The rows that `query` asks for. Raises ShardUnavailable if one shard cannot answer: no list is partial."""
        rows, more = self.rows(query)
        return Page([query.shown(row) for row in rows], query.cursor(rows[-1]) if more else None)

    def rows(self, query: Query) -> tuple[list[Row], bool]:
        """Rows of `query.columns`, and whether there are more."""
        rows = self.settled(lambda topology: self._rows(topology, query))
        return rows[:query.limit], len(rows) > query.limit

    def _rows(self, topology: Topology, query: Query) -> list[Row]:
        """One row more than asked for says that there are more."""
        limit = query.limit + 1
        with self.looking(topology) as look:
            pieces = _Pieces(look, query, self._readers, limit)
            firsts = look.ask(lambda name: pieces.first(name, query))
            streams = [pieces.stream(name, piece) for name, piece in firsts.items()]
            return list(islice(heapq.merge(*streams, key=query.sort_key()), limit))


def scanned(rows: Callable[[Query], tuple[list[Row], bool]], query: Query) -> Iterator[Row]:
    """All rows that `query` asks for, in pages of its limit that `rows` answers."""
    more = True
    while more:
        page, more = rows(query)
        yield from map(query.shown, page)
        if more:
            query = query.behind(page[-1])


class _Pieces:
    """How the rows of one query come out of each shard: `size` at a time."""

    def __init__(self, look: Look, query: Query, readers: Readers, size: int) -> None:
        self._look = look
        self._query = query
        self._size = size
        self._readers = {name: readers.of(look.dialect(name), query.columns) for name in look.names}

    def first(self, name: str, query: Query) -> list[tuple[Value, ...]]:
        """The first rows of `query` on one shard, whether they count or not."""
        reader = self._readers[name]
        sql = sql_of(query, reader.codec)
        return self._look.rows(name, reader.columns, f"FROM {quoted(query.table.name)} WHERE {sql.condition} "
                               f"ORDER BY {sql.order} LIMIT ?", (*sql.values, self._size))

    def stream(self, name: str, piece: list[tuple[Value, ...]]) -> Iterator[Row]:
        """The rows of one shard that count, from those of `piece` on."""
        reader = self._readers[name]
        while True:
            for values in self._look.counting(name, piece, reader.key):
                yield reader.row(values)
            # As many as were asked for: of a shard whose rows all count no more can be needed.
            if len(piece) < self._size:
                return
            piece = self.first(name, self._query.behind(reader.row(piece[-1])))
