"""From where a client left off to where the channel is now: CATCHING, then LIVE.

    CATCHING    registered first. What lies behind `sent` is read and sent, page by page, as fast as the client takes it
    LIVE        a seat in `fanout`: everything below `channel.next` was queued to it

Between the two there is no switch: `fanout.attach` appends what the ring has behind `sent` and takes the seat in one
go. It says no when the ring begins later than that; then another page is read.

Sockets that catch up in the same channel share their pages.
"""
from __future__ import annotations

from hotpath.chat.fanout import Fanout
from hotpath.chat.store.events import Event
from hotpath.core.serve.outbox import Block
from hotpath.core.tasks import Event as Signal
from hotpath.core.tasks import sleep

from .feeds import Feed, Log, read_pages
from .patience import patiently
from .session import Session

# Channels whose pages are read in one trip to a thread.
CHANNELS_AT_ONCE = 32
# A client that has more than this unsent gets the next page when it has taken some; 4008 is for those who do not.
MAX_UNSENT = 128 * 1024
PAUSE_S = 0.002
# A page for so many takes some milliseconds.
SOCKETS_PER_TURN = 100


class Page:
    """Events of one channel, read once and made into frames once, for all who catch up there."""

    def __init__(self, events: list[Event]) -> None:
        """Ascending, without a hole."""
        self._events = [(event, Block(event.frame, text=True)) for event in events]
        self._first = events[0].seq if events else 0

    def behind(self, seq: int) -> list[tuple[Event, Block]]:
        """Those that come next for who has everything up to `seq`."""
        at = seq + 1 - self._first
        return self._events[at:] if at >= 0 else []


class CatchUp:
    """One socket on its way in one channel."""

    __slots__ = ("barrier", "feed", "inside", "sent", "session")

    def __init__(self, session: Session, feed: Feed, sent: int, barrier: int) -> None:
        self.session, self.feed, self.sent = session, feed, sent
        # Up to here its own joins and kicks lie behind `sent`: they are acted on as they are read, so the ring, which
        # knows nothing of whose they are, must not be appended.
        self.barrier = barrier
        self.inside = True          # as the client sees it; False: behind an own member.left

    def replay_to(self, seq: int) -> None:
        """An own membership event passed at `seq`."""
        self.barrier = max(self.barrier, seq)

    @property
    def has_room(self) -> bool:
        """Whether its client has taken most of what it was sent."""
        return self.session.n_unsent <= MAX_UNSENT


class Backlog:
    """All that are CATCHING."""

    def __init__(self, fanout: Fanout, reader: Log) -> None:
        self._fanout, self._reader = fanout, reader
        self._waiting: dict[Feed, list[CatchUp]] = {}
        self._begun = Signal()
        self.n_reads = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def begin(self, session: Session, feed: Feed, *, sent: int, barrier: int = 0) -> None:
        """Send what lies behind `sent`, then be live. `barrier`: of the last own membership event."""
        one = CatchUp(session, feed, sent, barrier)
        if self._turn_live(one):
            return
        if session.catching is None:
            session.catching = {}
        session.catching[feed.id] = one
        self._waiting.setdefault(feed, []).append(one)
        feed.n_catching += 1
        self._begun.set()

    def drop(self, session: Session) -> None:
        """It is closed."""
        for one in (session.catching or {}).values():
            self._forget(one)
        session.catching = None

    def run(self) -> None:
        """In a task, for ever."""
        while True:
            self._begun.wait()
            self._begun.clear()
            while self._waiting:
                if not self._advance():
                    sleep(PAUSE_S)      # all of them are slow

    def _advance(self) -> bool:
        """A page for each of some channels. False: nobody took anything."""
        able = {feed: here for feed, ones in self._waiting.items() if (here := [one for one in ones if one.has_room])}
        asked = list(able)[:CHANNELS_AT_ONCE]
        if not asked:
            return False
        self.n_reads += 1
        pages = patiently(read_pages, self._reader,
                          [(feed.id, min(one.sent for one in able[feed])) for feed in asked])
        moved = False
        for feed, events in zip(asked, pages, strict=True):
            page = Page(events)
            if feed in self._waiting:
                self._waiting[feed] = self._waiting.pop(feed)       # the next time others come first
            for n, one in enumerate(able[feed], 1):
                if n % SOCKETS_PER_TURN == 0:
                    sleep(PAUSE_S)      # what is live comes first
                if one.session.catching is not None and one.session.catching.get(feed.id) is one:
                    moved = self._send(one, page) or moved
        return moved

    def _send(self, one: CatchUp, page: Page) -> bool:
        """What of the page lies behind `sent`. Whether anything came of it."""
        before = one.sent
        for event, block in page.behind(one.sent):
            if not one.has_room or event.seq != one.sent + 1:
                break
            one.sent = event.seq
            if event.subject == one.session.user:
                self._replay(one, event, block)
            elif one.inside:
                one.session.send_shared(block)
        if one.inside:
            if self._turn_live(one):
                self._end(one)
                return True
        elif one.barrier <= one.sent <= one.feed.head:      # else what was replayed is still to pass, as if anew
            self._end(one)              # kicked, and not back
            return True
        return one.sent > before

    def _replay(self, one: CatchUp, event: Event, block: Block) -> None:
        """An event of the own membership, as the client would have seen it."""
        if event.joined and not one.inside:
            one.inside = True
            one.session.tell({"type": "channel.added", "channel": event.channel, "from": event.seq})
        if one.inside:
            one.session.send_shared(block)
        if event.left and one.inside:
            one.inside = False
            one.session.tell({"type": "channel.removed", "channel": event.channel})

    def _turn_live(self, one: CatchUp) -> bool:
        """CATCHING to LIVE, if nothing is missing between `sent` and the ring."""
        feed = one.feed
        return (one.inside and one.barrier <= one.sent <= feed.head
                and self._fanout.attach(feed.channel, one.session, one.sent))

    def _end(self, one: CatchUp) -> None:
        self._forget(one)
        catching = one.session.catching
        if catching is not None:
            del catching[one.feed.id]
            if not catching:
                one.session.catching = None

    def _forget(self, one: CatchUp) -> None:
        ones = self._waiting.get(one.feed)
        if ones is not None:
            ones.remove(one)
            one.feed.n_catching -= 1
            if not ones:
                del self._waiting[one.feed]
