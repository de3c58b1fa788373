"""Many sends in one system call: a ring shared with the kernel (io_uring), where it has one."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.net.linux cimport io_uring_cqe, io_uring_sqe

# Zeroed memory is a closed one.
cdef struct uring_t:
    uint8_t is_open
    int fd
    uint32_t room               # sends of one call
    uint32_t n                  # added since the last call
    void* rings                 # mapped; with its size
    size_t rings_size
    void* entries               # mapped: `room` of io_uring_sqe
    uint32_t* send_tail         # in rings
    uint32_t send_mask
    uint32_t* send_index        # in rings
    uint32_t* done_head         # in rings
    uint32_t* done_tail
    uint32_t done_mask
    io_uring_cqe* done          # in rings

# 0, or -errno: the kernel has none (it needs 6.1), or lets us have none. Only the calling thread may use it.
cdef int uring_open(uring_t* ring, uint32_t room) noexcept nogil
cdef void uring_close(uring_t* ring) noexcept nogil
# Adds a send that never waits. `data` must stay where it is until `uring_run` returns. Only while n < room.
cdef void uring_add(uring_t* ring, int fd, const uint8_t* data, uint32_t size, uint32_t tag) noexcept nogil
# Does all that was added. False: not all; what has no result was not done, and the ring is of no more use.
cdef bint uring_run(uring_t* ring) noexcept nogil
# The next result: bytes sent, or -errno. False: there is none.
cdef bint uring_next(uring_t* ring, uint32_t* tag, int* result) noexcept nogil
