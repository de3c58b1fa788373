"""A project's name says which it is: it can be read, and no other has it, in whatever case."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.errors import Invalid, NameTaken
from hotpath.ide.workspace.naming import MAX_NAME, checked, of_restored

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=MAX_NAME)


def test_blanks_around_a_name_are_none_of_it():
    assert checked("  Straße 1 ", ()) == "Straße 1"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0", "x" * (MAX_NAME + 1)],
                         ids=["none", "blank", "line", "nul", "long"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(Invalid):
        checked(name, ())


def test_a_name_is_anothers_in_whatever_case():
    with pytest.raises(NameTaken):
        checked("STRASSE", {"Straße".casefold()})


@given(NAMES, st.integers(0, 120))
def test_a_restored_project_has_an_allowed_name_that_nobody_has(name, n):
    taken: set[str] = set()
    for _ in range(n):
        free = of_restored(name, taken)
        assert checked(free, taken) == free
        taken.add(free.casefold())
