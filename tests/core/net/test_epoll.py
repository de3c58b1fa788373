"""What C handlers do to each other within one batch: order, closing a neighbour, putting work off."""
import errno
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from hotpath.core.net.stream import Stream
from tests.core.cmodules import compiled

HERE = Path(__file__).parent
RANK = {i: (2, 1, 0)[i % 3] for i in range(8)}


@pytest.fixture(scope="module")
def c_face(tmp_path_factory):
    """The Cython module beside this file."""
    return compiled(HERE / "c_face.pyx", tmp_path_factory.mktemp("c_face"))


@pytest.fixture
def ready():
    """Eight descriptors that are readable, for the loop to close."""
    pipes = [os.pipe() for _ in range(8)]
    for _, writer in pipes:
        os.write(writer, b"x")
    yield [reader for reader, _ in pipes]
    for _, writer in pipes:
        os.close(writer)


def one_turn(loop):
    loop.call_later(0, loop.stop)
    loop.run()


def test_events_of_a_batch_are_handled_by_rank_and_deferred_work_runs_behind_them_once_in_order(c_face, loop, ready):
    table = c_face.Table(loop, ready, 0)
    one_turn(loop)
    ran = table.ran()
    events, deferred = ran[:8], ran[8:]
    assert sorted(events) == list(range(8))
    assert [RANK[i] for i in events] == sorted(RANK.values())
    # The first item's deferred work puts the last item's off once more: it runs too, unless it is still to come anyway.
    again = [107] if deferred.index(107) < deferred.index(100) else []
    assert deferred == [100 + i for i in events] + again


@pytest.mark.parametrize("act", [1, 2, 3], ids=["closed", "removed", "closed and freed"])
def test_no_stale_event_reaches_a_source_that_a_handler_closed(c_face, loop, ready, act):
    table = c_face.Table(loop, ready, act)
    one_turn(loop)
    one_turn(loop)
    events = [what for what in table.ran() if what < 100]
    assert len(set(events)) == 1
    open_fds = [fd for fd in ready if Path(f"/proc/self/fd/{fd}").exists()]
    assert len(open_fds) == {1: 0, 2: 7, 3: 1}[act]
    for fd in open_fds:
        os.close(fd)


def watched_fds():
    """Everything in an epoll set of this process: proc_pid_fdinfo(5)."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):     # the listing's own
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventpoll]":
                found += re.findall(r"tfd: *(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_text())
    return sorted(map(int, found))


def test_closing_leaves_the_epoll_set_although_a_copy_of_the_socket_is_open_elsewhere(loop):
    """As in a forked child. The kernel would go on telling events of memory that is no longer ours: epoll(7), Q6."""
    before = watched_fds()
    ours, peer = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server, peer:
        listener = loop.listen(server, print)
        stream = Stream(loop, ours)
        copy = os.dup(stream.fileno())
        assert len(watched_fds()) == len(before) + 2
        stream.close()
        listener.close()
        assert watched_fds() == before
        os.close(copy)


def test_an_fd_that_epoll_does_not_know_is_an_error_number(c_face, loop, ready):
    assert c_face.errors(loop, ready[0]) == (-errno.ENOENT, -errno.ENOENT)
    for fd in ready:
        os.close(fd)
