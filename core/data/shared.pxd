"""Memory that forked workers share: raw blocks, counters, gauges, rate-limit cells."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

# Anonymous MAP_SHARED memory, zeroed; forked children see the same bytes. Freed when the last process drops it.
cdef class Block:
    cdef uint8_t* data          # owned
    cdef readonly size_t size   # bytes

# 64-bit cells by name, one row per worker on its own cache lines; a worker adds to its own row with a plain add.
cdef class Rows:
    cdef Block block
    cdef readonly tuple names
    cdef readonly int workers
    cdef size_t stride          # in cells, from row to row
    cdef int own                # this process's row; -1: not said yet

    cdef uint64_t* words(self, int worker) noexcept nogil
    cdef int add_to_own(self, Py_ssize_t i, uint64_t n) except -1
    cdef uint64_t sum_of(self, Py_ssize_t i) except? 0

cdef class Counters(Rows):      # they only grow
    cdef uint64_t* row(self, int worker) noexcept nogil

cdef class Gauges(Rows):        # they go down too, and clear(worker) empties a dead worker's row
    cdef int64_t* row(self, int worker) noexcept nogil

cdef struct Verdict:
    bint allowed
    int64_t remaining           # requests that would pass right now, after this one
    int64_t retry_after_us      # 0 when allowed; INT64_MAX: never, `cost` is more than the whole burst
    int64_t reset_us            # until the burst is whole again

# Only ever read and written whole, by load_pair and swap_pair of atomics.h.
cdef struct Cell:
    uint64_t hash               # of the key, even; 0: never used
    int64_t arrival_us          # theoretical arrival time; up to now: the cell is free
cdef struct Cells:
    Cell* cells                 # borrowed from the limiter's Block
    uint64_t mask               # slots - 1; slots is a power of two
    uint64_t secret[2]          # keys the hash, so that a client cannot choose its neighbours
    uint64_t* evicted           # counts cells given up in a full neighbourhood

# GCRA (ITU-T I.371): `cost` requests of this key, at once or not at all. `period_us` > 0: between two requests at the
# sustained rate; `burst_us`: burst * period. Their sums and `cost * period_us` must fit. Lock-free.
cdef void cells_take(Cells* cells, const uint8_t* key, size_t size, int64_t now_us, int64_t period_us, int64_t burst_us,
                     int64_t cost, Verdict* verdict) noexcept nogil

cdef class RateLimiter:
    cdef Block block
    cdef Cells cells
    cdef readonly uint32_t slots
