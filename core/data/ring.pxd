"""Consistent hashing at C level: which node owns this key?"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

# One immutable state of the ring; a change builds another and swaps one pointer, so readers never lock.
cdef struct Snapshot:
    uint64_t* points            # owned; ascending places on the circle of 2**64; one more, 2**64-1, ends every search
    uint16_t* owners            # owned; index into Ring.names of the node each point belongs to; the last is the first's
    uint32_t n_points
    uint32_t shift              # place >> shift is its bucket
    uint32_t* buckets           # owned; index of the first point at or after the bucket's first place; one entry more than buckets

# Owns a snapshot with the names and settings it was built from: who holds it can use them all without the GIL.
cdef class State:
    cdef Snapshot snapshot
    cdef dict confs             # name -> settings, in the order the nodes came
    cdef tuple names            # ascending, so that of two nodes on one place the smaller name comes first

    cdef int fill(self, list counts, uint32_t n) except -1

cdef class Ring:
    cdef State state
    cdef Snapshot* now          # borrowed from `state`: use it in the thread that changes the ring, or hold `state` meanwhile
    cdef object weight_fn
    cdef object writing         # the lock of those who change the ring
    cdef readonly int vnodes
    cdef readonly unsigned long version

    # Index into .names of the owner of the key with this hash (murmur3_x64_64, seed 0). The ring must not be empty.
    cdef uint16_t owner_of_hash(self, uint64_t place) noexcept nogil

    cdef dict settings(self, object name, object conf)
    cdef int install(self, dict confs) except -1
