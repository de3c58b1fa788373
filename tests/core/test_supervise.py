"""Children are kept running while we live, and end when we do, however we do."""
import errno
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from hotpath.core.supervise import LONGEST_PAUSE_S, MAX_LINE_BYTES, Part, Supervisor
from tests.waiting import is_alive, running, wait_for

PYTHON = [sys.executable, "-P", "-c"]


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def turn_until(supervisor, check, what):
    def turned():
        supervisor.turn(0.05)
        return check()

    wait_for(turned, what)


def test_each_line_carries_the_name_of_its_part():
    lines = []
    parts = [Part("a", [*PYTHON, "print('one'); print('two', end='')"]), Part("long", [*PYTHON, "print('three')"])]
    with Supervisor(parts, write=lines.append, now_s=Clock()) as supervisor:
        turn_until(supervisor, lambda: len(lines) == 3, "three lines")
    assert sorted(lines) == ["a    | one", "a    | two", "long | three"]


def test_a_line_without_end_is_passed_on_in_pieces_of_bounded_size():
    lines = []
    size = 10 * MAX_LINE_BYTES
    command = [*PYTHON, f"print('x' * {size}, end='', flush=True); import signal; signal.pause()"]
    with Supervisor([Part("a", command)], write=lines.append) as supervisor:
        turn_until(supervisor, lambda: lines, "a piece of the line")
        assert len(supervisor.children[0].unfinished) <= MAX_LINE_BYTES


def test_a_dead_part_starts_again_after_a_pause_that_doubles_up_to_its_limit(caplog):
    clock = Clock()
    with Supervisor([Part("a", [*PYTHON, "raise SystemExit(3)"])], write=print, now_s=clock) as supervisor:
        child = supervisor.children[0]
        pauses = []
        for restarts in range(1, 8):
            turn_until(supervisor, lambda n=restarts: child.restarts == n, f"death {restarts}")
            assert child.last_status == 3
            pauses.append(child.due_s - clock.now_s)
            supervisor.turn(0)
            assert child.process is None, "not before it is due"
            clock.now_s = child.due_s
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE_S, LONGEST_PAUSE_S])
    assert "part=a ended=exit 3" in caplog.text


def test_a_signal_without_a_name_ends_a_part_like_any_other(caplog):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)"
    with Supervisor([Part("a", [*PYTHON, code])], write=print, now_s=Clock()) as supervisor:
        turn_until(supervisor, lambda: supervisor.children[0].restarts == 1, "its death")
    assert f"part=a ended=signal {signal.SIGRTMIN + 1}" in caplog.text


def test_last_words_without_an_end_are_passed_on_and_end_no_other_line():
    lines = []
    with Supervisor([Part("a", [*PYTHON, "print('last words', end='')"])], write=lines.append,
                    now_s=Clock()) as supervisor:
        supervisor._start(supervisor.children[0])
        supervisor.children[0].process.wait()
        supervisor._reap(supervisor.children[0])        # before any output was read
        assert lines == ["a | last words"]
        assert supervisor.children[0].unfinished == b""


def test_a_part_for_which_there_is_no_room_is_started_later(monkeypatch, caplog):
    clock, lines = Clock(), []

    def refused(*_args, **_kwargs):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with Supervisor([Part("a", [*PYTHON, "print('one')"])], write=lines.append, now_s=clock) as supervisor:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", refused)
            supervisor.turn(0)
        assert "part=a cannot start cause=Resource temporarily unavailable again_s=0.2" in caplog.text
        clock.now_s = supervisor.children[0].due_s
        turn_until(supervisor, lambda: lines == ["a | one"], "its line")


def test_a_part_that_lived_long_is_forgiven():
    clock = Clock()
    with Supervisor([Part("a", [*PYTHON, "import signal; signal.pause()"])], write=print, now_s=clock) as supervisor:
        child = supervisor.children[0]
        child.pause_s = LONGEST_PAUSE_S
        supervisor.turn(0)
        clock.now_s += 60
        child.process.kill()
        turn_until(supervisor, lambda: child.restarts == 1, "its death")
        assert child.due_s - clock.now_s == pytest.approx(0.1)


def test_what_a_dead_part_left_behind_is_ended():
    lines = []
    code = "import os, signal\nif os.fork():\n    os._exit(0)\nprint(os.getpid(), flush=True)\nsignal.pause()"
    with Supervisor([Part("a", [*PYTHON, code])], write=lines.append, now_s=Clock()) as supervisor:
        turn_until(supervisor, lambda: supervisor.children[0].restarts == 1, "the death of the leader")
    pids = [int(line.split("|")[1]) for line in lines]
    wait_for(lambda: not any(map(is_alive, pids)), "the end of the group")


def test_old_handlers_are_back_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    with Supervisor([Part("a", ["true"])], write=print):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before


POLITE = "import os, signal; print('pid', os.getpid(), flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {POLITE}"
SUPERVISE = textwrap.dedent("""
    import sys
    from hotpath.core.supervise import Part, Supervisor
    with Supervisor([Part(str(n), [sys.executable, "-P", "-c", code]) for n, code in enumerate(sys.argv[2:])],
                    write=lambda line: print(line, flush=True)) as supervisor:
        while not supervisor.stopping:
            supervisor.turn(60)
        print("stopping", flush=True)
        supervisor.stop(float(sys.argv[1]))
    print("stopped", flush=True)
""")


def supervising(within_s, *codes):
    return running([*PYTHON, SUPERVISE, str(within_s), *codes])


def pids_of(process, n):
    process.wait_for_output(rf"(?s)(pid \d+\n.*){{{n}}}")
    return [int(pid) for pid in re.findall(r"pid (\d+)", process.output)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(number):
    with supervising(60, POLITE, POLITE) as process:
        pids = pids_of(process, 2)
        os.kill(process.pid, number)
        assert process.wait() == 0
        assert not any(map(is_alive, pids))


def test_a_part_that_does_not_stop_is_killed_at_the_deadline():
    with supervising(0.1, STUBBORN) as process:
        pids = pids_of(process, 1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 0
        assert not any(map(is_alive, pids))


def test_a_second_signal_stops_at_once():
    with supervising(3600, STUBBORN) as process:
        pids = pids_of(process, 1)
        os.kill(process.pid, signal.SIGINT)
        process.wait_for_output("^stopping")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 0
        assert not any(map(is_alive, pids))


def test_nothing_outlives_a_killed_supervisor():
    with supervising(60, POLITE, POLITE) as process:
        pids = pids_of(process, 2)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, pids)), "the end of the orphans")
