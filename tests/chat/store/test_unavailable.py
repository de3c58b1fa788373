"""A database that is locked, full, frozen or dead: nothing is stored by halves, and it comes back by itself."""
import resource
import signal
import sqlite3
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import mysql.connector
import pytest
from sqlalchemy.engine import make_url

from hotpath.chat.config import ChatConfig, DatabaseConfig
from hotpath.chat.store import CreateUser, Database, Join, PostMessage, Reader, Unavailable
from hotpath.chat.store import database as database_module
from tests.mariadb import MariaDb, missing, running_mariadb
from tests.waiting import DEADLINE_S, wait_for

from .worlds import World, running

FULL = 600_000      # bytes of the largest file there may be


@pytest.fixture
def impatient(config):
    """A world with 300 ms, or what MySQL rounds them to, for locks; user 1 owns a channel, user 2 is in it."""
    database = Database.open(ChatConfig(data=config.data, database=DatabaseConfig(url=config.database.url, busy=0.3)))
    with running(database) as world:
        yield world
    database.close()


@contextmanager
def locked(database: Database, sql: str):
    """Somebody else holds what `sql` locks. The connection, to let it go with."""
    if database.is_sqlite:
        other = sqlite3.connect(database.config.folder / "chat.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
    else:
        url = make_url(database.config.database.url)
        other = mysql.connector.connect(host=url.host, port=url.port, user=url.username, database=url.database,
                                        use_pure=True, charset="utf8mb4", collation="utf8mb4_general_ci",
                                        autocommit=False)
    with closing(other):
        cursor = other.cursor()
        cursor.execute(sql)
        yield other


def test_a_lock_held_too_long_stores_nothing_and_readers_read(impatient):
    world = impatient
    ann = world.user("ann")
    channel = world.channel(ann)
    n = len(world.published)
    with locked(world.database, f"UPDATE channels SET topic = 'somebody else' WHERE id = {channel}"):
        with pytest.raises(Unavailable):
            world.post(ann, channel, id="m")
        assert world.reader.history(ann, channel)["messages"] == []
    assert len(world.published) == n
    assert world.post(ann, channel, id="m")["seq"] == 2


def test_a_shorter_lock_only_delays(world):
    ann = world.user("ann")
    channel = world.channel(ann)
    with locked(world.database, f"UPDATE channels SET topic = 'somebody else' WHERE id = {channel}") as other:
        answers: list[object] = []
        world.writer.submit(PostMessage(ann, channel, "m", "x"), answers.append)
        timer = threading.Timer(0.3, other.rollback)
        timer.start()
        assert world.post(ann, channel)["seq"] in (2, 3)
        timer.join()
    assert len(answers) == 1
    assert not isinstance(answers[0], Exception)


def test_a_full_disk_stores_nothing_by_halves(tmp_path):
    database = Database.open(ChatConfig(data=str(tmp_path)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(database) as world:
        ann = world.user("ann")
        channel = world.channel(ann)
        # As a disk without room: the write of a page fails, wherever that is.
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, hard))
        stored, n = [], 0
        try:
            while n < 100:
                n += 1
                try:
                    stored.append(world.post(ann, channel, "word " * 1500, id=f"m{n}")["seq"])
                except Unavailable:
                    break
            for _ in range(3):
                answers = world.together(*(PostMessage(ann, channel, f"x{k}", "word " * 1500) for k in range(9)))
                assert all(isinstance(answer, Unavailable) for answer in answers)
            assert len(world.reader.history(ann, channel, limit=200)["messages"]) == len(stored)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert 3 < n < 100
        assert stored == list(range(2, n + 1))
        again = world.post(ann, channel, "word " * 1500, id=f"m{n}")
        assert again["seq"] == n + 1
        assert [event.seq for event in world.events] == list(range(1, n + 2))
        assert world.all("SELECT COUNT(*) FROM events") == [(n + 1,)]
        assert world.all("PRAGMA integrity_check") == [("ok",)]
        assert len(world.reader.search(ann, "word", limit=200)) == n
    database.close()


@pytest.fixture(scope="module")
def server():
    """A MariaDB that may be killed."""
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as it:
        yield it


def opened(server: MariaDb, folder: Path, busy_s: float, url: str | None = None) -> Database:
    where = DatabaseConfig(url=url or server.new_url(), busy=busy_s)
    return Database.open(ChatConfig(data=str(folder), database=where))


@pytest.fixture
def mortal(server: MariaDb, tmp_path):
    database = opened(server, tmp_path, 20.0)
    with running(database) as world:
        yield world
    database.close()


@pytest.fixture
def hasty(server: MariaDb, tmp_path, monkeypatch):
    """It gives up soon; the tables were made without haste."""
    opened(server, tmp_path, 20.0, url := server.new_url()).close()
    monkeypatch.setattr(database_module, "SILENCE_S", 1)
    database = opened(server, tmp_path, 1.0, url)
    with running(database) as world:
        yield world
    database.close()


def test_a_killed_mariadb_is_unavailable_and_found_again(mortal, server):
    ann = mortal.user("ann")
    channel = mortal.channel(ann)
    acked = [mortal.post(ann, channel, id=f"m{n}")["seq"] for n in range(20)]
    server.kill()
    n = len(mortal.published)
    for id in ("a", "b", "c"):
        with pytest.raises(Unavailable):
            mortal.post(ann, channel, id=id)
        with pytest.raises(Unavailable):
            mortal.reader.history(ann, channel)
    assert len(mortal.published) == n
    server.start()

    def back() -> bool:
        try:
            mortal.post(ann, channel, id="a")
        except Unavailable:
            return False
        return True

    wait_for(back, "the writer to be back")
    assert [message["seq"] for message in mortal.reader.history(ann, channel)["messages"]] == [*acked, 22]
    assert mortal.do(PostMessage(ann, channel, "a", "hello"))[0]["seq"] == 22


def test_connections_that_the_server_closed_are_made_anew_unnoticed(mortal, server):
    ann = mortal.user("ann")
    channel = mortal.channel(ann)
    mortal.reader.users()
    server.kill()
    server.start()
    assert mortal.reader.users()
    assert mortal.post(ann, channel)["seq"] == 2
    assert len(mortal.reader.channels(ann)) == 1


def test_a_frozen_mariadb_is_given_up(hasty, server):
    ann = hasty.user("ann")
    hasty.reader.users()
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            hasty.do(CreateUser("ben", "", "x"))
        with pytest.raises(Unavailable):
            hasty.reader.user(ann)
    finally:
        server.signal(signal.SIGCONT)
    wait_for(lambda: _is_there(hasty), "it to answer")


def _is_there(world: World) -> bool:
    try:
        world.do(CreateUser("ben", "", "x"))
    except Unavailable:
        return False
    except Exception:
        return True
    return True


def test_of_two_who_block_each_other_one_tries_again(server: MariaDb, tmp_path):
    """InnoDB ends one of the two; ours, and it must not be noticed."""
    database = Database.open(ChatConfig(data=str(tmp_path), database=DatabaseConfig(url=server.new_url(), busy=60.0)))
    with running(database) as world:
        ann, ben = world.user("ann"), world.user("ben")
        first, second = world.channel(ann), world.channel(ann)
        with locked(database, f"UPDATE channels SET topic = 'x' WHERE id = {second}") as other:
            cursor = other.cursor()
            # Much written makes the other one dear, so that it is ours that InnoDB ends.
            cursor.executemany("INSERT INTO reactions (message_id, emoji, user_id, seq) VALUES (%s, 'x', 1, 1)",
                               [(n,) for n in range(500)])
            answers: list[object] = []
            world.writer.submit(Join(ben, first, ben), answers.append)
            world.writer.submit(PostMessage(ann, second, "m", "x"), answers.append)
            # Not of information_schema.innodb_trx: whoever asks it more often than ten times a second is told old news.
            wait_for(lambda: "LOCK WAIT" in str(world.all("SHOW ENGINE INNODB STATUS")), "our transaction to wait")
            cursor.execute(f"UPDATE channels SET topic = 'x' WHERE id = {first}")
            other.rollback()
        wait_for(lambda: len(answers) == 2, "both answers")
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        assert len(world.log(first)) == len(world.log(second)) == 2
        assert len(world.events) == 4
    database.close()


def test_there_is_no_database(tmp_path):
    with pytest.raises(Unavailable):
        Database.open(ChatConfig(data=str(tmp_path / "nowhere")), create=False)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "chat.db").touch()
    with pytest.raises(Unavailable):
        Database.open(ChatConfig(data=str(tmp_path)), create=False)
    with pytest.raises(Unavailable):
        Database.open(ChatConfig(data=str(tmp_path), database=DatabaseConfig(
            url="mysql+mysqlconnector://root@127.0.0.1:1/chat", busy=0.5)))


def test_a_pool_that_is_used_up_is_unavailable(tmp_path):
    database = Database.open(ChatConfig(data=str(tmp_path), database=DatabaseConfig(pool=2, busy=0.2)))
    gate, inside = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        database.read(lambda rows: (inside.release(), gate.wait(DEADLINE_S)))

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert inside.acquire(timeout=DEADLINE_S)
    with pytest.raises(Unavailable):
        Reader(database).users()
    gate.set()
    for thread in threads:
        thread.join()
    assert Reader(database).users() == []
    database.close()
