"""The rows of one table, as a library sees them."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .rows.aggregates import summary_of_python
from .rows.checks import changes_of_python, key_of_python, row_of_python
from .rows.query import query_of_python
from .scatter import Bulk, Page, scanned
from .schema import Row, Table

if TYPE_CHECKING:
    from .node import Node

Where = Mapping[str, object] | None
Order = str | Sequence[str] | None
# Outside the class, in which `list` is a method.
Found = list[Row | None]

# Rows that a scan holds at once.
SCAN_ROWS = 500


class Rows:
    """Any thread may use it, and a forked child goes on with connections of its own.

    Values are int, float, bool, str, bytes, Decimal, aware datetime, and JSON objects. Every method raises
    ShardUnavailable when a shard cannot answer; nothing was applied, unless it is an UncertainOutcome.
    """

    __slots__ = ("_limits", "_name", "_node", "_table")

    def __init__(self, node: Callable[[], Node], table: Table) -> None:
        """Of `table`; `node` is asked each time, as a fork makes another."""
        self._node = node
        self._table = table
        self._name = table.name
        self._limits = node().config.limits

    # ---- one row

    def insert(self, row: Mapping[str, object]) -> Row:
        """A new row; as it stands then, with defaults and its generated key. Raises DuplicateKey, InvalidRow."""
        whole = row_of_python(self._table, row, limit=self._limits.row)
        return self._node().stores[self._name].insert(whole)[0]

    def get(self, key: object) -> Row | None:
        """The row; None: there is none. Raises InvalidRow for what can be no key."""
        return self._node().stores[self._name].get(key_of_python(self._table, key))[0]

    def put(self, row: Mapping[str, object]) -> bool:
        """The whole row, whatever stood under its key; whether it is new. Raises InvalidRow."""
        whole = row_of_python(self._table, row, generate=False, limit=self._limits.row)
        return self._node().stores[self._name].put(whole)[0]

    def update(self, key: object, changes: Mapping[str, object]) -> bool:
        """Change some columns, `{"likes": {"$add": 1}}` by a sum; False: there is no such row. Raises InvalidRow."""
        checked = key_of_python(self._table, key)
        wanted = changes_of_python(self._table, changes, key=checked, limit=self._limits.row)
        return self._node().stores[self._name].update(checked, wanted)[0]

    def delete(self, key: object) -> bool:
        """No row any more; False: there was none. Raises InvalidRow for what can be no key."""
        return self._node().stores[self._name].delete(key_of_python(self._table, key))[0]

    # ---- many rows

    def get_many(self, keys: Iterable[object]) -> Found:
        """The row of each key, in their order; None: there is none. Raises InvalidRow for what can be no key."""
        return self._node().scatter[self._name].get_many([key_of_python(self._table, key) for key in keys])

    def insert_many(self, rows: Iterable[Mapping[str, object]]) -> Bulk:
        """Insert each that can be: how many were, and why the others were not. Raises nothing of a single row."""
        check = partial(row_of_python, self._table, limit=self._limits.row)
        return self._node().scatter[self._name].insert_many(rows, check)

    def scan(self, where: Where = None, order: Order = None) -> Iterator[Row]:
        """All rows, each key once; read as they are wanted, some hundred at a time. Raises ValueError for bad `where`.

        What is written meanwhile may be in it, or not.
        """
        query = query_of_python(self._table, where=where, order=order, limit=SCAN_ROWS, max_limit=SCAN_ROWS)
        # Asked anew for each page: it may be read on in a forked child.
        return scanned(lambda query: self._node().scatter[self._name].rows(query), query)

    def list(self, where: Where = None, order: Order = None, limit: int = 50, cursor: str | None = None,
             fields: str | Sequence[str] | None = None) -> Page:
        """One page: rows, and the cursor of the next one or None. Raises ValueError for what cannot be asked.

        `where={"author": "ada", "likes": {"gt": 3}}`, `order="-created,title"`, `fields=["id", "title"]`.
        """
        query = query_of_python(self._table, where=where, order=order, limit=limit, cursor=cursor, fields=fields,
                                max_limit=self._limits.list)
        return self._node().scatter[self._name].page(query)

    def aggregate(self, *names: str, where: Where = None) -> Row:
        """`"count"`, `"sum(C)"`, `"min(C)"`, `"max(C)"`, by these names. Raises ValueError for what cannot be asked."""
        return self._node().scatter[self._name].aggregate(summary_of_python(self._table, names, where)).result()
