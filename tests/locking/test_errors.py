"""What `L.errors` says, and that it can be sent to another process."""
import copy
import pickle

import pytest

from hotpath import locking as L
from hotpath.core.errors import HotpathError

from .rows import Tally

ERRORS = [
    L.Conflict(7, 3, 5),
    L.Conflict((1, "a"), 3),
    L.Conflict(cause="could not say"),
    L.Serialization(cause="could not serialize access"),
    L.Deadlock("Deadlock found"),
    L.LockTimeout("Lock wait timeout exceeded"),
    L.Disconnected("server has gone away"),
    L.Missing(Tally, (1, 2)),
    L.LostLease("printer", 4),
    L.Unusable("no such driver"),
]


@pytest.mark.parametrize("kind", [L.Conflict, L.Serialization, L.Deadlock, L.LockTimeout, L.Disconnected])
def test_what_another_try_may_cure_is_retriable(kind):
    assert issubclass(kind, L.Retriable)


@pytest.mark.parametrize("kind", [L.Missing, L.LostLease, L.Unusable])
def test_what_no_other_try_cures_is_not(kind):
    assert issubclass(kind, L.LockingError)
    assert not issubclass(kind, L.Retriable)


def test_all_stand_in_the_tree_of_hotpath():
    assert issubclass(L.LockingError, HotpathError)
    assert issubclass(L.Retriable, L.LockingError)
    assert issubclass(L.Serialization, L.Conflict)
    assert issubclass(L.Missing, LookupError)


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))],
                         ids=["copied", "pickled"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:30])
def test_an_error_arrives_elsewhere_as_it_left(error, again):
    arrived = again(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("error", [L.Conflict(7, 3, 5), L.Deadlock("x"), L.Disconnected("x")],
                         ids=lambda error: type(error).__name__)
def test_what_was_added_to_it_goes_along(error):
    error = copy.copy(error)
    error.attempts = 9
    if isinstance(error, L.Disconnected):
        error.unknown = True
    arrived = pickle.loads(pickle.dumps(error))
    assert vars(arrived) == vars(error)
    assert arrived.attempts == 9


def test_an_error_that_nobody_counted_had_one_try():
    assert L.Deadlock("x").attempts == 1
    assert L.Disconnected("x").unknown is False


def test_a_conflict_says_which_row_and_which_versions():
    error = L.Conflict((1, "a"), 3, 5)
    assert (error.key, error.expected, error.actual) == ((1, "a"), 3, 5)
    for said in ("(1, 'a')", "3", "5"):
        assert said in str(error)
    assert "7" in str(L.Conflict(7))


def test_a_missing_row_says_of_which_model():
    error = L.Missing(Tally, 4)
    assert (error.model, error.key) == (Tally, 4)
    assert "Tally" in str(error)
    assert "4" in str(error)


def test_a_lost_lease_says_which_token():
    error = L.LostLease("printer", 41)
    assert (error.name, error.token) == ("printer", 41)
    assert "printer" in str(error)
    assert "41" in str(error)
