"""The database itself: made once by whoever comes first, synced, its epoch kept."""
import stat
import subprocess
import sys
import threading

import pytest
from sqlalchemy import inspect, select

from hotpath.chat.config import ChatConfig
from hotpath.chat.models import meta, metadata
from hotpath.chat.store import Database, Unavailable

OPEN = ("import sys\nfrom hotpath.chat.config import ChatConfig, DatabaseConfig\n"
        "from hotpath.chat.store import Database\n"
        "print(Database.open(ChatConfig(data=sys.argv[1], database=DatabaseConfig(url=sys.argv[2]))).epoch())")


def test_the_tables_of_the_contract_are_there(database):
    found = inspect(database.engine)
    assert set(metadata.tables) <= set(found.get_table_names())
    columns = {name: {column["name"] for column in found.get_columns(name)} for name in metadata.tables}
    assert columns["channels"] >= {"id", "kind", "name", "last_seq", "published_seq"}
    assert columns["memberships"] >= {"channel_id", "user_id", "role", "joined_seq", "last_read", "rev"}
    assert columns["events"] >= {"channel_id", "seq", "kind", "data", "at"}
    assert columns["messages"] >= {"id", "channel_id", "seq", "user_id", "client_msg_id", "text", "root_id", "at",
                                   "deleted"}


def test_the_epoch_is_kept_until_a_new_one_is_asked_for(database, config):
    epoch = database.epoch()
    again = Database.open(config)
    assert again.epoch() == epoch
    new = again.new_epoch()
    assert new != epoch
    assert database.epoch() == new
    again.close()
    with database.engine.connect() as connection:
        assert connection.scalar(select(meta.c.value).where(meta.c.name == "epoch")) == new


def test_processes_that_start_together_make_it_once(engine, tmp_path, request):
    url = "sqlite" if engine == "sqlite" else request.getfixturevalue("mariadb").new_url()
    processes = [subprocess.Popen([sys.executable, "-P", "-c", OPEN, str(tmp_path / "data"), url], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(5)]
    ended = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, ended
    assert len({out for out, _ in ended}) == 1


def test_sqlite_syncs_each_commit_and_its_folder_is_private(tmp_path):
    database = Database.open(ChatConfig(data=str(tmp_path / "data")))
    pragma = lambda name: database.read(lambda rows: rows.one(f"PRAGMA {name}"))[0]     # noqa: E731
    assert (pragma("journal_mode"), pragma("synchronous"), pragma("busy_timeout")) == ("wal", 2, 5000)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    database.close()


def test_a_mysql_that_does_not_sync_is_warned_of(mariadb, config, engine, caplog):
    if engine == "sqlite":
        return
    for value, warnings in ((2, 1), (1, 1)):
        mariadb.execute(f"SET GLOBAL innodb_flush_log_at_trx_commit = {value}")
        Database.open(config).close()
        assert caplog.text.count("event=unsafe_database") == warnings


def test_reads_see_one_moment(database):
    """A write that comes between two statements of a read is not seen by the second."""
    def change() -> None:
        with database.engine.begin() as connection:
            connection.execute(meta.update().where(meta.c.name == "membership_version").values(value="7"))

    def read(rows) -> list[str]:
        values = [rows.one("SELECT value FROM meta WHERE name = 'membership_version'")[0]]
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        return [*values, rows.one("SELECT value FROM meta WHERE name = 'membership_version'")[0]]

    assert database.read(read) == ["0", "0"]
    assert database.read(lambda rows: rows.one("SELECT value FROM meta WHERE name = 'membership_version'"))[0] == "7"


def test_a_mistake_in_a_read_is_no_absence(database):
    with pytest.raises(Exception, match="nowhere") as wrong:
        database.read(lambda rows: rows.all("SELECT * FROM nowhere"))
    assert not isinstance(wrong.value, Unavailable)
    assert database.epoch()
