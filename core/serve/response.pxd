"""What a handler answers with."""
from libc.stdint cimport int64_t

cdef class Response:
    cdef readonly int status
    cdef readonly object body   # as given
    cdef bytes lines            # the fields it brings, each with its CRLF
    cdef bytes content          # the whole body; None: `body` is iterated, or a file
    cdef int64_t length         # of an iterated body, where the handler says it; else -1
    cdef bint closes            # the handler wants the connection closed behind it
    cdef bint bodiless          # its status allows no body

cdef class FileResponse(Response):
    cdef int fd                 # owned until taken; -1: nothing to send
    cdef int64_t offset
    cdef int64_t size
