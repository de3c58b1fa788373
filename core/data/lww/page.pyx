"""A page of keys in byte order, from a table that has none: one look at every cell keeps the least so far in a heap."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcmp

from hotpath.core.data.epochs cimport enter, leave, seat_t
from hotpath.core.data.lww.delta cimport bytes_grow, bytes_t
from hotpath.core.data.lww.stamp cimport stamp_of
from hotpath.core.data.lww.table cimport ENTRY_HEAD, N_SHARDS, cell_t, entry_t, table_t, table_visit

cdef extern from "cell.h" nogil:
    const uint8_t* cell_key(const cell_t* cell)
    size_t cell_write(const cell_t* cell, uint8_t* out)
    Py_ssize_t entry_read(const uint8_t* p, const uint8_t* end, entry_t* entry)


cdef int order_keys(const cell_t* one, const cell_t* other) noexcept nogil:
    cdef size_t shorter = min(one.key_size, other.key_size)
    cdef int order = memcmp(cell_key(one), cell_key(other), shorter)
    return order if order else <int>one.key_size - <int>other.key_size

cdef int order_pointers(const void* one, const void* other) noexcept nogil:
    return order_keys((<const cell_t**>one)[0], (<const cell_t**>other)[0])

# The least `room` of the live keys after `after` that begin with `prefix`: a heap, the greatest on top.
cdef struct page_t:
    bytes_t room                # owned: what the heap lies in; it grows with what is found, not with what was asked for
    const cell_t** heap
    size_t n
    size_t limit
    const uint8_t* prefix
    size_t prefix_size
    const uint8_t* after        # NULL: from the first one
    size_t after_size

cdef bint is_after(const cell_t* cell, const uint8_t* after, size_t size) noexcept nogil:
    cdef int order = memcmp(cell_key(cell), after, min(<size_t>cell.key_size, size))
    return order > 0 or (order == 0 and cell.key_size > size)

cdef void sink(page_t* page) noexcept nogil:
    """Put the top of the heap where it belongs."""
    cdef size_t i = 0, child
    cdef const cell_t* cell = page.heap[0]
    while True:
        child = 2 * i + 1
        if child >= page.n:
            break
        if child + 1 < page.n and order_keys(page.heap[child + 1], page.heap[child]) > 0:
            child += 1
        if order_keys(page.heap[child], cell) <= 0:
            break
        page.heap[i] = page.heap[child]
        i = child
    page.heap[i] = cell

cdef int add_to_page(void* context, const cell_t* cell) noexcept nogil:
    cdef page_t* page = <page_t*>context
    cdef size_t i
    if not cell.live or cell.key_size < page.prefix_size \
            or memcmp(cell_key(cell), page.prefix, page.prefix_size) != 0 \
            or (page.after != NULL and not is_after(cell, page.after, page.after_size)):
        return 0
    if page.n == page.limit:
        if order_keys(cell, page.heap[0]) < 0:
            page.heap[0] = cell
            sink(page)
        return 0
    if bytes_grow(&page.room, sizeof(cell_t*)) == NULL:
        return -1
    page.heap = <const cell_t**>page.room.data
    i = page.n
    page.n += 1
    while i > 0 and order_keys(cell, page.heap[(i - 1) // 2]) > 0:
        page.heap[i] = page.heap[(i - 1) // 2]
        i = (i - 1) // 2
    page.heap[i] = cell
    return 0

cdef object row_of(const entry_t* cell):
    return (PyBytes_FromStringAndSize(<const char*>cell.key, cell.key_size), stamp_of(cell.hlc, cell.replica),
            cell.payload[0], PyBytes_FromStringAndSize(<const char*>cell.payload + 1, cell.payload_size - 1))

cdef int find_page(table_t* table, page_t* page, bytes_t* copies) noexcept nogil:
    """Copies of its cells, in order. -1: no memory."""
    cdef int shard
    cdef size_t i
    cdef uint8_t* to
    for shard in range(N_SHARDS):
        if table_visit(table, shard, add_to_page, page) != 0:
            return -1
    if page.n:
        qsort(page.heap, page.n, sizeof(cell_t*), order_pointers)
    for i in range(page.n):
        to = bytes_grow(copies, ENTRY_HEAD + <size_t>page.heap[i].key_size + page.heap[i].payload_size)
        if to == NULL:
            return -1
        cell_write(page.heap[i], to)
    return 0


cdef list page_of(table_t* table, bytes prefix, bytes after, Py_ssize_t limit):
    cdef page_t page
    cdef bytes_t copies
    cdef entry_t cell
    cdef const uint8_t* p
    cdef int status = -1
    cdef list rows = []
    cdef seat_t* seat
    if limit < 1:
        raise ValueError(f"limit {limit}: at least 1")
    page.room.data, page.room.size, page.room.room, page.room.failed = NULL, 0, 0, False
    copies.data, copies.size, copies.room, copies.failed = NULL, 0, 0, False
    page.heap, page.n, page.limit = NULL, 0, limit
    page.prefix, page.prefix_size = prefix, len(prefix)
    page.after, page.after_size = NULL, 0
    if after is not None:
        page.after, page.after_size = after, len(after)
    with nogil:
        seat = enter()
        if seat != NULL:
            status = find_page(table, &page, &copies)
            leave(seat)
    free(page.room.data)
    try:
        if status != 0:
            raise MemoryError("no room for a page")
        p = copies.data
        while p < copies.data + copies.size:
            p += entry_read(p, copies.data + copies.size, &cell)
            rows.append(row_of(&cell))
    finally:
        free(copies.data)
    return rows
