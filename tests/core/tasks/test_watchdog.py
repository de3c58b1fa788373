"""What blocks the loop is named while it does, once; what sleeps, or was stopped, is not."""
import os
import re
import signal
import sys
import threading
import time

import pytest

from hotpath.core.net.loop import Loop
from hotpath.core.tasks import Watchdog, run, sleep
from hotpath.core.tasks.task import kept_by_loop
from tests.core.tasks.tasked import spawned
from tests.waiting import running, send_signal, wait_for

SHORT_S = 0.25


class Guard:
    """A watchdog of the running loop, for as long as that is open."""

    def __init__(self, loop):
        self.loop = loop
        self.dog = Watchdog(loop, blocked_s=SHORT_S)

    def close(self):
        self.dog.stop()


def messages(caplog, word="loop="):
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


def block_until_told(caplog):
    """Blocks the loop's thread until the watchdog has said so."""
    wait_for(lambda: messages(caplog, "loop=blocked"), "the watchdog")


def test_what_blocks_the_loop_is_logged_with_its_task_and_stack_and_then_for_how_long(caplog):
    def main():
        kept_by_loop("guard", Guard)
        spawned(block_until_told, caplog)
        while not messages(caplog, "loop=free"):
            sleep(0.001)

    run(main)
    blocked, free = messages(caplog)
    assert "task=block_until_told" in blocked
    assert "in block_until_told" in blocked
    assert int(re.search(r"since_ms=(\d+)", blocked)[1]) >= SHORT_S * 1000
    assert int(re.search(r"blocked_ms=(\d+)", free)[1]) >= SHORT_S * 1000


def test_a_callback_of_the_loop_that_blocks_is_logged_too(caplog):
    def main():
        guard = kept_by_loop("guard", Guard)
        guard.loop.call_soon(block_until_told, caplog)
        while not messages(caplog, "loop=free"):
            sleep(0.001)

    run(main)
    assert "task=- " in messages(caplog)[0]
    assert "in block_until_told" in messages(caplog)[0]


def test_what_blocks_twice_is_logged_twice(caplog):
    def main():
        kept_by_loop("guard", Guard)
        for n in (1, 2):
            wait_for(lambda n=n: len(messages(caplog, "loop=blocked")) == n, "the watchdog")
            while len(messages(caplog, "loop=free")) < n:
                sleep(0.001)

    run(main)
    assert [message.split()[0] for message in messages(caplog)] == ["loop=blocked", "loop=free"] * 2


def test_a_loop_that_sleeps_is_not_blocked(caplog):
    def main():
        kept_by_loop("guard", Guard)
        for _ in range(5):
            sleep(SHORT_S * 2.5)

    run(main)
    assert not messages(caplog)


STOPPED = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from hotpath.core.tasks import Watchdog, run, spawn, sleep
from hotpath.core.tasks.task import kept_by_loop
class Guard:
    def __init__(self, loop):
        self.dog = Watchdog(loop, blocked_s=1.0)
    def close(self):
        self.dog.stop()
def busy():
    while True:
        sum(range(1000))
        sleep(0)
def main():
    kept_by_loop("guard", Guard)
    spawn(busy)
    sleep(0.1)
    print("ready", flush=True)
    sleep(0.1)
    while not os.path.exists(sys.argv[1]):
        sleep(0.01)
        print("turn", flush=True)
import os
run(main)
print("ended", flush=True)
"""


def test_a_process_that_was_stopped_and_went_on_is_not_blamed(tmp_path):
    with running([sys.executable, "-P", "-c", STOPPED, str(tmp_path / "enough")]) as process:
        process.wait_for_output("ready")
        for _ in range(3):
            send_signal(process.pid, signal.SIGSTOP)
            stopped_s = time.monotonic()
            wait_for(lambda stopped_s=stopped_s: time.monotonic() > stopped_s + 2, "longer than the watchdog allows")
            os.kill(process.pid, signal.SIGCONT)
            n_turns = process.read().count("turn")
            wait_for(lambda n=n_turns: process.read().count("turn") > n + 1, "the loop to go on")
        (tmp_path / "enough").touch()
        assert process.wait() == 0
        assert "loop=" not in process.output


HOLDS = """
import ctypes, logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from hotpath.core.tasks import Watchdog, run, sleep
from hotpath.core.tasks.task import kept_by_loop
class Guard:
    def __init__(self, loop):
        self.dog = Watchdog(loop, blocked_s=0.1)
    def close(self):
        self.dog.stop()
def holds_the_gil():
    ctypes.PyDLL(None).usleep(3_000_000)
def main():
    told = []
    logging.getLogger().handlers[0].addFilter(lambda record: told.append(record) or True)
    kept_by_loop("guard", Guard)
    sleep(0.01)
    holds_the_gil()
    while not told:
        sleep(0.01)
run(main)
"""


def test_what_blocks_while_it_holds_the_gil_is_told_afterwards():
    with running([sys.executable, "-P", "-c", HOLDS]) as process:
        assert process.wait() == 0
        assert "loop=blocked" in process.output


def test_a_watchdog_can_be_stopped_twice_and_leaves_no_thread():
    loop = Loop()
    dog = Watchdog(loop)
    dog.stop()
    dog.stop()
    loop.close()
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())
    with pytest.raises(ValueError, match="more than 0"):
        Watchdog(loop, blocked_s=0)
