"""A shard comes, or goes, or is called back, while clients write: every row is on its owner, once, as last written."""
from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import cast

import msgspec
import pytest

from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import Full
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.mover import Mover
from hotpath.shard.mover.reshard import CANCELLABLE, Reshard
from hotpath.shard.rows.checks import Changes
from hotpath.shard.schema import Key, Row, slot_of
from tests.shard.mover.clusters import ROWS, Cluster
from tests.shard.servers import Mysqls, mysqls  # noqa: F401
from tests.waiting import wait_for

from .conftest import Make

At = Callable[[Callable[[str], None]], None]
Rows = dict[str, dict[Key, Row]]


class Killed(BaseException):
    """The process is gone."""


def kill_mover(cluster: Cluster, at: At, step: str) -> None:
    """It dies at `step`."""
    def hear(heard: str) -> None:
        if heard == step:
            raise Killed(step)

    at(hear)
    with pytest.raises(Killed):
        cluster.carry()
    # Its lease runs out; the next need not wait for that here.
    cluster.meta.drop_lease("mover", cluster.held_by)
    at(lambda heard: None)


class Writer:
    """A client that changes some of the moving keys each time it is called, and keeps the books."""

    def __init__(self, cluster: Cluster, rows: Rows) -> None:
        self.cluster = cluster
        self.rows = rows
        self._n = 1000

    def write(self, n: int = 4) -> None:
        """To each table: rows updated, replaced, deleted, and new ones; `n` of each."""
        for name, mine in self.rows.items():
            store = self.cluster.stores[name]
            key_name = store.table.key.name
            number = next(column.name for column in store.table.columns if column.name in ("likes", "slot", "group"))
            keys = iter(self.cluster.moving(mine))
            for key, _ in zip(keys, range(n), strict=False):
                assert store.update(key, Changes({}, {number: 1}))[0]
                mine[key] = {**mine[key], number: cast(int, mine[key][number]) + 1}
            for key, _ in zip(keys, range(n), strict=False):
                self._n += 1
                mine[key] = {**ROWS[name](self._n), key_name: key}
                assert not store.put(mine[key])[0]
            for key, _ in zip(list(keys), range(n), strict=False):
                assert store.delete(key)[0]
                del mine[key]
            for _ in range(2 * n):
                self._n += 1
                row = ROWS[name](self._n)
                store.insert(row)
                mine[cast(Key, row[key_name])] = row

    def check(self) -> None:
        """What clients read, and what stands."""
        for name, mine in self.rows.items():
            for key, row in mine.items():
                assert self.cluster.stores[name].get(key)[0] == row
        audit = self.cluster.admin.verify()
        assert audit["ok"], audit
        assert audit["rows"] == sum(map(len, self.rows.values()))


def check_counts(record: Reshard, *, deleted: bool = True) -> None:
    """What the contract says of a reshard that is done."""
    rows = cast("dict[str, int]", record.document()["rows"])
    slots = cast("dict[str, int]", record.document()["slots"])
    assert record.state == "done", record
    assert rows["copied"] + rows["pulled"] == rows["verified"] == rows["total"] > 0
    assert rows["deleted"] == (rows["total"] if deleted else 0)
    assert slots["copied"] == slots["verified"] == slots["total"] > 0


def change_likes(cluster: Cluster, key: object, n: int) -> None:
    """Of the copy, past everybody."""
    statement = Statement("UPDATE posts SET likes = likes + ? WHERE id = ?")
    assert cluster.shard("s9").run(statement, (n, cast(int, key))) == 1


def at_every(hear: Callable[[str], None], steps: tuple[str, ...]) -> Callable[[str], None]:
    return lambda step: hear(step) if step in steps else None


def test_add_moves_its_share_and_leaves_nothing(make: Make) -> None:
    cluster = make()
    rows = cluster.fill(80)
    cluster.add()
    check_counts(cluster.carry())
    assert cluster.rows() == rows
    assert cluster.is_clean()
    Writer(cluster, rows).check()
    topology = cluster.directory.topology
    assert [member.state for member in topology.members] == ["active"] * 3
    assert cluster.count("s9", "posts") == sum(topology.owner(slot) == "s9" for slot in map(slot_of, rows["posts"])) > 0


def test_remove_empties_a_shard(files: Make) -> None:
    cluster = files(3)
    rows = cluster.fill(80)
    cluster.admin.remove("s1")
    check_counts(cluster.carry())
    assert [member.name for member in cluster.directory.topology.members] == ["s0", "s2"]
    assert cluster.rows() == rows
    assert cluster.is_clean()
    Writer(cluster, rows).check()


def test_clients_write_all_the_while(make: Make, at: At) -> None:
    cluster = make()
    writer = Writer(cluster, cluster.fill(80))
    seen: dict[str, int] = {}

    def hear(step: str) -> None:
        seen[step] = seen.get(step, 0) + 1
        if seen[step] <= 2 and threading.current_thread() is threading.main_thread():
            writer.write()

    # Not within a transaction of the mover: its thread cannot write then.
    at(at_every(hear, ("open: opened", "open: rows counted", "copy: rows read", "copy: committed", "verify: compared",
                       "complete: published", "clean: committed", "clean: settled")))
    cluster.add()
    record = cluster.carry()
    check_counts(record)
    assert record.document()["rows"]["pulled"] > 0      # type: ignore[index]
    assert record.document()["rows"]["dirty"] > record.document()["rows"]["pulled"]     # type: ignore[index]
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()


@pytest.mark.parametrize("state", CANCELLABLE)
def test_a_cancelled_add_leaves_no_trace(files: Make, at: At, state: str) -> None:
    check_cancelled_add(files(hold=True), at, state)


def test_a_cancelled_add_leaves_no_trace_on_servers(on_mariadb: Make, at: At) -> None:
    check_cancelled_add(on_mariadb(hold=True), at, "verified")


def check_cancelled_add(cluster: Cluster, at: At, state: str) -> None:
    writer = Writer(cluster, cluster.fill(60))
    before = cluster.directory.topology
    told: list[str] = []
    written: set[str] = set()

    def hear(step: str) -> None:
        if step.endswith("before commit"):
            return      # what we would change waits for what is about to be committed
        if step not in written and step in ("open: opened", "copy: committed", "cancel: reversed", "reverse: rows read",
                                            "reverse: committed", "cancel: back"):
            written.add(step)
            writer.write(2)
        if not told and cluster.reshard().state == state:
            told.append(step)
            cluster.admin.cancel()

    at(hear)
    cluster.add()
    record = cluster.carry()
    if state == "verified":
        assert record.state == "verified"
        writer.write()
        cluster.admin.cancel()
        record = cluster.carry()
    assert record.state == "cancelled"
    assert record.error is None
    at(lambda step: None)
    topology = cluster.directory.topology
    assert topology.members == before.members
    assert topology.owners == before.owners
    assert not topology.moves
    assert not cluster.house.backend.exists("s9") or cluster.spare is not None
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()
    cluster.add(hold=False)
    check_counts(cluster.carry())
    writer.check()


def test_a_cancelled_remove_leaves_the_shard_as_it_was(files: Make) -> None:
    cluster = files(3, hold=True)
    writer = Writer(cluster, cluster.fill(80))
    before = cluster.directory.topology
    cluster.admin.remove("s2")
    assert cluster.carry().state == "verified"
    writer.write(8)
    cluster.admin.cancel()
    assert cluster.carry().state == "cancelled"
    topology = cluster.directory.topology
    assert (topology.members, topology.owners, topology.moves) == (before.members, before.owners, ())
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()


def test_hold_waits_for_complete(files: Make) -> None:
    cluster = files(hold=True)
    writer = Writer(cluster, cluster.fill(60))
    cluster.add()
    assert cluster.carry().state == "verified"
    assert cluster.carry().state == "verified"
    writer.write()
    cluster.admin.complete()
    record = cluster.carry()
    check_counts(record)
    assert record.document()["rows"]["dirty"] > 0       # type: ignore[index]
    writer.check()


@pytest.mark.parametrize("end", ["cancel", "complete"])
def test_a_mover_that_does_not_know_all_tables_moves_nothing_and_gives_nothing_back(files: Make, end: str) -> None:
    cluster = files(hold=True)
    rows = cluster.fill(40)
    writer = Writer(cluster, rows)
    cluster.add()
    assert cluster.carry().state == "verified"
    writer.write()
    getattr(cluster.admin, end)()
    fewer = msgspec.structs.replace(cluster.config, tables={
        name: table for name, table in cluster.config.tables.items() if name != "posts"})
    Mover(cluster.directory, fewer, "stranger", backend=cluster.house.backend).run_until_done()
    record = cluster.reshard()
    assert record.paused
    assert "the tables posts, which the configuration here does not declare" in str(record.error)
    cluster.admin.resume()
    assert cluster.carry().state == {"cancel": "cancelled", "complete": "done"}[end]
    writer.check()


def test_who_slept_before_it_deletes_a_server_spares_another_one_of_that_name(
    files: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = files()
    rows = cluster.fill(40)
    cluster.add()
    cluster.admin.cancel()
    backend, slept = cluster.house.backend, []
    exclusive = backend.exclusive

    def late(deadline_s: float) -> object:
        if not slept and cluster.reshard().state == "cancelling":
            slept.append(1)
            cluster.meta.drop_lease("mover", cluster.held_by)
            assert cluster.carry().state == "cancelled"
            cluster.add()
            assert cluster.carry().state == "done"
        return exclusive(deadline_s)

    monkeypatch.setattr(backend, "exclusive", late)
    cluster.carry()
    assert slept
    assert cluster.rows() == rows
    Writer(cluster, rows).check()


def test_kept_rows_stay_on_the_source_until_they_are_in_the_way(files: Make) -> None:
    cluster = files(3)
    writer = Writer(cluster, cluster.fill(60))
    cluster.add(keep_source=True)
    check_counts(cluster.carry(), deleted=False)
    assert sum(cluster.count(f"s{i}", "posts") for i in range(3)) == 60
    writer.write()
    writer.check()
    # The slots come back to where their old rows still stand.
    cluster.admin.remove("s9")
    record = cluster.carry()
    check_counts(record)
    assert cluster.rows() == writer.rows
    writer.check()


KILLED_AT = [
    "prepare: server made", "prepare: announced", "prepare: purged", "transition: proposed", "transition: published",
    "transition: s9 fenced", "transition: s0 fenced", "open: opened", "open: rows counted", "copy: rows read",
    "copy: before commit", "copy: committed", "verify: compared", "complete: published", "clean: before commit",
    "clean: committed", "clean: marks dropped", "clean: settled",
]


@pytest.mark.parametrize("step", KILLED_AT)
def test_another_mover_goes_on_where_one_was_killed(files: Make, at: At, step: str) -> None:
    cluster = files()
    writer = Writer(cluster, cluster.fill(60))
    cluster.add()

    kill_mover(cluster, at, step)
    writer.write(1)
    record = cluster.carry()
    check_counts(record)
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()


@pytest.mark.parametrize("step", ["cancel: reversed", "reverse: rows read", "reverse: before commit",
                                  "reverse: committed", "cancel: back", "cancel: settled", "cancel: server gone"])
def test_another_mover_takes_back_where_one_was_killed(files: Make, at: At, step: str) -> None:
    cluster = files(hold=True)
    writer = Writer(cluster, cluster.fill(60))
    before = cluster.directory.topology
    cluster.add()
    cluster.carry()
    writer.write()
    cluster.admin.cancel()

    kill_mover(cluster, at, step)
    assert cluster.carry().state == "cancelled"
    assert cluster.directory.topology.members == before.members
    assert not cluster.house.backend.exists("s9")
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()


@pytest.mark.parametrize("step", ["prepare: announced", "open: opened", "copy: rows read", "copy: committed",
                                  "verify: compared", "complete: published", "clean: committed",
                                  "clean: marks dropped", "clean: settled"])
def test_a_mover_that_slept_changes_nothing(files: Make, at: At, step: str) -> None:
    check_sleeper(files(), at, step)


def test_a_mover_that_slept_changes_nothing_on_servers(on_mariadb: Make, at: At) -> None:
    check_sleeper(on_mariadb(), at, "copy: rows read")


def check_sleeper(cluster: Cluster, at: At, step: str) -> None:
    writer = Writer(cluster, cluster.fill(60))
    asleep, wake = threading.Event(), threading.Event()
    sleeper = threading.Thread(target=cluster.carry)

    def hear(heard: str) -> None:
        if heard == step and not asleep.is_set():
            asleep.set()
            assert wake.wait(60)

    at(hear)
    cluster.add()
    sleeper.start()
    assert asleep.wait(60)
    cluster.meta.drop_lease("mover", cluster.held_by)
    record = cluster.carry()
    writer.write()
    wake.set()
    sleeper.join(60)
    check_counts(record)
    assert cluster.reshard() == record
    assert cluster.rows() == writer.rows
    assert cluster.is_clean()
    writer.check()


def test_two_movers_at_once_count_each_row_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = make(chunk=10)
    rows = cluster.fill(80)
    monkeypatch.setattr(cluster.meta, "take_lease", lambda *_: True)
    cluster.add()
    movers = [threading.Thread(target=cluster.carry) for _ in range(3)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join(60)
    check_counts(cluster.reshard())
    assert cluster.rows() == rows
    assert cluster.is_clean()


def test_a_difference_stops_the_move_and_names_the_keys(make: Make, at: At) -> None:
    cluster = make()
    writer = Writer(cluster, cluster.fill(60))
    cluster.add()
    spoilt: list[object] = []

    def hear(step: str) -> None:
        if step == "copy: committed" and not spoilt and cluster.count("s9", "posts"):
            spoilt.extend(cluster.shard("s9").rows(Statement("SELECT id FROM posts LIMIT 1"))[0])
            change_likes(cluster, spoilt[0], 1)

    at(hear)
    record = cluster.carry()
    assert (record.state, record.paused) == ("verifying", True)
    assert f"{spoilt[0]} (different)" in str(record.error)
    audit = cluster.admin.verify()
    assert (audit["ok"], audit["different"]) == (False, 1)
    # Mended, it is found to be equal, and goes on.
    change_likes(cluster, spoilt[0], -1)
    cluster.admin.resume()
    check_counts(cluster.carry())
    writer.check()


def test_a_row_that_never_came_stops_the_move(files: Make, at: At) -> None:
    cluster = files()
    cluster.fill(60)
    cluster.add()
    spoilt: list[object] = []

    def hear(step: str) -> None:
        if step == "copy: committed" and not spoilt and cluster.count("s9", "bits"):
            spoilt.append(cluster.shard("s9").run(Statement("DELETE FROM bits")))

    at(hear)
    record = cluster.carry()
    assert (record.state, record.paused) == ("verifying", True)
    assert f"{spoilt[0]} missing" in str(record.error) or "missing" in str(record.error)
    cluster.admin.cancel()
    assert cluster.carry().state == "cancelled"


def test_a_full_disk_pauses_and_resume_goes_on(files: Make, at: At) -> None:
    cluster = files()
    writer = Writer(cluster, cluster.fill(60))
    full = True

    def hear(step: str) -> None:
        if step == "copy: before commit" and full:
            raise Full("s9", "database or disk is full")

    at(hear)
    cluster.add()
    record = cluster.carry()
    assert (record.state, record.paused) == ("copying", True)
    assert "full" in str(record.error)
    writer.check()
    full = False
    cluster.admin.resume()
    check_counts(cluster.carry())
    writer.check()


def test_a_database_that_is_in_use_is_left_alone(on_mariadb: Make) -> None:
    cluster = on_mariadb()
    rows = cluster.fill(10)
    assert cluster.spare is not None
    with closing(open_shard("theirs", cluster.spare, cluster.config.pool)) as theirs:
        theirs.run(Statement("CREATE TABLE bits (k INT)"))
        cluster.add()
        record = cluster.carry()
        assert (record.state, record.paused) == ("preparing", True)
        assert "only an empty database" in str(record.error)
        cluster.admin.cancel()
        assert cluster.carry().state == "cancelled"
        assert len(theirs.rows(Statement("SHOW TABLES"))) == 1
    assert cluster.rows() == rows


def test_a_dead_server_is_waited_for(on_mariadb: Make, at: At, mysqls: Mysqls) -> None:     # noqa: F811
    cluster, servers = on_mariadb(), mysqls
    writer = Writer(cluster, cluster.fill(60))
    # Of the three databases, the second is alone on its server: the first has the map.
    victim = servers.names[1] if "/s1/" in cluster.directory.topology.member("s1").endpoint else None
    assert victim is not None
    killed = False

    def hear(step: str) -> None:
        nonlocal killed
        if step == "copy: committed" and not killed:
            killed = True
            servers.kill(victim)

    at(hear)
    cluster.add()
    mover = cluster.mover()
    mover.start()
    try:
        wait_for(lambda: (cluster.reshard().error or "").startswith("waiting for s1"), "the mover to say so")
        record = cluster.reshard()
        assert (record.state, record.paused) == ("copying", False)
        servers.start(victim)
        wait_for(lambda: cluster.reshard().over, "the move to go on", 60)
    finally:
        mover.close()
        servers.start(victim)
    record = cluster.reshard()
    check_counts(record)
    assert record.error is None
    writer.check()


def test_pause_throttle_and_resume(files: Make, at: At) -> None:
    cluster = files(chunk=5)
    cluster.fill(60)

    def hear(step: str) -> None:
        if step == "copy: committed" and not cluster.reshard().paused and cluster.reshard().rate == 0:
            cluster.admin.pause()

    at(hear)
    cluster.add()
    cluster.mover()
    # A pause is heard at the next beat; told while it lasts, it is kept.
    record = cluster.carry()
    if record.paused:
        assert record.state in ("copying", "verifying")
        assert cluster.admin.throttle(5000)["rate"] == {"limit": 5000.0, "now": 0.0}
        cluster.admin.resume()
        record = cluster.carry()
        assert record.rate == 5000.0
    check_counts(record)

