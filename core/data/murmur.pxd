"""MurmurHash3 at C level."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef uint32_t murmur3_x86_32(const uint8_t* data, size_t size, uint32_t seed) noexcept nogil
cdef uint64_t murmur3_x64_64(const uint8_t* data, size_t size, uint32_t seed) noexcept nogil     # first half of x64_128
