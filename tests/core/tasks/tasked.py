"""A test that is a task, and steps between tasks without a clock."""
import functools

from hotpath.core import tasks
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
