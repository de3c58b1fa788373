"""Whole lines on their way to a file, gathered and written together."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from hotpath.core.net.epoll cimport Deadline, loop_t

cdef enum:
    MAX_LINE_BYTES = 131072     # room that lines_room always finds, unless the file takes nothing

cdef struct lines_t:
    int fd                      # -1: closed
    uint8_t* data               # owned: whole lines, not yet written; NULL: not attached
    size_t n                    # bytes in it
    size_t capacity
    size_t wanted               # it is written when it holds so many
    bint torn                   # what is written so far ends within a line
    int64_t flush_ms            # or when it is so old
    loop_t* loop                # borrowed
    Deadline deadline
    uint64_t* dropped           # borrowed counter

# Where the next line goes, and how much room there is. It may begin with an end of line already: that of a torn one.
cdef uint8_t* lines_room(lines_t* lines, size_t* room) noexcept nogil
# The line ends before `end`; NULL: it did not fit, and counts as dropped. Never blocks, never fails.
cdef void lines_add(lines_t* lines, const uint8_t* end) noexcept nogil
cdef void lines_flush(lines_t* lines) noexcept nogil

cdef class LineFile:
    cdef lines_t c
    cdef readonly str path

    cdef int attach(self, loop_t* loop, uint64_t* dropped) except -1    # a worker's, from now on
