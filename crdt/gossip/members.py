"""What a replica must remember of its group: DIR/members.json, on disk before it counts.

The file holds the membership, the number of this directory and of its starts, the life of the data, and the promise.
A change that cannot be written does not happen.

A new life begins when the journal does not hold all that was ever answered: it is empty, was repaired, or is not synced
before each answer. So what other members still believe of the old one counts for nothing.
"""
from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from hotpath.core.durable import write_private
from hotpath.core.errors import HotpathError

from .membership import Entry, Life, Membership
from .messages import Speaker

FILE = "members.json"


class MembersUnusable(HotpathError):
    """The operator must look: DIR/members.json cannot be read or written."""


class _Known(msgspec.Struct):
    """An entry as the file spells it."""

    name: str
    version: int
    present: bool
    life: tuple[int, str]       # the number in hexadecimal: it needs 64 bits
    url: str = ""
    public: str = ""


class _File(msgspec.Struct):
    """The whole file."""

    replica: str
    origin: str
    starts: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    life: str
    promise: int
    members: list[_Known]


class Members:
    """The membership of one replica, kept. Safe from any thread."""

    def __init__(self, path: Path, membership: Membership, speaker: Speaker, promised: int) -> None:
        """Use `open`."""
        self._path = path
        self._lock = threading.RLock()
        self._membership = membership
        self.speaker = speaker
        self._promised = promised
        self._urls: dict[str, tuple[str, str]] = {}     # of this host's configuration: they win here

    @classmethod
    def open(cls, folder: Path, name: str, *, new_life: bool) -> Members:
        """Of the replica `name` in its data directory, one start later. Raises MembersUnusable.

        `new_life`: the journal does not hold all that was ever answered under this name.
        """
        path = folder / FILE
        try:
            known = msgspec.json.decode(path.read_bytes(), type=_File)
            entries = [Entry(one.name, one.version, one.present, Life(one.life[0], int(one.life[1], 16)), one.url,
                             one.public) for one in known.members]
            origin, life = int(known.origin, 16), int(known.life, 16)
            known_as, starts, promised = known.replica, known.starts, known.promise
        except FileNotFoundError:
            # Without it nobody knows what we promised: the data count as new.
            entries, origin, life, known_as, starts, promised = [], secrets.randbits(64), 0, name, 0, 0
        except (OSError, ValueError) as error:
            raise MembersUnusable(f"{path}: {error}") from None
        if known_as != name:
            raise MembersUnusable(f"{path}: belongs to replica {known_as}, not to {name}")
        if new_life or life == 0:
            life = secrets.randbits(64) | 1
        members = cls(path, Membership(name, life, entries), Speaker(name, origin, starts + 1), promised)
        try:
            members._save(members._membership, promised)
        except OSError as error:
            raise MembersUnusable(f"{path}: {error}") from None
        return members

    @property
    def now(self) -> Membership:
        """The membership as it is."""
        return self._membership

    @property
    def promised(self) -> int:
        """The greatest promise ever given, also by earlier starts."""
        return self._promised

    def address_of(self, entry: Entry) -> tuple[str, str]:
        """(url, public) of a member; what this host's configuration says wins over what others told."""
        url, public = self._urls.get(entry.name, (entry.url, entry.public))
        return url, public or url

    def configure(self, peers: Iterable[tuple[str, str, str]]) -> list[str]:
        """The configuration names these peers (name, url, public); answers those that were forgotten and stay so.

        Raises ValueError, OSError.
        """
        with self._lock:
            after, stay = self._membership, []
            urls = {}
            for name, url, public in peers:
                urls[name] = url, public
                if after.knows_as_forgotten(name):
                    stay.append(name)
                elif name not in after.present:
                    after = after.add(name, url, public)
            self._urls = urls
            self._become(after)
            return stay

    def add(self, name: str, url: str, public: str = "") -> bool:
        """Add a member, or give it this address; whether it was none before. Raises ValueError, OSError."""
        with self._lock:
            new = name not in self._membership.present
            self._become(self._membership.add(name, url, public))
            self._urls.pop(name, None)
            return new

    def forget(self, name: str) -> None:
        """For good. Raises KeyError: no such member; OSError."""
        with self._lock:
            self._become(self._membership.forget(name))

    def join(self, entries: Iterable[Entry]) -> bool:
        """What another member knows; whether that was anything new. Raises ValueError, OSError."""
        with self._lock:
            before = self._membership
            self._become(before.joined(entries))
            return self._membership is not before

    def promise(self, hlc: int) -> None:
        """On disk before it is said to anybody. Raises OSError."""
        with self._lock:
            if hlc > self._promised:
                self._save(self._membership, hlc)
                self._promised = hlc

    def _become(self, after: Membership) -> None:
        if after.entries != self._membership.entries:
            self._save(after, self._promised)
            self._membership = after

    def _save(self, membership: Membership, promised: int) -> None:
        speaker = self.speaker
        members = [_Known(one.name, one.version, one.present, (one.life.turn, f"{one.life.number:016x}"), one.url,
                          one.public) for one in membership.entries.values()]
        text = msgspec.json.encode(_File(membership.name, f"{speaker.origin:016x}", speaker.starts,
                                         f"{membership.life:016x}", promised, members))
        write_private(self._path, msgspec.json.format(text) + b"\n")
