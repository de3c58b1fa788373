"""A replica's life in its group: a thread for each peer and one that collects; started, stopped, cut and healed."""
from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hotpath.core.data.lww import Damaged, split
from hotpath.crdt.config import CrdtConfig
from hotpath.crdt.journal import Replayed, Unavailable
from hotpath.crdt.replica import Merged, Replica

from .exchange import Answerer
from .group import Group
from .members import Members
from .peer import Peer
from .settings import Settings, peers_of

log = logging.getLogger(__name__)

# Tries in a row that fail before a joiner no longer waits for a peer: a dead one must not keep it from serving.
HOPELESS = 2
# A thread that is told to end hears it at once, but for a name that is still looked up.
GRACE_S = 2.0


class Gossip:
    """Everything between this replica and its peers."""

    def __init__(self, replica: Replica, config: CrdtConfig) -> None:
        """Nothing is read, written or sent before `start`."""
        self.replica = replica
        self.settings = Settings.of(config)
        self.bytes: Counter[tuple[str, str, str]] = Counter()       # peer, kind, "sent" or "received"
        self.collected = 0
        self.skewed = False
        self.skews = 0          # how often it became so
        self._folder = Path(config.folder)
        self._configured = peers_of(config)
        self._keeps_all = config.journal.fsync == "always"
        self._group: Group | None = None
        self._peers: dict[str, Peer] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._tending = threading.Thread(target=self._tend, name="gossip-gc", daemon=True)

    def start(self, replayed: Replayed) -> None:
        """Begin to talk; the replica is open, and `replayed` is what its journal held. Raises MembersUnusable."""
        lacks = replayed.empty or bool(replayed.set_aside) or not self._keeps_all
        members = Members.open(self._folder, self.replica.name, new_life=lacks)
        self._configure(members, self._configured)
        # A replica without peers has nobody to copy from.
        group = Group(self.replica, members, self.settings, joining=replayed.empty and bool(members.now.others))
        group.on_change.append(self._match_members)
        self._group = group
        self.answerer = Answerer(group, self._came_from)
        self.replica.on_winners.append(self._won)
        self._match_members()
        self._tending.start()

    def stop(self) -> None:
        """No thread of ours is left when this returns, but for one that still looks up a name."""
        self._stop.set()
        if self._group is None:
            return
        self._group.promise.close()
        self.replica.on_winners.remove(self._won)
        with self._lock:
            peers = list(self._peers.values())
        for peer in peers:
            peer.stop()
        threads = [peer.join(GRACE_S) for peer in peers]
        self._tending.join(GRACE_S)
        if not all(threads):
            log.warning("gossip did not end in time threads=%d", threads.count(False))

    @property
    def group(self) -> Group:
        """What is known of the group. Raises Unavailable before the start."""
        if self._group is None:
            raise Unavailable("starting")
        return self._group

    @property
    def members(self) -> Members:
        """The membership, kept. Raises Unavailable before the start."""
        return self.group.members

    @property
    def waiting(self) -> str | None:
        """Why this replica is not ready yet; None: it is."""
        if self._group is None:
            return "starting"
        if not self._group.joining:
            return None
        with self._lock:
            peers = [f"{peer.name} ({peer.state}{': ' * bool(peer.reason)}{peer.reason})"
                     for peer in self._peers.values()]
        return f"it is empty, and copies first from one of: {', '.join(peers) or 'nobody yet'}"

    # Members

    def reload(self, config: CrdtConfig) -> None:
        """The configuration was read again: its peers are added, or have another address. Raises OSError."""
        self.group.change(lambda: self._configure(self.members, peers_of(config)))
        self._match_members()

    @staticmethod
    def _configure(members: Members, peers: Sequence[tuple[str, str, str]]) -> None:
        for name in members.configure(peers):
            log.warning("a configured peer was forgotten, and stays so until POST /members adds it name=%s", name)

    def add(self, name: str, url: str, public: str = "") -> bool:
        """Add a member; whether it was none. Raises ValueError, OSError."""
        new = name not in self.members.now.present
        self.group.change(lambda: self.members.add(name, url, public))
        self._match_members()
        return new

    def forget(self, name: str) -> None:
        """For good: what it sends is refused from now on. Raises KeyError, OSError."""
        self.group.change(lambda: self.members.forget(name))

    def described(self) -> dict[str, object]:
        """What `/members` says."""
        with self._lock:
            peers = dict(self._peers)
        members: list[dict[str, object]] = []
        for entry in self.members.now.others:
            peer = peers.get(entry.name)
            url, public = self.members.address_of(entry)
            seen_s = self.group.seen_s(entry.name)
            members.append({
                "name": entry.name, "url": url, "public": public, "state": peer.state if peer else "down",
                "skew_ms": peer.skew_ms if peer else None, "seen_s": None if seen_s is None else round(seen_s, 3),
                "reason": (peer.reason if peer else "no address") or None})
        return {"self": self.replica.name, "members": members}

    def publics(self) -> list[str]:
        """The addresses of the members' pages; a path is one of the asking page's own origin."""
        if self._group is None:
            return []
        return [address for entry in self.members.now.others for address in self.members.address_of(entry)
                if address and address[0] != "/"]

    def skew_ms(self) -> dict[str, float]:
        """By peer, how far its clock is before ours."""
        with self._lock:
            return {name: peer.skew_ms for name, peer in self._peers.items() if peer.skew_ms is not None}

    def _match_members(self) -> None:
        """A thread for each member, at the address it has now, and for nobody else."""
        with self._lock:
            if self._stop.is_set():
                return
            wanted = {entry.name: self.members.address_of(entry)[0] for entry in self.members.now.others}
            for name, peer in list(self._peers.items()):
                if wanted.get(name) != peer.url:
                    del self._peers[name]
                    peer.stop()
            for name, url in wanted.items():
                if name not in self._peers and url:
                    peer = Peer(self.group, name, url, count=self._count, told=self._judge,
                                came_from=self._came_from)
                    self._peers[name] = peer
                    peer.start()
        self._judge()

    # Drills

    def cut(self, names: Sequence[str]) -> list[str]:
        """Cut the links to these peers, all if there is no name; all that are cut. Raises KeyError: no such member."""
        known = [entry.name for entry in self.members.now.others]
        for name in names:
            if name not in known:
                raise KeyError(name)
        self.group.cut(names or known)
        with self._lock:
            for name in names or known:
                if name in self._peers:
                    self._peers[name].hold()
        return self.group.cut_off

    def heal(self, names: Sequence[str]) -> list[str]:
        """Mend the links to these peers, all if there is no name; those that are still cut."""
        healed = names or self.group.cut_off
        self.group.heal(healed)
        with self._lock:
            for name in healed:
                if name in self._peers:
                    self._peers[name].wake()
        return self.group.cut_off

    # What clients merge

    def merge(self, delta: bytes) -> Merged:
        """As Replica.merge, and nothing enters that is as old as what we promised. Raises as it does, and TooOld."""
        if self.replica.suspended is not None:
            raise Unavailable(self.replica.suspended)
        with self.group.promise.entering() as bar:
            return self.replica.merge(delta, least_hlc=bar)

    # What is told

    def stats(self) -> dict[str, object]:
        """The part of `/stats` that is about the group."""
        held = self.group.frontier()
        with self._lock:
            peers = {peer.name: {"state": peer.state, "pushed": peer.pushed, "dropped": peer.dropped}
                     for peer in self._peers.values()}
        return {"gc": {"frontier": held.hlc, "held_by": held.by, "collected": self.collected,
                       "floor": self.replica.table.floor},
                "skewed": self.skews, "peers": peers}

    def answered(self, peer: str, kind: str, received: int, sent: int) -> None:
        """Count what a member's request took."""
        self._count(peer, f"answered {kind}", "received", received)
        self._count(peer, f"answered {kind}", "sent", sent)
        with self._lock:
            one = self._peers.get(peer)
        if one is not None and kind == "exchange" and one.state != "up":
            one.wake()          # it is back, and need not wait for our next try

    # In threads of ours

    def _tend(self) -> None:
        while not self._stop.wait(self.settings.gc_interval_s):
            if self.group.joining or self.skewed:
                continue        # neither an empty replica nor a wrong clock may promise anything
            try:
                self.collected += self.group.tend()
            except (OSError, Unavailable) as error:
                log.warning("not collected reason=%s", error)
            except Exception:
                log.exception("collection failed")

    def _count(self, peer: str, kind: str, way: str, n: int) -> None:
        with self._lock:
            self.bytes[peer, kind, way] += n

    def _won(self, cells: list[bytes]) -> None:
        if self.settings.push:
            with self._lock:
                peers = list(self._peers.values())
            for peer in peers:
                peer.offer(cells)

    def _came_from(self, name: str, delta: bytes, repair: bool) -> None:
        """What was pushed to us goes on to the others, not back. What repaired us is pushed to nobody: it may be all
        there is, and the others find in their own next exchange what they lack of it.
        """
        with self._lock:
            peers = list(self._peers.values()) if repair else [self._peers[name]] if name in self._peers else []
        try:
            known = {hash(cell) for cell in split(delta)}
        except Damaged:
            return              # the merge will say so
        for peer in peers:
            peer.has(known)

    def _judge(self) -> None:
        """After each try of a peer: do we still copy, and is our clock ahead?"""
        with self._lock:
            peers = list(self._peers.values())
            self._judge_clock(peers)
            has_joined = self.group.joining and self._has_joined(peers)
            # One sentence for both: whoever is refused must know why.
            if self.group.joining and not has_joined:
                self.replica.suspended = self.waiting
            elif self.skewed:
                self.replica.suspended = "the clock of this replica is ahead of its peers'"
            else:
                self.replica.suspended = None
            if has_joined:      # last: whoever reads our values must not be told by /healthz that we are suspended
                self.group.joining = False
                log.info("joined peers=%s", ",".join(f"{peer.name}:{peer.state}" for peer in peers) or "-")

    @staticmethod
    def _has_joined(peers: list[Peer]) -> bool:
        """Whether a member was copied from, or there is nobody to copy from.

        Nobody: each peer failed twice in a row, so a dead one or a partition keeps no replica from serving; or is as
        empty as we are. One that refuses us is waited for: it will know us once somebody has told it to.
        """
        outcomes = [peer.outcome for peer in peers if peer.outcome is not None and peer.state == "up"]
        if any(outcome.same_group and not outcome.other_joining for outcome in outcomes):
            return True

        def is_no_help(peer: Peer) -> bool:
            if peer.state == "up":
                return peer.outcome is not None and peer.outcome.other_joining and peer.outcome.same_group
            return peer.state in ("down", "cut") and peer.failures >= HOPELESS

        return all(map(is_no_help, peers))

    def _judge_clock(self, peers: list[Peer]) -> None:
        """Most of those that told their clock lately are behind ours by more than the bound: ours is wrong."""
        settings = self.settings
        fresh_s = self.group.now_s() - 3 * (settings.interval_s + settings.timeout_s)
        skews = [peer.skew_ms for peer in peers if peer.skew_ms is not None and peer.measured_s > fresh_s]
        # Our next stamp may be ahead of our wall clock too: it once was, or a peer's is.
        lead_ms = max(0, (self.replica.table.clock >> 16) - self.replica.table.wall())
        behind = sum(lead_ms - skew_ms > settings.max_drift_s * 1000 for skew_ms in skews)
        skewed = 2 * behind > len(skews)
        if skewed != self.skewed:
            self.skewed = skewed
            self.skews += skewed
            log.log(logging.ERROR if skewed else logging.INFO, "own clock %s peers=%d",
                    "is ahead: writes are refused" if skewed else "agrees with most peers", len(skews))
