"""Bytes that have arrived and were not read yet: copied only if they come in pieces."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memmove


# A connection that has nothing waiting keeps no more than this.
cdef Py_ssize_t KEEP = 16 * 1024
# A head may point into what arrived with it, as long as that wastes no more.
cdef Py_ssize_t MAX_SHARED = 4 * 1024


cdef class Received:
    """Grows at its end, is read from its start. Nothing of it is for Python."""

    def __dealloc__(self):
        PyMem_Free(self.own)

    cdef int add(self, object data) except -1:
        cdef Py_buffer view
        if self.start == self.end and type(data) is bytes:
            self.whole = data
            self.start = 0
            self.end = PyBytes_GET_SIZE(data)
            return 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.make_room(view.len)
            memcpy(self.own + self.end, view.buf, <size_t> view.len)
            self.end += view.len
        finally:
            PyBuffer_Release(&view)
        return 0

    # What waits is in `own`, with room for n more behind it. Doubling, or moving it no further than was read since, keeps a
    # byte's cost constant however small the pieces are.
    cdef int make_room(self, Py_ssize_t n) except -1:
        cdef Py_ssize_t size = self.end - self.start
        cdef Py_ssize_t capacity
        cdef uint8_t* larger
        if self.whole is None and self.end + n <= self.capacity:
            return 0
        if size + n > self.capacity or (self.whole is None and self.start < size):
            capacity = 2 * ((self.end if self.whole is None else size) + n)
            larger = <uint8_t*> PyMem_Realloc(self.own, <size_t> capacity)
            if larger == NULL:
                raise MemoryError
            self.own = larger
            self.capacity = capacity
        if self.whole is not None:
            memcpy(self.own, PyBytes_AS_STRING(self.whole) + self.start, <size_t> size)
            self.whole = None
        else:
            memmove(self.own, self.own + self.start, <size_t> size)
        self.start = 0
        self.end = size
        return 0

    cdef const uint8_t* bytes_(self) noexcept:
        if self.whole is None:
            return self.own + self.start
        return <const uint8_t*> PyBytes_AS_STRING(self.whole) + self.start

    cdef int skip(self, Py_ssize_t n) except -1:
        self.start += n
        if self.start == self.end:
            self.start = self.end = 0
            self.whole = None
            if self.capacity > KEEP:
                PyMem_Free(self.own)
                self.own = NULL
                self.capacity = 0
        return 0

    cdef bytes take(self, Py_ssize_t n):
        cdef bytes taken
        if self.whole is not None and n == PyBytes_GET_SIZE(self.whole):
            taken = self.whole
        else:
            taken = PyBytes_FromStringAndSize(<const char*> self.bytes_(), n)
        self.skip(n)
        return taken

    cdef bytes shared(self, Py_ssize_t n, Py_ssize_t* base):
        if self.whole is not None and PyBytes_GET_SIZE(self.whole) <= n + MAX_SHARED:
            base[0] = self.start
            return self.whole
        base[0] = 0
        return PyBytes_FromStringAndSize(<const char*> self.bytes_(), n)
