"""A test that is a task, and steps between tasks without a clock."""
import functools

from hotpath.core import tasks
from hotpath.core.tasks.task import kept_by_loop
from tests.waiting import DEADLINE_S


def in_task(test):
    """Run the test in a task on a loop of its own; one that hangs ends with TimeoutError."""
    @functools.wraps(test)
    def outer(*args, **kwargs):
        def bounded():
            with tasks.timeout(DEADLINE_S):
                test(*args, **kwargs)

        tasks.run(bounded)

    return outer


def step():
    """Let every task that is ready run until it waits."""
    tasks.sleep(0)


def spawned(fn, *args):
    """A task that has run until it first waits."""
    task = tasks.spawn(fn, *args)
    step()
    return task


class Kept:
    """The running loop, at hand for a test: `kept_by_loop("loop", Kept).loop`."""

    def __init__(self, loop):
        self.loop = loop

    def close(self):
        pass


def running_loop():
    """The loop this task runs on."""
    return kept_by_loop("loop", Kept).loop
