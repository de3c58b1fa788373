"""The last bytes of a terminal's output, and how far one client has come in them.

Neither knows of the other's number: a ring is written whoever reads it, a view is only an offset, a window and what was shown. So a
client that is slow, or gone, costs the others nothing.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcpy

from hotpath.core.net.linux cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, iovec, mmap, munmap)

cdef enum:
    LINE_BYTES = 4096           # a line is seldom longer, and a screenful of them is worth more than its first line


cdef bint ring_open(ring_t* ring, size_t room) noexcept nogil:
    cdef void* data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if data == MAP_FAILED:
        return False
    ring.data, ring.room, ring.end = <uint8_t*>data, room, 0
    return True


cdef void ring_close(ring_t* ring) noexcept nogil:
    if ring.data != NULL:
        munmap(ring.data, ring.room)
    ring.data = NULL


cdef uint64_t ring_start(const ring_t* ring) noexcept nogil:
    return ring.end - ring.room if ring.end > ring.room else 0


cdef uint8_t* ring_space(const ring_t* ring, size_t* size) noexcept nogil:
    cdef size_t at = <size_t>(ring.end % ring.room)
    size[0] = ring.room - at
    return ring.data + at


cdef void ring_add(ring_t* ring, size_t size) noexcept nogil:
    ring.end += size


cdef void ring_put(ring_t* ring, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t space, n
    cdef uint8_t* at
    while size:
        at = ring_space(ring, &space)
        n = min(space, size)
        memcpy(at, data, n)
        ring_add(ring, n)
        data += n
        size -= n


cdef int ring_parts(const ring_t* ring, uint64_t offset, size_t size, iovec* parts) noexcept nogil:
    cdef size_t at = <size_t>(offset % ring.room), first = min(size, ring.room - at)
    parts[0].iov_base, parts[0].iov_len = ring.data + at, first
    if first == size:
        return 1
    parts[1].iov_base, parts[1].iov_len = ring.data, size - first
    return 2


cdef uint64_t ring_line(const ring_t* ring, uint64_t offset) noexcept nogil:
    cdef iovec parts[2]
    cdef uint8_t* found
    cdef uint64_t at = offset
    cdef int i, n
    if offset == 0 or offset >= ring.end:
        return offset
    n = ring_parts(ring, offset, <size_t>min(<uint64_t>LINE_BYTES, ring.end - offset), parts)
    for i in range(n):
        found = <uint8_t*>memchr(parts[i].iov_base, c"\n", parts[i].iov_len)
        if found != NULL:
            return at + <uint64_t>(found - <uint8_t*>parts[i].iov_base) + 1
        at += parts[i].iov_len
    return offset


cdef void view_begin(view_t* view, uint64_t offset) noexcept nogil:
    view.sent = view.acked = offset
    view.held = view.fell = False


cdef bint view_ack(view_t* view, uint64_t offset) noexcept nogil:
    if offset > view.sent:
        return False
    if offset > view.acked:             # an older one, or one from before a jump, says nothing new
        view.acked = offset
        if view.sent - view.acked <= view.window // 4:
            view.held = False
    return True


cdef size_t view_next(view_t* view, const ring_t* ring, size_t most) noexcept nogil:
    cdef uint64_t start = ring_start(ring), near
    if view.held:
        return 0
    if view.sent < start:
        # As far back as a quarter of a window: it was too slow for all of it, and is to see the end soon.
        near = ring.end - min(<uint64_t>view.window // 4, <uint64_t>ring.room)
        view_begin(view, ring_line(ring, near))
        view.fell = True
    return <size_t>min(ring.end - view.sent, view.acked + view.window - view.sent, <uint64_t>most)


cdef void view_send(view_t* view, size_t size) noexcept nogil:
    view.sent += size
    view.held = view.sent - view.acked >= view.window


cdef bint view_is_behind(const view_t* view, const ring_t* ring, size_t more) noexcept nogil:
    return view.held or ring.end - view.acked >= view.window or ring.end - view.sent + more > ring.room
