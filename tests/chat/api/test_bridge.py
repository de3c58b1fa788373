"""Between the hub and native threads."""
import threading

import gevent
import pytest
from gevent.event import Event

from hotpath.chat.api.bridge import Bridge, Overloaded, Threads
from tests.waiting import DEADLINE_S


@pytest.fixture
def bridge():
    made = Bridge()
    yield made
    made.close()


def test_whoever_waits_gets_the_result_from_any_thread(bridge):
    def start(done):
        threading.Thread(target=done, args=("result",)).start()

    assert bridge.wait(start) == "result"


def test_a_result_may_be_there_before_anybody_waits(bridge):
    assert bridge.wait(lambda done: done(None)) is None


def test_an_exception_is_raised_where_it_was_waited_for(bridge):
    error = KeyError("x")
    waiting = [gevent.spawn(bridge.wait, lambda done: threading.Thread(target=done, args=(error,)).start())
               for _ in range(3)]
    for one in waiting:
        with pytest.raises(KeyError):
            one.get(timeout=5)


def test_what_cannot_be_started_is_raised_at_once(bridge):
    def start(done):
        raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        bridge.wait(start)


def test_the_hub_goes_on_while_a_thread_works(bridge):
    threads = Threads(bridge, "work", n_threads=1, max_waiting=10)
    held, seen = threading.Event(), []
    slow = gevent.spawn(threads.call, held.wait, 20)
    for _ in range(100):
        gevent.sleep(0)
        seen.append(slow.ready())
    assert not any(seen)
    held.set()
    assert slow.get(timeout=5) is True
    threads.stop()


def test_thousands_of_calls_come_back_each_to_its_own(bridge):
    threads = Threads(bridge, "work", n_threads=4, max_waiting=5000)
    calls = [gevent.spawn(threads.call, lambda n: n * n, n) for n in range(3000)]
    gevent.joinall(calls, timeout=DEADLINE_S)
    assert [call.value for call in calls] == [n * n for n in range(3000)]
    threads.stop()


def test_a_full_queue_refuses_at_once(bridge):
    threads = Threads(bridge, "work", n_threads=1, max_waiting=2)
    held, begun = threading.Event(), threading.Event()

    def work():
        begun.set()
        return held.wait(DEADLINE_S)

    calls = [gevent.spawn(threads.call, work)]
    gevent.sleep(0)
    begun.wait(5)
    calls += [gevent.spawn(threads.call, held.wait, 20) for _ in range(2)]
    gevent.sleep(0)
    assert len(threads) == 2
    with pytest.raises(Overloaded, match="2 requests wait for work"):
        threads.call(held.wait, 20)
    held.set()
    gevent.joinall(calls, timeout=5, raise_error=True)
    assert threads.call(lambda: 1) == 1
    threads.stop()


def test_what_was_queued_is_done_before_the_threads_end(bridge):
    threads = Threads(bridge, "work", n_threads=2, max_waiting=100)
    calls = [gevent.spawn(threads.call, lambda n: n, n) for n in range(50)]
    gevent.sleep(0)
    threads.stop()
    gevent.joinall(calls, timeout=5)
    assert [call.value for call in calls] == list(range(50))


def test_somebody_who_no_longer_waits_disturbs_nobody(bridge):
    answers = []
    gone = gevent.spawn(bridge.wait, answers.append)
    gevent.sleep(0)
    gone.kill()
    answers.pop()("late")
    told = Event()
    gevent.spawn(told.set)
    assert told.wait(5)
    assert bridge.wait(lambda done: done(1)) == 1
