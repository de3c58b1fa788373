"""Values survive both engines: through JSON, Python, a real table, and back."""
from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.checks import row_of_json, row_of_python
from hotpath.shard.rows.codec import Codec
from hotpath.shard.rows.values import json_row
from hotpath.shard.schema import Column, Table

from .conftest import TABLES, Database
from .samples import BY_STRING, rows, same


@settings(max_examples=20)
@given(data=st.data(), table=st.sampled_from(list(TABLES.values())))
def test_a_row_comes_back_as_it_went(database: Database, data: st.DataObject, table: Table) -> None:
    there = {row["id"]: row_of_json(table, msgspec.json.decode(msgspec.json.encode(json_row(table, row_of_python(
        table, row))))) for row in data.draw(st.lists(rows(table), min_size=1, max_size=10))}
    database.fill(table, list(there.values()))
    codec = database.codecs[table]
    names = ", ".join(f"`{column.name}`" for column in table.columns)
    back = {row["id"]: row for row in map(codec.row, database.rows(f"SELECT {names}, _hp_slot FROM {table.name}"))}
    assert back.keys() == there.keys()
    for key, row in there.items():
        assert same(back[key], row)
        assert list(back[key]) == [column.name for column in table.columns]


@pytest.mark.parametrize("dialect", ["mysql", "sqlite"])
@settings(max_examples=40)
@given(row=rows(BY_STRING), names=st.lists(st.sampled_from([column.name for column in BY_STRING.columns]), unique=True))
def test_a_row_is_its_columns_one_by_one(dialect: Any, row: dict[str, object], names: list[str]) -> None:
    codec = Codec(BY_STRING, dialect)
    row = row_of_python(BY_STRING, row)
    values = codec.values(row)
    assert values == tuple(codec.value(name, value) for name, value in row.items())
    assert [codec.back(name, value) for name, value in zip(row, values, strict=True)] == list(row.values())
    assert codec.picker(names)([codec.value(name, row[name]) for name in names]) == {name: row[name] for name in names}


def test_a_key_is_what_its_column_is() -> None:
    assert Codec(BY_STRING, "mysql").key("é") == b"\xc3\xa9"
    assert Codec(BY_STRING, "mysql").key_back(b"\xc3\xa9") == "é"
    assert Codec(BY_STRING, "sqlite").key("é") == Codec(BY_STRING, "sqlite").key_back("é") == "é"
    assert Codec(BY_STRING, "mysql").value("word", "é") == "é"


def test_names_that_are_words_of_python_or_sql_are_names() -> None:
    table = Table("t", tuple(Column(name, "bool", nullable=True) for name in ("lambda", "none", "v", "c0", "if")), 0)
    codec = Codec(table, "sqlite")
    row = {"lambda": True, "none": None, "v": False, "c0": True, "if": None}
    assert codec.values(row) == (1, None, 0, 1, None)
    assert codec.row((1, None, 0, 1, None)) == row
