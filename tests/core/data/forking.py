"""Children of the test itself, for memory that only a fork shares."""
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[Callable[..., int]]:
    """A child that runs `work` and exits with 0, or 1 if it raised.

    Gives a function that sends it a signal, if any, waits, and answers its exit code. Whoever still runs when the block
    ends is killed.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    ended: list[int] = []

    def end(signum: int | None = None) -> int:
        if not ended:
            if signum is not None:
                os.kill(pid, signum)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return ended[0]

    try:
        yield end
    finally:
        end(signal.SIGKILL)
