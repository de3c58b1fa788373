"""Structs from free lists: no malloc per connection or request, and memory that was once a client stays one."""
from libc.stdlib cimport calloc
from libc.string cimport memset

cdef enum:
    SLAB = 64                   # structs at a time


cdef void* slot_take(slot_t** free, size_t size) noexcept nogil:
    cdef slot_t* slot = free[0]
    cdef char* slab
    cdef int i
    if slot == NULL:
        slab = <char*>calloc(SLAB, size)
        if slab == NULL:
            return NULL
        for i in range(SLAB):
            slot_give(free, slab + i * size)
        slot = free[0]
    free[0] = slot.next
    memset(slot, 0, size)
    return slot

cdef void slot_give(slot_t** free, void* slot) noexcept nogil:
    (<slot_t*>slot).next = free[0]
    free[0] = <slot_t*>slot
