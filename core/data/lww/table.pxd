"""The lock-free table at C level: one cell per key, and a write is a compare-exchange of the greater."""
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.data.epochs cimport seat_t

cdef extern from "cell.h" nogil:
    enum:
        ENTRY_HEAD              # bytes before the key on the wire
        RAW
        JSON
        TAGGED
    const uint64_t LAST_HLC
    ctypedef struct cell_t:
        uint64_t hlc
        uint64_t replica
        uint32_t place
        uint32_t payload_size
        uint16_t key_size
        uint16_t bucket
        uint8_t live
    ctypedef struct entry_t:
        uint64_t hlc
        uint64_t replica
        const uint8_t* key
        const uint8_t* payload
        uint32_t payload_size
        uint32_t place
        uint16_t key_size
        uint8_t live
        int8_t tag

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass

cdef enum:
    N_SHARDS = 64
    N_BUCKETS = 4096
    N_STRIPES = 256             # the last is shared by all threads after the 255th

cdef enum:                      # what a write came to
    IGNORED = 0                 # the cell there is as great, or greater
    APPLIED = 1
    STALE = 2                   # not above the floor, of a key that is not there
    LIVE = 3                    # refused: add, and the key is live
    ABSENT = 4                  # refused: replace, and it is not
    MISMATCH = 5                # refused: another stamp than expected
    NO_MEMORY = -1
    CLOCK_ENDS = -2             # refused: no greater stamp exists

cdef enum:                      # what a local write asks for
    ADD
    REPLACE
    PUT
    REMOVE

cdef enum:                      # what a stripe counts beside its buckets
    N_LIVE
    N_TOMBSTONES
    N_BYTES                     # of keys and payloads
    N_APPLIED
    N_IGNORED
    N_STALE
    N_OVERWRITTEN               # live values that another write replaced
    N_COUNTS

# One version of a shard's slots; a rebuilt shard gets another. Each word is a cell_t*, 0, or either with FROZEN in it.
cdef struct slots_t:
    uint64_t mask               # slots - 1; slots is a power of two
    uint64_t limit              # of used slots: beyond it the shard is rebuilt
    uint64_t used               # slots that hold, or are about to hold, a key
    uint64_t words[1]           # as many as there are slots

# A cache line each.
cdef struct shard_t:
    uint64_t slots              # slots_t*; owned
    uint64_t unused[2]
    pthread_mutex_t rebuilding  # held by who rebuilds; readers never look at it

# What one thread adds up; readers sum over all stripes. Signed in two's complement.
cdef struct stripe_t:
    uint64_t counts[N_COUNTS]
    uint64_t shared             # more than one thread writes it
    uint64_t buckets[N_BUCKETS] # sums of cell_print

cdef struct table_t:
    shard_t shards[N_SHARDS]
    uint64_t stripes[N_STRIPES] # stripe_t*; owned, made at a thread's first write
    uint64_t secret[2]          # keys the places, so that nobody can choose colliding ones
    uint64_t floor              # nothing at or below it enters at an absent key
    uint8_t preferred_live      # 1: of equal hlcs the live cell is greater; 0: the tombstone
    uint64_t unused[8]          # what every write reads is not on the line that every local write changes
    uint64_t clock              # the last hlc

# What a local write asks for, and when; its stamp is taken within.
cdef struct wish_t:
    int kind
    bint expecting
    uint64_t expected_hlc       # of the live cell that must be there
    uint64_t expected_replica
    uint64_t wall_ms

# Owned by the caller; NULL: no memory.
cdef table_t* table_make(uint8_t preferred_live, uint64_t* secret) noexcept nogil
cdef void table_free(table_t* table) noexcept nogil

cdef uint32_t table_place(const table_t* table, const uint8_t* key, size_t size) noexcept nogil

# All below: between enter and leave; a cell is borrowed until then.

# The key's cell; NULL: never seen, or collected. `place` is table_place of the key.
cdef const cell_t* table_find(table_t* table, const uint8_t* key, uint16_t size, uint32_t place) noexcept nogil

# IGNORED, APPLIED, STALE or NO_MEMORY. The clock has seen entry.hlc already.
cdef int table_merge(table_t* table, seat_t* seat, entry_t* entry) noexcept nogil

# APPLIED, a refusal, or NO_MEMORY; `found`: the cell written, or the one that refuses it (NULL: none).
cdef int table_write(table_t* table, seat_t* seat, entry_t* entry, const wish_t* wish, const cell_t** found) noexcept nogil

# Ask the processor for the slot of `place`; then for the cell in it.
cdef void table_prefetch_slot(table_t* table, uint32_t place) noexcept nogil
cdef void table_prefetch_cell(table_t* table, uint32_t place) noexcept nogil

# Drop the tombstones up to `upto`, and raise the floor to it. How many were dropped; -1: no memory, some may be left.
cdef Py_ssize_t table_collect(table_t* table, seat_t* seat, uint64_t upto) noexcept nogil

# Calls back for each cell of a shard, 0 to N_SHARDS - 1, until one answers other than 0; that answer.
ctypedef int (*visit_t)(void* context, const cell_t* cell) noexcept nogil
cdef int table_visit(table_t* table, int shard, visit_t visit, void* context) noexcept nogil

cdef uint64_t table_tick(table_t* table, uint64_t wall_ms) noexcept nogil       # a stamp above all seen; 0: there is none
cdef void table_observe(table_t* table, uint64_t hlc) noexcept nogil
cdef uint64_t table_count(const table_t* table, int count) noexcept nogil
cdef void table_sums(const table_t* table, uint64_t* sums) noexcept nogil       # N_BUCKETS of them
cdef void table_count_ignored(table_t* table, seat_t* seat, uint64_t ignored, uint64_t stale) noexcept nogil
