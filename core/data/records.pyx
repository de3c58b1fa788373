"""The records of a write-ahead journal: how far are they whole, and what cells do they hold?

A record is `u32 length, u32 crc32c, cell`, a cell `u64 hlc, 8 B replica, u8 live, u16 klen, u32 plen, key, payload`; all
big-endian. `live` is 0 or 1 in a cell of the table, 2 in a control record, whose key says which: `clock` and `floor`
carry a mark in `hlc`, and `commit` ends each group. Its payload is `u8 bias, u64 offset`, its own place in the file:
what lies before a commit was written before it. That a value holds the bytes of some commit hurts nobody, for it stands
elsewhere.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "crc32c.h":
    uint32_t crc32c(uint32_t value, const uint8_t* data, size_t size) noexcept nogil

cdef enum:
    FRAME = 8           # length and checksum in front of a cell
    HEAD = 23           # of a cell, in front of its key
    CONTROL = 2         # `live` of a control record
    DELTA_HEAD = 16     # "LWWD", version, bias, u16 0, u64 count
    CRC = 4

# What one pass over records found; all zero before it.
cdef struct Found:
    Py_ssize_t end          # behind the last whole record
    Py_ssize_t n_cells
    Py_ssize_t n_bytes      # of these cells
    uint64_t hlc            # the greatest of these cells
    uint64_t clock          # the greatest mark of each kind
    uint64_t floor


cdef uint32_t u32(const uint8_t* p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]

cdef uint64_t u64(const uint8_t* p) noexcept nogil:
    return <uint64_t>u32(p) << 32 | u32(p + 4)

cdef void put_u32(uint8_t* p, uint32_t word) noexcept nogil:
    p[0] = word >> 24
    p[1] = word >> 16 & 255
    p[2] = word >> 8 & 255
    p[3] = word & 255

# Bytes of the cell in the whole record at data[at:size]; 0: there is none. The lengths are compared before the checksum
# is computed, so that looking at every offset in turn costs little.
cdef Py_ssize_t cell_at(const uint8_t* data, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
    cdef const uint8_t* cell = data + at + FRAME
    cdef Py_ssize_t length
    if size - at < FRAME + HEAD:
        return 0
    length = u32(data + at)
    if length > size - at - FRAME or cell[16] > CONTROL:
        return 0
    if length != HEAD + (<Py_ssize_t>cell[17] << 8 | cell[18]) + <Py_ssize_t>u32(cell + 19):
        return 0
    return length if crc32c(0, cell, length) == u32(data + at + 4) else 0

cdef bint is_kind(const uint8_t* cell, const char* kind, Py_ssize_t size) noexcept nogil:
    return cell[16] == CONTROL and cell[17] == 0 and cell[18] == size and memcmp(cell + HEAD, kind, size) == 0

cdef bint is_commit_at(const uint8_t* cell, Py_ssize_t at) noexcept nogil:
    return is_kind(cell, b"commit", 6) and u32(cell + 19) == 9 and u64(cell + HEAD + 7) == <uint64_t>at

# Goes on from found.end until a record that is not whole, `size`, or `limit` bytes of cells (0: no limit). The cells are
# copied one behind the other to `out`, unless that is NULL.
cdef void walk(const uint8_t* data, Py_ssize_t size, Py_ssize_t limit, uint8_t* out, Found* found) noexcept nogil:
    cdef const uint8_t* cell
    cdef Py_ssize_t length
    cdef uint64_t hlc
    while True:
        length = cell_at(data, size, found.end)
        if length == 0:
            return
        cell = data + found.end + FRAME
        hlc = u64(cell)
        if cell[16] == CONTROL:
            if is_kind(cell, b"clock", 5):
                found.clock = max(found.clock, hlc)
            elif is_kind(cell, b"floor", 5):
                found.floor = max(found.floor, hlc)
        else:
            if limit and found.n_cells and found.n_bytes + length > limit:
                return
            if out != NULL:
                memcpy(out + found.n_bytes, cell, length)
            found.n_cells += 1
            found.n_bytes += length
            found.hlc = max(found.hlc, hlc)
        found.end += FRAME + length

cdef Py_ssize_t commit_behind(const uint8_t* data, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
    while at <= size - FRAME - HEAD:
        # A commit's length is 38; so few places hold that word that the rest is looked at almost never.
        if data[at + 3] == HEAD + 6 + 9 and cell_at(data, size, at) and is_commit_at(data + at + FRAME, at):
            return at
        at += 1
    return -1

cdef int open_at(object data, Py_ssize_t start, Py_buffer* view) except -1:
    PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    if not 0 <= start <= view.len:
        PyBuffer_Release(view)
        raise ValueError(f"start {start}: allowed are 0 to {view.len}")
    return 0


def check(data, Py_ssize_t start=0):
    """(end, cells, greatest hlc of a cell, greatest `clock` mark, greatest `floor`) of the whole records from `start` on.

    Every record was whole if `end` is `len(data)`. ValueError: `start` is outside.
    """
    cdef Py_buffer view
    cdef Found found = Found(end=start, n_cells=0, n_bytes=0, hlc=0, clock=0, floor=0)
    open_at(data, start, &view)
    with nogil:
        walk(<const uint8_t*>view.buf, view.len, 0, NULL, &found)
    PyBuffer_Release(&view)
    return found.end, found.n_cells, found.hlc, found.clock, found.floor

def delta(data, Py_ssize_t start, Py_ssize_t limit, int bias):
    """(end, delta of the cells between `start` and `end`, their number); at most `limit` bytes of cells, or one cell.

    `end` is where to go on; it equals `start` if no whole record stands there.
    """
    cdef Py_buffer view
    cdef Found size, found
    cdef bytes out
    cdef uint8_t* body
    if limit <= 0 or not 0 <= bias <= 255:
        raise ValueError("limit is positive, bias a byte")
    open_at(data, start, &view)
    size = Found(end=start, n_cells=0, n_bytes=0, hlc=0, clock=0, floor=0)
    found = size
    try:
        with nogil:
            walk(<const uint8_t*>view.buf, view.len, limit, NULL, &size)
        out = PyBytes_FromStringAndSize(NULL, DELTA_HEAD + size.n_bytes + CRC)
        body = <uint8_t*>PyBytes_AS_STRING(out)
        with nogil:
            # Up to where the first pass came: a buffer that another thread scribbles in cannot make it longer.
            walk(<const uint8_t*>view.buf, size.end, limit, body + DELTA_HEAD, &found)
            memcpy(body, b"LWWD\1", 5)
            body[5] = bias
            body[6] = body[7] = 0
            put_u32(body + 8, <uint32_t>(<uint64_t>found.n_cells >> 32))
            put_u32(body + 12, <uint32_t>found.n_cells)
            put_u32(body + DELTA_HEAD + found.n_bytes, crc32c(0, body, DELTA_HEAD + found.n_bytes))
    finally:
        PyBuffer_Release(&view)
    return found.end, out[:DELTA_HEAD + found.n_bytes + CRC], found.n_cells

def find_commit(data, Py_ssize_t start=0):
    """Offset of the first whole commit at `start` or behind that stands where it says; -1: none.

    ValueError: `start` is outside.
    """
    cdef Py_buffer view
    cdef Py_ssize_t at
    open_at(data, start, &view)
    with nogil:
        at = commit_behind(<const uint8_t*>view.buf, view.len, start)
    PyBuffer_Release(&view)
    return at
