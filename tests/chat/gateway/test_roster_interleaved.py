"""Who is a member where, exact at each position of each log: any order of commits, reads, notices and deliveries.

Here nothing runs by itself: the log, the database's answer and what passes through the real fan-out are steps, so that
the gaps between them are as wide as hypothesis likes.
"""
from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hotpath.chat.fanout import Fanout
from hotpath.chat.gateway.backlog import Backlog
from hotpath.chat.gateway.feeds import Feeds
from hotpath.chat.gateway.roster import Roster
from hotpath.chat.gateway.session import Session
from hotpath.chat.topics import Flag

USERS, CHANNELS = (1, 2), (1, 2)
A_USER, A_CHANNEL = st.sampled_from(USERS), st.sampled_from(CHANNELS)
RING = 16


class NoRedis:
    """A subscription that is always whole."""

    def add(self, topics: object) -> None:
        pass

    def remove(self, topics: object) -> None:
        pass

    def has(self, topic: str) -> bool:
        return True


class Interleaved(RuleBasedStateMachine):
    """Two users and two channels."""

    def __init__(self) -> None:
        super().__init__()
        # Of each channel: whose membership each event changed, and how; None: a message.
        self.logs: dict[int, list[tuple[int, bool] | None]] = {id: [None] for id in CHANNELS}
        self.sessions: dict[int, list[Session]] = {user: [] for user in USERS}
        self.reading: dict[int, tuple[list[Any], dict[int, int]] | None] = {}    # users whose read is under way
        self.waiting: set[int] = set()      # users with sockets that started meanwhile
        self.read_to: dict[int, dict[int, int]] = {}
        self.untold: list[tuple[int, int, int]] = []            # joins that no notice has told of
        nothing: Any = NoRedis()
        self.fanout = Fanout("t:", ring=RING, on_gap=lambda channel: self.feeds.on_gap(channel),
                             on_membership=lambda *event: self.roster.passed(*event), on_other=lambda *what: None)
        self.feeds = Feeds(self.fanout, nothing, nothing, "t:", linger_s=10.0, clock=lambda: 0.0)
        self.backlog = Backlog(self.fanout, nothing)
        self.roster = Roster(self.fanout, self.feeds, self.backlog, nothing, "t:", ring=RING,
                             on_doubt=lambda: None)

    def members(self, channel: int, upto: int) -> dict[int, int]:
        """User: seq of the own join, behind the event `upto`."""
        found: dict[int, int] = {}
        for seq, change in enumerate(self.logs[channel][:upto], 1):
            if change is not None:
                found.pop(change[0], None)
                if change[1]:
                    found[change[0]] = seq
        return found

    # The database

    @rule(channel=A_CHANNEL, user=A_USER)
    def join_or_leave(self, channel, user):
        log = self.logs[channel]
        joins = user not in self.members(channel, len(log))
        log.append((user, joins))
        if joins:
            self.untold.append((user, channel, len(log)))

    @rule(channel=A_CHANNEL)
    def say(self, channel):
        self.logs[channel].append(None)

    # Redis, and what is read because it lost something

    @rule(channel=A_CHANNEL, n=st.integers(1, 3))
    def an_event_passes(self, channel, n):
        feed = self.feeds.get(channel)
        for _ in range(n):
            if feed is None or feed.head >= len(self.logs[channel]):
                return
            change = self.logs[channel][feed.head]
            flags = 0 if change is None else Flag.JOINED if change[1] else Flag.LEFT
            assert self.fanout.publish(channel, feed.head + 1, b"{}", flags=flags,
                                       subject=change[0] if change else 0)

    @precondition(lambda self: self.untold)
    @rule(data=st.data(), again=st.booleans())
    def a_notice_comes(self, data, again):
        notice = data.draw(st.sampled_from(self.untold))
        # Not one of long ago: a channel that was left stays open for longer than notices and head checks take.
        if not again:
            self.untold.remove(notice)
        user, channel, seq = notice
        if self.members(channel, len(self.logs[channel])).get(user) == seq:
            self.roster.joined(user, channel, seq)

    # Sockets

    @rule(user=A_USER)
    def a_socket_comes_and_starts(self, user):
        session = Session.__new__(Session)
        session.user = user
        session.begin(self, self.roster.person(user))   # type: ignore[arg-type]
        self.roster.enter(session)
        self.sessions[user].append(session)
        if user in self.reading:        # of before its sockets went, perhaps: its own read comes behind that
            self.waiting.add(user)
            return
        self.roster.begin_reading([user])
        self.reading[user] = None

    @rule(user=A_USER)
    def the_database_answers(self, user):
        if self.reading.get(user, ()) is None:
            rows = [(id, joined, len(self.logs[id])) for id in CHANNELS
                    if (joined := self.members(id, len(self.logs[id])).get(user)) is not None]
            self.reading[user] = (rows, {id: len(self.logs[id]) for id in CHANNELS})

    @rule(user=A_USER, low=st.one_of(st.none(), st.integers(0, 30)))
    def the_answer_is_learned(self, user, low):
        if self.reading.get(user):
            rows, self.read_to[user] = self.reading.pop(user)
            lowest = {} if low is None else {id: min(low, len(self.logs[id])) for id in CHANNELS}
            if self.roster.learn(user, rows, lowest) is None or user in self.waiting:
                self.waiting.discard(user)
                self.roster.begin_reading([user])
                self.reading[user] = None

    @rule(user=A_USER)
    def a_doubted_user_is_read_again(self, user):
        if user in self.roster.doubted and user not in self.reading:
            self.roster.begin_reading([user])
            self.reading[user] = None

    @rule(user=A_USER)
    def all_sockets_of_a_user_go(self, user):
        for session in self.sessions[user]:
            self.roster.leave(session)
        self.sessions[user] = []

    # What must hold

    @invariant()
    def memberships_are_those_of_the_log_at_each_position(self):
        for user in USERS:
            person = self.roster.get(user)
            if person is None or not person.known:
                continue
            for id in CHANNELS:
                feed = self.feeds.get(id)
                expected = None if feed is None else self.members(id, feed.position).get(user)
                known = dict(person.channels.items()).get(id)
                if known is None and expected is not None and expected <= feed.base:
                    # Joined before the channel was opened, by what was read for somebody else: a notice must come yet,
                    # or has, and a read is due. Or the read was ahead of the feed, and told that the user has left.
                    assert ((user, id, expected) in self.untold or user in self.roster.doubted
                            or user in self.reading
                            or self.members(id, self.read_to[user][id]).get(user) != expected), (user, id)
                else:
                    assert known == expected, (user, id)

    @invariant()
    def a_channel_knows_how_many_need_it(self):
        for id in CHANNELS:
            feed = self.feeds.get(id)
            if feed is not None:
                assert feed.n_users == sum(id in person.channels for person in self.roster.all())

    def teardown(self):
        """Once everything has been told and has passed, memberships are those of the database."""
        for user in list(self.reading):
            self.the_database_answers(user)
            self.the_answer_is_learned(user, None)
            self.the_database_answers(user)
            self.the_answer_is_learned(user, None)
        for user, channel, seq in self.untold:
            if self.members(channel, len(self.logs[channel])).get(user) == seq:
                self.roster.joined(user, channel, seq)
        for user in USERS:
            self.a_doubted_user_is_read_again(user)
            self.the_database_answers(user)
            self.the_answer_is_learned(user, None)
        for id in CHANNELS:
            self.an_event_passes(id, 10_000)
        assert not self.roster.doubted
        for user in USERS:
            person = self.roster.get(user)
            if person is not None:
                assert dict(person.channels.items()) == {
                    id: joined for id in CHANNELS
                    if (joined := self.members(id, len(self.logs[id])).get(user)) is not None}


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_an_answer_of_before_its_sockets_went_is_not_learned_for_whoever_comes_again():
    """Of what passed in between, the new one noted nothing: it would stay in a channel that it was thrown out of."""
    world = Interleaved()
    roster = world.roster

    def socket(user):
        session = Session.__new__(Session)
        session.user = user
        session.begin(world, roster.person(user))
        roster.enter(session)
        return session

    world.join_or_leave(1, 1)
    world.join_or_leave(1, 2)
    socket(2)                   # keeps the channel open
    roster.begin_reading([2])
    roster.learn(2, [(1, 3, 3)], {})
    gone = socket(1)
    roster.begin_reading([1])
    answer = [(1, 2, 3)]
    roster.leave(gone)
    socket(1)
    world.join_or_leave(1, 1)
    world.an_event_passes(1, 1)
    assert roster.learn(1, answer, {}) == {}
    roster.begin_reading([1])
    assert roster.learn(1, [], {}) == {}
    assert roster.channels_of(1) == set()
