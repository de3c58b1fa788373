"""What one replica knows of its group, and whom it listens to.

Here meet the membership, the frontier, the promise, who speaks under which name, and which links are cut. An exchange
asks and changes it from several threads; no lock is held while anything is sent, merged or written to the journal.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from hotpath.core.data.lww import BiasMismatch, Damaged, Stamp, bundle, encode, parse, split
from hotpath.crdt.replica import DriftTooLarge, Merged, Replica

from .frontier import Frontier, Held
from .members import Members
from .messages import BadMessage, Hello, Row, Speaker
from .promise import Promise
from .settings import Settings

log = logging.getLogger(__name__)


# Whoever asks us and then says nothing for so long no longer does.
QUIET_S = 1.0


class Refusal(Exception):
    """Why this replica does not go on with whoever speaks: a status, a title, a sentence, further members."""

    def __init__(self, status: int, title: str, detail: str, **more: object) -> None:
        """Keep them."""
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.more = more


class _Heard(NamedTuple):
    """The process that speaks under a name, and when it last did."""

    speaker: Speaker
    at_s: float


class Group:
    """One replica's view of its group. Safe from any thread."""

    def __init__(
        self, replica: Replica, members: Members, settings: Settings, *, joining: bool,
        now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`joining`: the replica is empty and copies first. `now_s`: a clock that never goes back."""
        membership = members.now
        self.replica = replica
        self.members = members
        self.settings = settings
        self.name = replica.name
        self.joining = joining
        self.now_s = now_s
        self.promise = Promise(replica.table, members.promised)
        self.on_change: list[Callable[[], None]] = []       # the membership is another one
        self._frontier = Frontier(self.name, membership.present, membership.group, promise=members.promised)
        self._heard: dict[str, _Heard] = {}
        self._cut: set[str] = set()
        self._asking: set[str] = set()              # with whom an exchange of ours is under way
        self._answering: dict[str, float] = {}      # and who has one of its own with us: when it last spoke
        self._lock = threading.Lock()

    # What we say

    def hello(self, other_root: int | None = None) -> Hello:
        """Our side of an exchange; with the digest if the other's root is another. Raises Unavailable."""
        table = self.replica.table
        # First what we claim, then what proves it.
        with self._lock:
            membership, row, rows = self.members.now, self._frontier.row, self._frontier.rows
            group = self._frontier.group
        floor, clock_ms = table.floor, table.wall()
        table.synchronize()
        digest = table.digest()
        root = int.from_bytes(digest[8:16], "big")
        self.replica.barrier()
        return Hello(self.members.speaker, self.replica.bias, self.joining, group, floor, clock_ms, root, row, rows,
                     tuple(membership.entries.values()), b"" if other_root in (None, root) else digest)

    # Whom we hear

    def admit(self, speaker: Speaker, *, at_its_url: bool = False) -> None:
        """This process may speak under its name. Raises Refusal.

        `at_its_url`: it answered where we look for that member, so it is the one, and another is not.
        """
        name = speaker.name
        if name == self.name:
            if speaker == self.members.speaker:
                raise Refusal(409, "own address", "this is the replica itself")
            raise Refusal(409, "duplicate replica", f"this is {name}, and another process says the same")
        self._must_be_member(name)
        if self.is_cut(name):
            raise Refusal(503, "cut", f"{self.name} is cut off from {name}")
        with self._lock:
            heard = self._heard.get(name)
            if heard is not None and heard.speaker != speaker and not at_its_url and not self._replaces(heard, speaker):
                raise Refusal(409, "duplicate replica", f"another process is {name}, and alive")
            self._heard[name] = _Heard(speaker, self.now_s())
        if heard is not None and heard.speaker != speaker:
            log.info("peer restarted name=%s starts=%d", name, speaker.starts)

    def _replaces(self, heard: _Heard, speaker: Speaker) -> bool:
        """Whether this process can be the successor of the one that we know under its name."""
        if speaker.origin == heard.speaker.origin:
            # The same directory, whose lock only one process holds: the later start is the living one.
            return speaker.starts > heard.speaker.starts
        return self.now_s() - heard.at_s > self.patience_s

    @property
    def patience_s(self) -> float:
        """A process that was not heard for so long no longer holds its name."""
        return 2 * self.settings.interval_s + self.settings.timeout_s

    def _must_be_member(self, name: str) -> None:
        membership = self.members.now
        if name not in membership.present:
            if membership.knows_as_forgotten(name):
                raise Refusal(403, "forgotten", f"{name} was a member of this group and is no longer")
            raise Refusal(403, "not a member", f"{name} is no member of this group")

    def meet(self, hello: Hello) -> None:
        """Learn what an admitted member knows of the group. Raises Refusal."""
        name = hello.speaker.name
        if hello.bias != self.replica.bias:
            raise Refusal(409, "other bias", f"{name} prefers {hello.bias}, {self.name} {self.replica.bias}")
        local_ms = self.replica.table.wall()
        if hello.floor >> 16 > local_ms + self.settings.max_drift_s * 1000:
            raise Refusal(409, "clock drift", f"{name} collects what is still to come", local_ms=local_ms,
                          remote_ms=hello.floor >> 16)
        try:
            self.change(lambda: self.members.join(hello.entries))
        except ValueError as error:
            raise Refusal(409, "too many members", str(error)) from None
        except OSError as error:
            raise Refusal(503, "not writable", f"the membership cannot be written: {error.strerror}") from None
        self._must_be_member(name)
        with self._lock:
            self._frontier.heard(name, hello.group, hello.row)
            for member, row in hello.rows.items():
                self._frontier.heard(member, hello.group, row)

    def change(self, act: Callable[[], object]) -> None:
        """Do what may change the membership, and let all know who must. Raises what `act` raises."""
        before = self.members.now
        with self._lock:
            act()
            after = self.members.now
            self._frontier.regroup(after.present, after.group)
            self._heard = {name: heard for name, heard in self._heard.items() if name in after.present}
        if after is not before:
            log.info("members changed group=%016x members=%s", after.group, ",".join(sorted(after.present)))
            for tell in self.on_change:
                tell()

    def seen_s(self, name: str) -> float | None:
        """How long ago this member spoke to us, or answered."""
        heard = self._heard.get(name)
        return None if heard is None else self.now_s() - heard.at_s

    # One exchange of a pair at a time: two would send everything twice. This saves bytes only; both may go on.

    def ask(self, name: str, *, patient: bool = True) -> bool:
        """Begin to ask this member, until `asked`; if patient, not while it asks us."""
        with self._lock:
            at_s = self._answering.get(name)
            if patient and at_s is not None and self.now_s() - at_s < QUIET_S:
                return False
            self._asking.add(name)
            return True

    def asked(self, name: str) -> None:
        """That ended."""
        with self._lock:
            self._asking.discard(name)

    def answering(self, name: str, *, first: bool = False) -> None:
        """This member asks us, and it is not the end. Raises Refusal: of two that begin at once one goes on."""
        with self._lock:
            if first and name in self._asking and self.name < name:
                # Once: what we ask may never arrive, and then only its way is open.
                self._asking.discard(name)
                raise Refusal(503, "busy", f"{self.name} is asking {name} at this moment")
            self._answering[name] = self.now_s()

    def answered(self, name: str) -> None:
        """It has asked all."""
        with self._lock:
            self._answering.pop(name, None)

    # Links that are cut

    def is_cut(self, name: str) -> bool:
        """Whether we neither send to this member nor take from it."""
        return name in self._cut

    @property
    def cut_off(self) -> list[str]:
        """All such members."""
        return sorted(self._cut)

    def cut(self, names: Iterable[str]) -> None:
        """Cut these links, at our end."""
        self._cut = self._cut | set(names)

    def heal(self, names: Iterable[str]) -> None:
        """Mend them."""
        self._cut = self._cut - set(names)

    # What comes in

    def take(self, delta: bytes) -> tuple[Merged, bytes]:
        """Merge what a member sends: what became of it, and a delta of tombstones for what is dead. Raises Refusal.

        Dead is a live cell whose key is absent here and which is not above our floor: the group has removed it, and
        forgotten that. Whoever still holds it was away at that time; the tombstone makes it let go.
        """
        try:
            merged = self.replica.merge(delta)
        except DriftTooLarge as error:
            raise Refusal(409, "clock drift", str(error), local_ms=error.local_ms, remote_ms=error.remote_ms) from None
        except BiasMismatch as error:
            raise Refusal(409, "other bias", str(error)) from None
        except Damaged as error:
            raise BadMessage(str(error)) from None
        table = self.replica.table
        if merged.applied and table.examine(delta)[1] <= table.floor:
            table.collect(table.floor)      # a tombstone that came to an old live cell goes like all others
        return merged, self._dead_in(delta) if merged.stale else b""

    def _dead_in(self, delta: bytes) -> bytes:
        table = self.replica.table
        dead = []
        for cell in split(delta):
            key, stamp, live, _payload = parse(cell)
            if live and stamp.hlc <= table.floor and table.read(key) is None:
                dead.append(encode(key, Stamp(stamp.hlc + 1, self.name), False, b""))
        return bundle(dead, self.replica.bias) if dead else b""

    def bury(self, dead: bytes) -> None:
        """Let go of what the group removed long ago. Raises Refusal."""
        merged, _ = self.take(dead)
        if merged.applied:
            log.warning("cells were removed long ago and go cells=%d", merged.applied)

    def learned(self, peer: str, group: int, row: Row) -> None:
        """A whole exchange with `peer` ended; see Frontier."""
        with self._lock:
            self._frontier.learned(peer, group, row)

    def is_of_our_group(self, group: int) -> bool:
        """Whether that number names the membership as we know it."""
        return group == self.members.now.group

    # Collection

    def collect_to(self, floor: int) -> None:
        """The other has collected up to there, so what we still keep below is no difference. Raises Unavailable."""
        if floor > self.replica.table.floor:
            self.replica.collect(floor)

    def tend(self) -> int:
        """Raise the promise, collect up to the frontier; how many tombstones went. Raises OSError, Unavailable."""
        table = self.replica.table
        promised = (table.wall() - round(self.settings.after_s * 1000)) << 16
        if promised > 0:
            self.promise.raise_to(promised, self._say)
        held = self.frontier()
        # A floor costs a sync: without a tombstone it would be for nothing.
        return self.replica.collect(held.hlc) if held.hlc > table.floor and table.stats()["tombstones"] else 0

    def _say(self, hlc: int) -> None:
        self.members.promise(hlc)
        with self._lock:
            self._frontier.promise(hlc)

    def frontier(self) -> Held:
        """F, and who holds it back."""
        with self._lock:
            return self._frontier.frontier()

    def rows(self) -> Mapping[str, Row]:
        """All rows that we know, ours too."""
        with self._lock:
            return {**self._frontier.rows, self.name: self._frontier.row}
