"""TLS on a stream: a filter made of Python's ssl and two memory BIOs."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.stream cimport How, filter_t, stream_t

cdef enum:
    WIRE_BYTES = 17408          # a record of 16 KiB, and what encrypting adds to it (RFC 8446 5.2 allows 16640)

# How far a handshake is.
cdef enum Shake:
    SHAKE_FAILED = -1           # an alert says why, where that can be told; close it
    SHAKE_WAITS = 0             # for the peer
    SHAKE_DONE = 1
    SHAKE_PLAIN = 2             # the peer speaks HTTP, not TLS: the stream has no filter any more
    SHAKE_ENDED = 3             # the peer left

cdef class Terminator:
    cdef readonly object context        # ssl.SSLContext: from before the fork, so that a ticket of one worker is good for all
    cdef uint8_t[WIRE_BYTES] wire       # what was received, on its way into a session

cdef class Session:
    cdef filter_t filter
    cdef Terminator terminator
    cdef object ssl             # ssl.SSLObject
    cdef object incoming        # ssl.MemoryBIO: received, not decrypted
    cdef object outgoing        # ssl.MemoryBIO: encrypted, on its way to the stream
    cdef object why             # what ended the handshake, or None
    cdef Buffer* held           # owned chain: decrypted before our close_notify, not read yet
    cdef uint32_t n_owed        # bytes of answers that TLS itself gave and the peer has not taken
    cdef bint begun             # something was received
    cdef bint dry               # nothing is left to decrypt

    cdef Py_ssize_t read(self, stream_t* stream, uint8_t* data, size_t size) except? -9
    cdef Py_ssize_t write(self, stream_t* stream, const uint8_t* data, size_t size, How how) except? -9
    cdef Py_ssize_t feed(self, stream_t* stream) except? -9
    cdef Py_ssize_t hand_out(self, stream_t* stream, How how) except? -9
    cdef bint answer(self, stream_t* stream) except? -1
    cdef int say_goodbye(self, stream_t* stream) except -1
    cdef Shake shake(self, stream_t* stream) except? SHAKE_FAILED

# Begins TLS on a stream without a filter; `terminator` is borrowed. False: no memory.
cdef bint tls_begin(stream_t* stream, void* terminator) noexcept nogil
# Goes on with the handshake, with what has arrived.
cdef Shake tls_shake(stream_t* stream) noexcept nogil
cdef Session tls_session(stream_t* stream)              # of a stream whose filter is TLS
