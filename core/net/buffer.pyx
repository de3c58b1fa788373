"""Byte buffers from free lists: an idle connection owns none."""
from libc.stdint cimport UINT32_MAX
from libc.stdlib cimport calloc, free, malloc

cdef enum:
    N_CLASSES = 3
    LARGEST_BYTES = 65536       # of a block that is kept
    KEEP_BYTES = 1 << 20        # of each size: what a burst leaves behind goes back to malloc


# Of a block, before Buffer.data.
cdef size_t head_bytes() noexcept nogil:
    cdef Buffer model
    return <size_t>&model.data[0] - <size_t>&model


# 4, 16, 64 KiB
cdef size_t block_bytes(int size_class) noexcept nogil:
    return <size_t>4096 << (2 * size_class)


cdef int class_of(size_t block) noexcept nogil:
    cdef int size_class = 0
    while size_class < N_CLASSES and block_bytes(size_class) < block:
        size_class += 1
    return size_class


cdef Pool* pool_make() noexcept nogil:
    return <Pool*>calloc(1, sizeof(Pool))


cdef void pool_free(Pool* pool) noexcept nogil:
    cdef int size_class
    cdef Buffer* buffer
    if pool == NULL:
        return
    for size_class in range(N_CLASSES):
        while pool.free[size_class] != NULL:
            buffer = <Buffer*>pool.free[size_class]
            pool.free[size_class] = buffer.next
            free(buffer)
    free(pool)


cdef Buffer* buffer_take(loop_t* loop, size_t size) noexcept nogil:
    cdef Pool* pool = loop.pool
    cdef Buffer* buffer
    cdef int size_class
    cdef size_t block
    if size > UINT32_MAX - head_bytes():
        return NULL
    size_class = class_of(size + head_bytes())
    if size_class < N_CLASSES and pool.free[size_class] != NULL:
        buffer = <Buffer*>pool.free[size_class]
        pool.free[size_class] = buffer.next
        pool.n_free[size_class] -= 1
    else:
        block = block_bytes(size_class) if size_class < N_CLASSES else size + head_bytes()
        buffer = <Buffer*>malloc(block)
        if buffer == NULL:
            return NULL
        buffer.capacity = <uint32_t>(block - head_bytes())
    buffer.next = NULL
    buffer.start = buffer.end = 0
    return buffer


cdef void buffer_give(loop_t* loop, Buffer* buffer) noexcept nogil:
    cdef Pool* pool = loop.pool
    cdef Buffer* after
    cdef size_t block
    cdef int size_class
    while buffer != NULL:
        after = buffer.next
        block = buffer.capacity + head_bytes()
        size_class = class_of(block)
        if block <= LARGEST_BYTES and (pool.n_free[size_class] + 1) * block <= KEEP_BYTES:
            buffer.next = <Buffer*>pool.free[size_class]
            pool.free[size_class] = buffer
            pool.n_free[size_class] += 1
        else:
            free(buffer)
        buffer = after
