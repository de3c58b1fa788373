"""Every connection is handed over once; workers share them; no lack of descriptors makes the loop spin."""
import mmap
import os
import resource
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from hotpath.core.net.loop import Loop
from tests.core.net.peers import reset_on_close
from tests.waiting import DEADLINE_S, wait_for


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server


def echo(stream):
    stream.on_data = lambda stream, data: stream.write(data)


def test_a_connection_becomes_a_stream(loop, run_until, server):
    accepted = []
    loop.listen(server, lambda stream: (accepted.append(stream), echo(stream)))
    with socket.create_connection(server.getsockname(), timeout=DEADLINE_S) as peer:
        peer.sendall(b"hello")
        run_until(lambda: accepted)
        assert accepted[0].peer == peer.getsockname()
        assert accepted[0].loop is loop
        borrowed = socket.socket(fileno=accepted[0].fileno())
        assert borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not borrowed.get_inheritable()
        borrowed.detach()
        run_until(lambda: select.select([peer], [], [], 0)[0])
        assert peer.recv(10) == b"hello"


def test_a_unix_socket_is_accepted_on_too(loop, run_until, tmp_path):
    path = str(tmp_path / "socket")
    accepted = []
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as peer:
        server.bind(path)
        server.listen()
        loop.listen(server, accepted.append)
        peer.connect(path)
        run_until(lambda: accepted)
        assert accepted[0].peer == ""


def test_more_connections_than_one_batch(loop, run_until, server):
    accepted = []
    loop.listen(server, accepted.append)
    with ExitStack() as peers:
        for _ in range(100):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(accepted) == 100)


def test_draining_accepts_what_waits_and_leaves_the_socket_to_its_owner(loop, run_until, server):
    accepted = []
    listener = loop.listen(server, accepted.append)
    with ExitStack() as peers:
        for _ in range(40):
            peers.enter_context(socket.create_connection(server.getsockname()))
        listener.drain()
        listener.drain()
        assert listener.closed
        run_until(lambda: len(accepted) == 40)
        peers.enter_context(socket.create_connection(server.getsockname()))
        loop.call_later(0.01, loop.stop)
        loop.run()
        assert len(accepted) == 40
        server.accept()[0].close()


def test_closing_from_within_on_stream(loop, run_until, server):
    accepted = []
    listener = loop.listen(server, lambda stream: (accepted.append(stream), listener.close()))
    with ExitStack() as peers:
        for _ in range(3):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: listener.closed)
        listener.close()


def test_an_on_stream_that_raises_costs_its_connection_only(loop, run_until, server, caplog):
    accepted = []

    def on_stream(stream):
        accepted.append(stream)
        if len(accepted) == 1:
            raise ValueError("not this one")

    loop.listen(server, on_stream)
    with ExitStack() as peers:
        for _ in range(2):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(accepted) == 2)
        assert [stream.closed for stream in accepted] == [True, False]
    assert "not this one" in caplog.text


def test_out_of_descriptors_it_pauses_logs_once_and_goes_on_when_some_are_free(loop, run_until, server, caplog):
    accepted = []
    listener = loop.listen(server, accepted.append)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as peers:
        for _ in range(3):
            peers.enter_context(socket.create_connection(server.getsockname()))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), limits[1]))
            holes = fill_holes()
            began_s = time.monotonic()
            run_until(lambda: listener.n_failed)
            loop.call_later(0.3, loop.stop)
            loop.run()
            n_failed = listener.n_failed
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in holes:
            os.close(fd)
        assert not accepted
        assert n_failed < 10        # a loop that spins fails thousands of times
        assert 1 <= caplog.text.count("Too many open files") <= 1 + time.monotonic() - began_s      # one a second
        run_until(lambda: len(accepted) == 3)


def fill_holes():
    """Take every descriptor below the limit."""
    fds = []
    while True:
        try:
            fds.append(os.dup(0))
        except OSError:
            return fds


def shared_gauges(workers, cells=8):
    return memoryview(mmap.mmap(-1, workers * cells * 8)).cast("q")


def test_its_gauge_counts_open_streams(loop, run_until, server):
    gauges = shared_gauges(2)
    accepted = []
    listener = loop.listen(server, accepted.append, gauges=gauges, workers=2, worker=1)
    with ExitStack() as peers:
        for _ in range(3):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(accepted) == 3)
        assert list(gauges) == [0] * 8 + [3] + [0] * 7
        accepted[0].close()
        listener.close()
        run_until(lambda: gauges[8] == 2)
    for stream in accepted[1:]:
        stream.close()
    run_until(lambda: gauges[8] == 0)


def test_at_its_limit_a_worker_accepts_no_more_until_one_ends(loop, run_until, server):
    accepted = []
    loop.listen(server, accepted.append, gauges=shared_gauges(1), limit=2)
    with ExitStack() as peers:
        for _ in range(4):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(accepted) == 2)
        loop.call_later(0.2, loop.stop)
        loop.run()
        assert len(accepted) == 2
        accepted[0].close()
        run_until(lambda: len(accepted) == 3)
        loop.call_later(0.2, loop.stop)
        loop.run()
        assert len(accepted) == 3


def test_a_worker_with_its_share_still_takes_what_nobody_else_does(loop, run_until, server):
    """The other worker is dead: its gauge says 0 for ever. Connections must not wait for it."""
    accepted = []
    loop.listen(server, accepted.append, gauges=shared_gauges(2), workers=2, worker=0)
    with ExitStack() as peers:
        for _ in range(60):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(accepted) == 60)


@pytest.mark.parametrize("other", [0, 1])
def test_the_last_one_that_accepts_does_not_leave(loop, run_until, server, other):
    """Both may have left, each with more than the other when it looked: what comes then waits for the next tick."""
    accepting = shared_gauges(2)
    accepting[8] = other
    stayed = []
    loop.listen(server, lambda stream: stayed.append(accepting[0]), gauges=shared_gauges(2), accepting=accepting,
                workers=2)
    with ExitStack() as peers:
        for _ in range(60):
            peers.enter_context(socket.create_connection(server.getsockname()))
        run_until(lambda: len(stayed) == 60)
    assert (0 in stayed) == bool(other)


@pytest.mark.parametrize("end", ["close", "drain"])
def test_one_that_has_ended_does_not_say_that_it_accepts(loop, server, end):
    accepting = shared_gauges(2)
    listener = loop.listen(server, print, gauges=shared_gauges(2), accepting=accepting, workers=2)
    assert accepting[0] == 1
    getattr(listener, end)()
    getattr(listener, end)()
    assert accepting[0] == 0


@pytest.mark.parametrize("options", [
    {"workers": 2}, {"limit": 1}, {"worker": 1}, {"worker": -1},
    {"limit": -1, "gauges": memoryview(bytearray(8)).cast("q")},
    {"workers": 2, "gauges": memoryview(bytearray(24)).cast("q")}, {"gauges": memoryview(bytearray(0)).cast("q")},
])
def test_numbers_that_do_not_fit_are_refused(loop, server, options):
    with pytest.raises(ValueError, match=r"worker|gauges"):
        loop.listen(server, print, **options)


def test_a_socket_that_cannot_listen_is_refused_and_leaks_nothing(loop, tmp_path):
    before = os.listdir("/proc/self/fd")
    with open(tmp_path / "file", "wb") as file, pytest.raises(PermissionError):
        loop.listen(file, print)
    assert os.listdir("/proc/self/fd") == before


def work(server, gauges, workers, worker, ready):
    """A forked worker: holds what it accepts until it is killed."""
    loop = Loop()
    loop.listen(server, echo, gauges=gauges, workers=workers, worker=worker)
    loop.call_soon(os.write, ready, b"r")
    loop.run()


@pytest.mark.parametrize("at_once", [True, False], ids=["in a burst", "one by one"])
@pytest.mark.parametrize("workers", [2, 4])
def test_the_fullest_of_w_workers_holds_at_most_one_and_a_half_times_the_mean(server, workers, at_once):
    """With 8 W long connections. The workers are forked processes on one listening socket, as in production."""
    gauges = shared_gauges(workers)
    n = 8 * workers
    read_ready, ready = os.pipe()
    pids = []
    try:
        for worker in range(workers):
            pid = os.fork()
            if pid == 0:
                try:
                    work(server, gauges, workers, worker, ready)
                finally:
                    os._exit(1)
            pids.append(pid)
        for _ in range(workers):
            os.read(read_ready, 1)

        def spread():
            with ExitStack() as peers:
                for _ in range(n):
                    peer = peers.enter_context(socket.create_connection(server.getsockname(), timeout=DEADLINE_S))
                    if not at_once:
                        peer.sendall(b"x")
                        assert peer.recv(1) == b"x"
                wait_for(lambda: sum(gauges) == n, f"{n} connections to be accepted: {list(gauges[::8])}")
                counts = list(gauges[::8])
            wait_for(lambda: sum(gauges) == 0, "all to be forgotten")
            return counts

        tried = []      # twice of at most four times: a worker that the machine leaves standing takes nothing meanwhile
        while sum(max(counts) <= 1.5 * n / workers for counts in tried) < 2:
            assert len(tried) < 4, tried
            tried.append(spread())
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(read_ready)
        os.close(ready)


def test_connections_that_are_reset_before_they_are_accepted_do_no_harm(loop, run_until, server):
    accepted = []
    loop.listen(server, lambda stream: (accepted.append(stream), echo(stream)))
    for _ in range(5):
        peer = socket.create_connection(server.getsockname())
        reset_on_close(peer)
        peer.close()
    answers = []
    with socket.create_connection(server.getsockname(), timeout=DEADLINE_S) as peer:
        peer.sendall(b"x")
        receiver = threading.Thread(target=lambda: answers.append(peer.recv(1)))
        receiver.start()
        run_until(lambda: answers)
        receiver.join()
    assert answers == [b"x"]


def test_a_worker_that_leaves_connections_to_others_wakes_them(server):
    """Woken alone, it takes its share; without the nudge the rest would wait for the next client or tick."""
    nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    gauges = memoryview(bytearray(16)).cast("q")        # two workers in one process: it need not be shared
    with ExitStack() as peers:
        loops = [Loop(), Loop()]
        accepted = [[], []]
        for worker, loop in enumerate(loops):
            loop.listen(server, accepted[worker].append, gauges=gauges, workers=2, worker=worker, nudge=nudge)
        for _ in range(12):
            peers.enter_context(socket.create_connection(server.getsockname()))
        for loop in (loops[0], loops[1], loops[0], loops[1]):
            loop.call_later(0, loop.stop)       # one turn: before a pause is over
            loop.run()
            if loop is loops[0] and not accepted[1]:
                assert len(accepted[0]) == 5            # one more than MARGIN above the other's none
                assert os.eventfd_read(nudge) == 1
        assert len(accepted[0]) + len(accepted[1]) == 12
        assert len(accepted[1]) >= 4
        for loop in loops:
            loop.close()
    os.close(nudge)
