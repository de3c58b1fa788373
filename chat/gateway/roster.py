"""Whose sockets are here, and of which channels are they members? Exact at each position of each channel's log.

Membership is part of the log: a join and a kick act at their seq. So there are two sources, and one rule joins them.

    the database    says who was a member when a channel's log ended at some seq, all in one read
    the log         says what changed at each seq, as it passes through `fanout`

What the database said as of seq s holds at the position of the feed after applying what passed behind s. Whatever
passes while a read is under way is noted, so that nothing falls between the two.
"""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping

from hotpath.chat.fanout import Channel, Fanout
from hotpath.chat.topics import user_topic

from .backlog import Backlog
from .feeds import Feed, Feeds
from .session import Session, Stage
from .subscription import Subscription

# A user's membership as the database has it: channel, seq of the own member.joined, the channel's last seq.
Row = tuple[int, int, int]

# Joins that are kept for who is not known yet.
MAX_TOLD = 1000


class Joined:
    """Channel: seq of the own member.joined. A mapping that is small when it is small: there is one for each user."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words = array("q")        # all ids, then all seqs; in a dict each number would be an object

    def __len__(self) -> int:
        return len(self._words) // 2

    def __contains__(self, id: object) -> bool:
        return id in self._words[:len(self)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._words[:len(self)])

    def items(self) -> Iterator[tuple[int, int]]:
        """(channel, seq) of all."""
        n = len(self)
        return zip(self._words[:n], self._words[n:], strict=True)

    def __setitem__(self, id: int, seq: int) -> None:
        self._become({**dict(self.items()), id: seq})

    def __delitem__(self, id: int) -> None:
        changed = dict(self.items())
        del changed[id]
        self._become(changed)

    def _become(self, seqs: dict[int, int]) -> None:
        self._words = array("q", [*seqs, *seqs.values()])


class Person:
    """A user with sockets here."""

    __slots__ = ("channels", "known", "passed", "sockets", "told", "user")

    def __init__(self, user: int) -> None:
        self.user = user
        self.sockets: tuple[Session, ...] = ()
        self.channels = Joined()                # exact at the position of each channel's feed
        self.known = False                      # `channels` was read
        # Own membership events (channel, seq, joined) that passed since a read began; None: no read is under way.
        self.passed: list[tuple[int, int, bool]] | None = None
        # Joins (channel, seq) that we were told of before `known`; None: none.
        self.told: list[tuple[int, int]] | None = None

    def open_sockets(self) -> list[Session]:
        """Those that were not told to go, oldest first: a client may take its time to answer a close."""
        return [session for session in self.sockets if not session.closed]


class Roster:
    """The people of this gateway."""

    def __init__(
        self, fanout: Fanout, feeds: Feeds, backlog: Backlog, subscription: Subscription, prefix: str, *, ring: int,
        on_doubt: Callable[[], object]
    ) -> None:
        """`on_doubt()`: somebody is `doubted`."""
        self._fanout, self._feeds, self._backlog = fanout, feeds, backlog
        self._subscription, self._prefix, self._ring = subscription, prefix, ring
        self._people: dict[int, Person] = {}
        self._on_doubt = on_doubt
        self.doubted: set[int] = set()          # people whose memberships must be read again

    def get(self, user: int) -> Person | None:
        """The user, if one has sockets here."""
        return self._people.get(user)

    def channels_of(self, user: int) -> set[int]:
        """Of which channels the user is a member; of none who has no sockets here."""
        person = self._people.get(user)
        return set() if person is None else set(person.channels)

    def all(self) -> Iterable[Person]:
        """Everybody."""
        return self._people.values()

    def __len__(self) -> int:
        return len(self._people)

    # Sockets come and go

    def person(self, user: int) -> Person:
        """The user, for a socket that comes."""
        person = self._people.get(user)
        if person is None:
            person = self._people[user] = Person(user)
            self._subscription.add([user_topic(self._prefix, user)])
        return person

    def enter(self, session: Session) -> None:
        """One more socket of its person's."""
        session.person.sockets += (session,)

    def leave(self, session: Session) -> None:
        """It is closed."""
        person = session.person
        person.sockets = tuple(other for other in person.sockets if other is not session)
        self._backlog.drop(session)
        if not person.sockets and self._people.get(person.user) is person:
            del self._people[person.user]
            self._subscription.remove([user_topic(self._prefix, person.user)])
            for id in person.channels:
                feed = self._feeds.get(id)
                if feed is not None:
                    self._feeds.release(feed)

    def clear(self) -> None:
        """Know nobody: another database is behind us, and all sockets are closed."""
        self._subscription.remove([user_topic(self._prefix, user) for user in self._people])
        self._people.clear()
        self.doubted.clear()

    # What the database says

    def begin_reading(self, users: Iterable[int]) -> None:
        """Before their memberships are read: note what passes meanwhile."""
        for user in users:
            person = self._people.get(user)
            if person is not None:
                person.passed = []
            self.doubted.discard(user)

    def learn(self, user: int, rows: Iterable[Row], lowest: Mapping[int, int]) -> dict[Feed, int] | None:
        """These were the memberships in the database. What must be delivered before they hold: feed and seq.

        `lowest`: of channels that somebody wants to resume, the lowest seq. None: a channel was opened meanwhile by
        what was read later; read again.
        """
        person = self._people.get(user)
        # Gone; or gone and come back: of what passed meanwhile this one noted nothing, and it will be read by itself.
        if person is None or person.passed is None:
            return {}
        rows = list(rows)
        for id, _, last_seq in rows:
            feed = self._feeds.get(id)
            if feed is not None and last_seq < feed.base:
                return None
        passed, person.passed = person.passed, None
        needed: dict[Feed, int] = {}
        for id, joined_seq, last_seq in rows:
            feed = self._feeds.get(id) or self._open(id, last_seq, lowest)
            needed[feed] = last_seq
            # Behind the position nothing is decided: the event will pass here, and `passed` acts on it.
            if joined_seq <= feed.position and id not in person.channels:
                self._admit_if(person, feed, after(joined_seq, [
                    (seq, joined) for channel, seq, joined in passed if channel == id and seq > last_seq]))
        if not person.known:
            person.known = True
            # Joined behind the read, so not in the rows; and nobody could act on it before now.
            for id in {channel for channel, _, joined in passed if joined}:
                feed = self._feeds.get(id)
                if feed is not None and feed not in needed:
                    self._admit_if(person, feed, after(None, [
                        (seq, joined) for channel, seq, joined in passed if channel == id]))
            told, person.told = person.told or [], None
            for id, seq in told:
                if id not in person.channels:
                    self.joined(user, id, seq)
        return needed

    def _open(self, id: int, last_seq: int, lowest: Mapping[int, int]) -> Feed:
        """Begin with a channel. Its ring is filled once from where the first to resume goes on, for all of them."""
        next = last_seq + 1
        if id in lowest:
            next = max(lowest[id] + 1, last_seq + 1 - self._ring, 1)
        return self._feeds.open(id, base=last_seq, next=min(next, last_seq + 1))

    # What the log says

    def passed(self, channel: Channel, seq: int, subject: int, joined: bool) -> None:
        """`fanout.on_membership`: this event was queued to all who are live in the channel."""
        person = self._people.get(subject)
        feed = self._feeds.get(channel.id)
        if person is None or feed is None or seq <= feed.base:
            return
        if person.passed is not None:
            person.passed.append((channel.id, seq, joined))
        if not person.known:
            return                      # `learn` looks through what passed
        if joined:
            self._admit(person, feed, seq)
        elif channel.id in person.channels:
            self._dismiss(person, feed, seq)

    def joined(self, user: int, id: int, seq: int) -> None:
        """A notice, or a head check, tells of a join at `seq`: let that event pass here. May be told again, or late."""
        person = self._people.get(user)
        if person is None:
            return
        if not person.known:
            person.told = person.told or []
            if len(person.told) < MAX_TOLD:     # else the read most likely has it
                person.told.append((id, seq))
            return
        feed = self._feeds.get(id)
        if feed is None:
            feed = self._feeds.open(id, base=seq - 1, next=seq)
        elif seq <= feed.base and id not in person.channels:
            # Opened by a later read, of somebody else's memberships: that event will not pass here. And whether it
            # still holds, only the database can tell.
            self.doubted.add(user)
            self._on_doubt()
            return
        self._feeds.want(feed, seq)

    def _admit_if(self, person: Person, feed: Feed, seq: int | None) -> None:
        if seq is not None:
            self._admit(person, feed, seq)

    def _admit(self, person: Person, feed: Feed, seq: int) -> None:
        """A member from `seq` on. O4: first `channel.added`, then events from the own member.joined."""
        if feed.id not in person.channels:
            self._feeds.hold(feed)
        person.channels[feed.id] = seq
        for session in person.sockets:
            if session.stage is not Stage.READY:
                continue                # is told in `ready`
            if session.catching is not None and feed.id in session.catching:
                # Is still on its way to an earlier member.left; the backlog will lead it here.
                session.catching[feed.id].replay_to(seq)
                continue
            session.tell({"type": "channel.added", "channel": feed.id, "from": seq})
            self._backlog.begin(session, feed, sent=seq - 1)

    def _dismiss(self, person: Person, feed: Feed, seq: int) -> None:
        """No member behind `seq`, which was the last event for those who are live. O2."""
        del person.channels[feed.id]
        self._feeds.release(feed)
        for session in self._fanout.remove(feed.channel, person.user):
            session.tell(removed(feed.id))
        for session in person.sockets:
            if session.catching is not None and feed.id in session.catching:
                session.catching[feed.id].replay_to(seq)


def after(joined_seq: int | None, changes: list[tuple[int, bool]]) -> int | None:
    """Since when one is a member, who was since `joined_seq`, after these (seq, joined). None: is not."""
    for seq, joined in changes:
        joined_seq = seq if joined else None
    return joined_seq


def removed(id: int) -> dict[str, object]:
    """Behind the own member.left."""
    return {"type": "channel.removed", "channel": id}

