"""One table over all shards."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hotpath.shard.rows.aggregates import Summary, Totals
from hotpath.shard.rows.query import Query
from hotpath.shard.schema import Key, Row, Table

from .aggregate import Aggregates
from .bulk import Bulk, BulkInsert, Single
from .lanes import Lanes
from .listing import Listing, Page
from .look import Map
from .many import Many
from .reader import Readers


class Scatter:
    """Any thread may use it. What must be whole is, or raises ShardUnavailable."""

    def __init__(self, table: Table, map: Map, lanes: Lanes, store: Single, next_id: Callable[[], int],
                 wait_s: float) -> None:
        """`store` takes single rows; `wait_s`: how long a change of the map is waited for."""
        readers = Readers(table)
        self._listing = Listing(table, map, lanes, readers, wait_s)
        self._aggregates = Aggregates(table, map, lanes, readers, wait_s)
        self._many = Many(table, map, lanes, readers, wait_s)
        self._bulk = BulkInsert(table, map, lanes, readers, store, next_id, wait_s)

    def page(self, query: Query) -> Page:
        """One page of a list."""
        return self._listing.page(query)

    def rows(self, query: Query) -> tuple[list[Row], bool]:
        """The same, of all columns that the query needs; and whether there are more."""
        return self._listing.rows(query)

    def aggregate(self, summary: Summary) -> Totals:
        """Counts, sums, least and greatest values."""
        return self._aggregates.totals(summary)

    def get_many(self, keys: Sequence[Key]) -> list[Row | None]:
        """The rows of these keys, in this order; None: there is none."""
        return self._many.get(keys)

    def insert_many(self, bodies: Iterable[object], check: Callable[[object], Row]) -> Bulk:
        """Insert what `check` makes of each of `bodies`; it raises InvalidRow. One row's failure is not another's."""
        return self._bulk.insert(bodies, check)
