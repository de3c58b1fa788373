"""Each channel's log as it flows through this gateway: from where on it is heard, and how its holes are mended.

Redis brings most events, once and in order. Whatever it loses, doubles or swaps, `fanout` notices, and what is missing
is read here: one reader for all channels, so that no hole is ever read twice at the same time.

    open      the log is awaited from `next` on; its topic is subscribed
    heard     Redis has acknowledged the topic, and then, not before, the head was read: what was committed earlier is
              known by that, what comes later is heard. While Redis is away nothing is heard, and head checks stand in
    settled   heard, and delivered up to what is known to exist
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from hotpath.chat.fanout import Channel, Fanout
from hotpath.chat.store.events import Event
from hotpath.chat.topics import Flag, channel_topic
from hotpath.core.tasks import Event as Signal
from hotpath.core.tasks import sleep, timeout

from .patience import patiently
from .subscription import Subscription

log = logging.getLogger(__name__)

# What is missing may still be on its way from Redis: an event overtaken by its successor comes within that.
HOLD_S = 0.03
# A hole that the database does not know of yet is asked for again after.
AGAIN_S = 0.25
# Events of one channel in one read, and channels in one trip to a thread.
PAGE = 200
CHANNELS_AT_ONCE = 64
# Ids of one query.
HEADS_AT_ONCE = 500
# An acknowledgement that does not come by then is not waited for: the head checks stand in.
ACK_S = 1.0
POLL_S = 0.002
# What is behind after that goes on behind.
SETTLE_S = 3.0


class Log(Protocol):
    """What is read of the database; each call blocks, and raises Unavailable."""

    def heads(self, channels: list[int]) -> dict[int, int]:
        """The last seq of each."""
        ...

    def event_frames(self, channel: int, after: int, limit: int) -> list[Event]:
        """Events behind `after`, ascending, without a hole."""
        ...


class Feed:
    """One channel. `channel.next` says how far its log has come, `base` up to where memberships were read at once."""

    __slots__ = ("base", "channel", "heard", "idle_s", "more", "n_catching", "n_users", "wanted")

    def __init__(self, channel: Channel, base: int, now_s: float) -> None:
        self.channel = channel
        # Membership events up to here change nothing: whoever opened the feed read what they led to.
        self.base = base
        self.wanted = base          # the log is known to hold events up to here
        self.more = False           # and perhaps further ones, nobody knows how many
        self.heard = False
        self.n_users = 0            # of this gateway, that are members
        self.n_catching = 0         # sockets whose backlog of it is being read
        self.idle_s = now_s         # since when that is 0

    @property
    def id(self) -> int:
        """The channel's."""
        return self.channel.id

    @property
    def head(self) -> int:
        """The last event that was queued to all live members."""
        return self.channel.next - 1

    @property
    def position(self) -> int:
        """Up to where it is known who is a member."""
        return max(self.base, self.channel.next - 1)

    @property
    def lags(self) -> bool:
        """Whether something exists that was not delivered."""
        return self.more or self.channel.next <= self.wanted or self.channel.gap_end > self.channel.next


class Feeds:
    """The open channels of this gateway."""

    def __init__(
        self, fanout: Fanout, reader: Log, subscription: Subscription, prefix: str, *, linger_s: float,
        clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`linger_s`: how long a channel is kept that nobody here is a member of."""
        self._fanout, self._reader, self._subscription, self._prefix = fanout, reader, subscription, prefix
        self._linger_s, self._clock = linger_s, clock
        self._feeds: dict[int, Feed] = {}
        self._fresh: dict[Feed, None] = {}      # opened, and not heard yet
        self._due: dict[Feed, float] = {}       # to be read at that time, if they still lag
        self._opened, self._late = Signal(), Signal()
        self.n_gaps = self.n_reads = self.n_filled = 0

    def get(self, id: int) -> Feed | None:
        """The channel, if it is open."""
        return self._feeds.get(id)

    def all(self) -> Collection[Feed]:
        """Those that are open."""
        return self._feeds.values()

    # Begin and end

    def open(self, id: int, *, base: int, next: int) -> Feed:
        """Await its log from `next` on. KeyError when it is open already."""
        feed = Feed(self._fanout.open(id, next), base, self._clock())
        self._feeds[id] = feed
        self._fresh[feed] = None
        self._subscription.add([channel_topic(self._prefix, id)])
        self._opened.set()
        if feed.lags:
            self._be_due(feed, 0.0)
        return feed

    def hold(self, feed: Feed) -> None:
        """One more local user is a member."""
        feed.n_users += 1

    def release(self, feed: Feed) -> None:
        """One less."""
        feed.n_users -= 1
        feed.idle_s = self._clock()

    def sweep(self) -> None:
        """Close what nobody here has needed for a while."""
        now_s = self._clock()
        for feed in [feed for feed in self._feeds.values()
                     if not feed.n_users and not feed.n_catching and not feed.lags and feed.heard
                     and now_s - feed.idle_s > self._linger_s]:
            self._close(feed)

    def close_all(self) -> None:
        """Forget every channel: what was known of them is of another database."""
        for feed in list(self._feeds.values()):
            self._close(feed)

    def _close(self, feed: Feed) -> None:
        del self._feeds[feed.id]
        self._fresh.pop(feed, None)
        self._due.pop(feed, None)
        self._fanout.close(feed.id)
        self._subscription.remove([channel_topic(self._prefix, feed.id)])

    # What is missing

    def want(self, feed: Feed, seq: int) -> None:
        """The log is known to hold `seq`: if it does not come by itself, it is read."""
        feed.wanted = max(feed.wanted, seq)
        if feed.lags:
            self._be_due(feed, self._hold_s(feed))

    def on_gap(self, channel: Channel) -> None:
        """`fanout` holds what came too early."""
        self.n_gaps += 1
        feed = self._feeds.get(channel.id)
        if feed is not None:
            # Nothing is held when what came was too far ahead: then only the database knows how much is missing.
            feed.more = channel.gap_end == channel.next
            self.want(feed, channel.gap_end - 1)

    def _hold_s(self, feed: Feed) -> float:
        """How long what is missing may still come from Redis."""
        return HOLD_S if self._subscription.has(channel_topic(self._prefix, feed.id)) else 0.0

    def _be_due(self, feed: Feed, after_s: float) -> None:
        if feed not in self._due:
            self._due[feed] = self._clock() + after_s
            self._late.set()

    def settle(self, feeds: Mapping[Feed, int]) -> None:
        """In a task: return once each is heard (or Redis is away) and has delivered that seq, or is closed.

        Not later than after a while: what holds at a feed's position holds there wherever that is, and one channel that
        cannot go on must not keep the others' people waiting. The last look and the return are in one turn.
        """
        for feed, seq in feeds.items():
            self.want(feed, seq)
        waiting = list(feeds)
        until_s = self._clock() + SETTLE_S
        while True:
            waiting = [feed for feed in waiting if self._feeds.get(feed.id) is feed
                       and (not feed.heard or feed.head < feeds[feed])]
            if not waiting:
                return
            if self._clock() > until_s:
                log.warning("not settled channels=%s", [feed.id for feed in waiting[:10]])
                return
            # Most of what is waited for is delivered in C, which wakes nobody.
            sleep(POLL_S)

    # Tasks, for ever

    def hear(self) -> None:
        """For what was opened: wait until Redis has acknowledged, then read the head. Never the other way round."""
        while True:
            self._opened.wait()
            self._opened.clear()
            while self._fresh:
                fresh = list(self._fresh)[:HEADS_AT_ONCE]
                self._await_acknowledgements(fresh)
                heads = patiently(self._reader.heads, [feed.id for feed in fresh])
                for feed in fresh:
                    self._fresh.pop(feed, None)
                    feed.heard = True
                    if self._feeds.get(feed.id) is feed:
                        self.want(feed, heads.get(feed.id, 0))

    def _await_acknowledgements(self, feeds: list[Feed]) -> None:
        try:
            with timeout(ACK_S):
                while self._subscription.line.is_up and not all(
                        self._subscription.has(channel_topic(self._prefix, feed.id)) for feed in feeds
                        if self._feeds.get(feed.id) is feed):
                    sleep(POLL_S)
        except TimeoutError:
            # As if Redis were away; when it answers, all is checked once more.
            log.warning("redis does not acknowledge channels=%d", len(feeds))
            self._subscription.line.cut()

    def fill(self) -> None:
        """Read what did not come by itself, and send it through the same door."""
        while True:
            self._late.wait()
            self._late.clear()
            while self._due:
                now_s = self._clock()
                due = [feed for feed, at_s in self._due.items() if at_s <= now_s][:CHANNELS_AT_ONCE]
                if not due:
                    sleep(max(min(self._due.values()) - now_s, POLL_S))
                    continue
                for feed in due:
                    del self._due[feed]
                lagging = [feed for feed in due if feed.lags]
                if lagging:
                    self._fill(lagging)

    def _fill(self, feeds: list[Feed]) -> None:
        self.n_reads += 1
        pages = patiently(read_pages, self._reader, [(feed.id, feed.head) for feed in feeds])
        for feed, page in zip(feeds, pages, strict=True):
            if self._feeds.get(feed.id) is not feed:
                continue
            before = feed.channel.next
            self._deliver(feed, page)
            feed.more = len(page) == PAGE
            if not feed.more:
                self._fanout.settle(feed.channel)       # a further gap is told again
            if feed.lags:
                self._be_due(feed, 0.0 if feed.channel.next > before else AGAIN_S)

    def _deliver(self, feed: Feed, page: list[Event]) -> None:
        for event in page:
            flags = Flag.JOINED * event.joined | Flag.LEFT * event.left
            if self._fanout.publish(feed.id, event.seq, event.frame, flags=flags, actor=event.actor,
                                    subject=event.subject):
                self.n_filled += 1


def read_pages(reader: Log, asked: list[tuple[int, int]]) -> list[list[Event]]:
    """In a thread: the next events of each (channel, after)."""
    return [reader.event_frames(channel, after, PAGE) for channel, after in asked]


def chunks(ids: list[int], size: int) -> Iterator[list[int]]:
    """The ids in pieces of at most `size`."""
    return (ids[at:at + size] for at in range(0, len(ids), size))
