"""Threads of which one moves at a time, so that a play goes the same way each time.

An actor moves until it pauses; then it is the next one's turn. A statement that needs a lock, and is not back although
another actor holds one, is waiting for it: its actor stands still inside the database, and the others go on. The
director, who is the thread that called, hears of every step and answers before the actor goes on.

    actor                         director
      ─ begins UPDATE … ──────────▶ starts its watch
      ─ ended: ok ────────────────▶ records the step, shows it
      ◀──────────────── go on ────
      ─ pauses ───────────────────▶ gives the turn to the next
"""
from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hotpath.locking.errors import Disconnected, Retriable

from .step import Step

# A statement that takes longer while another actor holds a lock waits for it. Should it only be slow, the play ends the
# same: the step says "wait" too early, and the other one goes first.
GRACE_S = 0.25


class Curtain(BaseException):
    """The play is over before its end: leave, and let it pass."""


@dataclass(slots=True)
class Message:
    """What an actor says; it goes on when the director has answered."""

    actor: Player
    kind: str                       # begins, ended, paused, left
    sql: str | None = None
    outcome: str = ""
    note: str | None = None
    holds: bool | None = None       # whether the actor has locks from here on; None: as before
    locks: bool = False             # whether the statement needs one
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class Player:
    """An actor as its director sees it."""

    name: str
    stage: Stage
    completed: bool = False
    holds: bool = False             # it has locks, for which others may have to wait
    waits: bool = False             # in a statement, and the turn is another's
    doing: tuple[str, float] | None = None      # the statement it is in that needs a lock, and since when
    saved: Message | None = None    # what it said when it was not its turn
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    # ---- in the actor's thread

    def begins(self, sql: str, *, locks: bool = False) -> None:
        """A statement, from here until `ended`; `locks`: it may have to wait for what another holds."""
        self._say(Message(self, "begins", sql, locks=locks))

    def ended(self, sql: str | None, outcome: str, *, note: str | None = None, holds: bool | None = None) -> None:
        """A step is done."""
        self._say(Message(self, "ended", sql, outcome, note, holds))

    def pause(self) -> None:
        """Stand still until it is this actor's turn again."""
        self._say(Message(self, "paused"))

    def _say(self, message: Message) -> None:
        if not self.stage.closed:
            self.stage.inbox.put(message)
            self.go.acquire()
        # What ended has ended, and a rollback is how one leaves.
        if self.stage.closed and message.kind != "ended" and message.sql != "ROLLBACK":
            raise Curtain

    def live(self, part: Callable[[], None]) -> None:
        """The whole of its thread."""
        error: BaseException | None = None
        try:
            self.go.acquire()
            if not self.stage.closed:
                part()
                self.completed = True
        except Disconnected as lost:        # no verdict without a database
            error = lost
        except Retriable as refused:
            if not self.stage.closed:
                self._say(Message(self, "ended", outcome="note", note=f"gives up: {refused}"))
        except BaseException as raised:
            error = raised
        self.stage.inbox.put(Message(self, "left", error=error))


class Stage:
    """Where the actors are, and their director."""

    def __init__(self, show: Callable[[Step], None], *, pace_s: float = 0.0) -> None:
        """`show` is called with each step, in the thread that calls `perform`, which then rests for `pace_s`."""
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.steps: list[Step] = []
        self.closed = False
        self._show = show
        self._pace_s = pace_s
        self._began_s = time.perf_counter()
        self._live: list[Player] = []

    def player(self, name: str) -> Player:
        """A new actor."""
        return Player(name, self)

    def perform(self, parts: Mapping[Player, Callable[[], None]]) -> None:
        """Let the actors live their parts, in turns. Raises what one of them, or `show`, raised."""
        threads = [threading.Thread(target=player.live, args=(part,), name=player.name, daemon=True)
                   for player, part in parts.items()]
        try:
            for thread in threads:
                thread.start()
            self._live = list(parts)
            while self._live:
                for player in tuple(self._live):
                    if not player.waits:
                        self._turn(player)
                while self._live and all(player.waits for player in self._live):
                    self._save(self.inbox.get())
        finally:
            self.closed = True
            for player in parts:
                player.go.release()
            # Each rolls back, which ends the wait of those that wait for it.
            for thread in threads:
                if thread.ident is not None:        # else the system had no more threads
                    thread.join()

    def _turn(self, player: Player) -> None:
        """Of `player`, until it pauses, leaves, or has to wait."""
        if player.saved is not None:
            self._hear(player.saved)
            player.saved = None
        player.go.release()
        while True:
            try:
                message = self.inbox.get(timeout=self._patience_s(player))
            except queue.Empty:
                assert player.doing is not None
                sql, since_s = player.doing
                player.waits = True
                self._record(player, sql, "wait", since_s)
                return
            if message.actor is not player:
                self._save(message)
                continue
            self._hear(message)
            if message.kind == "left":
                self._live.remove(player)
            if message.kind in ("left", "paused"):
                return
            player.go.release()

    def _patience_s(self, player: Player) -> float | None:
        """How much longer its statement may take; None: as long as it likes."""
        if player.doing is None or not any(other.holds for other in self._live if other is not player):
            return None
        return max(0.0, player.doing[1] + GRACE_S - time.perf_counter())

    def _save(self, message: Message) -> None:
        """It is back from its wait, and says the rest when it has its turn."""
        message.actor.waits = False
        message.actor.saved = message

    def _hear(self, message: Message) -> None:
        player = message.actor
        if message.kind == "begins":
            assert message.sql is not None
            player.doing = (message.sql, time.perf_counter()) if message.locks else None
        elif message.kind == "ended":
            player.doing = None
            if message.holds is not None:
                player.holds = message.holds
            self._record(player, message.sql, message.outcome, time.perf_counter(), message.note)
        elif message.error is not None:
            raise message.error

    def _record(self, player: Player, sql: str | None, outcome: str, at_s: float, note: str | None = None) -> None:
        step = Step(len(self.steps) + 1, round((at_s - self._began_s) * 1000, 2), player.name, sql, outcome, note)
        self.steps.append(step)
        self._show(step)
        if self._pace_s:
            time.sleep(self._pace_s)


def names(players: Sequence[Player]) -> tuple[str, ...]:
    """Of those that came to the end of their part."""
    return tuple(player.name for player in players if player.completed)
