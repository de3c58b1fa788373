"""Heads as they leave, and problems said from C."""
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.serve.connection cimport server_t

cdef enum:
    DATE_BYTES = 37

# Each writes at `out` and answers the place behind it; there must be room.
cdef uint8_t* put(uint8_t* out, const void* data, size_t size) noexcept nogil
cdef uint8_t* put_int(uint8_t* out, int64_t number) noexcept nogil
cdef uint8_t* put_start(server_t* server, int status, uint8_t* out) noexcept nogil      # status line and Date
# A whole answer (RFC 9457) that closes the connection. `detail` is plain ASCII without quotes.
cdef uint8_t* put_problem(server_t* server, int status, const char* detail, bint head_only, uint8_t* out) noexcept nogil
