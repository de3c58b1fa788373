"""A coarse wheel of deadlines: which of thousands are due, when almost none ever is?"""
from libc.stdint cimport int64_t

cdef enum:
    TICK_BITS = 6               # a tick is 64 ms: fine enough to end a silent connection, and 16 looks a second
    TICK_MS = 64
    SLOTS = 1024                # 65 s ahead; what lies beyond is filed at the far end and looked at again there

# A node of the wheel. Embedded in its owner; zeroed memory is a disarmed deadline.
cdef struct Deadline:
    void (*on_due)(Deadline* deadline) noexcept nogil
    Deadline* next
    Deadline** link             # what points at us; NULL: not in the wheel
    int64_t due_ms              # 0: disarmed. Pushing it later is this one store
    int64_t filed_ms            # the time it is filed under; never after due_ms

cdef struct Wheel:
    int64_t tick                # slots up to and including this tick have been emptied
    int64_t next_ms             # no slot before this time holds anything; INT64_MAX: none at all
    int64_t n_linked
    Deadline* due               # taken out of their slots, about to be looked at
    Deadline* slots[SLOTS]      # borrowed; of tick t at t % SLOTS

# True when the deadline is filed early enough already: then the later time is stored, and that is all.
cdef inline bint deadline_is_pushed(Deadline* deadline, int64_t due_ms) noexcept nogil:
    if deadline.link == NULL or due_ms < deadline.filed_ms:
        return False
    deadline.due_ms = due_ms
    return True

cdef Wheel* wheel_make() noexcept nogil                     # NULL: no memory
cdef void wheel_free(Wheel* wheel) noexcept nogil           # what is linked is left alone
# Links it under `due_ms`, from wherever it was; what is already past comes at the next tick.
cdef void wheel_file(Wheel* wheel, Deadline* deadline, int64_t due_ms, int64_t now_ms) noexcept nogil
cdef void wheel_unlink(Wheel* wheel, Deadline* deadline) noexcept nogil     # disarms; an unlinked one is fine
# Runs everything due by `now_ms`. A handler may arm, disarm and free any deadline, its own included.
cdef void wheel_advance(Wheel* wheel, int64_t now_ms) noexcept nogil
