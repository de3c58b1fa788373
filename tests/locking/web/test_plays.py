"""A scenario over HTTP: each ends with the verdict that its data give, and with every step."""
from __future__ import annotations

import threading

import pytest

from hotpath.locking.scenarios import SCENARIOS
from tests.locking.web.servers import problem_of

PLAYS = [(name, policy) for name, scenario in SCENARIOS.items() for policy in scenario.policies]


def test_the_scenarios_are_told_with_their_policies(small):
    told = small.get("/scenarios").json()["scenarios"]
    assert [(one["name"], policy) for one in told for policy in one["policies"]] == PLAYS
    assert all(one["title"] and one["about"] for one in told)


@pytest.mark.parametrize(("name", "policy"), PLAYS)
def test_a_play_ends_as_it_should(served, name, policy):
    answer = served.ask("POST", f"/scenarios/{name}?policy={policy}")
    told = answer.json()
    assert (answer.status, told["scenario"], told["policy"], told["ok"]) == (200, name, policy, True)
    assert set(told) == {"scenario", "policy", "backend", "verdict", "expected", "ok", "attempts", "measure", "steps"}
    assert [step["n"] for step in told["steps"]] == list(range(1, len(told["steps"]) + 1))
    assert {"n", "t_ms", "actor", "sql", "outcome"} <= set(told["steps"][0])


def test_what_is_not_there(small):
    assert "lost-update" in problem_of(small.ask("POST", "/scenarios/nothing?policy=naive"), 404)["detail"]
    for query in ("", "?policy=", "?policy=ordered"):
        assert "naive" in problem_of(small.ask("POST", f"/scenarios/lost-update{query}"), 422)["detail"]


def test_several_may_be_played_at_once(served):
    statuses: list[tuple[int, bool]] = []

    def play() -> None:
        answer = served.ask("POST", "/scenarios/lost-update?policy=naive")
        statuses.append((answer.status, answer.json()["ok"]))

    threads = [threading.Thread(target=play) for _ in range(6)]
    for thread in threads:
        thread.start()
    # Whoever plays does not keep others waiting.
    item = served.item()
    assert served.put(item).status == 200
    for thread in threads:
        thread.join()
    assert statuses == [(200, True)] * 6
