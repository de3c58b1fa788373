"""MurmurHash3 at C level."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef uint32_t murmur3_x86_32(const uint8_t* data, size_t size, uint32_t seed) noexcept nogil
cdef uint64_t murmur3_x64_64(const uint8_t* data, size_t size, uint32_t seed) noexcept nogil     # first half of x64_128

# The UTF-8 of a str, or the bytes: borrowed from `key`, which must outlive them. Other types: TypeError.
cdef const uint8_t* text_or_bytes(object key, Py_ssize_t* size) except NULL
