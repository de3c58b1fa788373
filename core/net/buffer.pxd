"""Byte buffers from free lists: an idle connection owns none."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.net.epoll cimport Pool, loop_t

cdef struct Buffer:
    Buffer* next                # owned chain, or the free list
    uint32_t capacity           # of `data`; with this head the block is 4, 16 or 64 KiB, or (rare) larger from malloc
    uint32_t start              # first byte not yet consumed
    uint32_t end                # one past the last byte written
    uint8_t data[1]             # `capacity` bytes

# A buffer of at least `size` free bytes, start = end = 0. NULL: no memory (the connection must be closed).
cdef Buffer* buffer_take(loop_t* loop, size_t size) noexcept nogil
cdef void buffer_give(loop_t* loop, Buffer* buffer) noexcept nogil        # NULL is fine; gives the whole chain
cdef Pool* pool_make() noexcept nogil                                     # NULL: no memory
cdef void pool_free(Pool* pool) noexcept nogil
