"""Whole lines on their way to a file, gathered and written together.

Lines are made in a buffer and leave in one write when it is full or old enough. A disk that is full or a pipe that nobody reads
costs lines, which are counted, never a request.
"""
import os
import stat
from contextlib import suppress

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from hotpath.core.net.epoll cimport loop_arm, loop_disarm
from hotpath.core.net.linux cimport close, write


cdef uint8_t* lines_room(lines_t* lines, size_t* room) noexcept nogil:
    if lines.n == 0 and lines.torn:         # the rest of that line was dropped
        lines.data[0] = c"\n"
        lines.n = 1
        lines.torn = False
    room[0] = lines.capacity - lines.n
    return lines.data + lines.n


cdef void lines_add(lines_t* lines, const uint8_t* end) noexcept nogil:
    if end == NULL:                         # only while the file takes nothing: `wanted` leaves room for a line
        lines.dropped[0] += 1
        return
    lines.n = <size_t>(end - lines.data)
    if lines.deadline.due_ms == 0:
        loop_arm(lines.loop, &lines.deadline, lines.loop.now_ms + lines.flush_ms)
    if lines.n >= lines.wanted:
        lines_flush(lines)


cdef void lines_flush(lines_t* lines) noexcept nogil:
    cdef Py_ssize_t n
    while lines.n:
        n = write(lines.fd, lines.data, lines.n)
        if n < 0 and errno == EINTR:
            continue
        if n < 0 and errno == EAGAIN:       # a pipe that is full: tried again with the next line or tick
            return
        if n <= 0:
            drop(lines)
            return
        lines.torn = lines.data[n - 1] != c"\n"
        memmove(lines.data, lines.data + n, lines.n - n)
        lines.n -= n


# Counts and forgets the buffered lines.
cdef void drop(lines_t* lines) noexcept nogil:
    cdef size_t at
    for at in range(1, lines.n):            # what begins with an end of line ends a torn one: no line of its own
        lines.dropped[0] += lines.data[at] == c"\n"
    lines.torn = lines.torn or lines.data[0] == c"\n"
    lines.n = 0


cdef void on_due(Deadline* deadline) noexcept nogil:
    cdef lines_t* lines = <lines_t*>(<char*>deadline - (<size_t>&(<lines_t*><size_t>4096).deadline - 4096))
    lines_flush(lines)
    if lines.n:
        loop_arm(lines.loop, &lines.deadline, lines.loop.now_ms + lines.flush_ms)
    else:
        loop_disarm(lines.loop, &lines.deadline)


def open_lines(path: str) -> int:
    """A descriptor to append to; "-": standard output, where a full pipe does not block us, if we may. Raises OSError."""
    if path != "-":
        # O_NONBLOCK is for pipes; a file does not know it.
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        with suppress(PermissionError):     # another user's pipe: written to as it is
            return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.dup(1)


cdef class LineFile:
    """A file of lines, opened. The master makes it; each worker attaches its copy."""

    def __cinit__(self):
        self.c.fd = -1

    def __init__(self, str path, *, size_t buffer=65536, double flush_s=1.0):
        """Open `path`; write whenever `buffer` bytes are together, or `flush_s` old. Raises OSError."""
        if self.c.fd >= 0:
            raise RuntimeError("a file is opened once")
        self.path = path
        self.c.wanted = max(1, buffer)
        self.c.capacity = self.c.wanted + MAX_LINE_BYTES
        self.c.flush_ms = max(1, round(flush_s * 1000))
        self.c.fd = open_lines(path)

    def __dealloc__(self):
        if self.c.fd >= 0:
            close(self.c.fd)
        free(self.c.data)

    cdef int attach(self, loop_t* loop, uint64_t* dropped) except -1:
        if self.c.data == NULL:
            self.c.data = <uint8_t*>malloc(self.c.capacity)
            if self.c.data == NULL:
                raise MemoryError
        self.c.loop = loop
        self.c.dropped = dropped
        self.c.deadline.on_due = on_due
        return 0

    def reopen(self) -> None:
        """Go on in a new file of the same name, after somebody moved the old one away. Raises OSError; the old one stays."""
        self.flush()
        new = open_lines(self.path)
        os.dup2(new, self.c.fd, inheritable=False)
        os.close(new)

    def flush(self) -> None:
        """Write what is buffered."""
        if self.c.data != NULL:
            lines_flush(&self.c)

    def close(self) -> None:
        """Close our descriptor; the workers have theirs."""
        if self.c.fd >= 0:
            os.close(self.c.fd)
            self.c.fd = -1
