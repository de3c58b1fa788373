"""`verify` finds what was put wrong, in every state of a move; and nothing where all is right."""
from __future__ import annotations

from typing import cast

import pytest

from hotpath.shard.engine import Statement
from hotpath.shard.mover import audit
from hotpath.shard.schema import Key, Table, slot_of
from hotpath.shard.topology import MoveState
from tests.shard.mover.clusters import Cluster

from .conftest import Make


def put_past_everybody(cluster: Cluster, shard: str, table: Table, key: Key, *, slot: int) -> None:
    """A copy of a row, inserted by hand."""
    store = cluster.stores[table.name]
    row, _ = store.get(key)
    assert row is not None
    side = store.side(cluster.shard(shard).dialect)
    columns = ", ".join(f"`{column.name}`" for column in table.columns)
    places = ", ".join("?" * len(table.columns))
    cluster.shard(shard).run(Statement(f"INSERT INTO `{table.name}` ({columns}, _hp_slot) VALUES ({places}, ?)"),
                             (*side.codec.values(row), slot))


def other(cluster: Cluster, owner: str) -> str:
    return next(member.name for member in cluster.directory.topology.members if member.name != owner)


@pytest.mark.parametrize("table", ["posts", "order", "bits"])
def test_a_row_that_stands_twice_is_doubled(files: Make, table: str) -> None:
    cluster = files()
    cluster.fill(30)
    declared = cluster.config.schema[table]
    key, owner = _some(cluster, table)
    put_past_everybody(cluster, other(cluster, owner), declared, key, slot=slot_of(key))
    found = cluster.admin.verify()
    assert (found["ok"], found["doubled"], found["misplaced"], found["rows"]) == (False, 1, 0, 90)
    assert cast("list[dict[str, object]]", found["examples"])[0]["shard"] == other(cluster, owner)


def test_a_row_elsewhere_is_misplaced(files: Make) -> None:
    cluster = files()
    cluster.fill(30)
    declared = cluster.config.schema["posts"]
    key, owner = _some(cluster, "posts")
    put_past_everybody(cluster, other(cluster, owner), declared, key, slot=slot_of(key))
    cluster.shard(owner).run(Statement("DELETE FROM posts WHERE id = ?"), (cast(int, key),))
    found = cluster.admin.verify()
    assert (found["ok"], found["doubled"], found["misplaced"], found["rows"]) == (False, 0, 1, 89)
    assert found["examples"] == [{"table": "posts", "key": key, "shard": other(cluster, owner), "problem": "misplaced"}]


@pytest.mark.parametrize("slot", [-1, 1])
def test_a_row_in_a_wrong_slot_is_misplaced(files: Make, slot: int) -> None:
    cluster = files()
    cluster.fill(30)
    key, owner = _some(cluster, "posts")
    statement = Statement("UPDATE posts SET _hp_slot = ? WHERE id = ?")
    cluster.shard(owner).run(statement, (slot, cast(int, key)))
    found = cluster.admin.verify()
    assert (found["ok"], found["misplaced"], found["rows"]) == (False, 1, 89)


@pytest.mark.parametrize("stop", ["open: opened", "copy: committed", "verify: compared", "complete: published",
                                  "clean: committed", "cancel: reversed", "reverse: committed", "cancel: back"])
def test_while_rows_move_all_is_well(files: Make, at: object, stop: str) -> None:
    check_well(files(hold=stop.startswith(("cancel", "reverse"))), at, stop)


def test_while_rows_move_all_is_well_on_servers(on_mariadb: Make, at: object) -> None:
    check_well(on_mariadb(), at, "copy: committed")


def check_well(cluster: Cluster, at: object, stop: str) -> None:
    rows = cluster.fill(40)
    found: list[dict[str, object]] = []

    def hear(step: str) -> None:
        if step == stop and len(found) < 2:
            found.append(cluster.admin.verify())

    at(hear)        # type: ignore[operator]
    cluster.add()
    record = cluster.carry()
    if record.state == "verified":
        for key in cluster.moving(rows["posts"])[:3]:
            cluster.stores["posts"].delete(key)
            del rows["posts"][key]
        for key in cluster.moving(rows["bits"])[:3]:
            cluster.stores["bits"].put({"k": key, "group": -1})
        cluster.admin.cancel()
        assert cluster.carry().state == "cancelled"
    assert found
    for one in found:
        assert one["ok"], one
        assert one["rows"] == sum(map(len, rows.values()))


def test_a_copy_that_is_gone_or_changed_is_found(make: Make) -> None:
    cluster = make(hold=True)
    cluster.fill(60)
    cluster.add()
    assert cluster.carry().state == "verified"
    new = cluster.shard("s9")
    gone, changed = (row[0] for row in new.rows(Statement("SELECT id FROM posts ORDER BY id LIMIT 2")))
    new.run(Statement("DELETE FROM posts WHERE id = ?"), (gone,))
    new.run(Statement("UPDATE posts SET likes = likes + 1 WHERE id = ?"), (changed,))
    found = cluster.admin.verify()
    assert (found["ok"], found["missing"], found["different"], found["misplaced"]) == (False, 1, 1, 0)


def test_pages_and_groups_hide_nothing(files: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = files(hold=True)
    cluster.fill(80)
    cluster.add()
    assert cluster.carry().state == "verified"
    monkeypatch.setattr(audit, "PAGE", 3)
    monkeypatch.setattr(audit, "GROUP", 20_000)
    told: list[int] = []
    found = cluster.admin.verify(lambda done, total: told.append(done))
    assert found["ok"]
    assert found["rows"] == 240
    assert told == sorted(told)
    assert told[-1] == 65536
    assert cluster.directory.topology.moves[0].state is MoveState.DUAL


def _some(cluster: Cluster, table: str) -> tuple[Key, str]:
    name = cluster.config.schema[table].key.name
    for member in cluster.directory.topology.members:
        for row in cluster.plain(member.name, table):
            return cast(Key, row[name]), member.name
    raise AssertionError("no rows")

