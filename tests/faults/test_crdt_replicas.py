"""Three real replicas behind links that are cut, one-way, slow and repetitive, killed again and again: nothing is lost.

HOTPATH_KILLS=200 runs the schedule with as many `kill -9`s, HOTPATH_SEED=N another schedule.
"""
import os
import random
import threading
from contextlib import contextmanager

import pytest

from tests.crdt.checker import Violated
from tests.crdt.drill import check_explained, check_nothing_from_the_future, check_outcome, check_sessions
from tests.crdt.linkproxy import State
from tests.crdt.oracle import Write
from tests.crdt.people import Call, Person
from tests.crdt.trio import NAMES, Trio
from tests.waiting import wait_for

KILLS = int(os.environ.get("HOTPATH_KILLS", "6"))
SEED = int(os.environ.get("HOTPATH_SEED", "1"))
PEOPLE = 3
# Two clocks differ by less than the bound on drift, or the slower replica would refuse what the other sends.
MOST_SKEW_MS = 1_500


@contextmanager
def people_at_work(trio, seed):
    """They ask whatever happens, until the block ends."""
    done = threading.Event()
    people = [Person(number, list(trio.servers.values()), seed * 100 + number) for number in range(PEOPLE)]
    threads = [threading.Thread(target=person.work_until, args=(done,), daemon=True) for person in people]
    for thread in threads:
        thread.start()
    try:
        yield people
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert [person.failures for person in people] == [[]] * PEOPLE


def count(people):
    return sum(len(person.calls) for person in people)


def work_goes_on(people, calls):
    """Return once they have had this many more answers."""
    before = count(people)
    wait_for(lambda: count(people) >= before + calls, f"{calls} more calls")


def calls_of(people):
    return [call for person in people for call in person.calls]


class Nemesis:
    """What goes wrong, one thing after the other."""

    def __init__(self, trio, people, seed):
        self.trio, self.people = trio, people
        self.rng = random.Random(seed)
        self.kills = 0

    def cut(self):
        one, other = self.rng.sample(NAMES, 2)
        self.trio.partition(one, other, *self.rng.choice([
            (State.CUT, State.CUT), (State.MUTE, State.MUTE), (State.DEAF, State.MUTE), (State.MUTE, State.DEAF),
            (State.DEAF, State.OPEN), (State.OPEN, State.CUT)]))

    def isolate(self):
        one = self.rng.choice(NAMES)
        for other in NAMES:
            if other != one:
                self.trio.partition(one, other, State.CUT, State.CUT)

    def slow(self):
        self.rng.choice(list(self.trio.links.values())).delay_s = self.rng.choice([0.0, 0.02, 0.2])

    def heal(self):
        for link in self.trio.links.values():
            link.set(State.OPEN)

    def repeat(self):
        self.rng.choice(list(self.trio.links.values())).say_again()

    def kill(self):
        """One dies amid its work and comes back, its clock set forward or back; meanwhile the others go on."""
        server = self.trio.servers[self.rng.choice(NAMES)]
        server.kill()
        self.kills += 1
        if self.rng.random() < 0.3:
            work_goes_on(self.people, 20)
        server.settings["clock"] = {"offset": f"{self.rng.randrange(-MOST_SKEW_MS, MOST_SKEW_MS)}ms"}
        server.start()

    def run(self, kills):
        while self.kills < kills:
            self.rng.choice([self.cut, self.isolate, self.slow, self.heal, self.repeat, self.kill, self.kill])()
            work_goes_on(self.people, self.rng.randrange(5, 60))


@pytest.mark.timeout(60 + 15 * KILLS)
def test_no_acknowledged_write_is_lost_however_often_replicas_are_killed(tmp_path):
    with Trio(tmp_path) as trio:
        with people_at_work(trio, SEED) as people:
            nemesis = Nemesis(trio, people, SEED)
            nemesis.run(KILLS)
        trio.heal()
        trio.agree(nemesis.kills)
        states = [server.state() for server in trio.servers.values()]
    calls = calls_of(people)
    check_outcome(calls, states)
    written = sum(call.wrote for call in calls)
    unanswered = sum(call.end is None for call in calls)
    print(f"kills={nemesis.kills} calls={len(calls)} acknowledged={written} unanswered={unanswered} lost=0")
    assert written > 5 * KILLS
    assert nemesis.kills >= KILLS


def test_removals_are_forgotten_in_the_end_and_nothing_comes_back(tmp_path):
    collecting = {"gc": {"after": "1s", "interval": "200ms"}}
    with Trio(tmp_path, **collecting) as trio:
        with people_at_work(trio, SEED) as people:
            Nemesis(trio, people, SEED + 1).run(min(KILLS, 3))
        trio.heal()
        wait_for(lambda: all(server.summary()["tombstones"] == 0 for server in trio.servers.values()),
                 "every tombstone to go", within_s=60)
        trio.agree()
        states = [server.state() for server in trio.servers.values()]
        floor = min(server.summary()["collected"] for server in trio.servers.values())
    check_outcome(calls_of(people), states, floor=floor)


# The checks find what must not be.

def call(server, kind, start, end, hlc, *, live=True, wrote=None, payload=b"\0v", key=b"k", expected=None):
    wrote = kind not in ("read", "seen") and end is not None if wrote is None else wrote
    return Call(server, kind, key, payload, start, end, hlc and (hlc, server), live, wrote, expected)


PUT = call("a", "put", 0, 1, 5)


@pytest.mark.parametrize(("sound", "wrong"), [
    (call("a", "read", 2, 3, 5), call("a", "read", 2, 3, 4)),
    (call("b", "read", 2, 3, None), call("a", "read", 2, 3, None)),
    (call("a", "put", 2, 3, 6, key=b"l"), call("a", "put", 2, 3, 5, key=b"l")),
    (call("a", "swap", 2, 3, 6, expected=(5, "a")), call("a", "swap", 2, 3, 6, expected=(4, "a"))),
], ids=["an older value", "nothing", "a stamp that does not rise", "a swap of what was gone"])
def test_what_goes_back_at_one_server_is_found(sound, wrong):
    check_sessions([PUT, sound])
    with pytest.raises(Violated):
        check_sessions([PUT, wrong])


def test_a_removal_may_be_forgotten_where_it_is_collected_only():
    calls = [call("a", "remove", 0, 1, 5, live=False), call("a", "read", 2, 3, None, live=False)]
    check_sessions(calls, collects=True)
    with pytest.raises(Violated):
        check_sessions(calls)


def test_two_adds_without_a_removal_between_are_found():
    adds = [call("a", "add", 0, 1, 5), call("a", "add", 2, 3, 8)]
    check_sessions([adds[0], call("b", "remove", 0, 1, 7, live=False), adds[1]])
    with pytest.raises(Violated):
        check_sessions(adds)


def test_a_value_that_nobody_wrote_is_found():
    unanswered = call("a", "put", 0, None, None)
    shown = [(b"k", Write(7, "a", True, b"\0v"))]
    assert len(check_explained([unanswered], shown)) == 1
    for calls, cells in (([unanswered], [(b"k", Write(7, "b", True, b"\0v"))]), ([], shown),
                         ([unanswered], [(b"k", Write(7, "a", True, b"\0w"))]),
                         ([PUT], [(b"k", Write(5, "a", True, b""))])):
        with pytest.raises(Violated):
            check_explained(calls, cells)


def test_a_value_shown_before_it_was_written_is_found():
    check_nothing_from_the_future([PUT, call("a", "read", 0, 1, 5)])
    with pytest.raises(Violated):
        check_nothing_from_the_future([call("a", "put", 2, 3, 5), call("a", "read", 0, 1, 5)])


@pytest.mark.parametrize("states", [
    [{b"k": Write(6, "b", True, b"\0v")}, {}],
    [{}, {}],
    [{b"k": Write(5, "a", True, b"\0v")}] * 2,
], ids=["a difference", "a loss", "the lesser write"])
def test_a_wrong_end_is_found(states):
    later = call("b", "put", 0, 1, 6)
    check_outcome([PUT, later], [{b"k": Write(6, "b", True, b"\0v")}] * 2)
    with pytest.raises(Violated):
        check_outcome([PUT, later], states)
