"""How much may still be written?"""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.errors import NoRoom
from hotpath.ide.usage import Usage
from hotpath.ide.workspace.budget import Budget


def test_what_does_not_fit_is_refused():
    budget = Budget(100, 3)
    budget.room(60, 1)
    with pytest.raises(NoRoom, match=r"sandbox\.disk"):
        budget.room(41, 1)
    budget.room(40, 1)
    budget.room(0, 1)
    with pytest.raises(NoRoom, match=r"sandbox\.files"):
        budget.room(0, 1)


def test_what_makes_it_smaller_is_never_refused():
    budget = Budget(100, 3)
    budget.count(lambda: Usage(1000, 9))
    budget.room(-10, 0)
    budget.room(0, -1)
    assert (budget.bytes, budget.files) == (990, 8)


@given(st.lists(st.integers(0, 30), max_size=20))
def test_never_more_than_the_budget_is_let_in(sizes):
    budget = Budget(100, 1000)
    written = 0
    for size in sizes:
        try:
            budget.room(size, 1)
            written += size
        except NoRoom:
            assert written + size > 100
    assert written <= 100


def test_what_is_written_while_it_counts_is_not_forgotten():
    budget = Budget(100, 10)
    budget.room(30, 1)

    def measure():
        budget.room(50, 1)          # after we looked there
        return Usage(30, 1)

    budget.count(measure)
    assert (budget.bytes, budget.files) == (80, 2)
    assert budget.dirty


def test_a_project_that_its_programs_fill_overflows_at_a_tenth_more():
    budget = Budget(1000, 100)
    for usage, overflows in ((Usage(1100, 1), False), (Usage(1101, 1), True),
                             (Usage(1, 110), False), (Usage(1, 111), True)):
        budget.count(lambda usage=usage: usage)
        assert (budget.overflows is not None) == overflows
