"""`hotpath-locking show`: what a person, and a program, gets to see."""
from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console

from hotpath.locking.command import main
from hotpath.locking.scenarios import SCENARIOS, playing
from hotpath.locking.scenarios.columns import BAR, LEAST_COLUMN, WIDTH, Columns
from hotpath.locking.scenarios.step import Step


def show(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit status, stdout and stderr."""
    try:
        status = main(["show", *words])
    except SystemExit as ended:
        status = ended.code
    out, err = capsys.readouterr()
    return status, out, err


def drawn(*steps: Step, width: int = 80, actors: tuple[str, ...] = ("alice", "bob")) -> list[str]:
    """The lines, without the names."""
    screen = Console(file=io.StringIO(), width=width)
    columns = Columns(screen, actors)
    for step in steps:
        columns.add(step)
    return screen.file.getvalue().splitlines()[1:]


def step(actor: str, sql: str | None, outcome: str = "ok", note: str | None = None) -> Step:
    return Step(1, 0.0, actor, sql, outcome, note)


def test_without_a_policy_each_is_shown_and_those_that_fail_first(capsys):
    status, out, err = show(capsys, "write-skew")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[1] == "Write skew"
    assert lines[2] == SCENARIOS["write-skew"].about
    assert [line.partition(":")[0] for line in lines if line.startswith("write-skew ")] == [
        "write-skew naive", "write-skew version-only", "write-skew unchanged", "write-skew pessimistic"]
    assert [line.split()[:2] for line in lines if " on sqlite" in line] == [
        ["✗", "anomaly"], ["✗", "anomaly"], ["✓", "safe"], ["✓", "safe"]]
    assert lines[-1] == "4 of 4 as expected"
    assert "\x1b" not in out
    assert max(map(len, lines)) <= WIDTH


def test_all_shows_every_scenario(capsys):
    status, out, _ = show(capsys, "all", "--policy", "naive")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if " naive: " in line] == [
        "lost-update", "write-skew", "seat-booking", "bank-transfer"]


def test_a_database_of_ones_own_is_played_on(capsys, url, backend):
    status, out, _ = show(capsys, "bank-transfer", "--policy", "naive", "--url", url)
    assert status == 0
    assert f"start 300 · final 290   2 attempts on {backend}" in out


def test_json_is_a_line_for_each_step_and_one_for_the_result(capsys):
    status, out, _ = show(capsys, "lost-update", "--policy", "naive", "--json")
    assert status == 0
    *steps, result = map(json.loads, out.splitlines())
    assert [line["n"] for line in steps] == list(range(1, len(steps) + 1))
    assert all(set(line) - {"note"} == {"n", "t_ms", "actor", "sql", "outcome"} for line in steps)
    assert result == {
        "scenario": "lost-update", "policy": "naive", "backend": "sqlite", "verdict": "anomaly", "expected": "anomaly",
        "ok": True, "attempts": 2, "measure": {"start": 100, "deltas": [30, 50], "final": 150, "lost": 30}}


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["drawn", "json"])
def test_a_verdict_that_was_not_expected_is_status_1(capsys, monkeypatch, form):
    scenario = SCENARIOS["lost-update"]
    ways = {**scenario.ways, "optimistic": dataclasses.replace(scenario.ways["naive"], expected="safe")}
    monkeypatch.setattr(playing, "SCENARIOS", {scenario.name: dataclasses.replace(scenario, ways=ways)})
    status, out, _ = show(capsys, "lost-update", "--policy", "optimistic", *form)
    assert status == 1
    assert ('"ok": false' if form else "✗ anomaly, but safe was expected") in out


@pytest.mark.parametrize(("words", "said"), [
    (["nothing"], "NAME: no scenario is called 'nothing'; allowed: lost-update, write-skew, deadlock, seat-booking, "
                  "bank-transfer, all"),
    (["deadlock", "--policy", "naive"], "--policy: deadlock has no policy 'naive'; allowed: retried, ordered"),
    (["all", "--policy", "hopeful"], "--policy: no scenario has a policy 'hopeful'; allowed: naive, optimistic, "
                                     "pessimistic, escalating, atomic, version-only, unchanged, retried, ordered"),
])
def test_an_unknown_name_is_status_2_and_those_that_are_known(capsys, words, said):
    assert show(capsys, *words) == (2, "", f"hotpath-locking show: {said}\n")


def test_a_database_that_cannot_be_used_is_said_before_anything_is_drawn(capsys):
    status, out, err = show(capsys, "all", "--url", "sqlite:////nowhere/at/all.db")
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1


def test_each_rest_is_as_long_as_asked(capsys, monkeypatch):
    rests = []
    monkeypatch.setattr("time.sleep", rests.append)
    status, out, _ = show(capsys, "lost-update", "--policy", "naive", "--pace", "2.5", "--json")
    assert status == 0
    assert rests == [2.5] * (len(out.splitlines()) - 1)


# ---- columns

def test_each_actor_has_a_column():
    assert drawn(step("alice", "BEGIN"), step("bob", "BEGIN"), step("alice", None, "note", "reads")) == [
        "  BEGIN" + " " * 32 + " │",
        " " * 39 + " │ BEGIN",
        "  → reads" + " " * 30 + " │"]


def test_a_wait_is_a_line_down_to_its_end():
    lines = drawn(step("bob", "LOCK", "wait"), step("alice", "COMMIT"), step("bob", "LOCK"), step("alice", "SELECT"))
    assert [line.partition("│")[2].strip() for line in lines] == ["LOCK", "┌ waits", "│", "└ goes on", ""]


def test_a_wait_may_end_badly():
    lines = drawn(step("bob", "LOCK", "wait"), step("bob", "LOCK", "deadlock"), step("bob", None, "retry"))
    assert [line.partition("│")[2].strip() for line in lines] == [
        "LOCK", "┌ waits", "└ deadlock: sent away", "↻ begins anew"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_long_statements_are_folded_into_their_column(width):
    sql = "UPDATE stock SET amount=130, version=2 " * 5
    lines = drawn(step("alice", sql), step("carol", sql), width=width, actors=("alice", "bob", "carol"))
    assert len({line.index(BAR.rstrip()) for line in lines}) == 1
    assert max(map(len, lines)) <= max(min(width, WIDTH), 3 * LEAST_COLUMN + 2 * len(BAR) + 2)
    assert " ".join(" ".join(line.split("│")[0] for line in lines).split()) == sql.strip()
