"""Members that are told changes in any order end up with one map."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.crdt.gossip.membership import MAX_MEMBERS, Entry, Life, Membership

NAMES = "abcd"
ENTRIES = st.builds(Entry, st.just("b"), st.integers(1, 3), st.booleans(),
                    st.builds(Life, st.integers(0, 2), st.integers(0, 2)), st.sampled_from(("", "u", "v")),
                    st.sampled_from(("", "p")))
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(("add", "forget")), st.sampled_from(NAMES),
                             st.sampled_from(("http://one", "http://two"))), max_size=12)


@given(one=ENTRIES, two=ENTRIES, three=ENTRIES)
def test_joining_entries_is_commutative_associative_and_idempotent(one, two, three):
    assert one.joined(two) == two.joined(one)
    assert one.joined(two).joined(three) == one.joined(two.joined(three))
    assert one.joined(one) == one


def changed(map_, what, name, url):
    try:
        return map_.add(name, url) if what == "add" else map_.forget(name)
    except KeyError:
        return map_


@given(changes=CHANGES, order=st.permutations(NAMES))
def test_maps_changed_anywhere_end_up_equal_with_one_group(changes, order):
    maps = {name: Membership(name, ord(name)) for name in NAMES}
    for at, what, name, url in changes:
        maps[at] = changed(maps[at], what, name, url)
    for _ in range(len(NAMES) + 2):
        for one in order:
            for two in order:
                maps[one] = maps[one].joined(maps[two].entries.values())
    first = maps["a"]
    assert all(one.entries == first.entries and one.group == first.group for one in maps.values())


@given(changes=CHANGES)
def test_a_group_number_never_comes_back_for_another_membership(changes):
    map_, seen = Membership("a", 1), {}
    for _at, what, name, url in changes:
        map_ = changed(map_, what, name, url)
        members = frozenset((entry.name, entry.version, entry.present) for entry in map_.entries.values())
        assert seen.setdefault(map_.group, members) == members


def test_of_a_member_added_and_forgotten_at_once_the_forgetting_wins():
    base = Membership("a", 1).add("c", "u").forget("c")
    back, again = base.add("c", "u"), base.add("c", "u").forget("c")
    assert "c" in back.present
    assert "c" not in back.joined(again.entries.values()).present
    same = Entry("c", 5, True).joined(Entry("c", 5, False))
    assert not same.present


def test_a_forgotten_member_can_be_added_again():
    map_ = Membership("a", 1).add("b", "u")
    gone = map_.forget("b")
    assert gone.knows_as_forgotten("b")
    back = gone.add("b", "u")
    assert "b" in back.present
    assert len({map_.group, gone.group, back.group}) == 3
    assert "b" in back.joined(map_.entries.values()).joined(gone.entries.values()).present


def test_adding_a_member_again_changes_nothing():
    map_ = Membership("a", 1).add("b", "u")
    assert map_.add("b", "u").entries == map_.entries


def test_a_new_life_under_an_old_name_counts_beyond_it_everywhere():
    old = Membership("c", 9)
    keeper = Membership("a", 1).joined(old.entries.values())
    new = Membership("c", 2)                                    # the disk is lost, and with it the count
    keeper = keeper.joined(new.entries.values())
    assert keeper.entries["c"].life == Life(1, 9)
    group = keeper.group
    new = new.joined(keeper.entries.values())
    assert new.entries["c"].life == Life(2, 2)
    keeper = keeper.joined(new.entries.values())
    assert keeper.entries["c"].life == Life(2, 2)
    assert keeper.group == new.group != group


def test_names_and_numbers_of_members_are_bounded():
    map_ = Membership("a", 1)
    for name in ("", "A", "toolongname", "a b", "ä"):
        with pytest.raises(ValueError, match="no replica's name"):
            map_.add(name, "u")
    with pytest.raises(ValueError, match="url"):
        map_.add("b", "u" * 2000)
    for i in range(MAX_MEMBERS - 1):
        map_ = map_.add(f"m{i}", "u")
    with pytest.raises(ValueError, match="too many"):
        map_.add("more", "u")
    with pytest.raises(KeyError):
        map_.forget("never")
