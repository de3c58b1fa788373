"""Nothing that F passes can be lacking at a member: with loss, one-way links, relays, new members and lost disks."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.crdt.gossip.frontier import Frontier, Held
from tests.crdt.group import AFTER, Exchange, Group, Resurrection

NAMES = "abc"
EVERYBODY = "abcd"
who = st.sampled_from(EVERYBODY)
STEPS = st.one_of(
    st.tuples(st.just("write"), who, st.sampled_from("kl"), st.booleans()),
    st.tuples(st.just("write"), who, st.sampled_from("kl"), st.booleans()),
    st.tuples(st.just("import"), who, st.sampled_from("kl"), st.booleans(), st.integers(0, 6)),
    st.tuples(st.just("promise"), who),
    st.tuples(st.just("exchange"), who, who),
    st.tuples(st.just("exchange"), who, who),
    st.tuples(st.just("hello"), who, who),
    st.tuples(st.just("finish"), st.integers(0, 5), st.booleans(), st.booleans(), st.sampled_from((None, None, 0, 1))),
    st.tuples(st.just("push"), who, who),
    st.tuples(st.just("collect"), who),
    st.tuples(st.just("collect"), who),
    st.tuples(st.just("wait"), st.integers(1, 8)),
)
CHANGES = st.one_of(
    st.tuples(st.just("forget"), who, who),
    st.tuples(st.just("add"), who),
    st.tuples(st.just("lose"), who),
)


def play(group: Group, steps) -> None:
    under_way: list[Exchange] = []
    for step in steps:
        what, *rest = step
        if isinstance(rest[0], str) and rest[0] not in group.members and what != "add":
            continue
        match what:
            case "write":
                group.members[rest[0]].write(*rest[1:])
            case "import":
                group.members[rest[0]].write(rest[1], rest[2], max(group.now - rest[3], 1))
            case "promise" | "collect":
                getattr(group.members[rest[0]], what)()
            case "wait":
                group.now += rest[0]
            case "finish":
                if under_way:
                    told, given, cut = rest[1:]
                    group.finish(under_way[rest[0] % len(under_way)], told=told, given=given, cut=cut)
            case "exchange" | "hello" | "push":
                one, two = rest
                if one == two or two not in group.members:
                    continue
                if what == "exchange":
                    group.exchange(one, two)
                elif what == "hello" and (begun := group.hello(one, two)):
                    under_way.append(begun)
                elif what == "push" and one in group.members[two].membership.present:
                    group.deliver(group.members[one].cells, group.members[two], 1)
            case "forget":
                member, gone = group.members[rest[0]], rest[1]
                if gone in member.membership.present and gone != rest[0]:
                    member.know(member.membership.forget(gone))
            case "add":
                if rest[0] not in group.members:
                    helper = group.members["a"]
                    helper.know(helper.membership.add(rest[0], ""))
                    group.start(rest[0], "a")
            case "lose":
                if not group.members[rest[0]].joining and rest[0] != "a":
                    group.start(rest[0], "".join(sorted(group.members)))


@given(steps=st.lists(STEPS, max_size=60))
@settings(max_examples=400, deadline=None)
def test_nothing_that_a_member_lacks_is_ever_collected(steps):
    group = Group(NAMES)
    play(group, steps)
    group.settle()
    states = [member.cells for member in group.members.values()]
    for member in group.members.values():
        member.collect()
    group.settle()
    states = [{key: cell for key, cell in member.cells.items() if cell[2]} for member in group.members.values()]
    assert states.count(states[0]) == len(states)


@given(steps=st.lists(st.one_of(STEPS, STEPS, STEPS, CHANGES), max_size=70))
@settings(max_examples=600, deadline=None)
def test_nor_while_members_come_go_and_lose_their_disks(steps):
    play(Group(NAMES), steps)


@given(steps=st.lists(STEPS, max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_last_write_of_each_key_is_what_all_end_up_with(steps):
    group = Group(NAMES)
    written: dict[str, tuple[int, str, bool]] = {}

    def keep(take):
        def taken(key, cell):
            written[key] = max(written.get(key, cell), cell)
            take(key, cell)
        return taken

    for member in group.members.values():
        member.take = keep(member.take)         # every cell passes here first at the replica where it enters
    play(group, steps)
    group.settle()
    for member in group.members.values():
        assert {key: cell for key, cell in member.cells.items() if cell[2]} == {
            key: cell for key, cell in written.items() if cell[2]}


@given(steps=st.lists(st.one_of(STEPS, CHANGES), max_size=60))
@settings(max_examples=200, deadline=None)
def test_rows_only_rise_within_a_group(steps):
    group, seen = Group(NAMES), {}
    for step in steps:
        play(group, [step])
        for name, member in group.members.items():
            key = (name, member.membership.life, member.membership.group)
            row = member.frontier.row
            assert all(row.get(origin, 0) >= hlc for origin, hlc in seen.get(key, {}).items())
            seen[key] = row


def quiet(group: Group) -> None:
    """All promise as far as time has come, and tell each other twice: once to have it, once to know it of the rest."""
    group.now += 10 * AFTER
    for member in group.members.values():
        member.promise()
    group.settle()


def test_in_a_quiet_group_tombstones_go_everywhere():
    group = Group(NAMES)
    group.members["a"].write("k", True)
    group.exchange("a", "b")
    group.members["b"].write("k", False)
    quiet(group)
    for member in group.members.values():
        member.collect()
        assert member.cells == {}
        assert member.floor == group.now - AFTER


def test_what_only_a_relay_carries_moves_the_frontier_too():
    group = Group(NAMES)
    group.members["a"].write("k", False)
    group.now += 10 * AFTER
    for member in group.members.values():
        member.promise()
    for _ in range(4):
        group.exchange("a", "b")        # a and c never speak
        group.exchange("c", "b")
    assert group.members["a"].frontier.frontier().hlc == group.now - AFTER
    assert group.members["c"].frontier.frontier().hlc == group.now - AFTER


def test_a_silent_member_holds_the_frontier_back_and_is_named():
    group = Group(NAMES)
    group.now = 100
    for name in "ab":
        group.members[name].promise()
    for _ in range(3):
        group.exchange("a", "b")
    assert group.members["a"].frontier.frontier() == Held(0, "c")
    group.members["a"].know(group.members["a"].membership.forget("c"))
    for _ in range(4):
        group.exchange("a", "b")
        group.exchange("b", "a")
    assert group.members["a"].frontier.frontier().hlc == 100 - AFTER


def tombstone_of_c_at_a_alone() -> Group:
    """All have k; c removed it, and only a heard of that."""
    group = Group(NAMES)
    group.members["b"].write("k", True)
    group.settle()
    group.members["c"].write("k", False)
    group.now += 10 * AFTER
    for member in group.members.values():
        member.promise()
    for _ in range(2):
        group.exchange("a", "b")
    group.exchange("c", "a")                    # after a promised, and b learned of it: it entered at c
    return group


def test_what_a_forgotten_member_left_at_one_reaches_all_before_it_is_collected():
    group = tombstone_of_c_at_a_alone()
    for name in "ab":
        member = group.members[name]
        member.know(member.membership.forget("c"))
    for _ in range(3):
        group.hello("a", "b")
        group.hello("b", "a")
    group.members["a"].collect()
    assert group.members["a"].floor == 0
    group.settle()
    group.members["a"].collect()
    assert group.members["a"].floor == group.now - AFTER


def test_who_forgets_a_member_first_waits_until_the_others_did():
    group = Group(NAMES)
    quiet(group)
    group.now += 10 * AFTER
    member = group.members["a"]
    said = group.members["b"].membership.group, group.members["b"].frontier.row
    member.know(member.membership.forget("c"))
    member.frontier.heard("b", *said)
    assert member.frontier.frontier() == Held(0, "b")
    assert member.frontier.rows == {}


def test_what_a_lost_disk_had_given_to_one_reaches_all_before_it_is_collected():
    group = tombstone_of_c_at_a_alone()
    group.start("c", "ab")
    for _ in range(3):
        group.exchange("c", "b")
        group.members["c"].promise()
        group.members["a"].collect()
        group.hello("a", "b")
        group.hello("a", "c")
    assert not group.members["c"].joining
    assert group.members["a"].floor == 0
    assert "k" in group.members["a"].cells


def test_a_copy_counts_only_once_the_other_knows_of_the_new_life():
    group = Group(NAMES)
    group.members["b"].write("k", True)
    group.settle()
    group.start("c", "ab")
    group.exchange("c", "a")                    # a still takes it for the old life, which counts higher
    assert group.members["c"].joining
    group.exchange("c", "a")
    assert not group.members["c"].joining
    assert group.members["c"].cells == group.members["a"].cells


def test_a_forgotten_replica_knows_no_frontier():
    frontier = Frontier("a", "ab", 1)
    frontier.promise(50)
    frontier.regroup({"b"}, 2)
    assert frontier.frontier() == Held(0, "a")


def test_rows_of_another_group_count_for_nothing():
    frontier = Frontier("a", "ab", 1)
    frontier.promise(50)
    frontier.learned("b", 2, {"a": 50, "b": 50})
    assert frontier.frontier() == Held(0, "b")
    frontier.learned("b", 1, {"a": 40, "b": 45, "z": 99})
    assert frontier.frontier() == Held(40, "b")
    assert frontier.row == {"a": 50, "b": 45}


def left_behind(group: Group) -> None:
    """b has k, a removed it; b was away meanwhile, and time passed."""
    group.members["a"].write("k", True)
    group.settle()
    group.members["a"].write("k", False)
    group.now += 10 * AFTER
    for member in group.members.values():
        member.promise()
    for _ in range(3):
        group.exchange("a", "c")


def test_collecting_before_the_frontier_is_caught_and_does_resurrect():
    group = Group(NAMES)
    left_behind(group)
    member = group.members["a"]
    assert member.frontier.frontier().hlc < member.frontier.promised
    with pytest.raises(Resurrection, match="b lacks k"):
        member.collect(member.frontier.promised)
    for name in "ac":                   # done all the same, and forgetful of the floor
        group.members[name].drop(group.now)
        group.members[name].floor = 0
    group.settle()
    assert all(member.cells["k"][2] for member in group.members.values())


def test_a_row_raised_before_the_exchange_is_whole_is_caught():
    group = Group(NAMES)
    left_behind(group)
    for one, two in ("ab", "ba", "cb", "bc"):
        begun = group.hello(one, two)
        group.finish(begun, cut=0)      # no cell arrived
        begun.asker.frontier.learned(two, *begun.said[1])
        begun.answerer.frontier.learned(one, *begun.said[0])
    group.hello("b", "a")
    with pytest.raises(Resurrection, match="b lacks k"):
        group.members["a"].collect()
