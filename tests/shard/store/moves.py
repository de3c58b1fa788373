"""A cluster of SQLite files whose moves a test turns step by step, key by key, through the real transitions."""
from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from hotpath.core.errors import DuplicateKey
from hotpath.shard import ddl
from hotpath.shard.config import PoolConfig
from hotpath.shard.directory import Directory, fence_of
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine import Session, Statement, sqlite
from hotpath.shard.meta import Facts, Meta
from hotpath.shard.rows.codec import Codec
from hotpath.shard.schema import SLOTS, Column, Key, Row, Table, key_of_mark, mark_of, slot_of
from hotpath.shard.store import Store
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology
from hotpath.shard.transitions import announce, back, clean, complete, open_source, purged, reverse, settle

POSTS = Table("order", (Column("id", "bigint", generate=True), Column("group", "string", 64, nullable=True),
                        Column("likes", "int", has_default=True, default=0)), 0)
TBL = POSTS.name.encode()
CODEC = Codec(POSTS, "sqlite")

ROWS = Statement("SELECT `id`, `group`, `likes`, _hp_slot FROM `order` ORDER BY `id`")
ROW = Statement("SELECT `id`, `group`, `likes` FROM `order` WHERE `id` = ?")
PUT = Statement("INSERT INTO `order` (`id`, `group`, `likes`, _hp_slot) VALUES (?, ?, ?, ?)")
DROP = Statement("DELETE FROM `order` WHERE `id` = ?")
MARKS = Statement("SELECT k, dirty FROM _hp_moved")
MARK = Statement("SELECT dirty FROM _hp_moved WHERE k = ?")
ADD_MARK = Statement("INSERT INTO _hp_moved (tbl, slot, k, dirty, pulled) VALUES (?, ?, ?, 0, 0)")
DROP_MARKS = Statement("DELETE FROM _hp_moved")


class Ids:
    """1, 2, 3, …"""

    def __init__(self) -> None:
        self._n = count(1)

    def next(self) -> int:
        return next(self._n)


class Cluster:
    """Shards `names`, of which the first two own all slots at first; routers are made by `store`."""

    def __init__(self, *names: str, fenced: bool = True) -> None:
        # In memory: each commit is synced, and there are thousands.
        self.folder = Path(tempfile.mkdtemp(prefix="hp", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.pool = PoolConfig(wait=5.0, statement=5.0)
        self.fenced = fenced
        for name in (*names, "meta"):
            sqlite.create(str(self.folder / f"{name}.db"))
        meta = self._meta()
        members = tuple(self.member(name) for name in names[:2])
        self._opened: list[Directory] = []
        meta.create(Topology(1, members, dict.fromkeys(names[:2], 0),
                             array("H", (slot % 2 for slot in range(SLOTS)))),
                    Facts("c", "embedded", 1, fenced, {}))
        self.mover = self._directory()
        for name in names:
            shard = sqlite.SqliteShard(name, self._endpoint(name), self.pool)
            ddl.sidecars(shard)
            ddl.create(shard, [POSTS])
            shard.close()

    def close(self) -> None:
        for directory in self._opened:
            directory.close()
            directory.meta.close()
        shutil.rmtree(self.folder)

    def _endpoint(self, name: str) -> Endpoint:
        return Endpoint("sqlite", path=str(self.folder / f"{name}.db"))

    def member(self, name: str) -> Member:
        return Member(name, 1.0, "active", str(self._endpoint(name)))

    def _meta(self) -> Meta:
        return Meta.open(self._endpoint("meta"), self.pool)

    def _directory(self) -> Directory:
        self._opened.append(Directory(self._meta(), self.pool))
        return self._opened[-1]

    def store(self) -> Store:
        """A router with a map of its own."""
        return Store(POSTS, self._directory(), Ids(), fenced=self.fenced, wait_s=5.0)

    # ---- transitions

    @property
    def topology(self) -> Topology:
        return self.mover.topology

    def plan(self, slots: Iterable[int], source: str, target: str) -> None:
        """A move of `slots`; the target joins if it is new."""
        joins = all(one.name != target for one in self.topology.members)
        moves = [Move("m", source, target, MoveState.PLANNED, Slots(slots))]
        self.mover.apply(announce(self.topology, self.member(target) if joins else None,
                                  self.epoch(target) + 1, moves))

    def epoch(self, name: str) -> int:
        """Of its fence."""
        shard = sqlite.SqliteShard(name, self._endpoint(name), self.pool)
        with shard.reading() as session:
            low, high = fence_of(session)
        shard.close()
        assert low == high
        return high

    def open(self) -> None:
        self.mover.apply(open_source(self.topology, self.topology.moves[0].source))

    def complete(self) -> None:
        self.mover.apply(complete(self.topology))

    def clean(self) -> None:
        self.mover.apply(clean(self.topology))

    def reverse(self) -> None:
        self.mover.apply(reverse(self.topology))

    def back(self) -> None:
        self.mover.apply(back(self.topology))

    def settle(self, *, keep: bool = False, gone: str | None = None) -> None:
        self.mover.apply(settle(self.topology, keep=keep, gone=gone))

    def end(self, name: str) -> None:
        """As a server that is stopped: what is open stays so, nobody can open it again."""
        for path in self.folder.glob(f"{name}.db*"):
            path.unlink()

    def purged(self, name: str) -> None:
        self.mover.apply(purged(self.topology, name, self.topology.kept.get(name, Slots())))

    # ---- what a mover does, a key at a time

    def copy(self, key: Key) -> None:
        """From the source to the target, unless it is marked there."""
        move = self.topology.moves[0]
        found = self.mover.aside(move.source).rows(ROW, (key,))

        def turn(session: Session) -> None:
            if session.rows(MARK, (mark_of(key),)):
                return
            session.run(ADD_MARK, (TBL, slot_of(key), mark_of(key)))
            if found:
                session.run(PUT, (*found[0], slot_of(key)))

        self.mover.aside(move.target).write(turn)

    def bring_back(self, key: Key) -> None:
        """In a cancelled move: what a client wrote on the target, to the source, unless it is marked there."""
        move = self.topology.moves[0]
        target = self.mover.aside(move.target)
        marked = target.rows(MARK, (mark_of(key),))
        found = target.rows(ROW, (key,))

        def turn(session: Session) -> None:
            if session.rows(MARK, (mark_of(key),)) or not marked or marked[0][0] == 0:
                return
            session.run(ADD_MARK, (TBL, slot_of(key), mark_of(key)))
            session.run(DROP, (key,))
            if found:
                session.run(PUT, (*found[0], slot_of(key)))

        self.mover.aside(move.source).write(turn)

    def drop(self, name: str, key: Key) -> None:
        """A row that is not this shard's any more."""
        assert slot_of(key) in self.topology.foreign[name]
        self.mover.aside(name).run(DROP, (key,))

    def drop_marks(self) -> None:
        for name in {name for move in self.topology.moves for name in (move.source, move.target)}:
            self.mover.aside(name).run(DROP_MARKS)

    # ---- what is there

    def on(self, name: str) -> dict[Key, Row]:
        """The rows of a file, whoever owns them."""
        rows = self.mover.aside(name).rows(ROWS)
        assert all(row[3] == slot_of(row[0]) for row in rows)
        return {row[0]: CODEC.row(row[:3]) for row in rows}

    def marks(self, name: str) -> dict[Key, int]:
        return {key_of_mark(POSTS, mark): dirty for mark, dirty in self.mover.aside(name).rows(MARKS)}


def applied(store: Store, row: Row) -> bool:
    """Whether an insert was new."""
    with suppress(DuplicateKey):
        store.insert(row)
        return True
    return False
