"""Many sends in one system call: a ring shared with the kernel (io_uring), where it has one.

A `send` of a few hundred bytes over loopback costs some microseconds, of which entering and leaving the kernel, finding the file and
checking the arguments are a sixth. Here that is paid once for as many sends as the ring holds. They are done before the call returns,
none of them waits: MSG_DONTWAIT makes EAGAIN an answer as anywhere else.
"""
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from hotpath.core.net.linux cimport (
    IORING_ENTER_GETEVENTS, IORING_FEAT_SINGLE_MMAP, IORING_OFF_SQ_RING, IORING_OFF_SQES, IORING_OP_SEND,
    IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SUBMIT_ALL, MAP_FAILED, MAP_POPULATE, MAP_SHARED,
    MSG_DONTWAIT, MSG_NOSIGNAL, PROT_READ, PROT_WRITE, SYS_io_uring_enter, SYS_io_uring_setup, close, io_uring_cqe,
    io_uring_params, io_uring_sqe, mmap, munmap, syscall)

# The rings' ends are shared with the kernel.
cdef extern from * nogil:
    """
    #define hotpath_load_acquire(word) __atomic_load_n((word), __ATOMIC_ACQUIRE)
    #define hotpath_store_release(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
    """
    uint32_t load_acquire "hotpath_load_acquire"(uint32_t* word)
    void store_release "hotpath_store_release"(uint32_t* word, uint32_t value)


cdef int uring_open(uring_t* ring, uint32_t room) noexcept nogil:
    cdef io_uring_params asked
    cdef uint8_t* rings
    cdef int failed
    memset(ring, 0, sizeof(uring_t))
    memset(&asked, 0, sizeof(asked))
    asked.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL
    ring.fd = <int>syscall(SYS_io_uring_setup, room, &asked)
    if ring.fd < 0:
        return -errno
    ring.room = asked.sq_entries
    ring.rings_size = max(asked.sq_off.array + asked.sq_entries * sizeof(uint32_t),
                          asked.cq_off.cqes + asked.cq_entries * sizeof(io_uring_cqe))
    ring.rings = mmap(NULL, ring.rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING)
    ring.entries = mmap(NULL, ring.room * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd,
                        IORING_OFF_SQES)
    ring.is_open = True
    if not asked.features & IORING_FEAT_SINGLE_MMAP or ring.rings == MAP_FAILED or ring.entries == MAP_FAILED:
        failed = -errno if errno else -1
        uring_close(ring)
        return failed
    rings = <uint8_t*>ring.rings
    ring.send_tail = <uint32_t*>(rings + asked.sq_off.tail)
    ring.send_mask = (<uint32_t*>(rings + asked.sq_off.ring_mask))[0]
    ring.send_index = <uint32_t*>(rings + asked.sq_off.array)
    ring.done_head = <uint32_t*>(rings + asked.cq_off.head)
    ring.done_tail = <uint32_t*>(rings + asked.cq_off.tail)
    ring.done_mask = (<uint32_t*>(rings + asked.cq_off.ring_mask))[0]
    ring.done = <io_uring_cqe*>(rings + asked.cq_off.cqes)
    return 0


cdef void uring_close(uring_t* ring) noexcept nogil:
    if not ring.is_open:
        return
    if ring.rings != MAP_FAILED:
        munmap(ring.rings, ring.rings_size)
    if ring.entries != MAP_FAILED:
        munmap(ring.entries, ring.room * sizeof(io_uring_sqe))
    close(ring.fd)
    ring.is_open = False


cdef void uring_add(uring_t* ring, int fd, const uint8_t* data, uint32_t size, uint32_t tag) noexcept nogil:
    cdef uint32_t tail = ring.send_tail[0]          # ours alone to write
    cdef uint32_t at = tail & ring.send_mask
    cdef io_uring_sqe* entry = &(<io_uring_sqe*>ring.entries)[at]
    memset(entry, 0, sizeof(io_uring_sqe))
    entry.opcode = IORING_OP_SEND
    entry.fd = fd
    entry.addr = <uint64_t>data
    entry.len = size
    entry.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL
    entry.user_data = tag
    ring.send_index[at] = at
    store_release(ring.send_tail, tail + 1)
    ring.n += 1


cdef bint uring_run(uring_t* ring) noexcept nogil:
    cdef long done
    while ring.n:
        done = syscall(SYS_io_uring_enter, ring.fd, ring.n, 0, IORING_ENTER_GETEVENTS, NULL, 0)
        if done < 0 and errno == EINTR:
            continue
        if done <= 0:
            return False
        ring.n -= <uint32_t>done
    return True


cdef bint uring_next(uring_t* ring, uint32_t* tag, int* result) noexcept nogil:
    cdef uint32_t head = ring.done_head[0]          # ours alone to write
    cdef io_uring_cqe* done
    if head == load_acquire(ring.done_tail):
        return False
    done = &ring.done[head & ring.done_mask]
    tag[0] = <uint32_t>done.user_data
    result[0] = done.res
    store_release(ring.done_head, head + 1)
    return True
