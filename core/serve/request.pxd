"""What a handler is asked."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from hotpath.core.tasks.task cimport Task
from hotpath.core.wire.http1 cimport Span

# The task that serves a request; exchange.pyx gives it a body.
cdef class Incoming(Task):
    # The next bytes of the request's body, waiting for them; None: that was all. Raises RequestError.
    cdef object next_piece(self)

cdef class Request:
    cdef bytes head             # as received
    cdef Span method_span
    cdef Span target_span
    cdef Span path_span
    cdef Span query_span
    cdef uint8_t address[16]
    cdef uint16_t port
    cdef uint8_t method_id
    cdef uint8_t minor
    cdef bint has_query
    cdef int64_t content_length
    cdef Incoming incoming      # None once it is answered
    cdef bytes content          # the whole body, once read
    cdef bint streamed          # stream() gave it away
    cdef object fields          # Headers, once asked for
    cdef public object state    # the handler's own, for whoever wraps it
    cdef readonly str route     # the pattern that matched

    cdef str text(self, Span span)
