"""Counts, sums, least and greatest values over all shards: exact, also while rows move.

A shard whose rows all count is asked for its totals. Any other says them slot by slot, and those of slots that are
another's are left out; the rows of slots that move away from it are read one by one, and those that count are added.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from hotpath.shard.engine import Value
from hotpath.shard.rows.aggregates import Summary, Totals
from hotpath.shard.rows.sql import where_sql
from hotpath.shard.schema import Key, key_of_mark, quoted
from hotpath.shard.topology import Move, MoveState, Topology

from .asker import Asker
from .look import Look, padded
from .reader import Readers

# Rows of moving slots that are read at once, and runs of slots that they are read from.
PIECE = 1000
RUNS_AT_ONCE = 64


class Aggregates(Asker):
    """The aggregates of one table."""

    def totals(self, summary: Summary) -> Totals:
        """What `summary` asks for. Raises ShardUnavailable if one shard cannot answer."""
        return self.settled(lambda topology: self._totals(topology, summary))

    def _totals(self, topology: Topology, summary: Summary) -> Totals:
        totals = Totals(summary.aggregates)
        with self.looking(topology) as look:
            parts = _Parts(look, summary, totals, self._readers)
            for name, groups in look.ask(parts.groups).items():
                for group in groups:
                    parts.add(name, group)
            for move in topology.moves:
                # Rows are read only where it takes another shard's marks to know whose they are.
                if move.state is MoveState.DUAL:
                    parts.add_uncopied(move)
                elif move.state is MoveState.REVERSE:
                    parts.add_moving(move.source, move.slots.runs)
                    parts.add_moving(move.target, move.slots.runs)
        return totals


class _Parts:
    """What each shard has to say to one request."""

    def __init__(self, look: Look, summary: Summary, totals: Totals, readers: Readers) -> None:
        self._look = look
        self._summary = summary
        self._totals = totals
        self._table = summary.table
        columns = tuple(dict.fromkeys((summary.table.key.name, *totals.needed)))
        self._readers = {name: readers.of(look.dialect(name), columns) for name in look.names}

    def groups(self, name: str) -> list[tuple[Value, ...]]:
        """Rows of totals with a slot in front of each; None: of all of them."""
        codec = self._readers[name].codec
        condition, values = where_sql(self._summary.where, codec)
        columns = self._totals.columns(codec)
        rest = f"FROM {quoted(self._table.name)} WHERE {condition}"
        if not self._look.is_held(name):
            return self._look.rows(name, f"NULL, {columns}", rest, values)
        return self._look.rows(name, f"_hp_slot, {columns}", f"{rest} GROUP BY _hp_slot", values)

    def add(self, name: str, group: tuple[Value, ...]) -> None:
        """One row of `groups`, unless its slot is another shard's, or needs a closer look."""
        slot, *values = group
        if slot is not None:
            route = self._look.topology.routes[slot]        # type: ignore[index]       # an INT column
            if route.shard != name or route.kind == "reverse":
                return
        self._totals.add(self._readers[name].codec, values)

    def add_uncopied(self, move: Move) -> None:
        """The rows of a move that its source still answers for; all that the mover has copied it does not."""
        copied = self._look.copied(move)
        if copied is None:
            self.add_moving(move.source, move.slots.runs)
            return
        slot, mark = copied
        rest = [(max(first, slot + 1), last) for first, last in move.slots.runs if last > slot]
        self.add_moving(move.source, [(slot, slot)], behind=key_of_mark(self._table, mark))
        self.add_moving(move.source, rest)

    def add_moving(self, name: str, runs: Sequence[tuple[int, int]], *, behind: Key | None = None) -> None:
        """The rows of these slots on one shard that count, one by one; `behind`: only of keys above it."""
        reader = self._readers[name]
        key = quoted(self._table.key.name)
        condition, values = where_sql(self._summary.where, reader.codec)
        if behind is not None:
            condition, values = f"{condition} AND {key} > ?", (*values, reader.codec.key(behind))
        for some in padded(runs, RUNS_AT_ONCE):
            after, place = "", ()       # type: str, tuple[Value, ...]
            slots = " OR ".join(["_hp_slot BETWEEN ? AND ?"] * len(some))
            while True:
                piece = self._look.rows(
                    name, f"{reader.columns}, _hp_slot",
                    f"FROM {quoted(self._table.name)} WHERE {condition} AND ({slots}){after} "
                    f"ORDER BY _hp_slot, {key} LIMIT ?", (*values, *chain(*some), *place, PIECE))
                for found in self._look.counting(name, piece, reader.key):
                    self._totals.add_row(reader.row(found))
                if len(piece) < PIECE:
                    break
                slot, end = piece[-1][-1], piece[-1][0]
                after, place = f" AND (_hp_slot > ? OR (_hp_slot = ? AND {key} > ?))", (slot, slot, end)
