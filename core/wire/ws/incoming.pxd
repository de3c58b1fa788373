"""What a peer sends: bytes to events, without Python between them."""
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.wire.ws.deflate cimport Deflate
from hotpath.core.wire.ws.events cimport Event
from hotpath.core.wire.ws.frame cimport Piece, Receiver, Utf8

cdef extern from "growing.h" nogil:
    ctypedef struct Growing:
        uint8_t* at         # owned; NULL while there is no room
        size_t size
        size_t room

cdef class Incoming:
    cdef Receiver receiver
    cdef Deflate deflate            # inflates
    cdef int64_t max_message        # bytes, inflated; INT64_MAX: no limit
    cdef bint whole                 # one event per message, not one per piece
    cdef bint over                  # a close frame came or a fault showed: nothing counts behind it
    cdef bint busy                  # the GIL is released within; C data is in use
    cdef bytes data                 # what is being read, from `at` to `size`
    cdef Py_ssize_t at
    cdef Py_ssize_t size
    cdef list more                  # bytes that came meanwhile
    cdef Growing message            # of a message under way, or the start of a character that waits for its end
    cdef Utf8 utf8                  # of inflated text that is not decoded before its end
    cdef int64_t total              # of the message under way, inflated

    cdef int start(self, bint client, object max_message, object max_frame, bint whole) except -1
    # Messages may be compressed, within this window.
    cdef int start_deflate(self, int window_bits, bint keeps_context) except -1
    cdef int feed(self, object data) except -1
    # None: it takes more bytes, or nothing more comes. ParseFailed, once.
    cdef Event next(self)

    cdef int load(self) except -1
    cdef int fail(self, int code, str reason) except -1
    cdef int finish(self) except -1
    cdef Event event_of(self, const Piece* piece)
    cdef Event plain(self, const Piece* piece)
    cdef Event inflated(self, const Piece* piece)
    cdef int take(self, const Piece* piece, uint8_t* to) except -1
    cdef bytes binary(self, const Piece* piece)
    cdef str text(self, const Piece* piece)
    cdef int keep(self, const uint8_t* data, size_t size) except -1
    cdef int append(self, const Piece* piece) except -1
    cdef Event take_message(self, const Piece* piece)
    cdef Event control(self, const Piece* piece)
