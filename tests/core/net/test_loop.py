"""Calls, exact timers, watched descriptors and signals come from the loop: in order, once, whatever else goes on."""
import errno
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from itertools import combinations

import pytest

from hotpath.core.net.linux import die_with_parent
from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream


def test_calls_run_in_order_and_those_they_make_run_too(loop):
    seen = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(lambda: loop.call_soon(lambda: (seen.append(3), loop.stop())))
    loop.call_soon(seen.append, 2)
    loop.run()
    assert seen == [1, 2, 3]


def test_timers_run_in_the_order_they_are_due(loop):
    seen, due_s = [], {}        # when at the earliest, and at the latest
    for delay_s in (0.03, 0.01, 0.02, 0.0, -1.0):
        before_s = time.monotonic()
        loop.call_later(delay_s, seen.append, delay_s)
        due_s[delay_s] = before_s + max(0.0, delay_s) - 1e-5, time.monotonic() + max(0.0, delay_s)
    loop.call_later(0.04, loop.stop)
    loop.run()
    assert sorted(seen) == [-1.0, 0.0, 0.01, 0.02, 0.03]
    assert all(due_s[first][0] <= due_s[then][1] for first, then in combinations(seen, 2))


def test_no_timer_runs_before_it_is_due(loop):
    early = []

    def check(due_s):
        early.append(max(0.0, due_s - time.monotonic() - 1e-5))

    for delay_s in (0.0005, 0.0011, 0.0042, 0.017):
        loop.call_later(delay_s, check, time.monotonic() + delay_s)
    loop.call_later(0.03, loop.stop)
    loop.run()
    assert early == [0.0] * 4


def test_a_cancelled_timer_never_runs_even_when_due_in_the_same_turn(loop):
    seen = []
    second = None

    def first():
        seen.append("first")
        second.cancel()
        second.cancel()

    loop.call_later(0.001, first)
    second = loop.call_later(0.001, seen.append, "second")
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert seen == ["first"]


def test_a_timer_may_be_cancelled_after_it_ran(loop):
    timer = loop.call_later(0, loop.stop)
    loop.run()
    timer.cancel()
    for _ in range(200):
        loop.call_later(1000, print).cancel()
    loop.call_later(0, loop.stop)
    loop.run()


def test_cancelled_timers_do_not_pile_up(loop):
    class Big:
        pass

    kept = []
    for _ in range(1000):
        big = Big()
        kept.append(weakref.ref(big))
        loop.call_later(3600, print, big).cancel()
    del big
    gc.collect()
    assert not any(reference() for reference in kept)


def test_a_callback_that_raises_is_logged_and_the_others_run(loop, caplog):
    loop.call_soon(lambda: 1 / 0)
    loop.call_later(0, lambda: [][1])
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert "ZeroDivisionError" in caplog.text
    assert "IndexError" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_must_end_the_process_comes_out_of_run_and_the_rest_runs_later(loop, error):
    def end():
        raise error

    seen = []
    loop.call_soon(end)
    loop.call_soon(seen.append, 1)
    with pytest.raises(error):
        loop.run()
    assert seen == []
    loop.call_soon(loop.stop)
    loop.run()
    assert seen == [1]


def test_threads_wake_a_sleeping_loop_and_none_of_their_calls_is_lost(loop):
    n_threads, n_calls = 4, 500
    seen = []

    def call_from(thread):
        for i in range(n_calls):
            loop.call_soon_threadsafe(note, thread, i)

    def note(thread, i):
        seen.append((thread, i))
        if len(seen) == n_threads * n_calls:
            loop.stop()

    threads = [threading.Thread(target=call_from, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    loop.run()
    for thread in threads:
        thread.join()
    for i in range(n_threads):
        assert [call for thread, call in seen if thread == i] == list(range(n_calls))


def test_a_watched_descriptor_tells_its_events_until_unwatched(loop):
    reader, writer = os.pipe()
    seen = []

    def on_events(events):
        seen.append((events, os.read(reader, 1)))
        if len(seen) == 3:
            assert loop.unwatch(reader)
            loop.call_later(0.01, loop.stop)

    loop.watch(reader, select.EPOLLIN, on_events)
    os.write(writer, b"abcd")
    loop.run()
    assert seen == [(select.EPOLLIN, b"a"), (select.EPOLLIN, b"b"), (select.EPOLLIN, b"c")]
    assert not loop.unwatch(reader)
    os.close(reader)
    os.close(writer)


def test_watching_again_replaces(loop):
    reader, writer = os.pipe()
    seen = []
    loop.watch(reader, select.EPOLLIN, lambda _events: seen.append("old"))
    loop.watch(reader, select.EPOLLIN, lambda _events: (seen.append("new"), loop.stop()))
    os.write(writer, b"x")
    loop.run()
    assert seen == ["new"]
    loop.unwatch(reader)
    os.close(reader)
    os.close(writer)


def test_no_stale_event_reaches_a_descriptor_unwatched_in_the_same_batch(loop):
    pipes = [os.pipe() for _ in range(20)]
    seen = []

    def on_events(reader):
        seen.append(reader)
        for other, _ in pipes:
            loop.unwatch(other)
        gc.collect()
        loop.call_later(0.01, loop.stop)

    for reader, writer in pipes:
        loop.watch(reader, select.EPOLLIN, lambda _events, reader=reader: on_events(reader))
        os.write(writer, b"x")
    loop.run()
    assert len(seen) == 1
    for fd in sum(pipes, ()):
        os.close(fd)


def test_what_epoll_cannot_watch_is_an_error(loop, tmp_path):
    with open(tmp_path / "file", "wb") as file, pytest.raises(PermissionError):
        loop.watch(file.fileno(), select.EPOLLIN, print)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        loop.watch(-1, select.EPOLLIN, print)


def test_a_signal_runs_its_function_in_the_loop_and_is_given_back(loop):
    before = signal.getsignal(signal.SIGUSR1)
    seen = []
    loop.on_signal(signal.SIGUSR1, lambda: (seen.append("one"), os.kill(os.getpid(), signal.SIGUSR2)))
    loop.on_signal(signal.SIGUSR2, lambda: (seen.append("two"), loop.stop()))
    loop.on_signal(signal.SIGUSR2, lambda: (seen.append("new two"), loop.stop()))
    os.kill(os.getpid(), signal.SIGUSR1)    # before run: noted
    loop.run()
    assert seen == ["one", "new two"]
    loop.on_signal(signal.SIGUSR1, None)
    loop.on_signal(signal.SIGUSR2, None)
    assert signal.getsignal(signal.SIGUSR1) == signal.getsignal(signal.SIGUSR2) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_is_given_back_within_the_loop_is_written_to_nobodys_descriptor():
    """The loop closes its pipe, and the next file that is opened has its number."""
    loop = Loop()
    try:
        loop.on_signal(signal.SIGUSR1, lambda: (loop.on_signal(signal.SIGUSR1, None), loop.stop()))
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run()
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        loop.close()


def test_a_timer_beyond_all_time_is_one_for_ever(loop):
    timers = [loop.call_later(delay_s, print) for delay_s in (1e10, 1e13, 1e300)]
    loop.call_later(0, loop.stop)
    loop.run()
    for timer in timers:
        timer.cancel()


def test_a_signal_wakes_a_loop_that_waits_for_nothing(loop):
    loop.on_signal(signal.SIGUSR1, loop.stop)
    killer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    killer.start()
    loop.run()
    killer.join()


def test_signals_come_through_while_the_loop_is_busy_in_c(loop):
    """Bytes that a lingering close discards keep the loop in C: no turn of theirs has anything for Python."""
    ours, peer = socket.socketpair()
    stream = Stream(loop, ours)
    busy = threading.Event()
    done = threading.Event()

    def flood():
        while not done.is_set():
            try:
                peer.send(b"x")
            except OSError:
                return
            busy.set()

    def kill():
        busy.wait()
        os.kill(os.getpid(), signal.SIGUSR1)

    seen = []
    loop.on_signal(signal.SIGUSR1, lambda: (seen.append("signal"), loop.stop()))
    stream.close(linger_s=60)
    threads = [threading.Thread(target=flood), threading.Thread(target=kill)]
    for thread in threads:
        thread.start()
    loop.run()
    done.set()
    with suppress(OSError):             # nobody reads any more: a send that waits for room must not wait for ever
        peer.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    peer.close()
    assert seen == ["signal"]


def test_ctrl_c_comes_out_of_a_loop_that_waits_for_nothing(loop):
    killer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    loop.call_soon(killer.start)        # within the run: whenever it comes, it comes out there
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    killer.join()
    assert signal.set_wakeup_fd(-1) == -1


def test_a_loop_that_waits_for_nothing_uses_no_cpu(loop):
    """Also with a deadline a minute ahead in the wheel: a lingering stream."""
    ours, peer = socket.socketpair()
    Stream(loop, ours).close(linger_s=60)
    loop.call_later(0.3, loop.stop)
    turns_before = voluntary_switches()
    loop.run()
    assert voluntary_switches() - turns_before < 10
    peer.close()


def voluntary_switches():
    """How often this thread went to sleep."""
    with open(f"/proc/self/task/{threading.get_native_id()}/status") as status:
        return int(status.read().partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_a_loop_runs_in_another_thread():
    seen = []

    def run():
        loop = Loop()
        loop.call_later(0.001, lambda: (seen.append(threading.current_thread()), loop.stop()))
        loop.run()
        with pytest.raises(ValueError, match="main thread"):
            loop.on_signal(signal.SIGUSR1, print)
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [thread]


def test_a_loop_is_run_once_at_a_time_and_not_after_close(loop):
    errors = []

    def nested():
        for forbidden in (loop.run, loop.close):
            try:
                forbidden()
            except RuntimeError as error:
                errors.append(str(error))
        loop.stop()

    loop.call_soon(nested)
    loop.run()
    assert errors == ["the loop is running already", "the loop is running"]
    assert not loop.running
    loop.close()
    loop.close()
    assert loop.closed
    with pytest.raises(RuntimeError, match="closed"):
        loop.run()


def test_closing_gives_back_every_descriptor():
    before = set(os.listdir("/proc/self/fd"))
    loop = Loop()
    ours, peer = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop.listen(server, print)
        Stream(loop, ours)
        loop.on_signal(signal.SIGUSR1, print)
        loop.close()
    peer.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_loop_that_nobody_holds_is_collected_with_its_streams():
    def make():
        loop = Loop()
        ours, peer = socket.socketpair()
        stream = Stream(loop, ours)
        stream.owner = stream.on_data = lambda _stream, _data: (loop, stream)
        stream.write(b"x" * 1000)
        stream.close(linger_s=60)
        with socket.create_server(("127.0.0.1", 0)) as server:
            loop.listen(server, lambda _stream: loop)
        peer.close()

    before = set(os.listdir("/proc/self/fd"))
    make()
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_child_with_die_with_parent_ends_when_its_parent_is_killed():
    """The grandchild holds the pipe's writing end: end of file means that it is gone."""
    code = """
import os, signal, time
from hotpath.core.net.linux import die_with_parent
reader, writer = os.pipe()
if os.fork() == 0:
    die_with_parent(signal.SIGKILL)
    os.write(writer, b"x")
    signal.pause()
os.read(reader, 1)
os.write(1, b"ready")
signal.pause()
"""
    parent = subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout.read(5) == b"ready"
    parent.kill()
    assert parent.stdout.read() == b""
    parent.wait()
    parent.stdout.close()


def test_die_with_parent_refuses_what_is_no_signal():
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        die_with_parent(1000)
