"""Masking keys that no peer can guess (RFC 6455 section 5.3)."""
from libc.stdint cimport uint8_t

# Four fresh random bytes to `mask`.
cdef int next_mask(uint8_t* mask) except -1
