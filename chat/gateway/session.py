"""One socket's protocol: what its client may say, when, and what is answered at once."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

from hotpath.chat.fanout import Member

if TYPE_CHECKING:
    from .backlog import CatchUp
    from .roster import Person

NOT_JSON = 4000             # or `start` twice
SESSION_OVER = 4001
NO_START = 4002
TOO_MANY_SOCKETS = 4009
FLOODING = 4029

# Frames of one client: so many at once, then so many a second.
FRAMES_AT_ONCE = 60
FRAMES_PER_S = 20.0
# Typing is told to others so often, of one socket in one channel.
TYPING_EVERY_S = 1.0
MAX_TYPING = 64
MAX_WATCHED = 200
# Frames that are kept from `start` to `ready`.
MAX_EARLY = 64
# As many channels as a client may name in `start`; a frame's size bounds them too.
MAX_SINCE = 10_000

_SEQ = re.compile(r"[0-9]{1,18}")


class Stage(Enum):
    """How far a socket has come."""

    OPENED = auto()         # said hello, awaits `start`
    STARTING = auto()       # `start` came; memberships are being read, and what else it says is kept
    READY = auto()          # was told `ready`: has each channel's events from there on
    CLOSED = auto()


_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """`since`: the last seq that the client has of each channel."""

    type: str
    epoch: str | None = None
    since: Annotated[dict[str, Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]],
                     msgspec.Meta(max_length=MAX_SINCE)] = msgspec.field(default_factory=dict)


class Typing(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody writes there."""

    type: str
    channel: _Id


class Watch(msgspec.Struct, forbid_unknown_fields=True):
    """Whose presence is to be told, instead of whose was."""

    type: str
    users: Annotated[list[_Id], msgspec.Meta(max_length=MAX_WATCHED)]


class State(msgspec.Struct, forbid_unknown_fields=True):
    """Whether somebody sits there."""

    type: str
    state: Literal["active", "away"]


class Ping(msgspec.Struct, forbid_unknown_fields=True):
    """Browsers cannot send a websocket's own."""

    type: str
    id: int


class Host(Protocol):
    """What a socket needs of its gateway. None of it waits."""

    def clock(self) -> float:
        """Monotonic seconds."""
        ...

    def start(self, session: Session, epoch: str | None, since: dict[int, int]) -> None:
        """It wants to begin."""

    def typing(self, session: Session, channel: int) -> bool:
        """Tell the others. False: it is not a member there."""
        ...

    def watch(self, session: Session, users: tuple[int, ...]) -> None:
        """Tell it of these from now on."""

    def state_changed(self, session: Session) -> None:
        """`away` is another one."""

    def left(self, session: Session) -> None:
        """It is closed."""


class Session(Member):
    """A client's socket. Made without `__init__`: `begin` sets all there is."""

    __slots__ = ("away", "catching", "early", "full_s", "host", "person", "since", "stage", "started_epoch", "typed",
                 "watched")

    host: Host
    person: Person                              # whose it is, and in which channels
    stage: Stage
    started_epoch: str | None
    since: dict[int, int] | None                # of `start`, until it is ready
    catching: dict[int, CatchUp] | None         # channels whose backlog is being read; None: none is
    early: list[dict[str, object]] | None       # what it said between `start` and `ready`; None: nothing
    full_s: float                               # when its allowance of frames is whole again
    typed: dict[int, float] | None              # channel: when it last said so
    watched: tuple[int, ...]
    away: bool

    def begin(self, host: Host, person: Person) -> None:
        """It is open."""
        self.host, self.person = host, person
        self.stage = Stage.OPENED
        self.started_epoch = self.since = self.catching = self.early = self.typed = None
        self.full_s = 0.0
        self.watched = ()
        self.away = False

    def on_message(self, text: str) -> None:
        """A frame came."""
        if self.stage is Stage.CLOSED or self._is_flooding():
            return
        try:
            frame = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            if is_json(text):
                self.error("bad_field", "a lone surrogate, or a number out of range")
            else:
                self.close(NOT_JSON, "not JSON")
            return
        kind = frame.get("type") if isinstance(frame, dict) else None
        act = ACTS.get(kind) if isinstance(kind, str) else None
        if act is None:
            self.error("unknown_type", "a frame is an object whose type is one of " + ", ".join(ACTS))
            return
        if kind == "start" and self.stage is not Stage.OPENED:
            self.close(NOT_JSON, "start twice")
            return
        if self.stage is Stage.READY or kind in ("start", "ping"):
            self._act(frame)
        elif self.stage is Stage.OPENED:
            self.error("not_ready", f"{kind} before start; allowed: start, once, and ping")
        else:
            self._keep(frame)

    def be_ready(self) -> None:
        """It was told `ready`: what it said too early counts now."""
        early, self.early = self.early, None
        for frame in early or ():
            self._act(frame)

    def _keep(self, frame: dict[str, object]) -> None:
        """A client need not wait for `ready` before it goes on."""
        if self.early is None:
            self.early = []
        if len(self.early) < MAX_EARLY:
            self.early.append(frame)
        else:
            self.error("not_ready", "too many frames before ready")

    def _act(self, frame: dict[str, object]) -> None:
        kind = str(frame["type"])
        try:
            ACTS[kind](self, frame)
        except (msgspec.ValidationError, ValueError) as error:
            self.error("bad_field", f"{kind}: {error}")

    def on_close(self, code: int) -> None:
        """It is over, whoever ended it."""
        self.leave_all()
        if self.stage is not Stage.CLOSED:
            self.stage = Stage.CLOSED
            self.host.left(self)

    def tell(self, frame: object) -> bool:
        """Send a frame to this socket alone."""
        return self.send(msgspec.json.encode(frame))

    def error(self, code: str, detail: str) -> None:
        """What it sent last means nothing."""
        self.tell({"type": "error", "code": code, "detail": detail})

    def _is_flooding(self) -> bool:
        """Whether this frame is one too many; the socket is closed then."""
        now_s = self.host.clock()
        self.full_s = max(self.full_s, now_s) + 1 / FRAMES_PER_S
        if self.full_s - now_s <= FRAMES_AT_ONCE / FRAMES_PER_S:
            return False
        self.close(FLOODING, "too many frames")
        return True

    def take_start(self, frame: Start) -> None:
        """Begin, from where the client was."""
        since = {}
        for id, seq in frame.since.items():
            if not _SEQ.fullmatch(id):
                raise ValueError(f"since: {id[:20]!r} is no channel; allowed: its id as a decimal string")
            since[int(id)] = seq
        self.stage = Stage.STARTING
        self.host.start(self, frame.epoch, since)

    def take_typing(self, frame: Typing) -> None:
        """Tell the others, if they do not know already."""
        now_s = self.host.clock()
        typed = self.typed
        if typed is not None and now_s - typed.get(frame.channel, -TYPING_EVERY_S) < TYPING_EVERY_S:
            return                      # others know already
        if not self.host.typing(self, frame.channel):
            self.error("not_member", f"typing: not a member of channel {frame.channel}")
            return
        if typed is None or len(typed) >= MAX_TYPING:
            typed = self.typed = {}
        typed[frame.channel] = now_s

    def take_watch(self, frame: Watch) -> None:
        """Tell it of these users."""
        self.host.watch(self, tuple(dict.fromkeys(frame.users)))

    def take_state(self, frame: State) -> None:
        """Active or away."""
        away = frame.state == "away"
        if away != self.away:
            self.away = away
            self.host.state_changed(self)

    def take_ping(self, frame: Ping) -> None:
        """Answer."""
        self.tell({"type": "pong", "id": frame.id})


ACTS: dict[str, Callable[[Session, object], None]] = {
    "start": lambda session, frame: session.take_start(msgspec.convert(frame, Start)),
    "typing": lambda session, frame: session.take_typing(msgspec.convert(frame, Typing)),
    "watch": lambda session, frame: session.take_watch(msgspec.convert(frame, Watch)),
    "state": lambda session, frame: session.take_state(msgspec.convert(frame, State)),
    "ping": lambda session, frame: session.take_ping(msgspec.convert(frame, Ping)),
}


def is_json(text: str) -> bool:
    """Whether it is JSON by its grammar, which allows more than we can read."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> object:
    """NaN and Infinity: Python's, not JSON's."""
    raise ValueError(name)
