"""Epochs at C level: when may memory that readers without a lock could still see be freed?"""
from libc.stdint cimport uint64_t

# Blocks that were unlinked when the global epoch was at most `epoch`.
cdef struct bag_t:
    void** blocks               # owned; so are the blocks, from malloc
    size_t n
    size_t room
    uint64_t epoch

cdef enum:
    N_SIZES = 16                # sizes of blocks that a seat keeps: 24 bytes, 40, 56, ... as malloc cuts them

# One thread at a time; a thread that ends leaves it to the next.
cdef struct seat_t:
    uint64_t state              # epoch << 1 | 1 inside; 0 outside. Written by the owner, read by all
    uint64_t taken              # 1: a thread owns it
    uint64_t index              # counts from 0 in the order the seats were made
    uint64_t depth              # of nested entries
    size_t waiting              # blocks in the bags
    size_t waiting_bytes
    bag_t bags[3]
    void* spare[N_SIZES]        # owned: free blocks of each size, the first word of each points to the next
    size_t spare_bytes
    seat_t* next                # made before this one; never freed

# What is loaded from shared words between the two is not freed before `leave`. NULL: no memory for a seat.
cdef seat_t* enter() noexcept nogil
cdef void leave(seat_t* seat) noexcept nogil

# As leave and enter, for long work between two of its steps: what was loaded before it may be gone.
cdef void renew(seat_t* seat) noexcept nogil

# Free `block` once nobody can see it any more; it is unlinked already. Within enter and leave.
cdef void retire(seat_t* seat, void* block) noexcept nogil

# A block of `size` bytes, of those that came free or from malloc; NULL: no memory. Whoever owns it may also free() it.
cdef void* allocate(seat_t* seat, size_t size) noexcept nogil

# Returns when whoever was inside at the call has left or renewed. The caller is outside, and without the GIL, for which
# somebody inside may be waiting.
cdef void synchronize() noexcept nogil
