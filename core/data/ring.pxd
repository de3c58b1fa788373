"""Consistent hashing at C level: which node owns this key?"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

# One immutable state of the ring; a change builds another and swaps one pointer, so readers never lock.
cdef struct Snapshot:
    uint64_t* points            # owned; ascending places on the circle of 2**64
    uint16_t* owners            # owned; index into Ring.names of the node each point belongs to
    uint32_t n_points
    uint32_t shift              # place >> shift is its bucket
    uint32_t* buckets           # owned; index of the first point at or after the bucket's first place; one entry more than buckets

cdef class Ring:
    cdef Snapshot* now          # owned; NULL: empty
    # Index into .names of the owner of the key with this hash (murmur3_x64_64, seed 0). The ring must not be empty.
    cdef uint16_t owner_of_hash(self, uint64_t place) noexcept nogil
    # the rest is ring.pyx's
