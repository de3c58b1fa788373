"""Structs from free lists: allocated by the slab, kept until the worker ends."""

cdef struct slot_t:             # a free struct: its first word is the link
    slot_t* next

cdef void* slot_take(slot_t** free, size_t size) noexcept nogil         # zeroed; NULL: no memory
cdef void slot_give(slot_t** free, void* slot) noexcept nogil           # nobody may point at it any more
