"""Both engines list what the same query selects in Python, in the same order, page by page."""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.rows.codec import Codec
from hotpath.shard.rows.query import Query, query_of_python
from hotpath.shard.rows.sql import ALL, sql_of
from hotpath.shard.schema import Row, Table

from .conftest import TABLES, Database
from .samples import SORTED, rows

EXAMPLES = 25
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
ORDERS = st.lists(st.builds(operator.add, st.sampled_from(["", "-"]), st.sampled_from([*SORTED, "id"])), max_size=4,
                  unique_by=lambda name: name.removeprefix("-"))


def some_rows(data: st.DataObject, table: Table) -> list[Row]:
    """Few values in many rows, so that rows often agree in a column."""
    drawn = data.draw(st.lists(rows(table), min_size=1, max_size=8, unique_by=lambda row: row["id"]))
    mixed = data.draw(st.lists(st.fixed_dictionaries({
        name: st.sampled_from([row[name] for row in drawn]) for name in SORTED}), min_size=len(drawn),
        max_size=len(drawn)))
    return [row_of_python(table, {**row, **other}) for row, other in zip(drawn, mixed, strict=True)]


def page(database: Database, query: Query) -> list[Row]:
    codec = database.codecs[query.table]
    sql = sql_of(query, codec)
    columns = ", ".join(f"`{name}`" for name in query.columns)
    return [codec.picker(query.columns)(values) for values in database.rows(     # type: ignore[arg-type]
        f"SELECT {columns} FROM {query.table.name} WHERE {sql.condition} AND _hp_slot >= 0 "
        f"ORDER BY {sql.order} LIMIT {query.limit}", sql.values)]


@settings(max_examples=EXAMPLES)
@given(data=st.data(), table=st.sampled_from(list(TABLES.values())), order=ORDERS, limit=st.integers(1, 4))
def test_pages_in_any_order_are_the_rows_sorted_in_python(database: Database, data: st.DataObject, table: Table,
                                                          order: list[str], limit: int) -> None:
    there = some_rows(data, table)
    database.fill(table, there)
    query = query_of_python(table, order=order, limit=limit, max_limit=10)
    wanted = sorted(there, key=query.sort_key())
    found: list[Row] = []
    while rows_found := page(database, query):
        found += rows_found
        query = query_of_python(table, order=order, limit=limit, max_limit=10, cursor=query.cursor(found[-1]))
        assert len(found) <= len(wanted)
    assert found == wanted


@settings(max_examples=EXAMPLES)
@given(data=st.data(), names=st.lists(st.sampled_from([*SORTED, "id"]), min_size=1, max_size=3, unique=True))
def test_conditions_mean_what_they_mean_in_python_and_null_compares_with_nothing(
        database: Database, data: st.DataObject, names: list[str]) -> None:
    table = TABLES["string"]
    there = some_rows(data, table)
    database.fill(table, there)
    where: dict[str, object] = {}
    for name in names:
        values = [row[name] for row in there if row[name] is not None]
        op = data.draw(st.sampled_from(["eq", "null", *COMPARE] if values else ["null"]))
        value = data.draw(st.booleans()) if op == "null" else data.draw(st.sampled_from(values))
        where[name] = value if op == "eq" else {op: value}
    wanted = [row["id"] for row in there if all(holds(row[name], one) for name, one in where.items())]
    found = page(database, query_of_python(table, where=where, fields=["id"], max_limit=50))
    assert sorted(found, key=lambda row: str(row["id"])) == [{"id": key} for key in sorted(map(str, wanted))]


def holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict):
        return bool(value == condition)
    (op, other), = condition.items()
    if op == "null":
        return (value is None) == other
    return value is not None and COMPARE[op](value, other)


def test_an_empty_blob_is_smaller_than_others_and_null_smaller_still(database: Database) -> None:
    # SQLite's substr() makes null of an empty blob.
    table = TABLES["number"]
    database.fill(table, [row_of_python(table, {"id": i, "data": data}) for i, data in enumerate([b"a", b"", None])])
    query = query_of_python(table, order="data", limit=1, max_limit=9)
    for wanted in (2, 1, 0):
        row, = page(database, query)
        assert row["id"] == wanted
        query = query.behind(row)


def test_a_document_can_be_null(database: Database) -> None:
    table = TABLES["number"]
    database.fill(table, [row_of_python(table, {"id": 1, "document": [None]}), row_of_python(table, {"id": 2})])
    assert [page(database, query_of_python(table, where={"document": {"null": null}}, fields=["id"], max_limit=9))
            for null in (True, False)] == [[{"id": 2}], [{"id": 1}]]


def test_strings_are_cut_nowhere_they_are_sorted_by(database: Database) -> None:
    # MySQL sorts by the first 1024 bytes if nobody sets `max_sort_length`.
    table = TABLES["number"]
    there = [row_of_python(table, {"id": i, "line": "\U0001f600" * 999 + end, "body": "é" * 999 + end,
                                   "data": b"\xff" * 3999 + end.encode()}) for i, end in enumerate("cab")]
    database.fill(table, there)
    for name in ("line", "body", "data"):
        assert [row["id"] for row in page(database, query_of_python(table, order=name, max_limit=9))] == [1, 2, 0]


def test_a_condition_is_never_empty() -> None:
    table = TABLES["number"]
    sql = sql_of(query_of_python(table, max_limit=9), Codec(table, "mysql"))
    assert (sql.condition, sql.values, sql.order) == (ALL, (), "`id`")
