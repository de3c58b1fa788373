"""What the fields of a head mean together: host, framing, connection. Called by head.pyx alone."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.wire.head cimport Head

# `head` holds the spans of the first line and of the fields in `data`; the rest is written here. `repeated`: bit i is set when
# name i came more than once. False: refused, head.error and head.error_status are set.
cdef bint judge_request(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil
cdef bint judge_trailers(Head* head, const uint8_t* data, uint32_t repeated) noexcept nogil     # under the rules of H11
cdef bint judge_response(Head* head, const uint8_t* data, bint strict, uint32_t repeated, int method_id) noexcept nogil
