import sqlite3
import stat
from contextlib import closing

import pytest

from hotpath.shard.backend import CannotStart, Server, Taken, backend_of
from hotpath.shard.backend.embedded import Embedded
from hotpath.shard.backend.waiting import after
from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint


@pytest.fixture
def backend(tmp_path):
    return Embedded(ShardConfig(data=str(tmp_path / "data")))


def mark(path, table="_hp_fence"):
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE TABLE {table} (id INTEGER)")


def test_the_configuration_names_it():
    assert isinstance(backend_of(ShardConfig()), Embedded)


def test_up_makes_a_private_file_for_each_and_one_for_the_map(backend, tmp_path):
    assert not backend.begun()
    found = backend.up(("s0", "s1"), after(10))
    assert found == {name: Endpoint("sqlite", path=str(tmp_path / "data" / f"{name}.db")) for name in ("s0", "s1")}
    assert backend.meta("s0") == Endpoint("sqlite", path=str(tmp_path / "data" / "meta.db"))
    assert backend.begun()
    for name in ("s0", "s1", "meta"):
        assert stat.S_IMODE((tmp_path / "data" / f"{name}.db").stat().st_mode) == 0o600
    assert backend.up(("s0", "s1"), after(10)) == found


def test_the_map_may_be_elsewhere(tmp_path):
    dsn = "mysql://u:p@127.0.0.1:3306/map"
    backend = Embedded(ShardConfig(data=str(tmp_path), meta=dsn))
    backend.up(("s0",), after(10))
    assert backend.meta("s0") == Endpoint.parse(dsn)
    assert not (tmp_path / "meta.db").exists()


def test_no_server_runs(backend):
    backend.up(("s0",), after(10))
    assert backend.server("s0") == Server(None, None, up=True)
    assert backend.server("s1") == Server(None, None, up=False)
    backend.stop("s0")
    assert backend.exists("s0")


def test_a_file_of_somebody_else_is_refused_and_left_alone(backend, tmp_path):
    backend.up(("s0",), after(10))
    mark(tmp_path / "data" / "s1.db", "theirs")
    (tmp_path / "data" / "s2.db").write_bytes(b"no database at all" * 100)
    for name in ("s1", "s2"):
        before = (tmp_path / "data" / f"{name}.db").read_bytes()
        with pytest.raises(Taken, match=f"{name}.db is there already"):
            backend.create(name)
        backend.purge(name)
        assert (tmp_path / "data" / f"{name}.db").read_bytes() == before
    assert backend.all() == ("s0",)


def test_purge_deletes_what_sqlite_puts_beside_it_too(backend, tmp_path):
    backend.up(("s0", "s1"), after(10))
    for ending in ("-wal", "-shm"):
        (tmp_path / "data" / f"s1.db{ending}").touch()
    backend.purge("s1")
    backend.purge("s1")
    assert not list((tmp_path / "data").glob("s1*"))
    backend.purge("s0")
    backend.forget()
    assert not (tmp_path / "data").exists()


def test_shards_without_their_map_are_not_taken_for_new_ones(backend, tmp_path):
    backend.up(("s0",), after(10))
    (tmp_path / "data" / "meta.db").unlink()
    with pytest.raises(CannotStart, match=r"meta.db is gone, and only it knows what belongs to s0"):
        backend.up(("s0",), after(10))
