"""Stamps at C level: when was it written, and by whom?"""
from libc.stdint cimport uint64_t

cdef class Stamp:
    cdef readonly uint64_t hlc
    cdef uint64_t name          # the replica's, packed: its bytes, the first one highest

cdef Stamp stamp_of(uint64_t hlc, uint64_t name)

# The name packed. ValueError for what is no replica's name.
cdef uint64_t name_of(str replica) except 0
cdef str replica_of(uint64_t name)
