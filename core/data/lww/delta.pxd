"""Deltas at C level: cells as bytes, checked before anything of them is used."""
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from hotpath.core.data.epochs cimport seat_t
from hotpath.core.data.lww.table cimport cell_t, table_t

cdef enum:
    DELTA_HEAD = 16             # "LWWD", version, bias, two zeros, u64 count
    DELTA_TAIL = 4              # CRC-32C of all before
    DIGEST_BYTES = 16 + 4096 * 8

cdef enum:                      # what a check found
    SOUND = 0
    BROKEN = 1
    OTHER_BIAS = 2

# A sound delta: its cells, and what their stamps span.
cdef struct delta_t:
    const uint8_t* cells        # borrowed
    const uint8_t* end
    uint64_t n
    uint64_t least_hlc          # UINT64_MAX: no cell
    uint64_t greatest_hlc

# Bytes that grow. `failed` stays once memory ran out; what is then written is lost.
cdef struct bytes_t:
    uint8_t* data               # owned; malloc
    size_t size
    size_t room
    bint failed

cdef struct tally_t:
    uint64_t applied
    uint64_t ignored
    uint64_t stale

cdef uint8_t* bytes_grow(bytes_t* out, size_t n) noexcept nogil        # room for n more; NULL: none. Counts them in
cdef bytes take_bytes(bytes_t* out)                                    # frees them; MemoryError if they had failed

# The same bytes; a copy of what somebody could change while we look at it twice, or without the GIL. TypeError.
cdef bytes still(data)

# A delta in the making: begin, cells, end.
cdef void delta_begin(bytes_t* out, uint8_t bias) noexcept nogil
cdef int delta_add(bytes_t* out, const cell_t* cell) noexcept nogil    # 0; -1: no memory
cdef void delta_end(bytes_t* out) noexcept nogil

# SOUND, BROKEN or OTHER_BIAS.
cdef int delta_check(const uint8_t* data, size_t size, uint8_t bias, delta_t* delta) noexcept nogil

# Into the table; the clock observes it first. 0; -1: no memory, some cells may be missing. Enters and leaves by itself.
cdef int delta_merge(table_t* table, const delta_t* delta, tally_t* tally) noexcept nogil

# The cells that would win now, as a delta, appended to `out`; nothing changes. 0; -1: no memory.
cdef int delta_winners(table_t* table, const delta_t* delta, uint8_t bias, bytes_t* out, tally_t* tally) noexcept nogil

# All cells, or those in the buckets where wanted[bucket] != 0, as a delta. 0; -1: no memory.
cdef int delta_of_table(table_t* table, const uint8_t* wanted, uint8_t bias, bytes_t* out) noexcept nogil
