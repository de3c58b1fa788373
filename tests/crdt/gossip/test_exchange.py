"""Two replicas become equal by what differs; whatever message is lost, no row claims what is not there."""
from __future__ import annotations

from pathlib import Path

import pytest

from hotpath.core.data.lww import Stamp, bundle, encode, pack
from hotpath.crdt.gossip.exchange import Asker, portions
from hotpath.crdt.gossip.group import Refusal
from hotpath.crdt.gossip.link import LinkError
from hotpath.crdt.gossip.messages import BadMessage, Speaker
from hotpath.crdt.gossip.settings import Settings
from hotpath.crdt.journal import Unavailable
from tests.crdt.pairs import Side, Time, Wire, exchange, group_of, nothing

DAY_MS = 24 * 3600 * 1000


def promised(*sides: Side) -> None:
    for side in sides:
        side.group.tend()


def test_after_one_exchange_both_have_everything(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        for i in range(300):
            a.put(b"a%d" % i, i)
            b.put(b"b%d" % i, {"n": i})
        a.put(b"both", "old")
        b.put(b"both", "new")
        b.remove(b"a7")
        outcome = exchange(a, b)
        assert outcome.whole
        assert outcome.same_group
        assert a.cells == b.cells
        assert len(a.cells) == 601
        assert a.replica.table.digest() == b.replica.table.digest()


def test_equal_replicas_end_after_one_question(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        a.put(b"k", 1)
        exchange(a, b)
        wire = Wire(b)
        exchange(a, b, wire)
        assert wire.sent == 2
        assert wire.bytes < 1000


def test_bytes_are_those_of_the_difference(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        delta = bundle([encode(b"key-%d" % i, Stamp((Time().ms << 16) + i, "c"), True, pack("x" * 100))
                        for i in range(20_000)], "add")
        a.replica.merge(delta)
        b.replica.merge(delta)
        before = a.replica.table.stats()["bytes"]
        for i in range(200):
            a.put(b"key-%d" % (97 * i), "y" * 100)
        wire = Wire(b)
        exchange(a, b, wire)
        assert a.cells == b.cells
        changed = 200 * (24 + 10 + 104)
        assert wire.bytes < 3 * changed + 40 * 1024 < before / 10


def many(*sides: Side) -> None:
    """The same 20,000 keys at each."""
    delta = bundle([encode(b"key-%012d" % i, Stamp((Time().ms << 16) + i, "c"), True, pack("x" * 100))
                    for i in range(20_000)], "add")
    for side in sides:
        side.replica.merge(delta)


def change(side: Side, keys: range) -> int:
    """Write each of these; the bytes of their cells."""
    for i in keys:
        side.put(b"key-%012d" % i, side.name * 100)
    return len(keys) * (23 + 16 + 1 + 102)


@pytest.mark.parametrize("changed_at", ["asker", "answerer", "both"])
def test_old_versions_of_what_changed_do_not_travel(tmp_path: Path, changed_at):
    time = Time()
    time.ms += 1000
    with group_of(tmp_path, "ab", time=time) as (a, b):
        many(a, b)
        changed = 0
        # So many that their cells are more than what is told at once.
        if changed_at != "answerer":
            changed += change(a, range(0, 20_000, 33))
        if changed_at != "asker":
            changed += change(b, range(1, 20_000, 33))
        wire = Wire(b)
        outcome = exchange(a, b, wire)
        assert outcome.whole
        assert a.cells == b.cells
        assert a.replica.table.digest() == b.replica.table.digest()
        digest = len(a.replica.table.digest())
        prints = len(a.replica.table.fingerprints(range(4096)))
        # The changed cells once, heads and keys of the others, and what finds them.
        assert wire.bytes - digest - prints < 1.6 * changed


def test_many_new_cells_are_told_at_once_whatever_little_the_asker_has_of_its_own(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        many(b)
        a.put(b"one", 1)
        wire = Wire(b)
        exchange(a, b, wire)
        assert a.cells == b.cells
        assert wire.bytes < 1.1 * 20_000 * (23 + 16 + 1 + 102)


@pytest.mark.parametrize("bias", ["add", "remove"])
def test_of_equal_hlcs_the_merge_decides_and_not_the_names(tmp_path: Path, bias):
    time = Time()
    with group_of(tmp_path, "ab", time=time, bias={"a": bias, "b": bias}) as (a, b):
        for side, live in ((a, True), (b, False)):
            side.replica.merge(bundle([
                encode(b"key-%012d" % i, Stamp((time.ms << 16) + i, side.name), live ^ (i % 2 == 0),
                       pack("x" * 200) if live ^ (i % 2 == 0) else b"") for i in range(2000)], bias))
        exchange(a, b)
        assert a.cells == b.cells
        assert {cell.live for cell in a.cells.values()} == {bias == "add"}
        assert a.replica.table.digest() == b.replica.table.digest()


def test_a_row_is_learned_at_both_sides_where_keys_and_stamps_are_told_first(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        many(a, b)
        time.ms += 1000
        change(a, range(0, 20_000, 33))
        change(b, range(0, 20_000, 44))
        time.ms += 2 * DAY_MS
        promised(a, b)
        exchange(a, b)
        assert a.cells == b.cells
        assert a.row("b") > 0
        assert b.row("a") > 0


def test_what_is_told_and_then_collected_leaves_the_asker_unsure(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        many(a, b)
        time.ms += 1000
        change(a, range(0, 20_000, 33))
        change(b, range(1, 20_000, 33))
        b.remove(b"key-%012d" % 5)
        time.ms += 2 * DAY_MS
        promised(a, b)
        wire = Wire(b)

        def collect() -> None:
            if wire.sent == 4:      # told, and nothing given or wanted yet
                b.replica.collect(b.replica.table.clock)

        wire.between = collect
        with pytest.raises(Unavailable, match="no longer has"):
            exchange(a, b, wire)
        assert a.row("b") == 0
        assert b.row("a") == 0
        exchange(a, b)
        assert a.row("b") > 0
        assert a.cells == b.cells


def test_of_two_that_ask_each_other_at_once_the_lesser_name_goes_on(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        a.put(b"k", 1)
        assert a.group.ask("b")
        assert b.group.ask("a")
        with pytest.raises(Refusal) as refused:
            exchange(b, a)
        assert (refused.value.status, refused.value.title) == (503, "busy")
        exchange(a, b)
        a.group.asked("b")
        b.group.asked("a")
        assert b.group.ask("a")             # the end was told
        exchange(b, a)


def test_whoever_is_asked_asks_later_and_soon_if_the_asker_is_lost(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        a.put(b"k", 1)
        with pytest.raises(LinkError):
            exchange(a, b, Wire(b, lost=3))
        assert not b.group.ask("a")
        assert b.group.ask("a", patient=False)
        b.group.asked("a")
        time.ms += 1001
        assert b.group.ask("a")


def test_a_question_that_never_arrives_keeps_the_other_way_open(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        b.put(b"k", 1)
        assert a.group.ask("b")
        with pytest.raises(Refusal, match="asking"):
            exchange(b, a)
        exchange(b, a)
        assert a.cells == b.cells


def in_doubt(folder: Path, lost: int) -> tuple[int, list[tuple[bool, bool]]]:
    """An exchange of which one message is lost: how many went, and per side (claims to have all, has all)."""
    time = Time()
    with group_of(folder, "ab", time=time) as (a, b):
        for i in range(40):
            a.put(b"a%d" % i, i)
            b.put(b"b%d" % i, i)
        a.remove(b"b3")
        had = [set(a.cells.values()), set(b.cells.values())]
        time.ms += 2 * DAY_MS
        promised(a, b)
        wire = Wire(b, lost=lost)
        if lost:
            with pytest.raises(LinkError):
                exchange(a, b, wire)
        else:
            exchange(a, b, wire)
        facts = []
        for side, other, owed in ((a, b, had[1]), (b, a, had[0])):
            has_all = all(side.cells[cell.key].stamp >= cell.stamp if cell.key in side.cells else False
                          for cell in owed)
            facts.append((side.row(other.name) > 0, has_all))
        exchange(b, a)
        assert a.cells == b.cells
        return wire.sent, facts


def test_whatever_message_is_lost_no_row_claims_what_is_not_there(tmp_path: Path):
    whole, facts = in_doubt(tmp_path / "whole", 0)
    assert facts == [(True, True), (True, True)]
    seen = set()
    for lost in range(1, whole + 1):
        _, facts = in_doubt(tmp_path / str(lost), lost)
        for claims, has_all in facts:
            assert has_all or not claims
        seen.update(facts)
    assert (False, False) in seen       # the losses did bite


def test_what_enters_meanwhile_is_claimed_by_neither(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        a.put(b"a", 1)
        b.put(b"b", 1)
        time.ms += 2 * DAY_MS
        promised(a, b)
        before = a.row("a")
        wire = Wire(b)

        def later() -> None:
            if wire.sent:
                time.ms += 1
                for side in (a, b):
                    side.put(b"late%d" % wire.sent, 1)
                promised(a, b)

        wire.between = later
        exchange(a, b, wire)
        assert wire.sent > 4
        assert before == a.row("b") == b.row("a") < a.row("a")


def test_a_cell_overwritten_while_it_was_wanted_leaves_the_other_unsure(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        a.put(b"k", "first")
        time.ms += 2 * DAY_MS
        promised(a, b)
        wire = Wire(b)
        wanted = []
        pick = a.group.replica.table.pick

        class Racing:
            """The table, with a writer that comes between the question and the cells."""

            def __getattr__(self, name: str) -> object:
                return getattr(a.replica.table, name)

            def pick(self, buckets: list[int], fingerprints: bytes) -> bytes:
                if not wanted:
                    wanted.append(fingerprints)
                    a.put(b"k", "second")
                return pick(buckets, fingerprints)

        asker = Asker(a.group, "b", wire, nothing)
        asker._table = Racing()
        asker.run()
        assert wanted
        assert b.row("a") == 0
        assert b"k" not in b.cells
        exchange(a, b)
        assert b.row("a") > 0
        assert a.cells == b.cells


def test_tombstones_go_at_both_once_both_know_that_both_have_them(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        a.put(b"k", 1)
        exchange(a, b)
        b.remove(b"k")
        exchange(a, b)
        time.ms += 2 * DAY_MS
        promised(a, b)
        assert b"k" in a.cells
        for _ in range(2):
            exchange(a, b)
            exchange(b, a)
        assert a.group.tend() == 1
        assert a.cells == {}
        exchange(b, a)                      # b collects up to the greater floor before it compares
        assert b.cells == {}
        assert b.replica.table.floor == a.replica.table.floor > 0
        assert a.replica.table.root == b.replica.table.root


@pytest.mark.parametrize("asker", [0, 1])
def test_a_live_cell_that_the_group_collected_long_ago_is_let_go(tmp_path: Path, asker):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as sides:
        a, b = sides
        b.put(b"k", "was away")
        b.put(b"l", "stays")
        time.ms += 1
        a.put(b"l", "later")
        a.replica.collect(a.replica.table.read(b"l")[0].hlc - 1)
        exchange(sides[asker], sides[1 - asker])
        assert b"k" not in b.cells
        assert a.cells == b.cells
        assert a.replica.table.root == b.replica.table.root


def test_a_member_s_clock_beyond_the_bound_is_refused_whole_with_both_clocks(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        ahead = encode(b"ahead", Stamp(time.ms + 60_000 << 16, "b"), True, pack(1))
        b.replica.table.merged(bundle([ahead], "add"))      # its own clock let it in
        b.put(b"fine", 1)
        with pytest.raises(Refusal) as refused:
            exchange(a, b)
        assert refused.value.status == 409
        assert refused.value.more == {"local_ms": time.ms, "remote_ms": time.ms + 60_000}
        assert a.cells == {}
        with pytest.raises(Refusal, match="ahead"):         # and so when it gives
            exchange(b, a)
        assert a.cells == {}


def test_other_bias_strangers_and_the_forgotten_are_refused(tmp_path: Path):
    with group_of(tmp_path, "abc", bias={"c": "remove"}) as (a, b, c):
        with pytest.raises(Refusal, match="prefers remove"):
            exchange(c, a)
        a.group.change(lambda: a.group.members.forget("b"))
        with pytest.raises(Refusal) as refused:
            exchange(b, a)
        assert (refused.value.status, refused.value.title) == (403, "forgotten")
        with pytest.raises(Refusal) as refused:
            a.group.admit(Speaker("z", 1, 1))
        assert (refused.value.status, refused.value.title) == (403, "not a member")


def test_a_cut_link_gives_and_takes_nothing(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        a.put(b"k", 1)
        b.group.cut(["a"])
        for one, other in ((a, b), (b, a)):
            with pytest.raises(Refusal, match="cut"):
                exchange(one, other)
        assert b.cells == {}
        b.group.heal(["a"])
        exchange(b, a)
        assert a.cells == b.cells


def test_of_two_living_processes_with_one_name_the_later_is_refused(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        exchange(b, a)
        impostor = Speaker("b", 77, 5)
        with pytest.raises(Refusal) as refused:
            a.group.admit(impostor)
        assert (refused.value.status, refused.value.title) == (409, "duplicate replica")
        restarted = Speaker("b", b.group.members.speaker.origin, b.group.members.speaker.starts + 1)
        a.group.admit(restarted)            # the directory's lock says that the earlier one is gone
        with pytest.raises(Refusal, match="alive"):
            a.group.admit(b.group.members.speaker)
        time.ms += round(a.group.patience_s * 1000) + 1
        a.group.admit(impostor)             # a new disk: nobody else was heard for long
        with pytest.raises(Refusal, match="another process"):
            a.group.admit(Speaker("a", 1, 1))
        with pytest.raises(Refusal, match="itself"):
            a.group.admit(a.group.members.speaker)


def test_whoever_answers_at_a_member_s_address_is_that_member(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, _b):
        a.group.admit(Speaker("b", 1, 1))
        a.group.admit(Speaker("b", 2, 1), at_its_url=True)
        with pytest.raises(Refusal, match="alive"):
            a.group.admit(Speaker("b", 1, 1))


def test_another_replica_at_the_address_is_refused(tmp_path: Path):
    with group_of(tmp_path, "abc") as (a, b, _c), pytest.raises(Refusal, match="b answers where c should"):
        Asker(a.group, "c", Wire(b), nothing).run()


def test_a_floor_that_is_still_to_come_is_refused(tmp_path: Path):
    time = Time()
    with group_of(tmp_path, "ab", time=time) as (a, b):
        b.replica.table.collect(time.ms + 60_000 << 16)
        with pytest.raises(Refusal, match="still to come"):
            exchange(a, b)
        assert a.replica.table.floor == 0


def test_answers_that_make_no_sense_are_bad_messages(tmp_path: Path):
    with group_of(tmp_path, "ab") as (a, b):
        a.put(b"k", 1)
        for garbage in (b"", b"<html>", b"LWWX\x01\x01\0\0" + bytes(64)):
            with pytest.raises(BadMessage):
                Asker(a.group, "b", lambda kind, path, body, garbage=garbage: garbage, nothing).run()
            with pytest.raises(BadMessage):
                b.answerer.exchange(garbage)
            with pytest.raises(BadMessage):
                b.answerer.cells(garbage)


def test_a_write_that_saw_another_wins_over_it_however_wrong_the_clock(tmp_path: Path):
    fast, right = Time(), Time()
    fast.ms += 3_000
    with group_of(tmp_path / "a", "ab", settings=Settings()) as (a, b):
        a.replica.table.merged(bundle([encode(b"k", Stamp(fast.ms << 16, "a"), True, pack("seen"))], "add"))
        exchange(b, a)
        b.put(b"k", "after it")
        exchange(b, a)
        assert a.replica.table.lookup(b"k") == "after it"
    # The same with stamps of the wall clock alone: the later write is lost.
    with group_of(tmp_path / "b", "ab") as (a, b):
        a.replica.table.merged(bundle([encode(b"k", Stamp(fast.ms << 16, "a"), True, pack("seen"))], "add"))
        exchange(b, a)
        b.replica.table.merged(bundle([encode(b"k", Stamp(right.ms << 16, "b"), True, pack("after it"))], "add"))
        exchange(b, a)
        assert a.replica.table.lookup(b"k") == "seen"


def test_portions_keep_the_order_and_the_bound():
    cells = [b"a" * 40, b"b" * 70, b"c" * 200, b"d"]
    assert list(portions(cells, 100)) == [[cells[0]], [cells[1]], [cells[2]], [cells[3]]]
    assert list(portions(cells, 110)) == [cells[:2], [cells[2]], [cells[3]]]
    assert list(portions([], 10)) == []
