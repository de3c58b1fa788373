"""Under every policy but the naive one, an increment that was answered is in the counter."""
from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import sessionmaker

from hotpath import locking
from hotpath.locking.policies import Optimistic
from hotpath.locking.web.counters import Increment, bear, in_one_statement, unguarded, versioned
from hotpath.locking.web.counts import POLICIES
from hotpath.locking.web.tables import Base, Counter
from hotpath.locking.work import Tx
from tests.clients import Client
from tests.locking.web.servers import asked, problem_of

SAFE = [policy for policy in POLICIES if policy != "naive"]


def test_one_that_nobody_incremented_is_zero(served):
    answer = served.get("/counters/nobody")
    assert (answer.status, answer.json()) == (200, {"value": 0, "attempts": 1})


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_adds_one(served, policy):
    for n in (1, 2, 3):
        answer = served.increment(f"one-{policy}", policy)
        assert (answer.status, answer.json()) == (200, {"value": n, "attempts": 1})
    assert served.value(f"one-{policy}") == 3


def test_policies_may_be_mixed(served):
    values = [served.increment("mixed", policy).json()["value"] for policy in POLICIES * 2]
    assert values == list(range(1, 13))


@pytest.mark.parametrize("policy", [
    "", "?policy=", "?policy=Naive", "?policy=none", "?policy=naive%20", "?policies=naive"])
def test_another_policy_is_none(small, policy):
    told = problem_of(small.ask("POST", f"/counters/c/increment{policy}"), 422)
    assert all(name in told["detail"] for name in POLICIES)


@pytest.mark.parametrize("name", ["a", "A", "a.b_c-1", "x" * 64])
def test_a_name(served, name):
    before = served.value(name)
    assert served.increment(name, "atomic").json()["value"] == before + 1
    assert served.value(name) == before + 1


def test_names_are_told_apart_by_case(served):
    served.increment("case", "atomic")
    assert (served.value("case"), served.value("CASE")) == (1, 0)
    assert served.increment("CASE", "optimistic").json()["value"] == 1


@pytest.mark.parametrize("name", ["x" * 65, "a%20b", "%C3%A9", "a:b", "a,b", "%F0%9F%94%92", "'"])
def test_what_is_no_name(small, name):
    problem_of(small.get(f"/counters/{name}"), 422)
    problem_of(small.increment(name, "atomic"), 422)


@pytest.mark.parametrize("policy", SAFE)
def test_nothing_is_lost_however_many_increment_at_once(served, policy):
    """Beginning with the very first: the row is made once."""
    name, n, rounds = f"all-{policy}", 6, 20
    barrier = threading.Barrier(n, timeout=60)
    answers = []

    def increment() -> None:
        with Client(served.address, patience_s=60) as client:
            barrier.wait()
            for _ in range(rounds):
                answers.append(asked(client, "POST", f"/counters/{name}/increment?policy={policy}"))

    threads = [threading.Thread(target=increment) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [answer.json() for answer in answers if answer.status == 200]
    # Who ran out of tries says so, and has done nothing.
    for answer in answers:
        if answer.status != 200:
            told = problem_of(answer, 503)
            assert (told["outcome"], answer.value("retry-after")) == ("none", "1")
    assert sorted(told["value"] for told in done) == list(range(1, len(done) + 1))
    assert served.value(name) == len(done)
    assert len(done) > n * rounds // 2


@pytest.fixture
def counters(engine: Engine) -> Engine:
    Base.metadata.create_all(engine)
    locking.run(engine, lambda tx: bear(tx, id="c"))
    return engine


def in_step(engine: Engine, way: Increment) -> list[int]:
    """Two increments, of which neither writes before both have read."""
    both = threading.Barrier(2, timeout=60)
    met = threading.local()
    sessions = sessionmaker(engine, expire_on_commit=False)

    def meet() -> None:
        if not hasattr(met, "once"):
            met.once = True
            both.wait()

    event.listen(sessions, "before_flush", lambda *_: meet())
    event.listen(sessions, "do_orm_execute", lambda state: meet() if state.is_update else None)
    values = []

    def increment() -> None:
        values.append(locking.run(sessions, lambda tx: way(tx, "c"), Optimistic()))

    threads = [threading.Thread(target=increment) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(values)


def value(engine: Engine) -> int:
    return locking.run(engine, lambda tx: tx.load(Counter, "c").value)


def test_the_naive_way_loses_one_of_two_in_step(counters):
    """The control: what the others do not lose can be lost."""
    assert in_step(counters, unguarded) == [1, 1]
    assert value(counters) == 1


@pytest.mark.parametrize("way", [versioned, in_one_statement])
def test_the_others_lose_none_of_two_in_step(counters, way):
    assert in_step(counters, way) == [1, 2]
    assert value(counters) == 2


@pytest.mark.parametrize(("other", "value_then"), [(versioned, 2), (in_one_statement, 2), (unguarded, 1)])
def test_who_was_overtaken_is_told_unless_by_the_naive(counters, other, value_then):
    """Policies may be mixed: each but the naive one raises the version that others look at."""
    def overtaken(tx: Tx) -> int:
        mine = versioned(tx, "c")
        if tx.attempt == 1:
            locking.run(counters, lambda its: other(its, "c"))
        return mine

    assert locking.run(counters, overtaken) == value_then
    assert value(counters) == value_then
