"""Lists, aggregates and multi-gets in every state of a move, against a dict."""
from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotpath.shard.rows.aggregates import summary_of_python
from hotpath.shard.rows.query import query_of_python
from hotpath.shard.scatter import Lanes, Scatter

from .byhand import TABLES, HandMap, key_of
from .states import worlds

KINDS = list(TABLES)
EXAMPLES = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])

WHERES = [
    None, {"group": 1}, {"group": {"null": True}}, {"group": {"ne": 0}, "n": {"ge": 3 * 2**57}},
    {"name": {"gt": "A"}}, {"price": {"lt": 0}}, {"x": {"gt": 99.0}},
]
AGGREGATES = ["count", *(f"{op}({name})" for name in ("group", "n", "price", "x") for op in ("sum", "min", "max")),
              "min(key)", "max(key)", "min(at)", "max(name)"]
ORDERS = [None, "group", "-group,name", "name,-at", "-key", "price,-x", "-price", "at"]


def looked_at(files, world, **over):
    """A Scatter on files that stand as the world says."""
    for name in files.shards:
        files.fill(name, world.rows[name].values(), world.marks[name], world.topology.epochs[name])
    return Scatter(files.table, HandMap(world.topology, files.shards), Lanes(4, 2.0), over.get("store"),
                   over.get("next_id"), 2.0)


def matches(where, row):
    tests = {"ne": lambda a, b: a != b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b, "lt": lambda a, b: a < b,
             "eq": lambda a, b: a == b}
    for name, wanted in (where or {}).items():
        for op, value in (wanted if isinstance(wanted, dict) else {"eq": wanted}).items():
            if op == "null":
                if (row[name] is None) is not value:
                    return False
            elif row[name] is None or not tests[op](row[name], value):
                return False
    return True


def _nulls_first(name, row):
    return (row[name] is not None, row[name])


def expected(world, where, order):
    """The list as the contract has it, sorted term by term from the last: Python's sort is stable."""
    rows = [row for row in world.truth.values() if matches(where, row)]
    names = (order or "").split(",") if order else []
    for name in reversed([*names, *([] if "key" in (order or "") else ["key"])]):
        rows.sort(key=partial(_nulls_first, name.lstrip("-")), reverse=name.startswith("-"))
    return rows


def listed(scatter, table, where, order, limit):
    """All pages of a list."""
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = scatter.page(query_of_python(table, where=where, order=order, limit=limit, cursor=cursor,
                                            max_limit=100))
        assert len(page.rows) == limit or page.next is None
        assert page.rows or pages == 0
        found += page.rows
        cursor = page.next
        pages += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
@EXAMPLES
@given(data=st.data())
def test_a_list_has_each_key_once_in_every_state_of_a_move(all_files, kind, data):
    files = all_files[kind]
    world = data.draw(worlds(files.table, kind))
    scatter = looked_at(files, world)
    where, order = data.draw(st.sampled_from(WHERES)), data.draw(st.sampled_from(ORDERS))
    limit = data.draw(st.integers(1, 12))
    assert listed(scatter, files.table, where, order, limit) == expected(world, where, order)


@pytest.mark.parametrize("kind", KINDS)
@EXAMPLES
@given(data=st.data())
def test_aggregates_are_exact_in_every_state_of_a_move(all_files, kind, data):
    files = all_files[kind]
    world = data.draw(worlds(files.table, kind))
    scatter = looked_at(files, world)
    where = data.draw(st.sampled_from(WHERES))
    found = scatter.aggregate(summary_of_python(files.table, AGGREGATES, where)).result()
    check_totals(found, [row for row in world.truth.values() if matches(where, row)])


def check_totals(found, rows):
    for name in found:
        if name == "count":
            assert found[name] == len(rows)
            continue
        op, column = name[:3], name[4:-1]
        values = [row[column] for row in rows if row[column] is not None]
        assert found[name] == ({"sum": sum, "min": min, "max": max}[op](values) if values else None), name


@pytest.mark.parametrize("kind", KINDS)
@EXAMPLES
@given(data=st.data())
def test_many_keys_are_answered_in_the_order_asked_in_every_state_of_a_move(all_files, kind, data):
    files = all_files[kind]
    world = data.draw(worlds(files.table, kind))
    scatter = looked_at(files, world)
    keys = [key_of(kind, n) for n in data.draw(st.lists(st.integers(0, 200), max_size=60))]
    keys += data.draw(st.permutations(sorted(world.truth)))
    assert scatter.get_many(keys) == [world.truth.get(key) for key in keys]


@pytest.mark.parametrize("kind", KINDS)
@settings(EXAMPLES, max_examples=2)
@given(data=st.data())
def test_real_servers_answer_the_same(all_servers, kind, data):
    servers = all_servers[kind]
    world = data.draw(worlds(servers.table, kind))
    scatter = looked_at(servers, world)
    for where, order in zip(WHERES, ORDERS[1:], strict=True):
        assert listed(scatter, servers.table, where, order, 7) == expected(world, where, order)
        found = scatter.aggregate(summary_of_python(servers.table, AGGREGATES, where)).result()
        check_totals(found, [row for row in world.truth.values() if matches(where, row)])
    keys = [key_of(kind, n) for n in range(0, 200, 3)]
    assert scatter.get_many(keys) == [world.truth.get(key) for key in keys]
