"""The few kernel calls that Python has no name for."""
from libc.errno cimport errno

import os


def die_with_parent(int signum) -> None:
    """Have the kernel send `signum` to this process when its parent ends; 0 takes that back.

    A parent that ended before this call is not noticed: compare `os.getppid()` afterwards. A fork clears it. prctl(2).
    Raises OSError for a number that is no signal.
    """
    if prctl(PR_SET_PDEATHSIG, <unsigned long>signum) < 0:
        raise OSError(errno, os.strerror(errno))
