"""One key whose slot moves: N answers if it has a mark of the key, else O, which is frozen.

`N` and `O` are the new and the old shard of the move; `here` is the one that takes writes, `there` the other. In a move
that goes forward here is N; in one that is taken back, here is O again, and N's row counts if a client wrote it there.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from hotpath.shard import steps
from hotpath.shard.engine import Session, Shard, Value
from hotpath.shard.schema import STRIPES, Key, Row, mark_of
from hotpath.shard.topology import Route

from .statements import KNOWN_MARK, LOCKED_EPOCH, MARK, NEW_MARK, PULLED

if TYPE_CHECKING:
    from .store import Side, Store


class Foreign(Exception):
    """A shard is in another epoch than the map says: start over with the next map."""

    def __init__(self, shard: str) -> None:
        super().__init__(shard)
        self.shard = shard


class Undone(Exception):
    """The operation changes nothing: undo its mark too, and answer `result`."""

    def __init__(self, result: bool) -> None:
        super().__init__(result)
        self.result = result


class Moving:
    """One operation on one key."""

    def __init__(self, store: Store, route: Route, slot: int, key: Key) -> None:
        assert route.source is not None
        self._store = store
        self._route = route
        self._key = key
        self._slot = slot
        self._stripe = slot % STRIPES
        self._mark = (store.table.name.encode(), slot, mark_of(key))
        self._here = store.directory.shard(route.shard)
        self._there = store.directory.shard(route.source)

    @property
    def here(self) -> str:
        """The shard that takes writes."""
        return self._route.shard

    # ---- reading

    def read(self) -> tuple[tuple[Row | None], str]:
        """The row, in a tuple, and who had it. Foreign."""
        route = self._route
        side = self._store.side(self._here.dialect)
        epoch, dirty, *row = self._ask(self._here, side)
        if epoch != route.epoch:
            raise Foreign(route.shard)
        if dirty is not None:
            return (self._row(side, row),), route.shard
        self._store.directory.counts.add("fallback_reads")
        steps.reached("read: no mark here")
        theirs, is_theirs = self._there_row()
        if is_theirs:
            return (self._row(self._store.side(self._there.dialect), theirs),), cast(str, route.source)
        return (self._row(side, row),), route.shard

    def _there_row(self) -> tuple[list[Value], bool]:
        """The other shard's row, and whether it counts. Foreign."""
        route = self._route
        epoch, dirty, *row = self._ask(self._there, self._store.side(self._there.dialect))
        if epoch != route.source_epoch:
            raise Foreign(cast(str, route.source))
        # Forward: what is not marked here stands there. Back: there stands only what a client wrote.
        return row, route.kind == "dual" or cast(int, dirty or 0) > 0

    def _ask(self, shard: Shard, side: Side) -> tuple[Value, ...]:
        return shard.rows(side.sql.marked_read, (side.codec.key(self._key), *self._mark, self._stripe))[0]

    def _row(self, side: Side, row: list[Value]) -> Row | None:
        return None if row[self._store.table.key_at] is None else side.codec.row(row)

    # ---- writing

    def write(self, change: Callable[[Session, Side], bool]) -> bool:
        """`change` on the shard that takes writes, once the row and its mark are there, as one. Foreign."""
        side = self._store.side(self._here.dialect)

        def turn(session: Session) -> bool:
            if session.rows(LOCKED_EPOCH[self._here.dialect], (self._stripe,))[0][0] != self._route.epoch:
                raise Foreign(self._route.shard)
            steps.reached("write: fence held")
            if self._is_new_mark(session):
                self._pull(session, side)
            return change(session, side)

        try:
            done = self._here.write(turn)
        except Undone as undone:
            return undone.result
        steps.reached("write: committed")
        return done

    def _is_new_mark(self, session: Session) -> bool:
        """Make the mark or count one more write to it; either way it is ours until the transaction is over."""
        if self._here.dialect == "mysql":
            return session.run(MARK, self._mark) == 1
        if session.run(NEW_MARK, self._mark):
            return True
        session.run(KNOWN_MARK, self._mark)
        return False

    def _pull(self, session: Session, side: Side) -> None:
        """Bring the row along that counts there, so that what is changed is what it was."""
        # On a connection of its own and without a lock: there the key is frozen.
        theirs, is_theirs = self._there_row()
        steps.reached("write: row read there")
        if not is_theirs:
            return
        key = side.codec.key(self._key)
        if self._route.kind == "reverse":
            session.run(side.sql.plain_delete, (key,))
        row = self._row(self._store.side(self._there.dialect), theirs)
        if row is not None:
            session.run(side.sql.plain_insert, (*side.codec.values(row), self._slot))
            session.run(PULLED, self._mark)
            self._store.directory.counts.add("pulls")
        steps.reached("write: row pulled")
