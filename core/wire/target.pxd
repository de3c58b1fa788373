"""Where a request goes: its target, its host. Called by head.pyx and meaning.pyx."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.head cimport Head

# The target at `p`, which is where method and space end; `data` is where the head begins. Writes form, target, path, query, host.
# The space behind the target, or NULL: refused, or not whole before `end`. By h11's rules any visible ASCII is a target.
cdef const uint8_t* parse_target(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil
cdef const uint8_t* parse_free_target(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil

cdef bint is_host(const uint8_t* p, const uint8_t* end) noexcept nogil      # host[:port]
