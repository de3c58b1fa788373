"""CRC-32C (Castagnoli): are these the bytes that were written?"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "crc32c.h":
    uint32_t by_best "crc32c"(uint32_t value, const uint8_t* data, size_t size) noexcept nogil
    uint32_t by_tables "crc32c_by_tables"(uint32_t value, const uint8_t* data, size_t size) noexcept nogil

ctypedef uint32_t (*Way)(uint32_t value, const uint8_t* data, size_t size) noexcept nogil

# From here on other threads may go on meanwhile: some 5 us of work, where giving the GIL up and back costs 0.1.
cdef enum:
    WORTH_THE_GIL = 32 * 1024


cdef object of_buffer(Way way, object data, uint32_t value):
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    if view.len < WORTH_THE_GIL:
        value = way(value, <const uint8_t*>view.buf, view.len)
    else:
        with nogil:
            value = way(value, <const uint8_t*>view.buf, view.len)
    PyBuffer_Release(&view)
    return value


def crc32c(data, uint32_t value=0):
    """The CRC-32C of a contiguous buffer that follows what had the CRC `value`: crc32c(b, crc32c(a)) == crc32c(a + b)."""
    return of_buffer(by_best, data, value)

def crc32c_by_tables(data, uint32_t value=0):
    """The same, computed as on a CPU without the instruction."""
    return of_buffer(by_tables, data, value)
