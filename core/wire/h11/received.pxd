"""Bytes that have arrived and were not read yet."""
from libc.stdint cimport uint8_t

cdef class Received:
    cdef bytes whole            # what arrived while nothing was waiting, as it came; None: the bytes are in `own`
    cdef uint8_t* own           # owned; freed in __dealloc__; NULL until bytes arrive in pieces
    cdef Py_ssize_t capacity    # of `own`
    cdef Py_ssize_t start       # in `whole` or `own`
    cdef Py_ssize_t end
    cdef bint closed            # nothing will follow

    cdef int add(self, object data) except -1
    cdef int make_room(self, Py_ssize_t n) except -1
    cdef const uint8_t* bytes_(self) noexcept       # end - start of them; borrowed until the next add or skip
    cdef int skip(self, Py_ssize_t n) except -1     # they were read
    cdef bytes take(self, Py_ssize_t n)             # read them: `whole` itself if it is nothing else
    cdef bytes shared(self, Py_ssize_t n, Py_ssize_t* base)     # bytes in which those n lie at `base`; nothing is read
