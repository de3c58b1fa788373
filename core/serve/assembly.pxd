"""A websocket message that comes in pieces, or compressed, put together in memory that is bounded."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.ws.deflate cimport Deflate
from hotpath.core.wire.ws.frame cimport Piece, Receiver

# The message under way. Zeroed memory is none; an idle one owns nothing but the inflater's window.
cdef struct assembly_t:
    Deflate inflate             # its window_bits and keeps_context are the owner's to set
    uint8_t* data               # owned
    size_t size
    size_t room

# Adds a piece's payload, which may be changed where it lies. `inbox`: INBOX_BYTES that are free meanwhile. False: it may not be, and
# the receiver's close_code and error say why.
cdef bint assembly_add(assembly_t* assembly, Receiver* receiver, Piece* piece, uint8_t* inbox) noexcept nogil
cdef void assembly_drop(assembly_t* assembly) noexcept nogil        # the message, not the window
cdef void assembly_free(assembly_t* assembly) noexcept nogil
