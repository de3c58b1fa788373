"""The last bytes of a terminal's output, and how far one client has come in them."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hotpath.core.net.linux cimport iovec

# Offsets count the bytes of output since the terminal began. Byte o lies at data[o % room].
cdef struct ring_t:
    uint8_t* data               # owned mapping: the kernel gives a page when it is first written; NULL: no ring
    size_t room
    uint64_t end                # behind the last byte

# False: no memory. Give it back with ring_close; twice is fine.
cdef bint ring_open(ring_t* ring, size_t room) noexcept nogil
cdef void ring_close(ring_t* ring) noexcept nogil
# The first byte that is still there.
cdef uint64_t ring_start(const ring_t* ring) noexcept nogil
# Where the next byte goes, and how many there may be written in one go; what they overwrite is lost.
cdef uint8_t* ring_space(const ring_t* ring, size_t* size) noexcept nogil
cdef void ring_add(ring_t* ring, size_t size) noexcept nogil        # so many were written there
cdef void ring_put(ring_t* ring, const uint8_t* data, size_t size) noexcept nogil
# The bytes from `offset` on as one or two parts; the number of parts. They are there, and stay until the next bytes are written.
cdef int ring_parts(const ring_t* ring, uint64_t offset, size_t size, iovec* parts) noexcept nogil
# Behind the next end of line, if one is near: a picture that begins within a line, or within an escape sequence, is a broken one.
cdef uint64_t ring_line(const ring_t* ring, uint64_t offset) noexcept nogil

# How far one client has come. It is sent `window` bytes beyond what it has shown, then nothing before only a quarter is unshown.
cdef struct view_t:
    uint64_t sent               # all before was sent, or told to be lost
    uint64_t acked              # all before is shown
    uint32_t window
    uint8_t held                # a whole window is unshown
    uint8_t fell                # view_next jumped: tell it that all before `sent` is lost

cdef void view_begin(view_t* view, uint64_t offset) noexcept nogil
# False: it shows what it was never sent.
cdef bint view_ack(view_t* view, uint64_t offset) noexcept nogil
# How many bytes from view.sent on it may be sent now, at most `most`. What it needs is overwritten: jumps close to the end, and `fell`.
cdef size_t view_next(view_t* view, const ring_t* ring, size_t most) noexcept nogil
cdef void view_send(view_t* view, size_t size) noexcept nogil       # so many were
# It is a window behind the end, or the next `more` bytes would overwrite what it was not sent.
cdef bint view_is_behind(const view_t* view, const ring_t* ring, size_t more) noexcept nogil
