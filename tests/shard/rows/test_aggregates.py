"""Sums are exact, and those of several shards are those of all rows."""
from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.aggregates import Totals, aggregates_of, summary_of_pairs, summary_of_python
from hotpath.shard.rows.checks import row_of_python
from hotpath.shard.rows.sql import where_sql
from hotpath.shard.schema import Row

from .conftest import TABLES, Database
from .samples import rows, same

TABLE = TABLES["string"]
EXACT = ("whole", "long", "price", "wide_price")
ALL = ["count", *(f"sum({name})" for name in EXACT), *(
    f"{function}({column.name})" for column in TABLE.columns if column.kind != "json"
    for function in ("min", "max"))]


def added(database: Database, totals: Totals) -> None:
    codec = database.codecs[TABLE]
    answer, = database.rows(f"SELECT {totals.columns(codec)} FROM {TABLE.name}")
    totals.add(codec, answer)       # type: ignore[arg-type]


@settings(max_examples=15)
@given(shards=st.lists(st.lists(rows(TABLE), max_size=5, unique_by=lambda row: row["id"]), min_size=1, max_size=3),
       single=st.lists(rows(TABLE), max_size=3))
def test_all_shards_and_single_rows_together_are_all_rows(
        database: Database, shards: list[list[Row]], single: list[Row]) -> None:
    aggregates = aggregates_of(TABLE, ALL)
    totals, wanted = Totals(aggregates), Totals(aggregates)
    everything: list[Row] = []
    for given_rows in shards:
        there = [row_of_python(TABLE, row) for row in given_rows]
        everything += there
        database.fill(TABLE, there)
        added(database, totals)
    for row in single:
        everything.append(row_of_python(TABLE, row))
        totals.add_row(everything[-1])
    for row in everything:
        wanted.add_row(row)
    found = totals.result()
    assert same(found, wanted.result())
    for name in EXACT:
        values: list[int] = [row[name] for row in everything if row[name] is not None]    # type: ignore[misc]
        scale = 10**30      # in whole numbers: Decimal's own sums round
        total = found[f"sum({name})"]
        assert values == [] if total is None else scaled(total, scale) == sum(scaled(value, scale) for value in values)
    msgspec.json.encode(totals.json_result())


def scaled(number: object, scale: int) -> int:
    numerator, denominator = Decimal(number).as_integer_ratio()     # type: ignore[arg-type]
    return numerator * scale // denominator


def test_of_nothing_there_are_none_and_null(database: Database) -> None:
    database.fill(TABLE, [])
    totals = Totals(aggregates_of(TABLE, [*ALL, "sum(number)"]))
    added(database, totals)
    assert totals.json_result() == {"count": 0} | dict.fromkeys([*ALL[1:], "sum(number)"])


def test_a_sum_of_integers_passes_64_bits(database: Database) -> None:
    for sign, most in ((1, 2**63 - 1), (-1, 2**63)):
        database.fill(TABLE, [row_of_python(TABLE, {"id": str(i), "long": sign * most}) for i in range(5)])
        totals = Totals(aggregates_of(TABLE, ["sum(long)"]))
        added(database, totals)
        assert msgspec.json.encode(totals.json_result()) == b'{"sum(long)":%d}' % (sign * most * 5)


@settings(max_examples=15)
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6))
def test_a_sum_of_doubles_is_right_or_refused(database: Database, numbers: list[float]) -> None:
    database.fill(TABLE, [row_of_python(TABLE, {"id": str(i), "number": number}) for i, number in enumerate(numbers)])
    totals = Totals(aggregates_of(TABLE, ["sum(number)"]))
    added(database, totals)
    try:
        total = totals.result()["sum(number)"]
    except ValueError:
        # No order of adding them can be blamed for less than this.
        assert sum(abs(number / 2) for number in numbers) > 0.4 * 1.7976931348623157e308
        return
    if not numbers:
        assert total is None
    else:
        assert isinstance(total, float)
        most = max(abs(number) for number in numbers)
        wanted = math.fsum(number / 8 for number in numbers)
        assert math.isclose(total / 8, wanted, rel_tol=1e-9, abs_tol=most * 1e-9)


def test_a_sum_beyond_doubles_is_refused_not_cut(database: Database) -> None:
    database.fill(TABLE, [row_of_python(TABLE, {"id": str(i), "number": 1.5e308}) for i in range(2)])
    totals = Totals(aggregates_of(TABLE, ["sum(number)"]))
    added(database, totals)
    with pytest.raises(ValueError, match=r"^sum\(number\) is out of range"):
        totals.result()


def test_only_what_a_condition_matches_counts(database: Database) -> None:
    database.fill(TABLE, [row_of_python(TABLE, {"id": str(i), "whole": i, "word": "ab"[i % 2]}) for i in range(10)])
    summary = summary_of_pairs(TABLE, [("where.word", "a"), ("aggregate", "count,sum(whole),max(id)"),
                                       ("where.whole.lt", "7")])
    assert summary == summary_of_python(TABLE, ["count", "sum(whole)", "max(id)"], {"word": "a", "whole": {"lt": 7}})
    codec = database.codecs[TABLE]
    totals = Totals(summary.aggregates)
    condition, values = where_sql(summary.where, codec)
    answer, = database.rows(f"SELECT {totals.columns(codec)} FROM {TABLE.name} WHERE {condition}", values)
    totals.add(codec, answer)       # type: ignore[arg-type]
    assert totals.json_result() == {"count": 4, "sum(whole)": 12, "max(id)": "6"}
    assert totals.needed == ("whole", "id")


@pytest.mark.parametrize("names", ["", "count,count", "avg(whole)", "sum()", "sum(colour)", "sum(word)", "sum(flag)",
                                   "sum(moment)", "min(document)", "max(document)", "count(*)", "COUNT", "sum(whole",
                                   " count"])
def test_what_is_no_aggregate_is_refused_with_what_is_allowed(names: str) -> None:
    with pytest.raises(ValueError, match=r"^aggregate: .*allowed: "):
        summary_of_pairs(TABLE, [("aggregate", names)])


@pytest.mark.parametrize("pairs", [[], [("aggregate", "count"), ("aggregate", "count")],
                                   [("aggregate", "count"), ("limit", "5")], [("aggregate", "count"), ("order", "id")],
                                   [("aggregate", "count"), ("where.colour", "5")]])
def test_an_aggregate_comes_alone(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        summary_of_pairs(TABLE, pairs)


@pytest.mark.parametrize("names", [(), [5], [None]])
def test_python_is_refused_in_the_same_way(names: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        summary_of_python(TABLE, names)
