"""An engine on which each trap of a dialect is closed."""
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import event, make_url, select, text, update
from sqlalchemy.orm import Session

from hotpath import locking as L
from hotpath.locking.engine import begin_write

from .databases import SERVERS
from .rows import Base, Plain, Tally, store, value_of

mariadb = pytest.mark.parametrize("backend", ["mariadb"])
servers = pytest.mark.parametrize("backend", SERVERS)


# ---- all

def test_it_works(engine):
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT 1 + 1")) == 2


def test_no_connection_stays_checked_out(stored):
    store(stored, Plain(id=1))
    assert value_of(stored, Plain, 1) == 0
    assert stored.pool.checkedout() == 0


def test_as_many_connections_as_said_and_no_more(url):
    engine = L.engine(url, pool_size=2, pool_timeout=0.01)
    with engine.connect(), engine.connect(), pytest.raises(Exception, match="QueuePool limit"):
        engine.connect()
    engine.dispose()


def test_what_was_found_counts_as_changed(stored):
    """Else a change to the same value looks like a version that is not there any more."""
    store(stored, Plain(id=1, value=5))
    with stored.begin() as connection:
        assert connection.execute(update(Plain).where(Plain.id == 1).values(value=5)).rowcount == 1
        assert connection.execute(update(Plain).where(Plain.id == 2).values(value=5)).rowcount == 0


def test_any_text_is_kept(engine):
    words = "naïve Привет 漢字 🔒"
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE words (id INTEGER PRIMARY KEY, word VARCHAR(40))"))
        connection.execute(text("INSERT INTO words VALUES (1, :word)"), {"word": words})
        assert connection.scalar(text("SELECT word FROM words")) == words


def test_a_savepoint_takes_back_only_what_came_behind_it(stored):
    with Session(stored) as session:
        session.add(Plain(id=1))
        session.flush()
        nested = session.begin_nested()
        session.add(Plain(id=2))
        session.flush()
        nested.rollback()
        session.add(Plain(id=3))
        session.commit()
    with Session(stored) as session:
        assert session.scalars(select(Plain.id).order_by(Plain.id)).all() == [1, 3]


def test_a_savepoint_is_as_well_the_first_of_all(stored):
    with Session(stored) as session:
        with session.begin_nested():
            session.add(Plain(id=1))
        session.rollback()
        assert session.get(Plain, 1) is None
        with session.begin_nested():
            session.add(Plain(id=2))
        session.commit()
    assert value_of(stored, Plain, 2) == 0


def test_a_rollback_takes_back_everything(stored):
    with Session(stored) as session:
        session.add_all([Plain(id=1), Plain(id=2)])
        session.flush()
        session.rollback()
        session.add(Plain(id=3))
        session.commit()
        assert session.scalars(select(Plain.id)).all() == [3]


def test_begin_write_is_harmless_anywhere(stored):
    with Session(stored) as session:
        begin_write(session)
        begin_write(session, timeout=0.1)
        session.add(Plain(id=1))
        begin_write(session)
        session.commit()
    assert value_of(stored, Plain, 1) == 0


def test_a_database_in_memory_is_one_for_all_threads():
    engine = L.engine("sqlite://")
    Base.metadata.create_all(engine)
    store(engine, Tally(id=1))

    def add(_n):
        def work(tx):
            tx.load(Tally, 1).value += 1
        L.run(engine, work)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert value_of(engine, Tally, 1) == 40
    engine.dispose()


# ---- MariaDB, PostgreSQL

@mariadb
def test_the_collation_is_one_that_mariadb_knows(engine):
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT @@collation_connection")) == "utf8mb4_general_ci"
        assert connection.scalar(text("SELECT @@character_set_client")) == "utf8mb4"


@mariadb
@pytest.mark.parametrize(("seconds", "kept"), [(3, 3), (0.2, 1), (1.5, 2)])
def test_innodb_waits_as_long_as_said_in_whole_seconds(url, seconds, kept):
    engine = L.engine(url, lock_timeout=seconds)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT @@innodb_lock_wait_timeout")) == kept
    engine.dispose()


@mariadb
@pytest.mark.parametrize("scheme", ["mysql", "mysql+mysqlconnector", "mariadb", "mariadb+mysqlconnector"])
def test_mariadb_goes_by_several_names(url, scheme):
    engine = L.engine(f"{scheme}://{url.partition('://')[2]}")
    Base.metadata.create_all(engine)
    store(engine, Tally(id=1), Tally(id=2))
    with Session(engine) as session:
        assert [row.id for row in L.locked(session, Tally, [2, 1])] == [2, 1]
        with L.advisory(session, "x"):
            L.force_increment(session, session.get(Tally, 1))
        session.commit()
    engine.dispose()


@mariadb
def test_greenlets_are_not_blocked_by_the_driver_in_c(url, monkeypatch):
    patched = type(sys)("gevent.monkey")
    patched.is_module_patched = lambda name: name == "socket"
    monkeypatch.setitem(sys.modules, "gevent.monkey", patched)
    engine = L.engine(url)
    asked = []
    event.listen(engine, "do_connect", lambda dialect, record, args, options: asked.append(options))
    with engine.connect():
        assert asked[0]["use_pure"] is True
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("options", [None, "-c work_mem=8MB"])
def test_postgresql_waits_as_long_as_said(url, options):
    given = {} if options is None else {"connect_args": {"options": options}}
    engine = L.engine(url, lock_timeout=2.5, **given)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW lock_timeout")) == "2500ms"
        assert connection.scalar(text("SHOW work_mem")) == ("4MB" if options is None else "8MB")
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_postgresql_goes_by_several_names(url):
    for scheme in ("postgres", "postgresql"):
        engine = L.engine(f"{scheme}://{url.partition('://')[2]}")
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()


@servers
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_the_isolation_is_the_one_asked_for(url, backend, level):
    engine = L.engine(url, isolation=level)
    ask = {"mariadb": "SELECT @@tx_isolation", "postgresql": "SHOW transaction_isolation"}[backend]
    for _ in range(2):      # also for who comes second to the same connection
        with engine.connect() as connection:
            assert connection.scalar(text(ask)).replace("-", " ").upper() == level
    engine.dispose()


def test_serializable_is_serializable(url):
    """Two who read both rows, and each write one of them: somebody must notice."""
    engine = L.engine(url, isolation="SERIALIZABLE", lock_timeout=0.2)
    Base.metadata.create_all(engine)
    store(engine, Plain(id=1, value=1), Plain(id=2, value=1))
    with Session(engine) as one, Session(engine) as two, suppress(L.Retriable), L.translating():
        for session, key in ((one, 1), (two, 2)):
            rows = {row.id: row for row in session.scalars(select(Plain))}
            rows[key].value -= sum(row.value for row in rows.values()) == 2
        one.commit()
        two.commit()
    assert value_of(engine, Plain, 1) + value_of(engine, Plain, 2) >= 1
    engine.dispose()


def test_without_it_nobody_does(stored):
    """The control."""
    store(stored, Plain(id=1, value=1), Plain(id=2, value=1))
    with Session(stored) as one, Session(stored) as two:
        for session, key in ((one, 1), (two, 2)):
            rows = {row.id: row for row in session.scalars(select(Plain))}
            rows[key].value -= sum(row.value for row in rows.values()) == 2
        one.commit()
        two.commit()
    assert value_of(stored, Plain, 1) + value_of(stored, Plain, 2) == 0


@pytest.mark.parametrize(("backend", "said", "kept"), [
    ("mariadb", {}, {"connection_timeout": 10, "charset": "utf8mb4"}),
    ("mariadb", {"connection_timeout": "3", "collation": "utf8mb4_bin"},
     {"connection_timeout": 3, "collation": "utf8mb4_bin"}),
    ("postgresql", {}, {"connect_timeout": 10}),
    ("postgresql", {"connect_timeout": "3"}, {"connect_timeout": 3}),
])
def test_what_the_url_says_is_kept(url, said, kept):
    engine = L.engine(make_url(url).update_query_dict(said))
    asked = []
    event.listen(engine, "do_connect", lambda dialect, record, args, options: asked.append(options))
    with engine.connect():
        assert {name: type(kept[name])(asked[0][name]) for name in kept} == kept
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"])
def test_options_of_the_url_and_ours_are_both_kept(url):
    engine = L.engine(make_url(url).update_query_dict({"options": "-c work_mem=8MB"}), lock_timeout=2.5)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW work_mem")) == "8MB"
        assert connection.scalar(text("SHOW lock_timeout")) == "2500ms"
    engine.dispose()


# ---- what cannot be

@pytest.mark.parametrize("url", ["", "nonsense", "oracle://x/y", "mysql+pymysql://x/y", "mysql://u:secret@h:abc/d",
                                 "mysql//u:secret@h/d", "redis://x", "sqlite+aiosqlite:///x", "postgresql+asyncpg://x/y"])
def test_a_bad_url_is_told_in_one_line_that_names_the_cure(url):
    with pytest.raises(L.Unusable) as info:
        L.engine(url)
    said = str(info.value)
    assert "://" in said
    assert "\n" not in said
    assert "secret" not in said


@pytest.mark.parametrize(("url", "module", "cure"), [
    ("mysql://x/y", "mysql.connector", "mysql-connector-python"),
    ("postgresql://x/y", "psycopg", "hotpath[postgresql]"),
])
def test_a_missing_driver_is_told_in_one_line_that_names_the_cure(url, module, cure, monkeypatch):
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(L.Unusable) as info:
        L.engine(url)
    assert f'pip install "{cure}"' in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("url", ["sqlite://", "mysql://x/y"])
@pytest.mark.parametrize("level", ["read committed", "NONE", "SNAPSHOT"])
def test_an_unknown_isolation_is_told_with_what_is_allowed(url, level):
    with pytest.raises(L.Unusable, match="SERIALIZABLE"):
        L.engine(url, isolation=level)


def test_sqlite_has_one_isolation():
    with pytest.raises(L.Unusable, match="allowed: SERIALIZABLE"):
        L.engine("sqlite://", isolation="READ COMMITTED")
