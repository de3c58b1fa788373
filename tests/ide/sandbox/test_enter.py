"""The fork itself: what cannot be asked of it, and what a child reports."""
import os
import socket
import struct

import pytest

from hotpath.ide.sandbox import enter


def reported(**plan):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            pid = enter.start(enter.LAUNCH, theirs.fileno(), **plan)
        said = []
        while message := ours.recv(64):
            said.append(enter.told(message))
        return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_program_that_starts_reports_nothing():
    reading, writing = os.pipe()
    said, status = reported(fds=(0, writing, 2), programs=[b"/nothing", b"/bin/sh"],
                            argv=[b"sh", b"-c", b"echo $A; ls /proc/self/fd | wc -l; umask; exit 3"], env=[b"A=b"])
    os.close(writing)
    with open(reading) as output:
        assert output.read().split() == ["b", "4", "0022"]      # the fourth is the listing's own
    assert (said, status) == ([], 3)


def test_one_that_does_not_says_why():
    said, status = reported(fds=(0, 1, 2), programs=[b"/nothing"], argv=[b"x"])
    assert [(enter.STAGES[stage], os.strerror(error)) for stage, error, _ in said] == [
        ("start", "No such file or directory")]
    assert status == 127


@pytest.mark.parametrize("plan", [
    {"argv": [b"a\0b"]}, {"fds": range(13)}, {"limits": [(0, 1, 1)] * 13}, {"cgroups": range(5)}, {"n_sockets": 17}])
def test_what_no_plan_can_hold_is_refused_before_the_fork(plan):
    with pytest.raises(ValueError, match=r"room|NUL"):
        enter.start(enter.LAUNCH, 2, **plan)


def test_messages():
    assert enter.told(struct.pack("=iii", enter.DONE, 0, 7)) == (len(enter.STAGES), 0, 7)
