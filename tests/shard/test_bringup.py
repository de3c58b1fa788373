import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hotpath.core.errors import ConfigError, ReshardConflict, SchemaDrift
from hotpath.shard import ddl
from hotpath.shard.backend import CannotStart, Taken
from hotpath.shard.bringup import bring_up, take_down
from hotpath.shard.config import ShardConfig, ShardEntry
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.topology import Move, MoveState, Slots, Topology, placed
from hotpath.shard.transitions import announce
from tests.shard.declared import config_of
from tests.shard.servers import guarded

POSTS = {"posts": {"key": "id", "columns": {"id": "bigint", "title": "string(200)", "likes": "int"},
                   "indexes": [["title"]]}}
TAGS = {"tags": {"key": "name", "columns": {"name": "string(20)"}}}


def changed(config: ShardConfig, **changes: object) -> ShardConfig:
    return msgspec.structs.replace(config, **changes)


def with_tables(config: ShardConfig, tables: dict[str, object]) -> ShardConfig:
    return changed(config, tables=config_of(tables).tables)


@pytest.fixture
def embedded(tmp_path: Path) -> ShardConfig:
    return config_of(POSTS, data=str(tmp_path / "data"))


@pytest.fixture(params=["embedded", "dsn"])
def config(request: pytest.FixtureRequest, embedded: ShardConfig) -> Iterator[ShardConfig]:
    """A cluster that was never up; gone afterwards."""
    if request.param == "dsn":
        *places, meta = request.getfixturevalue("mysqls").databases(4)
        embedded = changed(embedded, backend="dsn", meta=str(meta), shards=tuple(
            ShardEntry(f"s{i}", dsn=str(place)) for i, place in enumerate(places)))
    yield embedded
    take_down(embedded, purge=True)


def topology_of(config: ShardConfig) -> Topology:
    with closing(bring_up(config, start=False)) as house:
        return house.meta.read().topology


def on(config: ShardConfig, name: str, sql: str) -> list[tuple[object, ...]]:
    endpoint = Endpoint.parse(topology_of(config).member(name).endpoint)
    with closing(open_shard(name, endpoint, config.pool)) as shard:
        if sql.startswith("SELECT"):
            return shard.rows(Statement(sql))
        shard.run(Statement(sql))
        return []


def test_the_first_up_makes_shards_tables_and_map(config):
    with closing(bring_up(config)) as house:
        topology = house.meta.read().topology
        assert [member.name for member in topology.members] == ["s0", "s1", "s2"]
        assert [member.state for member in topology.members] == ["active"] * 3
        assert topology.owners == placed(dict.fromkeys(("s0", "s1", "s2"), 1.0), 256, ("s0", "s1", "s2"))
        assert topology.epochs == {"s0": 1, "s1": 1, "s2": 1}
        facts = house.meta.facts()
        assert (facts.cluster, facts.backend, facts.vnodes, facts.fence) == ("blog", config.backend, 256, True)
        assert facts.tables == ddl.described(config.schema.values())
    for name in ("s0", "s1", "s2"):
        assert on(config, name, "SELECT COUNT(*), MIN(epoch), MAX(epoch) FROM _hp_fence") == [(64, 1, 1)]
        assert on(config, name, "SELECT COUNT(*) FROM posts") == [(0,)]


def test_weights_are_those_of_the_first_up(embedded):
    config = changed(embedded, shards=(ShardEntry("big", 3.0), ShardEntry("small", 1.0)))
    bring_up(config).close()
    topology = topology_of(config)
    assert topology.owners == placed({"big": 3.0, "small": 1.0}, 256, ("big", "small"))


def test_up_again_changes_nothing(config):
    bring_up(config).close()
    on(config, "s0", "INSERT INTO posts (id, title, likes, _hp_slot) VALUES (1, 'kept', 0, 0)")
    before = topology_of(config)
    bring_up(config).close()
    assert topology_of(config) == before
    assert on(config, "s0", "SELECT title FROM posts") == [("kept",)]


def test_several_at_once_make_one_cluster(config):
    with ThreadPoolExecutor(4) as threads:
        for house in threads.map(lambda _: bring_up(config), range(4)):
            house.close()
    assert topology_of(config).version == 1
    assert len(topology_of(config).members) == 3


def test_an_up_that_was_killed_is_carried_on(config, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    for step in ("hotpath.shard.ddl.sidecars", "hotpath.shard.bringup.raise_fence", "hotpath.shard.meta.Meta.create"):
        with monkeypatch.context() as patch:
            patch.setattr(step, killed)
            with pytest.raises(Killed):
                bring_up(config)
    bring_up(config).close()
    assert topology_of(config).version == 1


def test_without_an_up_there_is_nothing_to_find(embedded):
    with pytest.raises(CannotStart, match="blog is not up: hotpath-shard up"):
        bring_up(embedded, start=False)
    assert not Path(embedded.data).exists()


def test_down_and_purge_leave_nothing(config):
    bring_up(config).close()
    assert take_down(config) == ("s0", "s1", "s2")
    bring_up(config).close()
    take_down(config, purge=True)
    assert not Path(config.data).exists()
    take_down(config, purge=True)       # there is nothing to purge
    bring_up(config).close()
    assert topology_of(config).version == 1


@pytest.mark.parametrize("config", ["dsn"], indirect=True)
def test_purge_of_somebody_else_s_servers_leaves_what_is_not_ours(config):
    bring_up(config).close()
    (place, *_) = (Endpoint.parse(entry.dsn) for entry in config.entries)
    on(config, "s0", "CREATE TABLE theirs (id INT)")
    take_down(config, purge=True)
    with closing(open_shard("s0", place, config.pool)) as shard:
        assert shard.rows(Statement("SHOW TABLES")) == [("theirs",)]


@pytest.mark.parametrize(("key", "value"), [("vnodes", 128), ("fence", False), ("cluster", "other")])
def test_what_the_first_up_settled_cannot_change(config, key, value):
    bring_up(config).close()
    with pytest.raises((ConfigError, Taken), match=rf"{key}"):
        bring_up(changed(config, **{key: value}))


def test_the_shards_of_the_file_mean_nothing_later(embedded):
    bring_up(embedded).close()
    bring_up(changed(embedded, shards=7)).close()
    assert len(topology_of(embedded).members) == 3
    assert not (Path(embedded.data) / "s5.db").exists()


def test_new_tables_are_made_everywhere(config):
    bring_up(config).close()
    config = with_tables(config, POSTS | TAGS)
    bring_up(config).close()
    for name in ("s0", "s1", "s2"):
        assert on(config, name, "SELECT COUNT(*) FROM tags") == [(0,)]
    bring_up(with_tables(config, TAGS)).close()         # a file may leave one out
    with closing(bring_up(config, start=False)) as house:
        assert set(house.meta.facts().tables) == {"posts", "tags"}


def test_no_table_is_made_while_rows_move(config):
    bring_up(config).close()
    with closing(bring_up(config)) as house:
        topology = house.meta.read().topology
        move = Move("m", "s0", "s1", MoveState.PLANNED, Slots([next(iter(topology.slots["s0"]))]))
        intent = announce(topology, None, 0, [move])
        assert house.meta.propose(intent)
        assert house.meta.publish(intent)
    bring_up(config).close()        # a reshard is left to go on
    with pytest.raises(ReshardConflict, match="tags cannot be made while a reshard runs"):
        bring_up(with_tables(config, POSTS | TAGS))
    assert len(topology_of(config).moves) == 1


def test_drift_is_refused_by_name(config):
    bring_up(config).close()
    on(config, "s1", "ALTER TABLE posts ADD COLUMN extra INT")
    with pytest.raises(SchemaDrift, match=r"shard s1 is not as declared: posts.extra: there is such a column"):
        bring_up(config)


def test_a_table_that_is_gone_is_not_made_again(config):
    bring_up(config).close()
    on(config, "s2", "DROP TABLE posts")
    with pytest.raises(SchemaDrift, match=r"shard s2 .*posts: the table is missing"):
        bring_up(config)


@pytest.mark.parametrize(("columns", "said"), [
    ({"id": "bigint", "title": "string(300)", "likes": "int"}, "title"),
    ({"id": "bigint", "title": "string(200)", "likes": "bigint"}, "likes"),
    ({"id": "bigint", "title": "string(200)", "likes": "int", "more": "int?"}, "more"),
    ({"id": "bigint", "title": "string(200)"}, "likes"),
])
def test_a_declaration_that_changed_is_refused_by_name(config, columns, said):
    bring_up(config).close()
    config = with_tables(config, {"posts": {**POSTS["posts"], "columns": columns}})
    with pytest.raises(SchemaDrift, match=rf"posts\.{said}"):
        bring_up(config)


def test_an_index_that_was_not_made_is_missed(config):
    bring_up(config).close()
    config = with_tables(config, {"posts": {**POSTS["posts"], "indexes": [["title"], ["likes"]]}})
    with pytest.raises(SchemaDrift, match="likes"):
        bring_up(config)


def test_data_that_are_gone_are_not_made_anew(embedded):
    bring_up(embedded).close()
    (Path(embedded.data) / "s1.db").unlink()
    with pytest.raises(CannotStart, match="s1 is a shard of blog, but its data are gone"):
        bring_up(embedded)
    (Path(embedded.data) / "meta.db").unlink()
    with pytest.raises(CannotStart, match=r"meta.db is gone"):
        bring_up(embedded)


def test_files_of_somebody_else_are_refused_and_left_alone(embedded):
    folder = Path(embedded.data)
    folder.mkdir()
    (folder / "s1.db").write_text("theirs")
    with pytest.raises(Taken, match=r"s1.db is there already"):
        bring_up(embedded)
    assert (folder / "s1.db").read_text() == "theirs"
    take_down(embedded, purge=True)
    assert (folder / "s1.db").read_text() == "theirs"


def test_a_folder_may_hold_other_files(embedded):
    folder = Path(embedded.data)
    folder.mkdir()
    (folder / "shard.yaml").write_text("theirs")
    bring_up(embedded).close()
    take_down(embedded, purge=True)
    assert os.listdir(folder) == ["shard.yaml"]


def test_a_moved_data_directory_is_found(embedded, tmp_path):
    bring_up(embedded).close()
    on(embedded, "s0", "INSERT INTO posts (id, title, likes, _hp_slot) VALUES (1, 'kept', 0, 0)")
    moved = changed(embedded, data=str(tmp_path / "elsewhere"))
    shutil.move(embedded.data, moved.data)
    bring_up(moved).close()
    assert topology_of(moved).version == 2
    assert on(moved, "s0", "SELECT title FROM posts") == [("kept",)]


def test_two_shards_cannot_have_one_database(mysqls, embedded):
    place, meta = mysqls.databases(2)
    config = changed(embedded, backend="dsn", meta=str(meta),
                     shards=(ShardEntry("a", dsn=str(place)), ShardEntry("b", dsn=str(place))))
    with pytest.raises(ConfigError, match="shards: two have the same database"):
        bring_up(config)


def test_a_database_of_another_cluster_is_refused(mysqls, embedded):
    place, meta, another = mysqls.databases(3)
    config = changed(embedded, backend="dsn", meta=str(meta), shards=(ShardEntry("s0", dsn=str(place)),))
    bring_up(config).close()
    with pytest.raises(Taken, match="belongs to the cluster 'blog'"):
        bring_up(changed(config, cluster="other", meta=str(another)))
    on(config, "s0", "UPDATE _hp_fence SET epoch = 5")
    with pytest.raises(Taken, match="belongs to a cluster already, whose map is elsewhere") as caught:
        bring_up(changed(config, meta=str(another)))
    assert place.password not in str(caught.value)


@pytest.mark.parametrize("config", ["dsn"], indirect=True)
def test_a_second_map_over_the_same_rows_is_refused(config, mysqls):
    bring_up(config).close()
    on(config, "s2", "INSERT INTO posts (id, title, likes, _hp_slot) VALUES (1, 'kept', 0, 0)")
    with pytest.raises(Taken, match=r"s2: .*belongs to a cluster already"):
        bring_up(changed(config, meta=str(mysqls.databases(1)[0])))


def test_the_map_stays_where_it_is(embedded, mysqls):
    bring_up(embedded).close()
    with pytest.raises(CannotStart, match="take `meta` out again"):
        bring_up(changed(embedded, meta=str(mysqls.databases(1)[0])))


def test_a_missing_database_is_made_and_a_missing_server_said(mysqls, embedded):
    place, meta = (place.in_database(f"{place.database}_new") for place in mysqls.databases(2))
    config = changed(embedded, backend="dsn", meta=str(meta), shards=(ShardEntry("s0", dsn=str(place)),))
    bring_up(config).close()
    nowhere = ShardEntry("s0", dsn="mysql://who:secret@127.0.0.1:1/blog")
    with pytest.raises(CannotStart, match=r"s0: mysql://who:.*@127.0.0.1:1/blog: ") as caught:
        bring_up(changed(config, cluster="other", meta=str(mysqls.databases(1)[0]), shards=(nowhere,)), timeout_s=0.2)
    assert "secret" not in str(caught.value)


def test_a_dead_server_of_somebody_else_stops_nobody(mysqls, embedded):
    places = mysqls.databases(3)
    config = changed(embedded, backend="dsn", meta=str(places[0]), shards=(
        ShardEntry("a", dsn=str(places[1])), ShardEntry("b", dsn=str(places[2]))))
    bring_up(config).close()
    mysqls.kill(mysqls.names[2])
    bring_up(config).close()
    with pytest.raises(Exception, match="b: "):         # but a new table must be on all
        bring_up(with_tables(config, POSTS | TAGS))
    mysqls.start()


def test_local_servers_come_up_go_down_and_move():
    folder = Path("/tmp", f"hp-{os.getpid()}")          # short: the path of a socket has 107 bytes
    config = config_of(POSTS, backend="process", data=str(folder / "a"), shards=2)
    folder.mkdir()
    with guarded(folder / "a"), guarded(folder / "b"):
        bring_up(config).close()
        on(config, "s1", "INSERT INTO posts (id, title, likes, _hp_slot) VALUES (1, 'kept', 0, 0)")
        take_down(config)
        shutil.move(config.data, folder / "b")
        config = changed(config, data=str(folder / "b"))
        bring_up(config).close()
        assert on(config, "s1", "SELECT title FROM posts") == [("kept",)]
        take_down(config, purge=True)
    assert not list(folder.iterdir())
    folder.rmdir()
