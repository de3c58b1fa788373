"""One actor moves at a time, whatever the threads would like."""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from hotpath.locking.errors import Conflict, Disconnected
from hotpath.locking.scenarios.stage import Player, Stage
from hotpath.locking.scenarios.step import Step
from tests.waiting import DEADLINE_S

Part = Callable[[Player], None]


def perform(*parts: Part, show: Callable[[Step], None] = lambda _step: None) -> tuple[Stage, list[Player]]:
    stage = Stage(show)
    players = [stage.player(name) for name, _ in zip("abcd", parts, strict=False)]
    stage.perform({player: lambda player=player, part=part: part(player)
                   for player, part in zip(players, parts, strict=True)})
    return stage, players


def told(stage: Stage) -> list[tuple[str, str | None, str]]:
    return [(step.actor, step.sql, step.outcome) for step in stage.steps]


def says(*words: str) -> Part:
    """Each word is a statement, with a pause behind it."""
    def part(player: Player) -> None:
        for word in words:
            player.begins(word)
            player.ended(word, "ok")
            player.pause()
    return part


def test_each_has_its_turn_and_steps_are_counted():
    stage, players = perform(says("1", "2"), says("3"), says("4", "5"))
    assert [(actor, sql) for actor, sql, _ in told(stage)] == [
        ("a", "1"), ("b", "3"), ("c", "4"), ("a", "2"), ("c", "5")]
    assert [step.n for step in stage.steps] == [1, 2, 3, 4, 5]
    assert all(player.completed for player in players)


def test_steps_are_shown_in_the_thread_that_performs_before_their_actor_goes_on():
    here, went_on, seen = threading.current_thread(), [], []

    def part(player: Player) -> None:
        player.ended("one", "ok")
        went_on.append("one")

    def show(step: Step) -> None:
        seen.append((threading.current_thread() is here, list(went_on)))

    perform(part, show=show)
    assert seen == [(True, [])]


def test_a_statement_that_is_not_back_while_another_holds_a_lock_waits_and_the_others_go_on():
    lock = threading.Event()

    def holder(player: Player) -> None:
        player.ended("lock", "ok", holds=True)
        player.pause()
        player.begins("unlock")
        lock.set()
        player.ended("unlock", "ok", holds=False)

    def waiter(player: Player) -> None:
        player.begins("lock", locks=True)
        assert lock.wait(DEADLINE_S)
        player.ended("lock", "ok")

    stage, _ = perform(holder, waiter)
    assert told(stage) == [
        ("a", "lock", "ok"), ("b", "lock", "wait"), ("a", "unlock", "ok"), ("b", "lock", "ok")]
    times = [step.t_ms for step in stage.steps]
    assert times == sorted(times)


def test_who_comes_back_from_a_wait_stands_still_until_its_turn():
    lock, back = threading.Event(), threading.Event()

    def holder(player: Player) -> None:
        player.ended("lock", "ok", holds=True)
        player.pause()
        lock.set()
        for word in ("still", "mine"):
            assert not back.is_set()
            player.ended(word, "ok")

    def waiter(player: Player) -> None:
        player.begins("lock", locks=True)
        assert lock.wait(DEADLINE_S)
        player.ended("lock", "ok")
        back.set()

    stage, _ = perform(holder, waiter)
    assert [actor for actor, _, outcome in told(stage) if outcome == "ok"] == ["a", "a", "a", "b"]


def test_two_that_wait_for_each_other_are_waited_for():
    first, second = threading.Event(), threading.Event()

    def one(player: Player) -> None:
        player.ended("left", "ok", holds=True)
        player.pause()
        player.begins("right", locks=True)
        assert first.wait(DEADLINE_S)
        player.ended("right", "deadlock", holds=False)
        second.set()

    def other(player: Player) -> None:
        player.ended("right", "ok", holds=True)
        player.pause()
        player.begins("left", locks=True)
        assert second.wait(DEADLINE_S)
        player.ended("left", "ok")

    def show(step: Step) -> None:
        if step.actor == "b" and step.outcome == "wait":     # both do: now the database has seen it
            first.set()

    stage, _ = perform(one, other, show=show)
    assert [(actor, outcome) for actor, _, outcome in told(stage)] == [
        ("a", "ok"), ("b", "ok"), ("a", "wait"), ("b", "wait"), ("a", "deadlock"), ("b", "ok")]


def test_no_statement_waits_that_needs_no_lock_or_when_nobody_else_holds_one():
    class Inbox(queue.SimpleQueue):
        def get(self, block=True, timeout=None):
            patience.append(timeout)
            return super().get(block, timeout)

    def holder(player: Player) -> None:
        player.ended("lock", "ok", holds=True)
        player.pause()                          # the other needs none
        player.begins("mine", locks=True)       # who holds the lock does not wait for it
        player.ended("mine", "ok")
        player.begins("COMMIT")
        player.ended("COMMIT", "ok", holds=False)
        player.pause()

    patience: list[float | None] = []
    stage = Stage(lambda _step: None)
    stage.inbox = Inbox()
    players = [stage.player("a"), stage.player("b")]
    stage.perform({players[0]: lambda: holder(players[0]), players[1]: lambda: says("next", "next")(players[1])})
    assert set(patience) == {None}


def test_who_is_refused_for_good_gives_up_and_the_others_go_on():
    def refused(player: Player) -> None:
        raise Conflict(7, 1, 2)

    stage, players = perform(refused, says("on"))
    assert [(step.actor, step.outcome, step.note) for step in stage.steps] == [
        ("a", "note", "gives up: the row 7 has version 2, not 1: it was changed since it was read"),
        ("b", "ok", None)]
    assert [player.completed for player in players] == [False, True]


@pytest.mark.parametrize("error", [ValueError("a defect"), Disconnected("gone")], ids=["defect", "disconnected"])
def test_an_error_ends_the_play_and_nobody_goes_on(error):
    reached = []

    def broken(player: Player) -> None:
        player.pause()
        raise error

    def other(player: Player) -> None:
        try:
            player.pause()
            player.pause()
            reached.append("after")
        finally:
            player.begins("ROLLBACK")       # is let through
            player.ended("ROLLBACK", "ok")
            reached.append("rolled back")

    with pytest.raises(type(error)) as raised:
        perform(broken, other)
    assert raised.value is error
    assert reached == ["rolled back"]


def test_an_error_of_who_looks_on_ends_the_play():
    threads = threading.active_count()

    def show(step: Step) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        perform(says("1"), says("2"), show=show)
    assert threading.active_count() == threads
