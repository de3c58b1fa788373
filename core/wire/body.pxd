"""The body of an HTTP/1.1 message (RFC 9112 sections 6 and 7): where is payload, where does it end? Allocates nothing."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.wire.head cimport Span

cdef enum BodyPhase:
    BODY_SIZE = 0               # a chunk-size line comes
    BODY_DATA                   # payload comes
    BODY_DATA_END               # the CRLF behind a chunk comes
    BODY_TRAILERS
    BODY_DONE

# Where in a body the next byte falls. Plain data: copy it, keep it in a connection.
cdef struct Body:
    uint8_t framing
    uint8_t phase
    uint8_t rules
    uint8_t state               # within the framing: chunked.h
    uint8_t last                # the phase that ends it: BODY_DONE, or BODY_TRAILERS for a caller who keeps those (head.parse_trailers)
    uint8_t digits              # of this chunk size so far
    uint32_t overhead           # bytes of chunk extensions (at most 4 KiB; H11 rules: per chunk, with the blanks it permits), then of trailers, so far
    uint32_t max_trailers       # bytes of trailer lines
    int64_t left                # payload bytes left of this chunk, or of the body; BODY_UNTIL_CLOSE: stays at INT64_MAX
    const char* error           # BROKEN: static text

cdef struct Piece:
    Span data                   # payload; size 0: only framing was consumed

cdef void body_start(Body* body, int framing, int64_t content_length, int rules, uint32_t max_trailers) noexcept nogil
# Bytes consumed (> 0: framing and/or one run of payload), NEED_MORE (size 0) or BROKEN. Call until body.phase is body.last. It takes
# every byte it is given, so nothing of a body need ever be kept for the next call. Once done it answers 0: what follows is the next
# message. Trailer fields are checked and dropped; what Content-Length or Transfer-Encoding say there has no meaning.
cdef Py_ssize_t body_next(Body* body, const uint8_t* data, size_t size, Piece* piece) noexcept nogil
