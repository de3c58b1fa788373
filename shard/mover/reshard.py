"""The record of one reshard: what was asked for, how far it has come, and how people see it."""
from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, Self

import msgspec

from hotpath.shard.topology import Move, MoveState, Slots

from .plan import Part

Kind = Literal["add", "remove"]
State = Literal["preparing", "opening", "copying", "verifying", "verified", "completing", "cleaning", "done",
                "cancelling", "cancelled"]

NEXT: dict[State, State] = {
    "preparing": "opening", "opening": "copying", "copying": "verifying", "verifying": "verified",
    "verified": "completing", "completing": "cleaning", "cleaning": "done", "cancelling": "cancelled",
}
# Until its completion all can be taken back.
CANCELLABLE: tuple[State, ...] = ("preparing", "opening", "copying", "verifying", "verified")
OVER: tuple[State, ...] = ("done", "cancelled")


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """One move of it. Rows are counted where they are, and written down here for those who only look."""

    id: str
    source: str
    target: str
    runs: tuple[tuple[int, int], ...]
    state: str = MoveState.PLANNED.value
    total: int | None = None        # rows that the source held once it was fenced
    copied: int = 0
    pulled: int = 0
    dirty: int = 0
    verified: int = 0
    deleted: int = 0
    slots_copied: int = 0
    slots_verified: int = 0

    @property
    def slots(self) -> Slots:
        """As a set."""
        return Slots.of_runs(self.runs)

    @property
    def move(self) -> Move:
        """As it begins."""
        return Move(self.id, self.source, self.target, MoveState.PLANNED, self.slots)


class Reshard(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole; times are seconds since 1970. People write into it too: pause, resume, throttle, complete, cancel."""

    id: str
    kind: Kind
    shard: str
    started_s: float
    rate: float
    weight: float = 1.0
    dsn: str | None = None          # of the new shard, if we do not make it
    endpoint: str | None = None     # of the shard, once it stands
    made: bool = False              # what stands under the new shard's name, or in its database, is ours to delete
    hold: bool = False
    keep_source: bool = False
    keep_server: bool = False
    state: State = "preparing"
    paused: bool = False
    error: str | None = None
    now: float = 0.0                # rows per second
    before_s: float | None = None   # the foreground's p99 before it began
    finished_s: float | None = None
    moves: tuple[Progress, ...] = ()

    @classmethod
    def begun(cls, kind: Kind, shard: str, parts: Iterable[Part], *, rate: float, weight: float = 1.0,
              dsn: str | None = None, endpoint: str | None = None, hold: bool = False, keep_source: bool = False,
              keep_server: bool = False) -> Self:
        """A new one, of `parts`."""
        now_s = time.time()
        # Its moves' ids name cursors on the shards: never those of another reshard.
        id = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        return cls(id, kind, shard, now_s, rate, weight=weight, dsn=dsn, endpoint=endpoint, hold=hold,
                   keep_source=keep_source, keep_server=keep_server,
                   moves=tuple(Progress(f"{id}.{i}", part.source, part.target, part.slots.runs)
                               for i, part in enumerate(parts)))

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.state in OVER

    def with_move(self, progress: Progress) -> Reshard:
        """The same with this move in place of the one of its id."""
        return msgspec.structs.replace(self, moves=tuple(progress if one.id == progress.id else one
                                                         for one in self.moves))

    def document(self) -> dict[str, object]:
        """As the API shows it."""
        total = _sum(self, "total")
        moved = _sum(self, "copied") + _sum(self, "pulled")
        return {
            "id": self.id, "kind": self.kind, "shard": self.shard, "state": self.state, "paused": self.paused,
            "error": self.error, "hold": self.hold,
            "slots": {"total": sum(len(one.slots) for one in self.moves), "copied": _sum(self, "slots_copied"),
                      "verified": _sum(self, "slots_verified")},
            "rows": {"total": total, "copied": _sum(self, "copied"), "pulled": _sum(self, "pulled"),
                     "dirty": _sum(self, "dirty"), "verified": _sum(self, "verified"),
                     "deleted": _sum(self, "deleted")},
            "rate": {"limit": self.rate, "now": 0.0 if self.paused or self.over else round(self.now, 1)},
            "eta_s": self._eta_s(total - moved),
            "started": _text(self.started_s), "finished": _text(self.finished_s),
            "moves": [{"source": one.source, "target": one.target, "state": one.state, "slots": len(one.slots),
                       "rows": one.total or 0} for one in self.moves],
        }

    def _eta_s(self, left: int) -> float | None:
        """Seconds until the rows are copied, at today's pace; None: nobody knows."""
        if self.state != "copying" or self.paused or self.now <= 0:
            return None
        return round(max(0, left) / self.now, 1)


# Made once, at import: msgspec crashes when two threads are the first to decode a type at the same time.
_RESHARD = msgspec.json.Decoder(Reshard)


def dumped(reshard: Reshard) -> bytes:
    """As JSON, for the meta database."""
    return msgspec.json.encode(reshard)


def loaded(text: bytes) -> Reshard:
    """The inverse of `dumped`. Raises msgspec.DecodeError."""
    return _RESHARD.decode(text)


def _sum(reshard: Reshard, field: str) -> int:
    return sum(getattr(one, field) or 0 for one in reshard.moves)


def _text(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
