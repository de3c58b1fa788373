"""How two replicas become equal: the side that asks, and the side that answers.

    asker                                   answerer
    hello: row, floor, root         ->      learns, collects up to the greater floor
                                    <-      hello: row, floor, root, digest if the roots differ
    ask: fingerprints of buckets    ->
                                    <-      told: cells the asker lacks, fingerprints of those it lacks itself
    give: the wanted cells          ->      merges
    ...                                     until all differing buckets are done
    give: complete, the row said    ->      has all that this row claims

Where both lack many cells of each other, most are two versions of the same keys, and one of each pair is sent for
nothing. Then `told` has only keys and stamps: the asker gives what is not beaten there, and wants what beats its own.

    give: cells that win            ->      merges
    want: keys                      ->
                                    <-      told: the cells

A row advances at its end only, to what the other said at its beginning. The bytes are those of the difference, and
8 for each cell that shares one of the 4096 buckets with it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hotpath.core.data.lww import Damaged, bundle, differing, encode, parse, split
from hotpath.crdt.journal import Unavailable

from .group import Group, Refusal
from .messages import MOST_WANTED, Ask, BadMessage, Give, Hello, Taken, Told, Want, decode_cells

# Of cells in one message: a journal group of this size is written in milliseconds.
CHUNK_BYTES = 1024 * 1024
# Of fingerprints in one message: buckets beyond it wait for the next.
ASK_BYTES = 256 * 1024
# Up to here cells are told at once: one trip less is worth more than the bytes that may be for nothing.
TOLD_AT_ONCE = 64 * 1024
# Cells picked at once, before their sizes are known.
FIRST_PICK = 64
MOST_PICKED = 4096

Post = Callable[[str, str, bytes], bytes]       # kind (for counting), path, body -> the answer's body
# Told before a delta is merged: who has it for certain, and whether it is part of an exchange.
CameFrom = Callable[[str, bytes, bool], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended."""

    whole: bool             # whatever the other had at its beginning is here
    same_group: bool        # and both knew the same membership
    other_joining: bool


class Asker:
    """One exchange that we begin."""

    def __init__(self, group: Group, peer: str, post: Post, came_from: CameFrom) -> None:
        """With the member `peer`, reached by `post`; `came_from` is told what it gives."""
        self._group = group
        self._table = group.replica.table
        self._peer = peer
        self._post = post
        self._came_from = came_from
        self._gave_all = True
        self.skew_ms: int | None = None         # the other's clock before ours, also of an exchange that fails then

    def run(self) -> Outcome:
        """Raises Refusal, BadMessage, Unavailable, and what `post` raises."""
        group = self._group
        mine = group.hello()
        before_ms = self._table.wall()
        answer = Hello.decode(self._post("exchange", "/sync/exchange", mine.encode()))
        # Half the way there, half back: then the other looked at its clock.
        self.skew_ms = answer.clock_ms - (before_ms + self._table.wall()) // 2
        if answer.speaker.name != self._peer:
            raise Refusal(409, "other replica", f"{answer.speaker.name} answers where {self._peer} should")
        group.admit(answer.speaker, at_its_url=True)
        group.meet(answer)
        group.collect_to(answer.floor)
        if answer.root != mine.root:
            self._equalize(answer.digest)
            if self._gave_all:
                self._give(complete=mine)
        group.learned(self._peer, answer.group, answer.row)
        return Outcome(True, group.is_of_our_group(answer.group), answer.joining)

    def _equalize(self, digest: bytes) -> None:
        try:
            buckets = differing(self._table.digest(), digest)
        except (Damaged, ValueError) as error:
            raise BadMessage(str(error)) from None
        while buckets:
            asked, prints = self._fingerprints(buckets)
            ask = Ask(self._group.members.speaker, CHUNK_BYTES, prints)
            told = Told.decode(self._post("cells", "/sync/cells", ask.encode()))
            if told.done > len(asked):
                raise BadMessage(f"{told.done} of {len(asked)} buckets done")
            heads = _heads_in(told.delta) if told.heads or told.wanted else {}
            # What loses there is not given, and must be picked before what beats it is here.
            self._give_wanted(asked[:told.done], told.wanted, heads)
            if told.heads:
                self._want(heads)
            else:
                self._take(told.delta)
            buckets = buckets[told.done:]

    def _take(self, delta: bytes) -> None:
        self._not_cut()
        self._came_from(self._peer, delta, True)
        _merged, dead = self._group.take(delta)
        if dead:
            self._give(dead)

    def _want(self, heads: dict[bytes, int]) -> None:
        """The cells with these heads, but for those that ours beat."""
        keys = []
        for key, hlc in heads.items():
            ours = self._table.read(key)
            if ours is None or ours[0].hlc <= hlc:
                keys.append(key)
        while keys:
            some = next(portions(keys[:MOST_WANTED], CHUNK_BYTES))
            want = Want(self._group.members.speaker, tuple(some))
            told = Told.decode(self._post("cells", "/sync/cells", want.encode()))
            if told.heads or told.done > len(want.keys):
                raise BadMessage(f"{told.done} of {len(want.keys)} keys done, heads {told.heads}")
            self._take(told.delta)
            if {parse(cell)[0] for cell in split(told.delta)} != set(want.keys[:told.done]):
                # It collected them meanwhile: this exchange is not whole, the next one will be.
                raise Unavailable(f"{self._peer} no longer has what it told")
            keys = keys[told.done:]

    def _fingerprints(self, buckets: list[int]) -> tuple[list[int], bytes]:
        """As many of the buckets, from the first, as one message holds, and what we have in them."""
        asked = buckets[:1]
        prints = self._table.fingerprints(asked)
        while len(prints) < ASK_BYTES and len(asked) < len(buckets):
            # As many as there are, so that a table with few keys needs one look.
            more = buckets[len(asked):2 * len(asked)]
            prints += self._table.fingerprints(more)
            asked = asked + more
        return asked, prints

    def _give_wanted(self, buckets: list[int], wanted: bytes, heads: dict[bytes, int]) -> None:
        """Our cells that the other wants, unless one of its own, with these heads, beats them."""
        at, n = 0, FIRST_PICK
        while at < len(wanted):
            some = wanted[at:at + 8 * n]
            delta = self._table.pick(buckets, some)
            cells = split(delta)
            if len(cells) < len(some) // 8:
                # Overwritten meanwhile: the other lacks what came in its place.
                self._gave_all = False
            if heads:
                cells = [cell for cell in cells if not _is_beaten(cell, heads)]
            self._group.replica.barrier()
            for part in portions(cells, CHUNK_BYTES):
                self._give(bundle(part, self._group.replica.bias))
            at += len(some)
            n = max(1, min(MOST_PICKED, n * CHUNK_BYTES // max(len(delta), 1)))

    def _give(self, delta: bytes = b"", *, complete: Hello | None = None) -> None:
        speaker = self._group.members.speaker
        give = Give(speaker, delta, repair=True)
        if complete is not None:
            give = Give(speaker, delta, True, True, complete.group, complete.row)
        taken = Taken.decode(self._post("cells", "/sync/cells", give.encode()))
        if taken.dead:
            self._not_cut()
            self._group.bury(taken.dead)

    def _not_cut(self) -> None:
        if self._group.is_cut(self._peer):
            raise Refusal(503, "cut", f"{self._group.name} is cut off from {self._peer}")


class Answerer:
    """What members ask of us."""

    def __init__(self, group: Group, came_from: CameFrom) -> None:
        """`came_from` is told what a member gives."""
        self._group = group
        self._came_from = came_from

    def exchange(self, body: bytes) -> tuple[str, bytes]:
        """To /sync/exchange: who asked, the answer. Raises Refusal, BadMessage, Unavailable."""
        group = self._group
        hello = Hello.decode(body)
        name = hello.speaker.name
        group.admit(hello.speaker)
        group.meet(hello)
        group.collect_to(hello.floor)
        mine = group.hello(hello.root)
        if mine.root == hello.root:
            group.learned(name, hello.group, hello.row)
        else:
            group.answering(name, first=True)
        return name, mine.encode()

    def cells(self, body: bytes) -> tuple[str, bytes]:
        """To /sync/cells: who asked, the answer. Raises Refusal, BadMessage, Unavailable."""
        message = decode_cells(body)
        group = self._group
        name = message.speaker.name
        group.admit(message.speaker)
        if isinstance(message, Ask):
            group.answering(name)
            return name, self._tell(message)
        if isinstance(message, Want):
            group.answering(name)
            return name, self._tell_cells(message)
        applied = ignored = stale = 0
        dead = b""
        if message.delta:
            self._came_from(name, message.delta, message.repair)
            (applied, ignored, stale), dead = group.take(message.delta)
        if message.repair:
            group.answering(name)
        if message.complete and message.row is not None:
            group.answered(name)
            if not dead:
                group.learned(name, message.group, message.row)
        return name, Taken(applied, ignored, stale, dead).encode()

    def _tell(self, ask: Ask) -> bytes:
        table = self._group.replica.table
        try:
            delta, wanted, done = table.missing(ask.fingerprints, min(max(ask.limit, 1), CHUNK_BYTES))
        except Damaged as error:
            raise BadMessage(str(error)) from None
        self._group.replica.barrier()
        if wanted and len(delta) > TOLD_AT_ONCE:
            cells = split(delta)
            heads = _heads_of(cells, self._group.replica.bias)
            # Each cell that we lack makes at most one of ours needless; and the heads are followed by keys.
            if len(delta) * min(len(wanted) // 8, len(cells)) > 2 * len(heads) * len(cells):
                return Told(done, wanted, heads, heads=True).encode()
        return Told(done, wanted, delta).encode()

    def _tell_cells(self, want: Want) -> bytes:
        cells: list[bytes] = []
        done = size = 0
        while done < len(want.keys) and size < CHUNK_BYTES:
            key = want.keys[done]
            found = self._group.replica.table.read(key)
            if found is not None:
                stamp, tag, body = found
                cells.append(encode(key, stamp, tag >= 0, bytes([tag]) + body if tag >= 0 else b""))
                size += len(cells[-1])
            done += 1
        self._group.replica.barrier()
        return Told(done, b"", bundle(cells, self._group.replica.bias)).encode()


def _heads_of(cells: list[bytes], bias: str) -> bytes:
    heads = []
    for cell in cells:
        key, stamp, _live, _payload = parse(cell)
        heads.append(encode(key, stamp, False, b""))
    return bundle(heads, bias)


def _heads_in(delta: bytes) -> dict[bytes, int]:
    """The hlc of each key. Of equal hlcs the bias may decide, or the contents: only the merge knows."""
    try:
        return {key: stamp.hlc for key, stamp, _live, _payload in map(parse, split(delta))}
    except Damaged as error:
        raise BadMessage(str(error)) from None


def _is_beaten(cell: bytes, heads: dict[bytes, int]) -> bool:
    key, stamp, _live, _payload = parse(cell)
    head = heads.get(key)
    return head is not None and stamp.hlc < head


def portions(cells: list[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """The cells in order, in lists of at most that many bytes, or of one cell."""
    part: list[bytes] = []
    size = 0
    for cell in cells:
        if part and size + len(cell) > most_bytes:
            yield part
            part, size = [], 0
        part.append(cell)
        size += len(cell)
    if part:
        yield part
