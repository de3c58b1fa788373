from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from hotpath.shard import ddl
from hotpath.shard.backend import CannotStart, Server, Taken, backend_of
from hotpath.shard.backend.dsn import Foreign
from hotpath.shard.backend.login import ask
from hotpath.shard.backend.waiting import after
from hotpath.shard.config import PoolConfig, ShardConfig, ShardEntry
from hotpath.shard.engine.opening import open_shard
from tests.shard.declared import declared

NOBODY = "mysql://who:secret@127.0.0.1:1/blog"


@pytest.fixture
def places(mysqls):
    """Of the map, of two shards, and one to spare."""
    return mysqls.databases(4)


@pytest.fixture
def config(places):
    return ShardConfig(backend="dsn", meta=str(places[0]), shards=tuple(
        ShardEntry(f"s{i}", dsn=str(place)) for i, place in enumerate(places[1:3])))


def furnish(place, owner):
    with closing(open_shard("it", place, PoolConfig())) as shard:
        ddl.sidecars(shard, owner)
        ddl.create(shard, [declared("posts", "{key: id, columns: {id: bigint}}")])


def tables(place):
    return {row[0] for row in ask(place, "SHOW TABLES")}


def test_the_configuration_names_it(config):
    assert isinstance(backend_of(config), Foreign)


def test_up_waits_for_each_and_starts_nothing(config, places):
    backend = Foreign(config)
    assert backend.up(("s0", "s1"), after(10)) == {"s0": places[1], "s1": places[2]}
    assert backend.server("s0") == Server(None, None, up=True)
    backend.stop("s0")
    assert backend.server("s0").up
    assert backend.all() == ("s0", "s1")


def test_the_map_is_on_the_first_unless_it_has_a_place(config, places):
    assert Foreign(config).meta("s0") == places[0]
    config = ShardConfig(cluster="my-blog", backend="dsn", shards=config.shards)
    assert Foreign(config).meta("s0") == places[1].in_database("my-blog_meta")


def test_one_command_at_a_time(config):
    first, second = Foreign(config), Foreign(config)
    with first.exclusive(after(10)), first.exclusive(after(10)), ThreadPoolExecutor(1) as threads, \
            pytest.raises(CannotStart, match="another command has been working on this cluster"):
        threads.submit(_enter, second, after(0)).result()
    _enter(second, after(10))


def _enter(backend, deadline_s):
    with backend.exclusive(deadline_s):
        pass


def test_one_more_must_be_named_and_nobody_else_s(config, places):
    backend = Foreign(config)
    with pytest.raises(CannotStart, match="s2: dsn is missing"):
        backend.create("s2")
    assert backend.create("s2", str(places[3])) == places[3]
    furnish(places[3], "other")
    with pytest.raises(Taken, match="belongs to the cluster 'other'"):
        backend.create("s2", str(places[3]))
    backend.purge("s2")
    assert "posts" in tables(places[3])


def test_purge_deletes_our_tables_and_no_other(config, places):
    furnish(places[3], "blog")
    ask(places[3], "CREATE TABLE theirs (id INT)")
    Foreign(config).purge("s2", str(places[3]))     # of a shard that no map knows any more
    assert tables(places[3]) == {"theirs"}
    Foreign(config).purge("s2", str(places[3]))
    Foreign(config).purge("s2")                     # what nobody knows is nobody's to purge


def test_a_refused_login_is_said_at_once_and_without_the_password(config, places):
    wrong = str(places[3]).replace(places[3].password, "wrong-secret")
    with pytest.raises(CannotStart, match="Access denied") as caught:
        Foreign(config).create("s2", wrong)
    assert "wrong-secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_waited_for_until_the_deadline(config):
    backend = Foreign(ShardConfig(backend="dsn", meta=config.meta, shards=(ShardEntry("s0", dsn=NOBODY),)))
    with pytest.raises(CannotStart, match=r"s0: mysql://who:.*@127.0.0.1:1/blog: .*whoever runs the server") as caught:
        backend.up(("s0",), after(0.1))
    assert "secret" not in str(caught.value)
    assert not backend.server("s0").up


def test_a_shard_that_nobody_knows_is_said(config):
    with pytest.raises(CannotStart, match="s9: no such shard"):
        Foreign(config).up(("s9",), after(10))
