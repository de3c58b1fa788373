from __future__ import annotations

import itertools
import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shard.linear import LOST, Op, anomalies, anomaly, applied


def op(kind, value, answer, began, ended=inf, key=1):
    return Op(key, kind, value, answer, began, ended)


FIRST = op("insert", ("a", 0), True, 0, 1)

GOOD = {
    "one after the other": [FIRST, op("get", None, ("a", 0), 2, 3), op("delete", None, True, 4, 5),
                            op("get", None, None, 6, 7)],
    "a read beside a write sees either": [FIRST, op("put", ("b", 0), False, 2, 5), op("get", None, ("b", 0), 3, 4),
                                          op("get", None, ("a", 0), 2, 3)],
    "two inserts, one wins": [op("insert", ("a", 0), False, 0, 4), op("insert", ("b", 0), True, 1, 3),
                              op("get", None, ("b", 0), 5, 6)],
    "lost, and seen": [FIRST, op("update", "b", LOST, 2), op("get", None, ("b", 0), 9, 10)],
    "lost, and never seen": [FIRST, op("update", "b", LOST, 2), op("get", None, ("a", 0), 9, 10)],
    "lost, and seen late": [FIRST, op("delete", None, LOST, 2), op("get", None, ("a", 0), 9, 10),
                            op("list", None, None, 11, 12)],
    "adds of two": [FIRST, op("add", 2, True, 2, 5), op("add", 3, True, 2, 5), op("get", None, ("a", 5), 6, 7)],
    "an update of one column keeps the other": [FIRST, op("add", 2, True, 2, 3), op("update", "b", True, 4, 5),
                                                op("get", None, ("b", 2), 6, 7)],
    "deleted and made again": [FIRST, op("delete", None, True, 2, 6), op("insert", ("b", 0), True, 3, 7),
                               op("put", ("c", 0), True, 1, 8), op("get", None, ("b", 0), 9, 10),
                               op("delete", None, True, 2, 8)],
    "touching times count as beside": [FIRST, op("get", None, None, 0, 1), op("get", None, None, 1, 2)],
}
BAD = {
    "a stale read": [FIRST, op("put", ("b", 0), False, 2, 3), op("get", None, ("a", 0), 4, 5)],
    "a lost write": [FIRST, op("update", "b", True, 2, 3), op("get", None, ("a", 0), 4, 5)],
    "a deleted row is back": [FIRST, op("delete", None, True, 2, 3), op("get", None, None, 4, 5),
                              op("get", None, ("a", 0), 6, 7)],
    "two inserts win": [op("insert", ("a", 0), True, 0, 4), op("insert", ("b", 0), True, 1, 3)],
    "an update of what is there finds nothing": [FIRST, op("update", "b", False, 2, 3)],
    "two deletes of one row": [FIRST, op("delete", None, True, 2, 9), op("delete", None, True, 3, 8)],
    "a list without the row": [FIRST, op("list", None, None, 2, 3)],
    "a value from nowhere": [FIRST, op("get", None, ("x", 0), 2, 3)],
    "an add is lost": [FIRST, op("add", 2, True, 2, 5), op("add", 3, True, 2, 5), op("get", None, ("a", 3), 6, 7)],
    "an add is doubled": [FIRST, op("add", 2, True, 2, 3), op("get", None, ("a", 4), 6, 7)],
    "seen before it began": [FIRST, op("get", None, ("b", 0), 2, 3), op("update", "b", LOST, 4)],
    "lost, seen, and gone again": [FIRST, op("update", "b", LOST, 2), op("get", None, ("b", 0), 3, 4),
                                   op("get", None, ("a", 0), 5, 6)],
    "put says created beside a row": [FIRST, op("put", ("b", 0), True, 2, 3)],
    "reads see two writes in two orders": [FIRST, op("put", ("b", 0), False, 2, 9), op("put", ("c", 0), False, 2, 9),
                                           op("get", None, ("b", 0), 3, 4), op("get", None, ("c", 0), 5, 6),
                                           op("get", None, ("b", 0), 7, 8)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_what_a_row_can_answer_passes(history):
    assert anomaly(history) is None


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_what_no_row_answers_is_found(history):
    found = anomaly(history)
    assert found is not None
    assert "no order" in str(found)


def explained(history):
    """By trying every order of every choice of lost operations: what the search must agree with."""
    answered = [one for one in history if one.answer != LOST]
    lost = [one for one in history if one.answer == LOST]
    for n in range(len(lost) + 1):
        for chosen in itertools.combinations(lost, n):
            for order in itertools.permutations(answered + list(chosen)):
                if any(later.ended < one.began for at, one in enumerate(order) for later in order[at + 1:]):
                    continue
                state = None
                for one in order:
                    state, answer = applied(one, state)
                    if one.answer not in (LOST, answer):
                        break
                else:
                    return True
    return False


@st.composite
def histories(draw):
    """Small ones, of which many are nearly right."""
    history = []
    for i in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["insert", "get", "put", "update", "add", "delete", "list"]))
        began = draw(st.integers(0, 8))
        ended = began + draw(st.integers(1, 6))
        value = {"insert": (i, 0), "put": (i, 0), "update": i, "add": 1}.get(kind)
        if kind in ("get", "list"):
            answer = draw(st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(0, 1))))
        else:
            answer = draw(st.sampled_from([True, True, False, LOST]))
        history.append(op(kind, value, answer, began, inf if answer == LOST else ended))
    return history


@given(histories())
def test_the_search_agrees_with_trying_everything(history):
    assert (anomaly(history) is None) == explained(history)


def recorded(seed, *, clients, each, keys=1, lose=0.0):
    """What clients of a correct row record: each operation takes effect at a moment between its begin and its end."""
    rng = random.Random(seed)
    moments = []
    for client in range(clients):
        time = rng.random()
        for n in range(each):
            began, effect, ended = time, time + rng.random(), time + 1 + rng.random()
            moments.append((effect, began, ended, client, n))
            time = ended + rng.random() / 4
    states, history = {}, []
    for effect, began, ended, client, n in sorted(moments):
        kind = rng.choice(["insert", "get", "get", "put", "update", "add", "delete", "list"])
        value = {"insert": (effect, 0), "put": (effect, 0), "update": effect, "add": n + 1}.get(kind)
        one = Op(rng.randrange(keys), kind, value, None, began, ended, f"c{client}")
        if rng.random() < lose:
            if rng.random() < 0.5:
                states[one.key], _ = applied(one, states.get(one.key))
            history.append(one._replace(answer=LOST, ended=inf))
        else:
            states[one.key], answer = applied(one, states.get(one.key))
            history.append(one._replace(answer=answer))
    return history


@pytest.mark.parametrize("lose", [0.0, 0.01])
def test_thousands_of_operations_of_sixteen_clients_on_one_key_are_judged(lose):
    history = recorded(5, clients=16, each=200, lose=lose)
    assert anomaly(history) is None


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_answer_in_thousands_is_found(seed):
    history = recorded(seed, clients=8, each=400, keys=4)
    reads = [i for i, one in enumerate(history) if one.kind == "get" and one.answer is not None]
    wrong = random.Random(seed).choice(reads)
    # What it read long before.
    older = next(history[i].answer for i in reversed(reads) if history[i].ended < history[wrong].began - 20
                 and history[i].key == history[wrong].key) if wrong > 200 else ("never", 0)
    history[wrong] = history[wrong]._replace(answer=older)
    found = anomalies(history)
    assert [one.key for one in found] == [history[wrong].key]


def test_a_search_that_grows_too_large_says_so():
    history = [FIRST, *(op("add", 2**i, True, 2, 9) for i in range(18)), op("get", None, ("a", -1), 10, 11)]
    found = anomaly(history, most_states=1000)
    assert found is not None
    assert "undecided" in found.reason
