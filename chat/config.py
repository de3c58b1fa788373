"""The configuration of all parts of the chat: one file, read by each of them."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from hotpath.core.config import ONE_OR_MANY, Address, Duration, Problem, Rate, Section, Size
from hotpath.core.serve import ServeConfig
from hotpath.core.serve.config import Limits, Log

EMBEDDED = "embedded"
SQLITE = "sqlite"
MYSQL_SCHEME = "mysql+mysqlconnector"

# A gateway's id stands in Redis keys, tickets and URLs.
GATEWAY_ID = "^[a-z0-9][a-z0-9-]{0,15}$"
# An Origin as a browser spells it, RFC 6454 section 6.2; "*" would let any page in, and is not for sale.
ORIGIN = r"^https?://[^/?#@\s]+$"
NO_UNIX = "a browser cannot open a unix socket; allowed: HOST:PORT or [V6]:PORT"


def _is_url_of(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class GroupCommit(Section, frozen=True):
    """How many messages share a sync, and how long the first may wait for company."""

    max_batch: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 256  # writes that share a sync
    max_wait: Duration = 0.0                                        # how long the first waits for company


class DatabaseConfig(Section, frozen=True):
    """Where messages are kept."""

    url: str = SQLITE       # sqlite, or mysql+mysqlconnector://USER:PASSWORD@HOST:PORT/NAME
    pool: Annotated[int, msgspec.Meta(ge=2, le=256)] = 8    # connections of one process
    busy: Duration = 5.0    # that somebody else's lock is waited for
    group_commit: GroupCommit = msgspec.field(default_factory=GroupCommit)

    def check(self) -> Iterator[Problem]:
        """The engine is one of two."""
        if self.url != SQLITE and not (_is_url_of(self.url, (MYSQL_SCHEME,)) and len(urlsplit(self.url).path) > 1):
            yield Problem(("url",), "no such database; allowed: sqlite, or "
                                    "mysql+mysqlconnector://USER:PASSWORD@HOST:PORT/NAME")
        if self.busy == 0:
            yield Problem(("busy",), "0 is not allowed; allowed: from 1ms")

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of ours."""
        return self.url == SQLITE


class RedisConfig(Section, frozen=True):
    """What carries committed events to the gateways."""

    url: str = EMBEDDED                                                     # embedded, or redis://HOST:PORT/N
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,32}$")] = "hp:"  # before each key and channel

    def check(self) -> Iterator[Problem]:
        """Our own, or one that runs."""
        if self.url != EMBEDDED and not _is_url_of(self.url, ("redis",)):
            yield Problem(("url",), f"{self.url!r} is no Redis; allowed: embedded, or redis://HOST:PORT/N")

    @property
    def is_embedded(self) -> bool:
        """Whether `up` starts it."""
        return self.url == EMBEDDED


class GatewaysConfig(Section, frozen=True):
    """The processes that hold the sockets."""

    count: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2    # processes
    # one address with port 0, or one for each gateway
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 0),)
    public_url: str | None = None   # what browsers connect to; may hold {id}; null: ws://LISTEN/ws
    ring: Annotated[int, msgspec.Meta(ge=16, le=65536)] = 256    # last events of each channel, in memory
    resume_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000    # events that a client may be behind
    head_check: Duration = 2.0      # how often the newest events are compared with the database's
    ping: Duration = 25.0           # how often a socket is asked whether it lives
    drain: Duration = 20.0          # time for clients to move to another gateway
    deflate: bool = False               # offer compression (permessage-deflate)

    def check(self) -> Iterator[Problem]:
        """Each gateway has an address of its own."""
        if self.public_url is not None and not _is_url_of(self.public_url.replace("{id}", "g1"), ("ws", "wss")):
            yield Problem(("public_url",), f"{self.public_url!r} is no address; allowed: ws://HOST:PORT/PATH or wss://…"
                                           ", with {id} for the gateway's name")
        if len(self.listen) not in (1, self.count):
            yield Problem(("listen",), f"{len(self.listen)} addresses for {self.count} gateways; allowed: one, or one "
                                       "for each")
        elif len(self.listen) == 1 and self.count > 1 and self.listen[0].port:
            yield Problem(("listen", 0), f"{self.listen[0]} cannot be shared by {self.count} gateways; allowed: port 0"
                                         ", or an address for each")
        for i, address in enumerate(self.listen):
            if address.is_unix:
                yield Problem(("listen", i), NO_UNIX)
        for name in ("head_check", "ping"):
            if getattr(self, name) == 0:
                yield Problem((name,), "0 is not allowed; allowed: from 1ms")

    def url_of(self, name: str, listening: str) -> str:
        """What clients of gateway `name` connect to. `listening`: HOST:PORT in fact bound."""
        return f"ws://{listening}/ws" if self.public_url is None else self.public_url.replace("{id}", name)

    def listen_of(self, index: int) -> Address:
        """Where gateway `index`, from 0, listens."""
        return self.listen[index] if len(self.listen) > 1 else self.listen[0]


class ChatLimits(Limits, frozen=True):
    """What one user may do; a rate's burst is twice the rate."""

    connections: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 65536   # of one gateway
    send: Rate = Rate(20, 1)                        # messages, edits, deletions and reactions of one user
    login: Rate = Rate(10, 60)                                              # of one name from one address
    connect: Rate = Rate(120, 60)                                           # tickets of one user
    sockets_per_user: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 32   # over all gateways
    text: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 8000             # code points
    body: Annotated[Size, msgspec.Meta(ge=1024)] = 128 * 1024               # bytes of a request
    frame: Annotated[Size, msgspec.Meta(ge=1024, le=2**24)] = 16 * 1024     # bytes of a client's message over a socket
    # bytes unsent to one socket: above it typing and presence are dropped
    queue_soft: Annotated[Size, msgspec.Meta(ge=1024)] = 64 * 1024
    queue_hard: Annotated[Size, msgspec.Meta(ge=4096, le=2**30)] = 1024 * 1024  # above it the socket is closed, 4008
    queue_age: Duration = 10.0                                                  # what waits longer closes it, too


class ChatConfig(ServeConfig, frozen=True):
    """All parts: `listen` and `workers` are the API's."""

    # folder of chat.db, secret, run.json and the embedded Redis
    data: Annotated[str, msgspec.Meta(min_length=1)] = "./chat-data"
    # where the API and the pages are
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1, max_length=1), ONE_OR_MANY] = (
        Address("127.0.0.1", 8065),)
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # processes of the API; more than 1 needs MySQL or MariaDB
    public_url: str | None = None                           # where browsers find the API; null: http://LISTEN
    origins: tuple[Annotated[str, msgspec.Meta(pattern=ORIGIN)], ...] = ()    # further pages that may write and connect
    registration: Literal["open", "admin"] = "open"         # admin: only they make accounts; the first user ever is one
    database: DatabaseConfig = msgspec.field(default_factory=DatabaseConfig)
    redis: RedisConfig = msgspec.field(default_factory=RedisConfig)
    gateways: GatewaysConfig = msgspec.field(default_factory=GatewaysConfig)
    limits: ChatLimits = msgspec.field(default_factory=ChatLimits)
    log: Log = msgspec.field(default_factory=lambda: Log(access=None))

    def check(self) -> Iterator[Problem]:
        """What two keys say together."""
        if self.listen[0].is_unix:
            yield Problem(("listen", 0), NO_UNIX)
        if self.workers > 1 and self.database.is_sqlite:
            yield Problem(("workers",), f"{self.workers} API processes cannot share SQLite; allowed: 1, or MySQL")
        if self.public_url is not None and not _is_url_of(self.public_url, ("http", "https")):
            yield Problem(("public_url",), f"{self.public_url!r} is no address; allowed: http://HOST:PORT, https://…")

    @property
    def folder(self) -> Path:
        """The data directory."""
        return Path(self.data)

    @property
    def public_path(self) -> str:
        """Below which path browsers find us: what a cookie's Path says."""
        return urlsplit(self.public_url or "").path.rstrip("/") or "/"

    def allowed_origins(self, listening: str) -> frozenset[str]:
        """Whose pages may write and connect: our own and the configured ones. `listening`: HOST:PORT in fact bound."""
        own = self.public_url or f"http://{listening}"
        own = re.sub(r"^(https?://[^/?#]+).*$", r"\1", own)
        return frozenset(origin.lower() for origin in (own, *self.origins))
