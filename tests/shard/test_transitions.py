"""The order in which fences are raised, and what the next map says."""
from __future__ import annotations

import pytest

from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology, placed
from hotpath.shard.transitions import (
    announce,
    back,
    clean,
    complete,
    dumped_intent,
    loaded_intent,
    open_source,
    purged,
    reverse,
    settle,
)

OLD = Topology(5, (Member("a", 1.0, "active", "sqlite:a"), Member("b", 1.0, "active", "sqlite:b")), {"a": 3, "b": 4},
               placed({"a": 1.0, "b": 1.0}, 16, ("a", "b")))
FROM_A, FROM_B = (Slots(list(OLD.slots[name])[:3]) for name in ("a", "b"))
NEW = Member("n", 1.0, "joining", "sqlite:n")


def adding() -> Topology:
    return announce(OLD, NEW, 1, [Move("1", "a", "n", MoveState.PLANNED, FROM_A),
                                  Move("2", "b", "n", MoveState.PLANNED, FROM_B)]).next


def states(topology: Topology) -> list[str]:
    return [move.state.value for move in topology.moves]


def test_an_add_from_the_first_map_to_the_last():
    begun = announce(OLD, NEW, 9, adding().moves)
    assert begun.fences == (("n", 9),)
    assert begun.next.owners == OLD.owners
    opened = open_source(begun.next, "a")
    assert opened.fences == (("a", 4), ("n", 10))               # who loses first
    assert states(opened.next) == ["dual", "planned"]
    assert {opened.next.owner(slot) for slot in FROM_A} == {"n"}
    assert {opened.next.owner(slot) for slot in FROM_B} == {"b"}
    both = open_source(opened.next, "b")
    assert both.fences == (("b", 5), ("n", 11))
    completed = complete(both.next)
    assert completed.fences == (("n", 12),)
    cleaning = clean(completed.next)
    assert cleaning.fences == (("a", 5), ("b", 6))
    done = settle(cleaning.next)
    assert done.fences == ()
    assert done.next.moves == ()
    assert done.next.epochs == {"a": 5, "b": 6, "n": 12}
    assert [(one.name, one.state) for one in done.next.members] == [("a", "active"), ("b", "active"), ("n", "active")]
    assert len(done.next.slots["n"]) == 6
    assert done.next.version == OLD.version + 6


def test_a_cancelled_add_ends_as_it_began_with_higher_epochs():
    opened = open_source(adding(), "a").next
    turned = reverse(opened)
    assert turned.fences == (("n", opened.epochs["n"] + 1), ("a", opened.epochs["a"] + 1))
    assert states(turned.next) == ["reverse"]                   # the planned one has nothing to take back
    assert turned.next.owners == OLD.owners
    returned = back(turned.next)
    assert returned.fences == (("a", turned.next.epochs["a"] + 1), ("n", turned.next.epochs["n"] + 1))
    done = settle(returned.next, gone="n").next
    assert done.members == OLD.members
    assert done.owners == OLD.owners
    assert done.epochs["a"] > OLD.epochs["a"]
    assert done.epochs["b"] == OLD.epochs["b"]


def test_an_add_that_was_only_planned_can_be_forgotten():
    done = settle(adding(), gone="n").next
    assert (done.members, done.owners, done.epochs) == (OLD.members, OLD.owners, OLD.epochs)


def test_a_remove_opens_all_targets_of_its_source_at_once():
    three = settle(clean(complete(open_source(open_source(adding(), "a").next, "b").next).next).next).next
    moves = [Move("3", "n", "b", MoveState.PLANNED, FROM_B), Move("4", "n", "a", MoveState.PLANNED, FROM_A)]
    begun = announce(three, None, 0, moves, leaving="n")
    assert begun.fences == ()
    assert begun.next.member("n").state == "leaving"
    opened = open_source(begun.next, "n")
    assert [name for name, _ in opened.fences] == ["n", "a", "b"]
    completed = complete(opened.next)
    assert [name for name, _ in completed.fences] == ["a", "b"]
    cleaning = clean(completed.next)
    assert [name for name, _ in cleaning.fences] == ["n"]
    done = settle(cleaning.next, gone="n").next
    assert done.owners == OLD.owners
    assert [one.name for one in done.members] == ["a", "b"]
    assert "n" not in done.epochs


def test_a_member_that_owns_slots_cannot_go():
    with pytest.raises(OverflowError):
        settle(OLD, gone="a")


def test_rows_that_were_kept_are_foreign_until_they_are_purged():
    cleaning = clean(complete(open_source(open_source(adding(), "a").next, "b").next).next).next
    kept = settle(cleaning, keep=True).next
    assert kept.foreign == {"a": FROM_A, "b": FROM_B, "n": Slots()}
    some = Slots(list(FROM_A)[:1])
    left = purged(kept, "a", some).next
    assert left.foreign["a"] == FROM_A - some
    assert "a" not in purged(left, "a", FROM_A).next.kept


@pytest.mark.parametrize("step", [complete, clean, reverse, back, lambda old: open_source(old, "a")])
def test_a_step_that_nothing_is_ready_for_is_refused(step):
    with pytest.raises(ValueError, match="no moves to turn"):
        step(OLD)


def test_an_intent_is_read_back_as_it_was_written():
    intent = open_source(adding(), "a")
    assert loaded_intent(dumped_intent(intent)) == intent
