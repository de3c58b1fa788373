"""Memory that forked workers share: raw blocks, counters, gauges, rate-limit cells.

All of it is made before the fork and lives as long as one process maps it. Nothing here takes a lock, so a worker killed
at any instruction leaves nothing held.
"""
from cpython.buffer cimport PyBuffer_FillInfo
from libc.math cimport ceil
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from hotpath.core.data.murmur cimport text_or_bytes

import os

cimport cython

cdef extern from "atomics.h" nogil:
    ctypedef struct pair_t:
        uint64_t first
        int64_t second
    uint64_t load_word(const uint64_t* word)
    void add_own(uint64_t* word, uint64_t n)
    void add_shared(uint64_t* word, uint64_t n)
    void clear_word(uint64_t* word)
    pair_t load_pair(pair_t* at)
    bint swap_pair(pair_t* at, pair_t expected, pair_t desired)

cdef extern from "siphash.h" nogil:
    uint64_t siphash13(const uint8_t* data, size_t size, const uint64_t* secret)

cdef enum:
    LINE_BYTES = 64             # a cache line: rows on lines of their own do not slow each other down
    PROBES = 8                  # cells a key may live in: two lines
    MAX_SLOTS = 1 << 28         # 4 GiB
    MAX_WORKERS = 4096          # more is a mistake

cdef enum:                      # what `find` found, better ones higher
    OLDEST                      # all are others' and in use: the one that would be free first
    FREE                        # another's that has run out, or nobody's
    STALE                       # this key's, run out
    BOOKED                      # this key's, in use

# A booking further ahead than the burst allows was made under a slower rate; so much more and it is cut back. Workers
# read the clock once per turn of their loop: less than this is only one of them being late.
cdef int64_t SLACK_US = 1000000


# Which of its neighbourhood's cells this key should use, and what it held.
cdef int find(Cells* cells, uint64_t hash, int64_t now_us, pair_t** cell, pair_t* seen) noexcept nogil:
    cdef pair_t* at
    cdef pair_t pair
    cdef int k, rank, best = -1
    for k in range(PROBES):
        at = neighbour(cells, hash, k)
        pair = load_pair(at)
        if pair.first == hash:
            rank = BOOKED if pair.second > now_us else STALE
        else:
            rank = FREE if pair.second <= now_us else OLDEST
        if rank > best or (rank == OLDEST and best == OLDEST and pair.second < seen.second):
            best = rank
            cell[0] = at
            seen[0] = pair
            if best == BOOKED:
                break
    return best

# The first of a neighbourhood starts a cache line, if a line holds four.
cdef pair_t* neighbour(Cells* cells, uint64_t hash, int k) noexcept nogil:
    return <pair_t*>cells.cells + (((hash & ~<uint64_t>3) + <uint64_t>k) & cells.mask)

# Two processes that meet a new key at once may choose different cells, if a third cell ran out between their clocks.
# Each looks again after its swap; at least the later one sees the other.
cdef bint booked_elsewhere(Cells* cells, uint64_t hash, int64_t now_us, const pair_t* cell) noexcept nogil:
    cdef pair_t* at
    cdef pair_t pair
    cdef int k
    for k in range(PROBES):
        at = neighbour(cells, hash, k)
        pair = load_pair(at)
        if at != cell and pair.first == hash and pair.second > now_us:
            return True
    return False

# How many requests fit. cdivision: both are positive, and Python's division would need the GIL to complain about zero.
@cython.cdivision(True)
cdef int64_t whole(int64_t left_us, int64_t period_us) noexcept nogil:
    return left_us // period_us if left_us > 0 else 0

cdef void cells_take(Cells* cells, const uint8_t* key, size_t size, int64_t now_us, int64_t period_us, int64_t burst_us,
                     int64_t cost, Verdict* verdict) noexcept nogil:
    cdef uint64_t hash = siphash13(key, size, cells.secret) & ~<uint64_t>1      # even, for swap_pair
    cdef int64_t limit_us = burst_us + period_us        # a key may be booked this far ahead of now
    cdef int64_t charge_us = cost * period_us
    cdef int64_t ahead_us                               # how far it is booked
    cdef bint allowed, cut
    cdef pair_t* cell
    cdef pair_t seen, wanted
    cdef int rank
    if hash == 0:
        hash = 2
    while True:     # a lost swap means that another process got on
        rank = find(cells, hash, now_us, &cell, &seen)
        ahead_us = seen.second - now_us if rank == BOOKED else 0
        cut = ahead_us > limit_us + SLACK_US
        if cut:
            ahead_us = limit_us
        allowed = ahead_us + charge_us <= limit_us
        if allowed:
            ahead_us += charge_us
        if not cut and (not allowed or charge_us == 0):
            break                                       # nothing to write
        wanted.first = hash
        wanted.second = now_us + ahead_us
        if not swap_pair(cell, seen, wanted):
            continue
        if rank == OLDEST:
            add_shared(cells.evicted, 1)
        if rank == BOOKED or not booked_elsewhere(cells, hash, now_us, cell):
            break
        # Give ours back and book there. If somebody has booked on top of ours meanwhile it stays: too strict by one.
        seen.first = hash
        seen.second = 0
        swap_pair(cell, wanted, seen)
    verdict.allowed = allowed
    verdict.remaining = whole(limit_us - ahead_us, period_us)
    verdict.reset_us = ahead_us
    verdict.retry_after_us = 0
    if not allowed:
        verdict.retry_after_us = ahead_us + charge_us - limit_us if charge_us <= limit_us else INT64_MAX


cdef uint64_t sum_of_column(const uint64_t* cells, size_t stride, int rows, Py_ssize_t i) noexcept nogil:
    cdef uint64_t total = 0
    cdef int row
    for row in range(rows):
        total += load_word(cells + row * stride + i)
    return total

cdef void clear_row(uint64_t* row, size_t stride) noexcept nogil:
    cdef size_t i
    for i in range(stride):
        clear_word(row + i)

# Whole numbers arrive as Py_ssize_t throughout: for other C integers Cython takes 1.5 as 1.

# Cells from row to row: whole cache lines.
cdef size_t stride_of(tuple names) except 0:
    cdef Py_ssize_t per_line = LINE_BYTES // <Py_ssize_t>sizeof(uint64_t)
    return <size_t>max(1, (len(names) + per_line - 1) // per_line) * per_line

cdef tuple checked_names(object names):
    if isinstance(names, str):
        raise TypeError("names is one str; wanted is a sequence of names")
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {type(name).__name__}")
    return names

cdef int checked_workers(Py_ssize_t workers) except -1:
    if not 1 <= workers <= MAX_WORKERS:
        raise ValueError(f"workers {workers}: allowed are 1 to {MAX_WORKERS}")
    return <int>workers

cdef int checked_row(Py_ssize_t worker, int workers) except -1:
    if not 0 <= worker < workers:
        raise IndexError(f"worker {worker}: there are {workers}")
    return <int>worker

cdef Py_ssize_t checked_index(Py_ssize_t i, tuple names) except -1:
    if not 0 <= i < len(names):
        raise IndexError(f"index {i}: there are {len(names)} names")
    return i


cdef class Block:
    """Zeroed memory that forked children share with their parent, `size` bytes. Raises ValueError, MemoryError."""

    def __cinit__(self, size_t size):
        cdef void* data
        if size == 0:
            raise ValueError("size 0: should be at least 1")
        data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if data == MAP_FAILED:
            raise MemoryError(f"no {size} bytes of shared memory")
        self.data = <uint8_t*>data
        self.size = size

    def __dealloc__(self):
        if self.data is not NULL:
            munmap(self.data, self.size)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, <Py_ssize_t>self.size, 0, flags)

    @property
    def memory(self):
        """The bytes themselves, writable; they live as long as this view."""
        return memoryview(self)


cdef class Rows:
    """Numbers with names, one row of them per worker: what Counters and Gauges have in common.

    Each process says once which row is its own, `rows.worker = k`, and then adds without regard to the others: before that
    RuntimeError. Two processes must not share a row. IndexError: no such row, or no such name.
    """

    def __cinit__(self, names, Py_ssize_t workers):
        self.names = checked_names(names)
        self.workers = checked_workers(workers)
        self.stride = stride_of(self.names)
        self.block = Block(self.stride * <size_t>self.workers * sizeof(uint64_t))
        self.own = -1

    cdef uint64_t* words(self, int worker) noexcept nogil:
        return <uint64_t*>self.block.data + <size_t>worker * self.stride

    cdef int add_to_own(self, Py_ssize_t i, uint64_t n) except -1:
        if self.own < 0:
            raise RuntimeError("say first which row is this process's: .worker = k")
        add_own(self.words(self.own) + checked_index(i, self.names), n)
        return 0

    cdef uint64_t sum_of(self, Py_ssize_t i) except? 0:
        return sum_of_column(self.words(0), self.stride, self.workers, checked_index(i, self.names))

    @property
    def worker(self):
        """This process's row; None until it is set."""
        return None if self.own < 0 else self.own

    @worker.setter
    def worker(self, Py_ssize_t worker):
        self.own = checked_row(worker, self.workers)

    def clear(self, Py_ssize_t worker):
        """Set a whole row to zero, when nobody adds to it."""
        clear_row(self.words(checked_row(worker, self.workers)), self.stride)


cdef class Counters(Rows):
    """Numbers that only grow: a worker killed while counting loses at most what it had not added.

    A new worker goes on in the row of the one it replaces.
    """

    cdef uint64_t* row(self, int worker) noexcept nogil:
        return self.words(worker)

    def add(self, Py_ssize_t i, Py_ssize_t n=1):
        """Add `n` to the number at index `i` of this process's row. ValueError: n is negative."""
        if n < 0:
            raise ValueError(f"{n}: a counter only grows")
        self.add_to_own(i, <uint64_t>n)

    def total(self, Py_ssize_t i):
        """The sum over all workers of the number at index `i`, modulo 2**64."""
        return self.sum_of(i)


cdef class Gauges(Rows):
    """Numbers that rise and fall: what a dead worker had risen goes with `clear(worker)`."""

    cdef int64_t* row(self, int worker) noexcept nogil:
        return <int64_t*>self.words(worker)

    def add(self, Py_ssize_t i, Py_ssize_t n=1):
        """Add `n`, which may be negative, to the number at index `i` of this process's row."""
        self.add_to_own(i, <uint64_t>n)

    def total(self, Py_ssize_t i):
        """The sum over all workers of the number at index `i`."""
        return <int64_t>self.sum_of(i)


cdef class RateLimiter:
    """Which requests are within their limit? GCRA (ITU-T I.371) over cells that all workers share.

    `slots`, rounded up to a power of two, bounds the keys that can be limited at once, at 16 bytes each. A key whose
    burst is whole again takes no room. With its whole neighbourhood in use, a new key takes the cell that would be free
    first, which forgets that one's key; `evicted` counts these. Measured: with a quarter of the slots in use, one new
    key in 8000 finds no room; with half of them, one in 160.
    """

    def __cinit__(self, slots=65536):
        cdef size_t cell_bytes
        cdef bytes secret = os.urandom(16)
        if not isinstance(slots, int):
            raise TypeError(f"slots is an int, not {type(slots).__name__}")
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"slots {slots}: allowed are 1 to {MAX_SLOTS}")
        self.slots = <uint32_t>max(PROBES, 1 << (slots - 1).bit_length())
        cell_bytes = self.slots * sizeof(Cell)
        self.block = Block(cell_bytes + LINE_BYTES)
        self.cells.cells = <Cell*>self.block.data
        self.cells.mask = self.slots - 1
        self.cells.evicted = <uint64_t*>(self.block.data + cell_bytes)
        memcpy(self.cells.secret, <const char*>secret, 16)

    @property
    def evicted(self):
        """How many cells were taken from a key that was still limited."""
        return load_word(self.cells.evicted)

    def take(self, key, double rate, Py_ssize_t burst, Py_ssize_t cost=1, *, now_us=None):
        """May `cost` requests of `key` pass now? (allowed, remaining, retry_after_s, reset_s)

        `rate`: requests per second in the long run, up to a million; it is kept to whole microseconds between two
        requests, rounded up. `burst`: how many more than one may pass at once. `remaining`: how many would still pass
        right now. `retry_after_s`: 0.0 if allowed, inf if `cost` is more than burst + 1. `reset_s`: until the burst is
        whole again. `cost` 0 only looks. `now_us` stands for the monotonic clock, in tests. ValueError for what is out of
        range, TypeError for a key that is neither text nor bytes.
        """
        cdef Verdict verdict
        cdef Py_ssize_t size
        cdef const uint8_t* data = text_or_bytes(key, &size)
        cdef int64_t period_us
        if not 1e-9 <= rate <= 1e6:
            raise ValueError(f"rate {rate}: allowed are 1e-9 to 1e6 a second")
        period_us = <int64_t>ceil(1e6 / rate)
        if burst < 0 or cost < 0 or burst >= INT64_MAX // 4 // period_us or cost >= INT64_MAX // 4 // period_us:
            raise ValueError(f"burst {burst}, cost {cost}: should be 0 or more, and less than 70000 years")
        cells_take(&self.cells, data, <size_t>size, clock_us() if now_us is None else <Py_ssize_t>now_us, period_us,
                   burst * period_us, cost, &verdict)
        return (bool(verdict.allowed), verdict.remaining,
                float("inf") if verdict.retry_after_us == INT64_MAX else verdict.retry_after_us / 1e6,
                verdict.reset_us / 1e6)


cdef int64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000 + now.tv_nsec // 1000


def keyed_hash(bytes key, uint64_t secret0, uint64_t secret1):
    """SipHash-1-3 of `key`: the hash behind RateLimiter, laid open for tests."""
    cdef uint64_t secret[2]
    secret[0] = secret0
    secret[1] = secret1
    return siphash13(<const uint8_t*><const char*>key, <size_t>len(key), secret)

def measure_take(RateLimiter limiter, bytes key, int n):
    """Calls the C function behind `take` n times for one key, at a rate that never limits; for benchmarks."""
    cdef Verdict verdict
    cdef const uint8_t* data = <const uint8_t*><const char*>key
    cdef size_t size = <size_t>len(key)
    cdef int i
    with nogil:
        for i in range(n):
            cells_take(&limiter.cells, data, size, clock_us(), 1, 1 << 40, 1, &verdict)
    return bool(verdict.allowed)
