"""One epoll loop: what is ready, what is due, what was put off to the end of the turn."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum:
    HEADROOM_BYTES = 8192       # free bytes before loop_t.inbox: an edited head is written right before its body
    INBOX_BYTES = 65536
    SCRATCH_BYTES = 131072

# Order in which the events of one batch are handled: finish what is under way before taking more on.
cdef enum Rank:
    RANK_UPSTREAM = 0
    RANK_CLIENT = 1
    RANK_ACCEPT = 2

# What epoll hands back (data.ptr). Embedded, as first member, in whatever waits for the fd.
cdef struct Source:
    void (*on_events)(Source* source, uint32_t events) noexcept nogil
    int fd                      # -1: closed; what the batch still holds for it is dropped
    uint8_t rank                # Rank

# A node of the coarse wheel (64 ms). Embedded in its owner; zeroed memory is a disarmed deadline.
cdef struct Deadline:
    void (*on_due)(Deadline* deadline) noexcept nogil
    Deadline* next
    Deadline** link             # what points at us; NULL: not in the wheel
    int64_t due_ms              # 0: disarmed. Pushing it later is this one store
    int64_t filed_ms            # the tick it is filed under; never after due_ms

# Work put off to the end of this turn, before the loop sleeps. Embedded; queueing it twice runs it once.
cdef struct Deferred:
    void (*run)(Deferred* deferred) noexcept nogil
    Deferred* next
    bint queued

cdef struct Wheel               # loop.pyx
cdef struct Pool                # buffer.pyx

cdef struct loop_t:
    int epoll_fd
    int wake_fd                 # eventfd: any thread, any signal handler writes to it
    bint stopping
    int64_t now_us              # CLOCK_MONOTONIC, read once per turn
    int64_t now_ms
    int64_t unix_us             # CLOCK_REALTIME, read once per turn: for logs only
    uint8_t* inbox              # owned: INBOX_BYTES, with HEADROOM_BYTES writable before it; valid within one callback
    uint8_t* scratch            # owned: SCRATCH_BYTES; valid within one callback
    Wheel* wheel                # owned
    Pool* pool                  # owned; see buffer.pxd
    Deferred* deferred          # borrowed, in order of queueing
    Deferred** deferred_end
    void* owner                 # borrowed: the Loop

# 0, or -errno. `events` is EPOLLIN | … ; EPOLLET is the caller's choice.
cdef int loop_add(loop_t* loop, Source* source, uint32_t events) noexcept nogil
cdef int loop_modify(loop_t* loop, Source* source, uint32_t events) noexcept nogil
cdef int loop_remove(loop_t* loop, Source* source) noexcept nogil     # stays open

# Closes source.fd (which leaves the epoll set with it) and sets it to -1. No event reaches the source afterwards;
# its memory must outlive the turn (free it from a Deferred).
cdef void loop_close(loop_t* loop, Source* source) noexcept nogil

# Runs deadline.on_due once, at the first 64 ms tick at or after `due_ms` (on loop_t.now_ms's clock). Arming again replaces.
cdef void loop_arm(loop_t* loop, Deadline* deadline, int64_t due_ms) noexcept nogil
cdef void loop_disarm(loop_t* loop, Deadline* deadline) noexcept nogil    # unlinks: the owner may be freed

cdef void loop_defer(loop_t* loop, Deferred* deferred) noexcept nogil

cdef class Loop:
    cdef loop_t c
    # the rest is loop.pyx's: Python callbacks, timers' heap, signals
