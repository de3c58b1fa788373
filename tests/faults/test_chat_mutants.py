"""The checker finds each mistake that the design avoids, and does not blame the same schedule without it."""
from dataclasses import dataclass, field

import pytest

from tests.chat.house import house, kinds, merged, watching
from tests.chat.parts import EMBEDDED, REAL, real_parts
from tests.faults import chat_schedules as schedules


@dataclass(frozen=True)
class Case:
    mutant: str
    schedule: schedules.Schedule
    found: set                      # at least one of these kinds
    engine: str = EMBEDDED
    config: dict = field(default_factory=dict)


TWO_APIS = {"workers": 2}
SMALL_RING = {"gateways": {"ring": 16}}
CASES = [
    Case("publish-before-commit", schedules.slow_sync, {"early"}),
    Case("no-dedupe", schedules.crash_behind_the_commit, {"doubled"}),
    Case("no-savepoint", schedules.refuse_late, {"state"}),
    Case("no-head-check", schedules.lose_the_tail, {"behind"}),
    Case("backlog-before-registration", schedules.resume_while_others_talk, {"hole"}, config=SMALL_RING),
    Case("live-before-the-rest", schedules.resume_while_others_talk, {"hole", "swap"}, config=SMALL_RING),
    Case("no-dedupe-in-the-fan-out", schedules.double_and_swap, {"double"}),
    Case("primary-key-order", schedules.number_in_parallel, {"hole"}, REAL, TWO_APIS),
]


def verdict(case, mutant, folder):
    with real_parts(case.engine, folder) as parts, \
            house(folder / "house", merged(parts.config, case.config), mutant=mutant) as home, \
            watching(home) as watcher:
        return schedules.judged(home, watcher, folder, case.schedule)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mutant)
def test_the_checker_finds(case, tmp_path):
    told = verdict(case, case.mutant, tmp_path)
    assert kinds(told) & case.found, told


@pytest.mark.parametrize("case", {case.schedule: case for case in CASES}.values(),
                         ids=lambda case: case.schedule.__name__)
def test_without_a_mistake_nothing_is_found_under(case, tmp_path):
    told = verdict(case, "none", tmp_path)
    assert told["violations"] == [], told
    assert told["acked"] > 0


@pytest.mark.parametrize(("mutant", "found"), [("sync-off", {"lost"}), ("none", set())])
def test_after_a_power_cut_what_was_acknowledged_is_there_if_it_was_synced(mutant, found, tmp_path):
    with house(tmp_path / "house", mutant=mutant) as home:
        assert schedules.after_power_cut(home, tmp_path) == found
