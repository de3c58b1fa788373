"""Who belongs to the group? A map of names that every member changes by itself, and that ends up equal everywhere.

It is a last-write-wins map inside each exchange. An entry says whether its member is present, and in which version:
to add and to forget raise the version, the greater one wins, and of equal ones "forgotten" wins. So a change told to
one member reaches all, and told to each it converges as well.

Beside that, and raised by the member alone, stands the `life` of its data: a turn and a random number. A replica
whose disk does not hold what an earlier life took begins a new one; the greater life wins, and a replica that finds
another life under its own name counts beyond it.

`group` is a hash of all of that. Versions and lives only rise, so a number names one membership for ever.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

NAME = re.compile(r"[a-z0-9]{1,8}")

# Every exchange carries a row of every member, so its size is the square of this: 64 KiB.
MAX_MEMBERS = 64
# Names that were ever here: a forgotten one is remembered, or it would come back with the next exchange.
MAX_ENTRIES = 1024
MAX_URL = 1024
# Of versions and lives that others tell: ours can still count beyond them, and nobody gets there by honest counting.
MAX_VERSION = 2**31


class Life(NamedTuple):
    """Which data stand behind a name."""

    turn: int       # counted by the member itself
    number: int     # random


UNKNOWN = Life(0, 0)         # not heard of yet


@dataclass(frozen=True, slots=True)
class Entry:
    """What the group knows of one name."""

    name: str
    version: int = 1        # rises when it is added or forgotten
    present: bool = True
    life: Life = UNKNOWN
    url: str = ""           # where the others reach it; "": whoever reads this must know by itself
    public: str = ""        # the address that pages use; "": the url

    def joined(self, other: Entry) -> Entry:
        """The one that wins, with the greater life. Commutative, associative, idempotent."""
        winner = max(self, other, key=lambda entry: (entry.version, not entry.present, entry.url, entry.public))
        return replace(winner, life=max(self.life, other.life))


class Membership:
    """The map, as one replica has it. Immutable: what changes makes a new one."""

    __slots__ = ("entries", "group", "life", "name")

    def __init__(self, name: str, life: int, entries: Iterable[Entry] = ()) -> None:
        """Of replica `name` with this life's number. Raises ValueError for too many."""
        self.name = name
        self.life = life
        known = {entry.name: entry for entry in entries}
        own = known.get(name, Entry(name))
        if own.life.number != life:
            own = replace(own, life=Life(own.life.turn + 1, life))
        known[name] = own
        if len(known) > MAX_ENTRIES or sum(entry.present for entry in known.values()) > MAX_MEMBERS:
            raise ValueError(f"too many members; allowed: {MAX_MEMBERS}, and {MAX_ENTRIES} with those forgotten")
        self.entries = known
        self.group = _group_of(known.values())

    @property
    def present(self) -> frozenset[str]:
        """The names of all members, ours among them unless we were forgotten."""
        return frozenset(entry.name for entry in self.entries.values() if entry.present)

    @property
    def others(self) -> tuple[Entry, ...]:
        """The members but us, by name."""
        return tuple(entry for name, entry in sorted(self.entries.items()) if entry.present and name != self.name)

    def knows_as_forgotten(self, name: str) -> bool:
        """Whether this name was a member once."""
        return name in self.entries and not self.entries[name].present

    def add(self, name: str, url: str, public: str = "") -> Membership:
        """With this member present. Raises ValueError for a name or url that is none, and for too many."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no replica's name; allowed: 1 to 8 of a-z and 0-9")
        for address in (url, public):
            if len(address.encode(errors="replace")) > MAX_URL:
                raise ValueError(f"a url of {len(address)} characters; allowed: up to {MAX_URL} bytes")
        old = self.entries.get(name)
        if old is None:
            return self._with(Entry(name, url=url, public=public))
        # An address alone is no change of membership, but must win over the one that others know.
        changed = not old.present or (url, public) != (old.url, old.public)
        return self._with(replace(old, version=old.version + changed, present=True, url=url, public=public))

    def forget(self, name: str) -> Membership:
        """Without this member, for good. Raises KeyError: it is none."""
        old = self.entries[name]
        if not old.present:
            raise KeyError(name)
        return self._with(replace(old, version=old.version + 1, present=False))

    def joined(self, entries: Iterable[Entry]) -> Membership:
        """With what another replica knows; ourselves if that is nothing new. Raises ValueError for too many."""
        known = dict(self.entries)
        for entry in entries:
            known[entry.name] = known[entry.name].joined(entry) if entry.name in known else entry
        return self if known == self.entries else Membership(self.name, self.life, known.values())

    def _with(self, entry: Entry) -> Membership:
        return Membership(self.name, self.life, {**self.entries, entry.name: entry}.values())


def _group_of(entries: Iterable[Entry]) -> int:
    digest = blake2b(digest_size=8)
    for entry in sorted(entries, key=lambda entry: entry.name):
        life = entry.life
        digest.update(f"{entry.name} {entry.version} {entry.present} {life.turn} {life.number}\n".encode())
    return int.from_bytes(digest.digest(), "big")
