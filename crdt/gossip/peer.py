"""One thread per peer: it pushes what won here at once, and exchanges each interval. A hanging peer costs only it."""
from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Set

from hotpath.core.data.lww import bundle
from hotpath.crdt.journal import Unavailable

from .exchange import CHUNK_BYTES, Asker, CameFrom, Outcome
from .group import Group, Refusal
from .link import Link, LinkError, Refused
from .messages import BadMessage, Give, Taken

log = logging.getLogger(__name__)

# What waits to be pushed to one peer. Beyond it all of it is dropped: the next exchange finds the difference.
MAX_QUEUE_BYTES = 4 * 1024 * 1024
# Cells that the peer is known to have are not pushed back to it; so many are remembered, as hashes.
MAX_KNOWN = 65536

# Until we ask a peer again that is asking us.
BUSY_S = 0.05
# Then we ask it all the same: perhaps our answers never arrive there.
MOST_PUT_OFF = 100

Count = Callable[[str, str, str, int], None]    # peer, kind, "sent" or "received", bytes


class Peer:
    """The thread and the state of one peer."""

    def __init__(self, group: Group, name: str, url: str, *, count: Count, told: Callable[[], None],
                 came_from: CameFrom) -> None:
        """`count` is told of bytes, `told` after each try, `came_from` of cells."""
        self.name = name
        self.url = url
        self.reason = "not reached yet"         # why it is not up
        self.skew_ms: int | None = None         # its clock before ours
        self.measured_s = 0.0                   # when that was
        self.failures = 0                       # in a row
        self.outcome: Outcome | None = None     # of the last exchange that ended
        self.pushed = 0                         # cells
        self.dropped = 0
        self._group = group
        self._count = count
        self._told = told
        self._came_from = came_from
        self._state = "down"
        self._due_s = group.now_s()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._known: set[int] = set()
        self._changed = threading.Condition()
        self._put_off = 0                       # how often in a row, because it was asking us
        self._stopping = False
        self._link: Link | None = None
        self._thread = threading.Thread(target=self._run, name=f"gossip-{name}", daemon=True)

    @property
    def state(self) -> str:
        """up, down, refused or cut."""
        return "cut" if self._group.is_cut(self.name) else self._state

    def start(self) -> None:
        """Begin at once."""
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end, wherever it waits."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            link = self._link
        if link is not None:
            link.cut()

    def join(self, timeout_s: float) -> bool:
        """Wait for that; whether it ended."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Exchange now."""
        with self._changed:
            self._due_s = self._group.now_s()
            self._changed.notify_all()

    def hold(self) -> None:
        """The link is cut now: what is under way on it ends."""
        with self._changed:
            link, self._link = self._link, None
            self._queue.clear()
            self._queued_bytes = 0
        if link is not None:
            link.cut()

    def offer(self, cells: Iterable[bytes]) -> None:
        """Push these, unless it has them."""
        with self._changed:
            if self._state != "up" or self._stopping or self._group.is_cut(self.name):
                return
            for cell in cells:
                if hash(cell) in self._known:
                    continue
                self._queue.append(cell)
                self._queued_bytes += len(cell)
            if self._queued_bytes > MAX_QUEUE_BYTES:
                self.dropped += len(self._queue)
                self._queue.clear()
                self._queued_bytes = 0
            self._changed.notify_all()

    def has(self, known: Set[int]) -> None:
        """It has the cells with these hashes, or will find them itself."""
        with self._changed:
            if len(self._known) + len(known) > MAX_KNOWN:
                self._known.clear()
            if len(known) <= MAX_KNOWN:
                self._known |= known

    # In the thread

    def _run(self) -> None:
        while (work := self._next()) is not None:
            cells, due = work
            try:
                if self._group.is_cut(self.name):
                    continue
                if cells:
                    self._push(cells)
                if due and self._exchange():
                    self._become("up", "")
            except Refused as refusal:
                cut = refusal.status == 503 and refusal.title == "cut"
                refused = refusal.status in (400, 401, 403, 404, 405, 409, 413, 415, 422)
                self._become("cut" if cut else "refused" if refused else "down", str(refusal))
            except (Refusal, BadMessage) as refusal:
                self._become("refused", str(refusal))
            except (LinkError, Unavailable) as error:
                self._become("down", str(error))
            except Exception as error:
                # Whatever it was: this peer's next turn comes, and nobody else's thread is touched.
                log.exception("exchange failed peer=%s", self.name)
                self._become("down", type(error).__name__)
        if self._link is not None:
            self._link.close()

    def _exchange(self) -> bool:
        """Whether it took place: not while the other has one with us, but soon after."""
        if not self._group.ask(self.name, patient=self._put_off < MOST_PUT_OFF):
            return self._later()
        asker = Asker(self._group, self.name, self._post, self._came_from)
        try:
            self.outcome = asker.run()
            self._put_off = 0
            return True
        except Refused as refusal:
            if (refusal.status, refusal.title) != (503, "busy"):
                raise
            return self._later()
        finally:
            self._group.asked(self.name)
            # A clock that is ahead is known from exchanges that are refused for just that.
            if asker.skew_ms is not None:
                self.skew_ms, self.measured_s = asker.skew_ms, self._group.now_s()

    def _later(self) -> bool:
        with self._changed:
            self._put_off += 1
            self._due_s = min(self._due_s, self._group.now_s() + BUSY_S)
        return False

    def _next(self) -> tuple[list[bytes], bool] | None:
        """Cells to push, and whether an exchange is due; None: the end."""
        with self._changed:
            while not self._stopping:
                now_s = self._group.now_s()
                due = now_s >= self._due_s
                if due or self._queue:
                    if due:
                        self._due_s = now_s + self._group.settings.interval_s
                    return self._taken(), due
                self._changed.wait(self._due_s - now_s)
            return None

    def _taken(self) -> list[bytes]:
        """From the queue, as much as one message holds."""
        cells: list[bytes] = []
        size = 0
        while self._queue and size < CHUNK_BYTES:
            cells.append(self._queue.popleft())
            size += len(cells[-1])
        self._queued_bytes -= size
        return cells

    def _push(self, cells: list[bytes]) -> None:
        give = Give(self._group.members.speaker, bundle(cells, self._group.replica.bias))
        taken = Taken.decode(self._post("push", "/sync/cells", give.encode()))
        self.pushed += len(cells)
        if taken.dead:
            self._group.bury(taken.dead)

    def _post(self, kind: str, path: str, body: bytes) -> bytes:
        with self._changed:
            if self._stopping or self._group.is_cut(self.name):
                raise LinkError("cut")
            link = self._link
            if link is None:
                settings = self._group.settings
                link = self._link = Link(self.url, timeout_s=settings.timeout_s, token=settings.token,
                                         max_bytes=settings.max_body + CHUNK_BYTES)
        self._count(self.name, kind, "sent", len(body))
        answer = link.post(path, body)
        self._count(self.name, kind, "received", len(answer))
        if self._group.is_cut(self.name):
            raise LinkError("cut")      # nothing is taken from it any more
        return answer

    def _become(self, state: str, reason: str) -> None:
        self.failures = 0 if state == "up" else self.failures + 1
        if (state, reason) != (self._state, self.reason):
            level = logging.INFO if state in ("up", "cut") else logging.WARNING
            log.log(level, "peer name=%s state=%s reason=%s", self.name, state, reason or "-")
        with self._changed:
            self._state, self.reason = state, reason
            if state != "up":
                self._queue.clear()
                self._queued_bytes = 0
        self._told()
