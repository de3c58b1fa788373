"""Frames by reference on their way to many sockets: made once, queued by each, one send per socket and turn."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.net.epoll cimport Deferred, Source, loop_t
from hotpath.core.net.stream cimport stream_t
from hotpath.core.net.uring cimport uring_t

# A whole frame. Whoever keeps a pointer to it has counted itself in `refs`.
cdef struct block_t:
    uint32_t refs
    uint32_t size               # of data
    uint8_t head                # bytes of it before the payload
    block_t* packed             # owned reference: the same compressed, or itself where that is no gain; NULL: not tried yet
    uint8_t data[1]

# One reference, the caller's; NULL: no memory. `first`: FIN | opcode.
cdef block_t* block_make(uint8_t first, const uint8_t* payload, size_t size) noexcept nogil
cdef void block_drop(block_t* block) noexcept nogil
# The same for who agreed to permessage-deflate (RFC 7692) without context takeover: made once, for all of them. Borrowed from the block.
cdef block_t* block_packed(block_t* block) noexcept nogil

cdef enum:
    PACKED_WINDOW_BITS = 9      # the least that a client may ask for, so that one suits all

cdef struct outbox_t

# The sockets of one server that have something to send, and when they are next asked.
cdef struct spool_t:
    loop_t* loop                # borrowed
    Deferred flushing
    Source timer                # a timerfd: the end of a rest
    outbox_t* first             # borrowed, in order of queueing
    outbox_t* last
    uint32_t n_spooled
    uring_t ring                # for the sends of a pass over many; closed: one call each
    outbox_t** batch            # owned: whose sends are in the ring, by their tag; NULL there: done
    int64_t spacing_us          # between the passes of a busy server: frames of that time share a send
    int64_t rest_until_us
    int64_t queued_us           # the last turn that queued something
    uint32_t n_turns            # that did, since the last pass
    uint32_t n_skips            # passes behind which no rest is taken, after one that gained nothing
    uint32_t n_skipped          # of these, so far
    uint8_t armed
    uint8_t waited              # what is queued was held back by a rest
    uint64_t n_sends            # to one socket
    uint64_t n_frames           # that were queued
    uint64_t n_bytes            # that the kernel took
    # A flush left `left` bytes, or STREAM_FAILED; or, when the outbox's stream is NULL by then: nobody points at it any more.
    void (*on_flushed)(outbox_t* outbox, Py_ssize_t left) noexcept nogil

cdef struct entry_t:
    block_t* block              # owned reference
    uint32_t at_ms              # when it was queued, on the loop's clock, cut to 32 bits

# What one socket has yet to be sent. Zeroed memory is an empty one, but for stream and spool.
cdef struct outbox_t:
    stream_t* stream            # borrowed; NULL: it is over
    spool_t* spool              # borrowed
    outbox_t* next              # in the spool
    entry_t* entries            # owned ring; NULL: `one` is all there is
    entry_t one
    uint32_t room               # of the ring: a power of two
    uint32_t first
    uint32_t n
    uint32_t n_sent             # bytes of the first block that have left
    uint32_t n_unsent           # bytes in all that have not
    uint8_t spooled

# 0, or -errno. `by_ring`: use a ring if the kernel has one.
cdef int spool_open(spool_t* spool, loop_t* loop, int64_t spacing_us, bint by_ring) noexcept nogil
cdef void spool_close(spool_t* spool) noexcept nogil
# Queues the block, with a reference of its own; it leaves with the next pass. False: no memory.
cdef bint outbox_put(outbox_t* outbox, block_t* block) noexcept nogil
# Sends what the kernel takes now. Bytes left, or STREAM_FAILED.
cdef Py_ssize_t outbox_flush(outbox_t* outbox) noexcept nogil
# Forgets all but the block that has left in part: a client must not see half a frame.
cdef void outbox_trim(outbox_t* outbox) noexcept nogil
# Gives what is left to the stream, which sends it by itself. False: no memory.
cdef bint outbox_hand_over(outbox_t* outbox) noexcept nogil
cdef void outbox_clear(outbox_t* outbox) noexcept nogil
# How long the oldest has waited; 0: nothing waits.
cdef int64_t outbox_age_ms(const outbox_t* outbox) noexcept nogil

# A message as a frame, made by Python.
cdef class Block:
    cdef block_t* c             # owned reference
