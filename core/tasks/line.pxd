"""A line of tasks that wait: any of them can leave it at once, wherever it stands."""

# A ring: a head linked to itself is empty. Embedded in what it links; zeroed memory is an unlinked one.
cdef struct link_t:
    link_t* next
    link_t* previous
    void* task                  # borrowed: the Task it is part of; NULL in a head

cdef inline void link_init(link_t* head) noexcept:
    head.next = head.previous = head

cdef inline bint link_is_empty(link_t* head) noexcept:
    return head.next == head

cdef inline void link_append(link_t* head, link_t* link) noexcept:
    link.next = head
    link.previous = head.previous
    head.previous.next = link
    head.previous = link

# Of an unlinked one: does nothing.
cdef inline void link_remove(link_t* link) noexcept:
    if link.next != NULL:
        link.previous.next = link.next
        link.next.previous = link.previous
        link.next = link.previous = NULL
