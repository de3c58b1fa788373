"""The wheel turned by hand: whatever is armed, pushed and disarmed, each deadline comes once, at its tick."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.net.wheel import WheelProbe

TICK_MS = 64
SPAN_MS = 1024 * TICK_MS
N = 6


def first_tick(due_ms: int) -> int:
    return -(-due_ms // TICK_MS) * TICK_MS


def run_until(wheel: WheelProbe, now_ms: int) -> None:
    """Advance as the loop does: to each time the wheel asks for, until `now_ms`."""
    while (next_ms := wheel.next_ms()) is not None and next_ms <= now_ms:
        wheel.advance(next_ms)
    wheel.advance(now_ms)


def test_a_deadline_comes_at_the_first_tick_at_or_after_it() -> None:
    for due_ms in (1, 63, 64, 65, 1000, SPAN_MS, SPAN_MS + 1, 5 * SPAN_MS + 7):
        came: list[int] = []
        wheel = WheelProbe(1, came.append)
        wheel.arm(0, due_ms)
        run_until(wheel, first_tick(due_ms) - 1)
        assert came == []
        run_until(wheel, first_tick(due_ms))
        assert came == [0]
        assert wheel.next_ms() is None


def test_what_is_already_past_comes_at_the_next_tick() -> None:
    came: list[int] = []
    wheel = WheelProbe(1, came.append, now_ms=10_000)
    wheel.arm(0, 500)
    assert came == []
    assert wheel.next_ms() == first_tick(10_000)
    wheel.advance(first_tick(10_000))
    assert came == [0]


def test_an_empty_wheel_lets_the_loop_sleep_for_ever() -> None:
    wheel = WheelProbe(1, lambda _key: None)
    assert wheel.next_ms() is None
    wheel.arm(0, 1000)
    wheel.disarm(0)
    run_until(wheel, 2000)
    assert wheel.next_ms() is None


def test_pushing_later_does_not_come_early_and_pulling_earlier_does_not_come_late() -> None:
    came: list[int] = []
    wheel = WheelProbe(2, came.append)
    wheel.arm(0, 1000)
    wheel.arm(0, 5000)
    wheel.arm(1, 5000)
    wheel.arm(1, 1000)
    run_until(wheel, 2000)
    assert came == [1]
    run_until(wheel, 6000)
    assert came == [1, 0]


def test_a_handler_may_arm_and_disarm_every_other_deadline_of_its_slot() -> None:
    came: list[int] = []

    def on_due(key: int) -> None:
        came.append(key)
        if len(came) == 1:
            for other in range(1, N):
                wheel.disarm((key + other) % N)
            wheel.arm((key + 1) % N, 1000)
            wheel.arm(key, 1000)

    wheel = WheelProbe(N, on_due)
    for key in range(N):
        wheel.arm(key, 100)
    run_until(wheel, 500)
    assert len(came) == 1
    run_until(wheel, 2000)
    assert sorted(came[1:]) == sorted([came[0], (came[0] + 1) % N])


def test_a_loop_that_slept_for_hours_finds_everything_due() -> None:
    came: list[int] = []
    wheel = WheelProbe(N, came.append)
    for key in range(N):
        wheel.arm(key, 1 + key * SPAN_MS // 3)
    wheel.advance(100 * SPAN_MS)
    assert sorted(came) == list(range(N))
    assert wheel.next_ms() is None


ARM = st.tuples(st.just("arm"), st.integers(0, N - 1), st.integers(1, 3 * SPAN_MS))
DISARM = st.tuples(st.just("disarm"), st.integers(0, N - 1), st.just(0))
ADVANCE = st.tuples(st.just("advance"), st.just(0), st.integers(0, 2 * SPAN_MS))
# What a handler does, by the order in which deadlines come.
REACTIONS = st.lists(st.one_of(ARM, DISARM), max_size=10)


@given(steps=st.lists(st.one_of(ARM, DISARM, ADVANCE), max_size=40), reactions=REACTIONS)
def test_it_agrees_with_a_dictionary(steps: list[tuple[str, int, int]], reactions: list[tuple[str, int, int]]) -> None:
    armed: dict[int, int] = {}
    now_ms = 0
    wanted = reactions.copy()

    def act(step: str, key: int, in_ms: int) -> None:
        if step == "arm":
            wheel.arm(key, now_ms + in_ms)
            armed[key] = now_ms + in_ms
        else:
            wheel.disarm(key)
            armed.pop(key, None)

    def on_due(key: int) -> None:
        assert armed.pop(key) <= now_ms
        if wanted:
            act(*wanted.pop())

    wheel = WheelProbe(N, on_due)
    for step, key, in_ms in steps:
        if step != "advance":
            act(step, key, in_ms)
            continue
        end_ms = now_ms + in_ms
        while (next_ms := wheel.next_ms()) is not None and next_ms <= end_ms:
            now_ms = next_ms
            wheel.advance(now_ms)
            assert all(due_ms > now_ms - TICK_MS for due_ms in armed.values())
        now_ms = end_ms
        wheel.advance(now_ms)
        assert (wheel.next_ms() is None) <= (not armed)
