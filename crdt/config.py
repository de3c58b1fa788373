"""What a replica's configuration says: `hotpath-crdt serve --config FILE`."""
from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from hotpath.core.config import OFF, ONE_OR_MANY, Address, Duration, Problem, Scalar, Section, Size, spelled
from hotpath.core.scalars import read_duration, write_duration
from hotpath.core.serve.config import Limits, ServeConfig

NAME = "^[a-z0-9]{1,8}$"
URL = "^http://[^/?#@]+/?$"
# Where pages find a replica: beside the page that asks, behind the same front, or anywhere.
PUBLIC = f"{URL}|^https://[^/?#@]+/?$|^/(?:[A-Za-z0-9._~-]+/)*$"

# Where the token comes from when the file has none.
TOKEN_VARIABLE = "HOTPATH_CRDT_TOKEN"
# A field's value holds no more than Latin-1 without controls, and blanks around it are lost.
TOKEN = "^[!-~]+$"

# Two bytes of a cell say how long its key is.
MAX_KEY = 65535
# A value is held in one piece, by the client, the journal's group and the table.
MAX_VALUE = 64 * 1024 * 1024
# Counters and clocks are 48 bits of milliseconds: what moves one further than this is a slip of the pen.
MAX_OFFSET_S = 366 * 24 * 3600.0


def read_offset(value: Scalar) -> float:
    """Seconds of a duration that may be negative. Raises ValueError."""
    negative = isinstance(value, str) and value.startswith("-")
    seconds = read_duration(value[1:] if isinstance(value, str) and negative else value)
    if seconds > MAX_OFFSET_S:
        raise ValueError(f"{value!r} is out of range; allowed: up to a year")
    return -seconds if negative else seconds


def write_offset(seconds: float) -> str:
    """As `read_offset` reads it."""
    return f"{'-' * (math.copysign(1.0, seconds) < 0)}{write_duration(abs(seconds))}"


Offset = Annotated[float, spelled(read_offset, write_offset)]


class Peer(Section, frozen=True):
    """Another replica of the group."""

    # its `replica`
    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    # where replicas find it
    url: Annotated[str, msgspec.Meta(pattern=URL)]
    public: Annotated[str, msgspec.Meta(pattern=PUBLIC)] | None = None      # for the page; /PATH/: on its own origin

    def check(self) -> Iterator[Problem]:
        """The URLs have a host and a port that is one."""
        for name in ("url", "public"):
            url = getattr(self, name)
            try:
                if url is not None and url[0] != "/" and not (urlsplit(url).hostname and urlsplit(url).port != 0):
                    raise ValueError
            except ValueError:
                yield Problem((name,), f"{url!r} is no address; allowed: http://HOST:PORT")


class CrdtLimits(Limits, frozen=True):
    """What one client may ask for."""

    key: Annotated[Size, msgspec.Meta(ge=1, le=MAX_KEY)] = 1024             # bytes of a key
    value: Annotated[Size, msgspec.Meta(ge=1, le=MAX_VALUE)] = 1024 * 1024  # bytes of a value
    batch: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000        # operations in one batch
    body: Annotated[Size | None, OFF] = 64 * 1024 * 1024                    # bytes of a request; off: any


class JournalConfig(Section, frozen=True):
    """What is on disk before it is answered."""

    # sync before each answer, every `interval`, or when the kernel likes
    fsync: Literal["always", "interval", "off"] = "always"
    interval: Duration = 0.05                                       # with `fsync: interval`: what a crash may take back
    segment: Annotated[Size, msgspec.Meta(ge=4096)] = 64 * 1024 * 1024    # bytes of one file of the journal
    compact: Annotated[float, msgspec.Meta(ge=1.1, le=1000)] = 2.0  # when the files are that many times the data


class SyncConfig(Section, frozen=True):
    """How it talks to its peers."""

    push: bool = True           # tell peers of each write at once
    interval: Duration = 0.5    # how often differences are looked for
    timeout: Duration = 5.0     # of one request to a peer

    def check(self) -> Iterator[Problem]:
        """Neither may be nothing."""
        for name in ("interval", "timeout"):
            if getattr(self, name) == 0:
                yield Problem((name,), "0 is not allowed; allowed: from 1ms")


class ClockConfig(Section, frozen=True):
    """Whose clock is believed, and how far."""

    max_drift: Duration = 5.0   # what is further ahead of our clock is refused
    offset: Offset = 0.0        # added to this host's clock, for drills


class GcConfig(Section, frozen=True):
    """When a tombstone may go."""

    after: Duration = 24 * 3600.0   # no tombstone goes sooner
    interval: Duration = 60.0       # how often we look

    def check(self) -> Iterator[Problem]:
        """Collecting all the time is none."""
        if self.interval == 0:
            yield Problem(("interval",), "0 is not allowed; allowed: from 1ms")


class ChangesConfig(Section, frozen=True):
    """What whoever watches may have missed."""

    keep: Annotated[int, msgspec.Meta(ge=1, le=2**24)] = 65536  # changes that whoever watches may be behind


class CrdtConfig(ServeConfig, frozen=True):
    """One replica."""

    # where it listens: one address, or a list
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8091),)
    replica: Annotated[str, msgspec.Meta(pattern=NAME)] = "a"   # its name in the group
    # folder of journal and snapshots; null: ./crdt-REPLICA
    data: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    # which of an add and a remove with equal stamps wins; the same in the whole group
    bias: Literal["add", "remove"] = "add"
    # bearer token, needed off loopback; null: what HOTPATH_CRDT_TOKEN says
    token: Annotated[str, msgspec.Meta(pattern=TOKEN)] | None = None
    peers: tuple[Peer, ...] = ()    # the other replicas of the group
    limits: CrdtLimits = msgspec.field(default_factory=CrdtLimits)
    journal: JournalConfig = msgspec.field(default_factory=JournalConfig)
    sync: SyncConfig = msgspec.field(default_factory=SyncConfig)
    clock: ClockConfig = msgspec.field(default_factory=ClockConfig)
    gc: GcConfig = msgspec.field(default_factory=GcConfig)
    changes: ChangesConfig = msgspec.field(default_factory=ChangesConfig)
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4  # for merges, listings and snapshots
    drill: bool = False                                     # let /drill cut and heal links
    repair: bool = False                                    # set damaged segments aside instead of ending

    def check(self) -> Iterator[Problem]:
        """Each peer has a name of its own."""
        names = {self.replica}
        for i, peer in enumerate(self.peers):
            if peer.name in names:
                who = "this replica's own name" if peer.name == self.replica else "there twice"
                yield Problem(("peers", i, "name"), f"{peer.name!r} is {who}")
            names.add(peer.name)
        if self.secret is not None and not self.secret.isascii():
            yield Problem(("token",), "not allowed; allowed: printable ASCII without blanks")

    @property
    def folder(self) -> str:
        """The data directory."""
        return self.data if self.data is not None else f"./crdt-{self.replica}"

    @property
    def secret(self) -> str | None:
        """What every request must carry as Bearer; None: nothing."""
        return self.token or os.environ.get(TOKEN_VARIABLE) or None

    @property
    def exposed(self) -> int | None:
        """Which of `listen` others can reach although no token is asked for."""
        open_ = (i for i, address in enumerate(self.listen) if not address.is_loopback)
        return next(open_, None) if self.secret is None else None
