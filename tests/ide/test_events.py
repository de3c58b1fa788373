"""Each page hears all that happened, in order, or that it must read anew."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.tasks import run, spawn
from hotpath.ide.events import KEPT, WAITING, Bus


def heard(subscription):
    """What waits."""
    subscription.close()
    messages = []
    while (message := subscription.next()) is not None:
        messages.append(message)
    return messages


def test_who_listens_hears_in_order():
    def main():
        bus = Bus()
        subscription = bus.subscribe()
        for i in range(3):
            bus.publish({"type": "notice", "text": str(i)})
        return heard(subscription)

    assert run(main) == [{"type": "notice", "text": str(i), "seq": i + 1} for i in range(3)]


@given(before=st.integers(0, 30), missed=st.integers(0, 30), after=st.integers(0, 5))
def test_who_comes_back_hears_what_it_missed_once(before, missed, after):
    def main():
        bus = Bus()
        for _ in range(before):
            bus.publish({})
        since = bus.seq
        for _ in range(missed):
            bus.publish({})
        subscription = bus.subscribe(since)
        for _ in range(after):
            bus.publish({})
        return [message["seq"] for message in heard(subscription)]

    assert run(main) == list(range(before + 1, before + missed + after + 1))


def test_who_was_away_too_long_is_told_to_read_anew():
    def main():
        bus = Bus()
        for _ in range(KEPT + 2):
            bus.publish({"type": "notice"})
        return heard(bus.subscribe(1)), heard(bus.subscribe(2))

    late, just = run(main)
    assert late == [{"type": "overflow", "seq": KEPT + 2}]
    assert [message["seq"] for message in just] == list(range(3, KEPT + 3))


def test_a_number_of_another_life_is_no_number_here():
    def main():
        bus = Bus()
        bus.publish({"type": "notice"})
        return heard(bus.subscribe(57))

    assert run(main) == [{"type": "overflow", "seq": 1}]


def test_a_slow_page_costs_bounded_memory():
    def main():
        bus = Bus()
        slow = bus.subscribe()
        for _ in range(WAITING + 5):
            bus.publish({"type": "notice"})
        return [message["type"] for message in heard(slow)], bus.listeners

    messages, listeners = run(main)
    assert messages == ["overflow"] + ["notice"] * 4
    assert listeners == 0


def test_close_wakes_whoever_waits():
    def main():
        bus = Bus()
        subscription = bus.subscribe()
        waiting = spawn(subscription.next)
        spawn(subscription.close)
        return waiting.result()

    assert run(main) is None
