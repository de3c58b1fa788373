"""Who is signed in: cookies, kept as hashes, with the sockets that end with them."""
from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hotpath.core.durable import write_private

# A session that nobody used for so long is over.
AGE_S = 30 * 24 * 3600.0
# Beyond it the one that was used longest ago goes.
MOST = 1000
# Uses are noted this often: a session's file is not written for each request.
NOTE_S = 3600.0

FAILURES = 10
WITHIN_S = 60.0
# Addresses whose failures are remembered; beyond it the oldest is forgiven.
ADDRESSES = 4096


@dataclass(slots=True, eq=False)
class Session:
    """One browser that has shown the token."""

    hash: str
    used_s: float                                   # seconds since 1970
    sockets: set[Callable[[], None]] = field(default_factory=set)      # each closes one

    def close_sockets(self) -> None:
        """The session is over, and with it what it opened."""
        while self.sockets:
            self.sockets.pop()()


class Sessions:
    """All of them. In the loop's thread, but for `load` and `save`."""

    def __init__(self, file: Path, *, now_s: Callable[[], float] = time.time) -> None:
        """None yet; `file` keeps them."""
        self._file = file
        self._key = secrets.token_bytes(32)
        self._now_s = now_s
        self._by_hash: dict[str, Session] = {}
        self.dirty = False              # `save` has something to write

    def load(self, token: str) -> None:
        """Take up those that were opened with this token; may block."""
        # A new token ends all sessions: their hashes are of another key.
        self._key = hashlib.blake2b(token.encode()).digest()
        now_s = self._now_s()
        self._by_hash = {hash: Session(hash, used_s) for hash, used_s in _read(self._file) if now_s - used_s < AGE_S}

    def __len__(self) -> int:
        return len(self._by_hash)

    def open(self) -> str:
        """A new session; its cookie."""
        cookie = secrets.token_urlsafe(32)
        if len(self._by_hash) >= MOST:
            oldest = min(self._by_hash.values(), key=lambda session: session.used_s)
            self.close(oldest)
        hash = self._hash(cookie)
        self._by_hash[hash] = Session(hash, self._now_s())
        self.dirty = True
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of this cookie, which is used thereby."""
        session = self._by_hash.get(self._hash(cookie))
        if session is None:
            return None
        now_s = self._now_s()
        if now_s - session.used_s >= AGE_S:
            self.close(session)
            return None
        if now_s - session.used_s >= NOTE_S:
            session.used_s = now_s
            self.dirty = True
        return session

    def close(self, session: Session) -> None:
        """It is over."""
        self._by_hash.pop(session.hash, None)
        self.dirty = True
        session.close_sockets()

    def facts(self) -> list[tuple[str, float]]:
        """What `save` writes; taken in the loop's thread."""
        self.dirty = False
        return [(session.hash, session.used_s) for session in self._by_hash.values()]

    def save(self, facts: list[tuple[str, float]]) -> None:
        """Write them; may block."""
        write_private(self._file, msgspec.json.encode(facts))

    def _hash(self, cookie: str) -> str:
        return hashlib.blake2b(cookie.encode(errors="replace"), digest_size=32, key=self._key).hexdigest()


class Failures:
    """Who showed wrong tokens lately: guessing has a price, for each address its own."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nobody yet."""
        self._now_s = now_s
        self._times_s: dict[str, deque[float]] = {}

    def wait_s(self, client: str | None) -> int:
        """Whole seconds until this address may try again; 0: at once."""
        times_s = self._times_s.get(_network(client))
        if times_s is None or len(times_s) < FAILURES:
            return 0
        return max(0, math.ceil(times_s[0] + WITHIN_S - self._now_s()))

    def note(self, client: str | None) -> None:
        """One more."""
        name = _network(client)
        times_s = self._times_s.pop(name, None) or deque(maxlen=FAILURES)
        times_s.append(self._now_s())
        self._times_s[name] = times_s
        if len(self._times_s) > ADDRESSES:
            del self._times_s[next(iter(self._times_s))]


def _network(client: str | None) -> str:
    """What one guesser has: an address, of IPv6 all of a /64."""
    if client is None:
        return "unix"
    address = ipaddress.ip_address(client)
    return client if address.version == 4 else str(ipaddress.ip_network((client, 64), strict=False))


def _read(file: Path) -> list[tuple[str, float]]:
    """What `save` wrote; nothing where it cannot be read: then one signs in again."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[tuple[str, float]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return []
