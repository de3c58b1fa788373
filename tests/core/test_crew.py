from __future__ import annotations

import os
import signal

import pytest

from hotpath.core.crew import Crew, Phase, Plan, Slot
from hotpath.core.errors import ConfigError
from hotpath.core.worker import GRACE_S, WorkerContext


class Generation:
    def __init__(self, **plan: object) -> None:
        self.plan = Plan(**plan)    # type: ignore[arg-type]

    def run_worker(self, worker: WorkerContext) -> None: ...

    def worker_died(self, index: int) -> None: ...

    def retired(self) -> None: ...


@pytest.fixture
def sent(monkeypatch):
    """(pid, signal) of every os.kill."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def full_crew(**plan: object) -> Crew:
    crew = Crew(Generation(**plan), 1)
    for pid, slot in enumerate(crew.due(0.0), start=101):
        slot.filled(pid, 0.0)
    return crew


def test_workers_come_first_then_helpers():
    crew = Crew(Generation(workers=2, helpers={"warden": print, "clerk": print}), 1)
    assert [(slot.index, slot.name, slot.is_worker) for slot in crew.slots] == [
        (0, "worker-0", True), (1, "worker-1", True), (2, "warden", False), (3, "clerk", False)]


def test_a_process_that_dies_young_rests_twice_as_long_each_time_up_to_ten_seconds():
    slot, now_s, rests = Slot(0, "worker-0", print, is_worker=True), 100.0, []
    for _ in range(9):
        slot.filled(1, now_s)
        now_s += 0.5
        slot.emptied(now_s)
        rests.append(slot.due_s - now_s)
        now_s = slot.due_s
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])


def test_a_process_that_lived_long_enough_is_replaced_at_once_and_clears_the_record():
    slot = Slot(0, "worker-0", print, is_worker=True, pause_s=6.4)
    slot.filled(1, 100.0)
    slot.emptied(101.0)
    assert slot.due_s == 101.0
    slot.filled(2, 101.0)
    slot.emptied(101.1)
    assert slot.pause_s == 0.1


def test_only_an_empty_place_whose_rest_is_over_is_due():
    crew = full_crew(workers=2)
    assert list(crew.due(1e9)) == []
    assert crew.next_s() is None
    crew.slots[0].emptied(0.5)
    assert list(crew.due(0.5)) == []
    assert crew.next_s() == crew.slots[0].due_s == pytest.approx(0.6)
    assert list(crew.due(0.6)) == [crew.slots[0]]


def test_it_serves_once_everybody_has_been_ready():
    crew = full_crew(workers=2)
    assert not crew.ready(crew.slots[0])
    crew.slots[0].emptied(0.0)
    assert not crew.ready(crew.slots[1])
    crew.slots[0].filled(103, 1.0)
    assert crew.ready(crew.slots[0])
    assert crew.phase is Phase.SERVING
    assert not crew.ready(crew.slots[0])


def test_the_way_out_has_three_steps_and_two_deadlines(sent):
    crew = full_crew(workers=2, drain_s=5.0)
    steps = []
    for now_s in (10.0, 20.0, 30.0, 40.0):
        crew.step_down(now_s)
        steps.append((crew.phase, crew.next_s(), [number for _, number in sent]))
        sent.clear()
    assert steps == [
        (Phase.DRAINING, 15.0, [signal.SIGQUIT] * 2),
        (Phase.HURRIED, 20.0 + GRACE_S, [signal.SIGALRM] * 2),
        (Phase.KILLED, None, [signal.SIGKILL] * 2),
        (Phase.KILLED, None, [signal.SIGKILL] * 2),
    ]


def test_on_the_way_out_nobody_is_replaced_and_the_dead_are_not_signalled(sent):
    crew = full_crew(workers=2)
    crew.slots[0].emptied(0.0)
    crew.step_down(1.0)
    assert list(crew.due(1e9)) == []
    assert sent == [(102, signal.SIGQUIT)]
    assert not crew.ready(crew.slots[1])
    assert not crew.is_empty
    crew.slots[1].emptied(2.0)
    assert crew.is_empty


def test_an_unknown_user_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match="user: no user is called 'nobody of that name'"):
        Crew(Generation(user="nobody of that name"), 1)
