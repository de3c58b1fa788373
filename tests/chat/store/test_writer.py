"""Group commit: what was answered is stored, in the order of the seqs, whoever else writes and whatever dies."""
import re
import sys
import threading
from itertools import groupby
from pathlib import Path

import pytest

from hotpath.chat.config import ChatConfig, DatabaseConfig, GroupCommit
from hotpath.chat.store import (
    CreateUser,
    Database,
    Event,
    PostMessage,
    Reader,
    Unavailable,
    Writer,
)
from hotpath.chat.store.operation import NoChannel
from tests.waiting import DEADLINE_S, Process, running, wait_for

from .worlds import Whole, World
from .worlds import running as running_world


def writing(config: ChatConfig, name: str, *, threads: int = 4, fail_at: str = "never"):
    return running([sys.executable, "-P", str(Path(__file__).with_name("writing.py")), config.data, config.database.url,
                    name, str(threads), fail_at])


def acked(process: Process) -> dict[str, tuple[int, int]]:
    """{client_msg_id: (channel, seq)} of each whole line."""
    assert "Traceback" not in process.read(), process.output
    return {match[1]: (int(match[2]), int(match[3]))
            for match in re.finditer(r"^acked (\S+) (\d+) (\d+)\n", process.read(), re.MULTILINE)}


def wait_for_acks(process: Process, n: int) -> None:
    wait_for(lambda: len(acked(process)) >= n, f"{n} messages", within_s=60)


@pytest.fixture
def hall(world: World) -> World:
    """With user 1 in channels 1 … 3, on a database whose ids begin at 1."""
    if not world.database.is_sqlite:
        with world.database.engine.begin() as connection:
            for table in ("users", "channels"):
                connection.exec_driver_sql(f"ALTER TABLE {table} AUTO_INCREMENT = 1")
    ann = world.user("ann")
    assert (ann, [world.channel(ann) for _ in range(3)]) == (1, [1, 2, 3])
    return world


def check_whole(world: World, *acks: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Each log is gapless, each event has its row, each row its event, and what was acked is there; all messages."""
    rows = world.all("SELECT client_msg_id, channel_id, seq FROM messages")
    stored = {id: (channel, seq) for id, channel, seq in rows}
    for channel in (1, 2, 3):
        seqs = [row[0] for row in world.all("SELECT seq FROM events WHERE channel_id = ? ORDER BY seq", channel)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert world.all("SELECT last_seq FROM channels WHERE id = ?", channel) == [(len(seqs),)]
        assert sorted(seq for where, seq in stored.values() if where == channel) == seqs[1:]
    for some in acks:
        assert {id: stored.get(id) for id in some} == some
    words = "message_words_docsize" if world.database.is_sqlite else "message_words"
    assert world.all(f"SELECT COUNT(*) FROM {words}") == [(len(stored),)]
    return stored


def test_answers_come_before_the_events_and_both_in_the_order_of_the_commit(database):
    order: list[object] = []
    world = World(database)
    writer = Whole(database, publish=lambda batch: order.extend(what.seq for what in batch if isinstance(what, Event)))
    writer.start()
    world.writer = writer
    ann = world.user("ann")
    channel = world.channel(ann)
    order.clear()
    done = threading.Event()
    for n in range(100):
        writer.submit(PostMessage(ann, channel, f"m{n}", "x"),
                      lambda answer, n=n: (order.append(f"m{n}"), n == 99 and done.set()))
    assert done.wait(DEADLINE_S)
    writer.stop()
    acks, seqs = [what for what in order if isinstance(what, str)], [what for what in order if isinstance(what, int)]
    assert acks == [f"m{n}" for n in range(100)]
    assert seqs == list(range(2, 102))
    for n in range(100):
        assert order.index(f"m{n}") < order.index(n + 2)


def test_one_commit_for_what_waits_and_one_each_if_so_configured(database, config):
    with running_world(database) as world:
        ann = world.user("ann")
        channel = world.channel(ann)
        before = world.writer.n_commits
        world.together(*(PostMessage(ann, channel, f"m{n}", "x") for n in range(200)))
        assert world.writer.n_commits - before == 2         # the one that held them up, and theirs
    single = Database(database.engine, ChatConfig(data=config.data, database=DatabaseConfig(
        url=config.database.url, group_commit=GroupCommit(max_batch=1))))
    with running_world(single) as world:
        world.together(*(PostMessage(ann, channel, f"n{n}", "x") for n in range(20)))
        assert world.writer.n_commits == 21


def test_the_first_waits_for_company_as_long_as_configured(database, config):
    patient = Database(database.engine, ChatConfig(data=config.data, database=DatabaseConfig(
        url=config.database.url, group_commit=GroupCommit(max_batch=3, max_wait=1000.0))))
    world = World(patient)
    answers: list[object] = []
    world.writer.start()
    for name in ("ann", "ben"):
        world.writer.submit(CreateUser(name, "", "x"), answers.append)
    assert world.reader.users() == []
    world.writer.submit(CreateUser("cat", "", "x"), answers.append)
    wait_for(lambda: len(answers) == 3, "three answers")
    assert world.writer.n_commits == 1
    world.writer.submit(CreateUser("dan", "", "x"), answers.append)
    world.writer.stop()
    assert len(answers) == 4


def test_the_queue_is_bounded(database):
    writer = Writer(database, publish=lambda batch: None, queue=2)
    for name in ("ann", "ben"):
        writer.submit(CreateUser(name, "", "x"), lambda answer: None)
    with pytest.raises(Unavailable):
        writer.submit(CreateUser("cat", "", "x"), lambda answer: None)
    writer.start()
    writer.stop()
    assert [user["name"] for user in Reader(database).users()] == ["ann", "ben"]
    with pytest.raises(Unavailable):
        writer.submit(CreateUser("cat", "", "x"), lambda answer: None)


class Broken(NoChannel):
    """An operation with a mistake in it, behind its first statement."""

    def apply(self, tx):
        tx.rows.run("UPDATE users SET display = 'broken'")
        raise ZeroDivisionError


class Misspelled(NoChannel):
    """Another."""

    def apply(self, tx):
        tx.rows.run("UPDATE users SET display = 'broken'")
        tx.rows.run("SELECT nothing FROM nowhere")


def test_a_mistake_in_one_operation_leaves_no_trace_and_harms_no_other(database, caplog):
    with running_world(database) as world:
        first, broken, misspelled, second = world.together(CreateUser("ann", "", "x"), Broken(), Misspelled(),
                                                           CreateUser("ben", "", "x"))
        assert isinstance(broken, ZeroDivisionError)
        assert isinstance(misspelled, Exception)
        assert not isinstance(misspelled, Unavailable)
        assert world.reader.users() == [first, second]
        assert "event=operation_failed operation=Broken" in caplog.text
        world.writer.submit(CreateUser("cat", "", "x"), lambda answer: 1 / 0)
        assert world.user("dan")


def test_writers_of_two_processes_share_the_channels(hall, config):
    """Somebody who watches never sees a hole: seqs become visible in their order."""
    if hall.database.is_sqlite:
        hall.writer.stop()
    with writing(config, "a") as one, writing(config, "b") as other:
        def looked() -> bool:
            seqs = hall.all("SELECT channel_id, seq FROM events ORDER BY channel_id, seq")
            for channel, rows in groupby(seqs, key=lambda row: row[0]):
                listed = [row[1] for row in rows]
                assert listed == list(range(1, len(listed) + 1)), f"a hole in channel {channel}"
            # Who waits for SQLite's lock asks now and then, and may starve: the configuration allows one writer there.
            enough = sum if hall.database.is_sqlite else min
            return enough((len(acked(one)), len(acked(other)))) >= 300

        wait_for(looked, "300 messages", within_s=60)
        one.kill()
        other.kill()
        acks = acked(one), acked(other)
    check_whole(hall, *acks)


@pytest.mark.parametrize("place", ["statement", "before", "after"])
def test_a_killed_writer_leaves_whole_batches_or_nothing(hall, config, place):
    if hall.database.is_sqlite:
        hall.writer.stop()
    with writing(config, "a", threads=8, fail_at=place) as process:
        process.wait_for_output(f"^at {place}$", within_s=60)
        process.kill()
        acks = acked(process)
    stored = check_whole(hall, acks)
    unacked = set(stored) - set(acks)
    assert len(acks) > 10
    assert unacked if place == "after" else not unacked
    # Whoever got no answer tries again: the same message, whether it was stored or not.
    world = World(hall.database)
    world.writer.start()
    for thread in range(8):
        n = sum(id.startswith(f"a-{thread}-") for id in acks)
        id = f"a-{thread}-{n}"
        message, created = world.do(PostMessage(1, n % 3 + 1, id, f"text {id.rpartition('-')[0]} {n}"))
        assert created == (id not in stored)
        assert id not in stored or (message["channel"], message["seq"]) == stored[id]
    world.writer.stop()
    check_whole(hall)
