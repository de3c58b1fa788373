"""What is wrong with a sequence of events, and how often? By hand, and against counting."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.chat.load.checks import MAX_HOLE, MAX_KNOWN, Logs, Position, Tally


def tally_of(seqs, head, first=1):
    tally, position = Tally(), Position(first)
    new = [position.arrived(seq, tally) for seq in seqs]
    position.settle(head, tally)
    return (tally.lost, tally.duplicated, tally.out_of_order), new


def test_each_once_in_order_is_right():
    assert tally_of([1, 2, 3], 3) == ((0, 0, 0), [True, True, True])


def test_a_hole_is_lost_as_is_what_is_missing_at_the_end():
    assert tally_of([1, 4], 6) == ((4, 0, 0), [True, True])


def test_what_fills_a_hole_late_is_out_of_order_and_neither_lost_nor_double():
    assert tally_of([1, 3, 2, 4], 4) == ((0, 0, 1), [True, True, True, True])


def test_once_more_is_double():
    assert tally_of([1, 2, 2, 1, 3], 3) == ((0, 2, 0), [True, True, False, False, True])
    assert tally_of([3, 1, 1], 3) == ((1, 1, 1), [True, True, False])


def test_what_lies_before_the_beginning_is_double():
    assert tally_of([4, 5], 5, first=5) == ((0, 1, 0), [False, True])


def test_a_seq_out_of_this_world_costs_no_memory():
    tally, position = Tally(), Position(1)
    position.arrived(10**15, tally)
    assert position.missing is None
    assert tally.lost == 10**15 - 1 > MAX_HOLE


@given(seqs=st.lists(st.integers(1, 12), max_size=30))
def test_the_counts_are_those_of_a_plain_count(seqs):
    head = 12
    (lost, duplicated, out_of_order), new = tally_of(seqs, head)
    assert lost == head - len(set(seqs))
    assert duplicated == len(seqs) - len(set(seqs))
    firsts = [seq for i, seq in enumerate(seqs) if seq not in seqs[:i]]
    assert sum(new) == len(firsts)
    assert out_of_order == sum(seq < max(firsts[:i], default=0) for i, seq in enumerate(firsts))


def test_two_sockets_that_disagree_are_noticed():
    logs = Logs(Tally())
    logs.delivered(1, 5, "a")
    logs.delivered(1, 5, "a")
    assert logs.tally.out_of_order == 0
    logs.delivered(1, 5, "b")
    assert logs.tally.out_of_order == 1


def test_an_acknowledgement_that_names_another_seq_is_noticed():
    logs = Logs(Tally())
    logs.delivered(1, 5, "a")
    logs.acked(1, 5, "b", 1.0)
    assert logs.tally.out_of_order == 1


def test_who_was_first_is_not_right_for_that():
    logs = Logs(Tally())
    logs.delivered(1, 5, "wrong")
    for _ in range(3):
        logs.delivered(1, 5, "a")
    logs.acked(1, 5, "a", 1.0)
    logs.delivered(1, 5, "a")
    assert logs.tally.out_of_order == 1
    logs.delivered(1, 5, "wrong")
    assert logs.tally.out_of_order == 2


def test_the_first_acknowledgement_counts():
    logs = Logs(Tally())
    logs.acked(1, 5, "a", 1.0)
    logs.acked(1, 5, "a", 2.0)
    assert logs.delivered(1, 5, "a").acked_s == 1.0


def test_what_is_remembered_is_bounded():
    logs = Logs(Tally())
    for seq in range(MAX_KNOWN + 10):
        logs.delivered(1, seq, "a")
    assert len(logs.known) == MAX_KNOWN
