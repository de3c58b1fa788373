"""SQLite: reads begin nothing, the first write begins IMMEDIATE, and a commit is on the disk."""
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hotpath import locking as L
from hotpath.locking.engine import begin_write
from tests.waiting import DEADLINE_S

from .rows import Base, Plain, Tally, set_value, store, value_of

sqlite = pytest.mark.parametrize("backend", ["sqlite"])


def in_transaction(session):
    """Whether the connection of SQLite has one open."""
    return session.connection().connection.dbapi_connection.in_transaction


@sqlite
def test_a_commit_is_on_the_disk_and_readers_do_not_wait(engine):
    with engine.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.scalar(text(f"PRAGMA {pragma}")) == value, pragma


@sqlite
def test_the_wait_for_the_writer_is_the_lock_timeout(url):
    engine = L.engine(url, lock_timeout=1.5)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == 1500
    engine.dispose()


READS = ["SELECT * FROM plain", "  select 1", "WITH x AS (SELECT 1) SELECT * FROM x", "VALUES (1)",
         "EXPLAIN SELECT 1", "PRAGMA user_version"]
WRITES = ["INSERT INTO plain VALUES (1, 1)", "update plain set value = 1", "DELETE FROM plain",
          "REPLACE INTO plain VALUES (1, 1)", "WITH x AS (SELECT 7 AS id) INSERT INTO plain SELECT id, id FROM x",
          "WITH x AS (SELECT 7) DELETE FROM plain WHERE id IN x", "CREATE TABLE more (id INTEGER)",
          "ALTER TABLE plain ADD COLUMN more INTEGER", "CREATE INDEX by_value ON plain (value)",
          "-- a word before\nINSERT INTO plain VALUES (1, 1)", "/* a word */ DELETE FROM plain"]


@sqlite
@pytest.mark.parametrize("sql", READS)
def test_what_only_reads_begins_nothing(stored, sql):
    with Session(stored) as session:
        session.execute(text(sql)).all()
        assert not in_transaction(session)


@sqlite
@pytest.mark.parametrize("sql", WRITES)
def test_what_writes_begins_at_once_and_can_be_taken_back(stored, url, sql):
    with Session(stored) as session:
        session.execute(text(sql))
        assert in_transaction(session)
        # IMMEDIATE: it is the one that writes.
        other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        session.rollback()
        other.execute("BEGIN IMMEDIATE")
        other.close()
    assert inspect(stored).get_table_names() == sorted(Base.metadata.tables)
    with Session(stored) as session:
        assert session.scalar(select(func.count()).select_from(Plain)) == 0


@sqlite
def test_many_rows_at_once_are_one_transaction(stored):
    statement = insert(Plain)
    with Session(stored) as session:
        session.execute(statement, [{"id": n, "value": n} for n in range(100)])
        assert in_transaction(session)
        session.rollback()
        assert session.scalar(select(func.count()).select_from(Plain)) == 0


@sqlite
def test_who_reads_first_and_then_writes_does_not_fail_for_the_change_of_another_row(stored):
    store(stored, Tally(id=1), Tally(id=2))
    with Session(stored) as session:
        row = session.get(Tally, 1)
        set_value(stored, Tally, 2, 5)
        row.value = 6
        session.commit()
    assert value_of(stored, Tally, 1) == 6


@sqlite
def test_with_a_deferred_begin_it_does(stored):
    """The control."""
    store(stored, Tally(id=1), Tally(id=2))
    with Session(stored) as session:
        session.execute(text("BEGIN"))
        row = session.get(Tally, 1)
        set_value(stored, Tally, 2, 5)
        row.value = 6
        with pytest.raises(OperationalError, match="locked") as info:
            session.commit()
    assert L.classify(info.value) is L.Serialization


@sqlite
def test_who_writes_waits_for_who_writes(stored):
    store(stored, Plain(id=1))
    with ThreadPoolExecutor(1) as pool, Session(stored) as session:
        session.get(Plain, 1).value = 5
        session.flush()
        other = pool.submit(set_value, stored, Plain, 1, 6)
        session.commit()
        other.result(DEADLINE_S)
    assert value_of(stored, Plain, 1) == 6


@sqlite
def test_a_first_write_that_waits_too_long_is_a_lock_timeout(url):
    engine = L.engine(url, lock_timeout=0.05)
    Base.metadata.create_all(engine)
    with Session(engine) as one, Session(engine) as two:
        begin_write(one)
        two.add(Plain(id=1))
        with pytest.raises(L.LockTimeout), L.translating():
            two.flush()
        two.rollback()
        with pytest.raises(L.LockTimeout):
            begin_write(two)
        with pytest.raises(L.LockTimeout), L.translating(), two.begin_nested():
            two.get(Plain, 1)
        two.rollback()
        one.rollback()
        two.add(Plain(id=1))
        two.commit()
    engine.dispose()


@sqlite
def test_a_timeout_of_one_call_is_forgotten_behind_it(stored):
    with Session(stored) as one, Session(stored) as two:
        begin_write(one)
        with pytest.raises(L.LockTimeout):
            begin_write(two, timeout=0)
        assert two.scalar(text("PRAGMA busy_timeout")) == 10_000
        one.rollback()
        begin_write(two, timeout=0)
        assert in_transaction(two)
        assert two.scalar(text("PRAGMA busy_timeout")) == 10_000


@sqlite
def test_autocommit_begins_nothing_and_is_forgotten_by_the_pool(url):
    engine = L.engine(url, pool_size=1)
    Base.metadata.create_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("INSERT INTO plain VALUES (1, 1)"))
        assert not connection.connection.dbapi_connection.in_transaction
        connection.execute(text("VACUUM"))
    with Session(engine) as session:
        session.add(Plain(id=2))
        session.flush()
        assert in_transaction(session)
        session.rollback()
        assert session.scalars(select(Plain.id)).all() == [1]
    engine.dispose()


@sqlite
def test_tables_are_made_by_all_or_not_at_all(engine):
    metadata = MetaData()
    Table("one", metadata, Column("id", Integer, primary_key=True))
    with engine.connect() as connection:
        metadata.create_all(connection)
        connection.rollback()
    assert inspect(engine).get_table_names() == []
    metadata.create_all(engine)
    metadata.create_all(engine)
    assert inspect(engine).get_table_names() == ["one"]


