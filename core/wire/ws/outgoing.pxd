"""What we send: payload to frames, each in one `bytes`."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.ws.deflate cimport Deflate

cdef class Outgoing:
    cdef bint client            # masks
    cdef bint deflates          # compresses messages
    cdef bint busy              # the GIL is released within; `deflate` is in use
    cdef uint8_t opcode         # of the message under way; 0: none
    cdef Deflate deflate

    # Messages are compressed, within this window.
    cdef int start_deflate(self, int window_bits, bint keeps_context) except -1
    # A frame of a message of str or bytes, the last with `fin`. TypeError for anything else, or both in one message.
    cdef bytes message(self, object payload, bint fin)
    # ValueError for more than 125 bytes.
    cdef bytes control(self, int opcode, object payload)

    cdef bytes buffer(self, int opcode, object payload, bint fin, bint is_control)
    cdef bytes part(self, uint8_t opcode, const uint8_t* data, size_t size, bint fin)
    cdef bytes compressed(self, uint8_t first, const uint8_t* data, size_t size, bint fin)
