import re
from contextlib import closing

import pytest

from hotpath.core.errors import SchemaDrift
from hotpath.shard import ddl
from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Statement
from hotpath.shard.engine.errors import OutOfRange
from hotpath.shard.engine.opening import open_shard
from hotpath.shard.engine.sqlite import create
from tests.shard.declared import config_of, declared

POSTS = """
key: id
columns:
  id: {type: bigint, generate: true}
  author: string(64)
  body: text?
  likes: {type: int, default: 0}
  price: decimal(10,2)?
  order: double
  seen: bool
  tag: binary(16)
  photo: blob?
  at: {type: datetime, default: now}
  extra: json?
indexes: [[author, at], [order]]
"""


@pytest.fixture(params=["sqlite", "mysql"])
def shard(request, tmp_path):
    """An empty database of either kind."""
    if request.param == "sqlite":
        endpoint = Endpoint("sqlite", path=str(tmp_path / "s0.db"))
        create(endpoint.path)
    else:
        (endpoint,) = request.getfixturevalue("mysqls").databases(1)
    with closing(open_shard("s0", endpoint, PoolConfig())) as shard:
        yield shard


def run(shard, sql):
    return shard.run(Statement(sql))


def columns(shard, table):
    return [name for name, *_ in shard.rows(ddl.COLUMNS[shard.dialect], (table,))]


def test_a_table_has_its_columns_in_order_and_ours_last(shard):
    posts = declared("posts", POSTS)
    ddl.create(shard, [posts])
    assert columns(shard, "posts") == [*(column.name for column in posts.columns), "_hp_slot"]
    assert ddl.drift(shard, posts) == []
    ddl.check(shard, [posts])


def test_our_column_is_seen_by_nobody_who_does_not_ask_on_mysql(mysqls):
    (place,) = mysqls.databases(1)
    with closing(open_shard("s0", place, PoolConfig())) as shard:
        ddl.create(shard, [declared("t", "{key: id, columns: {id: bigint}}")])
        run(shard, "INSERT INTO t (id) VALUES (1)")
        assert shard.rows(Statement("SELECT * FROM t")) == [(1,)]
        # Written past us: a slot that is none, so that `verify` finds it.
        assert shard.rows(Statement("SELECT _hp_slot FROM t")) == [(-1,)]


def test_making_them_again_changes_nothing(shard):
    posts = declared("posts", POSTS)
    for _ in range(2):
        ddl.create(shard, [posts])
        ddl.sidecars(shard, "blog")
    assert ddl.drift(shard, posts) == []
    assert shard.rows(Statement("SELECT COUNT(*), MIN(epoch), MAX(epoch) FROM _hp_fence")) == [(64, 0, 0)]


def test_a_raised_fence_stays_raised(shard):
    ddl.sidecars(shard)
    run(shard, "UPDATE _hp_fence SET epoch = 7")
    ddl.sidecars(shard)
    assert shard.rows(Statement("SELECT MIN(epoch) FROM _hp_fence")) == [(7,)]


def test_a_fence_says_whose_the_database_is(mysqls):
    (place,) = mysqls.databases(1)
    with closing(open_shard("s0", place, PoolConfig())) as shard:
        assert ddl.owner_of(shard) is None
        ddl.sidecars(shard, "blog")
        ddl.sidecars(shard, "another")      # it is there already
        assert ddl.owner_of(shard) == "blog"


def test_names_may_be_words_of_sql(shard):
    words = declared("order", "{key: key, columns: {key: string(9), group: int, values: 'text?'}, indexes: [[group]]}")
    ddl.create(shard, [words])
    assert ddl.drift(shard, words) == []


def test_two_tables_may_have_the_same_indexes(shard):
    tables = [declared(name, "{key: id, columns: {id: bigint, a: int}, indexes: [[a]]}") for name in ("x", "y")]
    ddl.create(shard, tables)
    ddl.check(shard, tables)


def test_rows_wider_than_a_page_are_kept_beside_it(shard):
    names = {f"c{i}": "string(900)" for i in range(60)}
    wide = config_of({"wide": {"key": "id", "columns": {"id": "binary(255)", **names}}}).schema["wide"]
    ddl.create(shard, [wide])
    assert ddl.drift(shard, wide) == []


@pytest.mark.parametrize(("types", "index"), [("{a: string(16383), b: binary(65535), c: text, d: blob, e: json}", "[]"),
                                               ("{a: string(500), b: binary(700)}", "[[a], [b]]")])
def test_the_longest_that_may_be_declared_can_be_made(shard, types, index):
    long = declared("long", f"{{key: id, columns: {{id: string(255), {types[1:-1]}}}, indexes: {index}}}")
    ddl.create(shard, [long])
    assert ddl.drift(shard, long) == []


def test_a_missing_table_is_said(shard):
    with pytest.raises(SchemaDrift, match="shard s0 is not as declared: posts: the table is missing"):
        ddl.check(shard, [declared("posts", POSTS)])


CHANGES = {
    "ALTER TABLE posts ADD COLUMN extra_one INT": r"posts.extra_one: there is such a column",
    "ALTER TABLE posts DROP COLUMN body": r"posts.body: the column is missing; declared (long)?text",
    "ALTER TABLE posts RENAME COLUMN body TO corpus": r"posts.body: the column is missing.*posts.corpus: there is",
    "CREATE UNIQUE INDEX u ON posts (author)": r"posts.author: the index u is unique",
}


@pytest.mark.parametrize("change", CHANGES)
def test_drift_names_shard_table_column_and_what_differs(shard, change):
    posts = declared("posts", POSTS)
    ddl.create(shard, [posts])
    run(shard, change)
    said = re.compile("shard s0 is not as declared: .*" + CHANGES[change], re.IGNORECASE)
    with pytest.raises(SchemaDrift, match=said):
        ddl.check(shard, [posts])


@pytest.mark.parametrize(("change", "said"), [
    ("ALTER TABLE posts MODIFY likes BIGINT NOT NULL", "posts.likes: is bigint not null, declared int not null"),
    ("ALTER TABLE posts MODIFY likes INT NULL", "posts.likes: is int, declared int not null"),
    ("ALTER TABLE posts MODIFY author VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
     "posts.author: is varchar(64) collate utf8mb4_bin not null, declared varchar(64) collate utf8mb4_nopad_bin"),
    ("ALTER TABLE posts MODIFY id BIGINT NOT NULL FIRST, DROP PRIMARY KEY, ADD PRIMARY KEY (id, likes)",
     "the key is (id, likes); declared id"),
    ("DROP INDEX i_author_at ON posts", "posts.author, at: the index i_author_at is missing"),
    ("DROP INDEX _hp_slot ON posts", "posts._hp_slot, id: the index _hp_slot is missing"),
    ("ALTER TABLE posts MODIFY likes INT NOT NULL FIRST", "posts: the columns stand in another order"),
])
def test_drift_of_what_only_mysql_knows(mysqls, change, said):
    (place,) = mysqls.databases(1)
    posts = declared("posts", POSTS)
    with closing(open_shard("s0", place, PoolConfig())) as shard:
        ddl.create(shard, [posts])
        run(shard, change)
        with pytest.raises(SchemaDrift, match=re.escape(said)):
            ddl.check(shard, [posts])


def test_an_index_that_somebody_added_is_nobody_s_harm(shard):
    posts = declared("posts", POSTS)
    ddl.create(shard, [posts])
    run(shard, "CREATE INDEX theirs ON posts (likes)")
    assert ddl.drift(shard, posts) == []


@pytest.mark.parametrize(("column", "value"), [("i", 2**31), ("i", -2**31 - 1), ("b", 2**63), ("d", 1e308 * 10)])
def test_arithmetic_beyond_a_type_s_range_is_refused(tmp_path, column, value):
    create(str(tmp_path / "s0.db"))
    table = declared("t", "{key: k, columns: {k: bigint, i: 'int?', b: 'bigint?', d: 'double?'}}")
    with closing(open_shard("s0", Endpoint("sqlite", path=str(tmp_path / "s0.db")), PoolConfig())) as shard:
        ddl.create(shard, [table])
        run(shard, "INSERT INTO t (k, i, b, d, _hp_slot) VALUES (1, 0, 0, 0, 0), (2, NULL, NULL, NULL, 0)")
        text = f"{value:d}" if column != "d" else "9e999"
        with pytest.raises(OutOfRange):
            run(shard, f"UPDATE t SET {column} = {column} + {text} WHERE k = 1")
        assert run(shard, f"UPDATE t SET {column} = {column} + 1") == 2


def test_dropping_what_is_not_there_is_no_error(shard):
    ddl.create(shard, [declared("posts", POSTS)])
    for _ in range(2):
        ddl.drop(shard, "posts")
    assert columns(shard, "posts") == []


def test_what_is_remembered_of_a_table_is_what_can_never_change():
    before, after = (declared("t", f"{{key: id, columns: {{id: bigint, n: {{type: int, default: {n}}}}}}}")
                     for n in (1, 2))
    assert ddl.described([before]) == ddl.described([after])
    assert ddl.described([before]) == {"t": {"key": "id", "columns": {"id": "bigint", "n": "int"}, "indexes": []}}
