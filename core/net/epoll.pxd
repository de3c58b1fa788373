"""One epoll loop: what is ready, what is due, what was put off to the end of the turn."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.net.linux cimport epoll_event
from hotpath.core.net.wheel cimport Deadline, Wheel, deadline_is_pushed, wheel_file, wheel_unlink

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
    uint8_t sole                # no other process holds this descriptor's socket: to close it takes it out of the epoll set

# Work put off to the end of this turn, before the loop sleeps. Embedded; queueing it twice runs it once.
cdef struct Deferred:
    void (*run)(Deferred* deferred) noexcept nogil
    Deferred* next
    bint queued

# The same for Python work: noted by a C handler, run once with the GIL after the turn's C handlers. Its owner must
# live until it has run. Only KeyboardInterrupt and SystemExit may come out of `run`; they end Loop.run.
cdef struct Callback:
    int (*run)(Callback* callback) except -1
    void* owner                 # borrowed: the Python object
    Callback* next
    bint queued

# Free lists of buffer.pyx, by size.
cdef struct Pool:
    void* free[3]               # owned: Buffer*, chained by next
    uint32_t n_free[3]

cdef struct loop_t

cdef struct Waker:
    Source source               # first
    loop_t* loop                # borrowed: the one it is part of

cdef struct loop_t:
    int epoll_fd
    int wake_fd                 # eventfd: any thread writes to it
    int signal_fd               # a pipe's writing end: the C signal handler puts the number there (an eventfd takes no single byte)
    bint stopping
    bint never_forks            # set by whoever knows: closing a stream then costs one call less
    int64_t now_us              # CLOCK_MONOTONIC, read once per turn
    int64_t now_ms
    int64_t busy_us             # since when this turn has been at work; 0: asleep in epoll_wait, or not running (a watchdog reads it)
    int64_t unix_us             # CLOCK_REALTIME, read once per turn: for logs only
    uint8_t* inbox              # owned: INBOX_BYTES, with HEADROOM_BYTES writable before it; valid within one callback
    uint8_t* scratch            # owned: SCRATCH_BYTES; valid within one callback
    Wheel* wheel                # owned
    Pool* pool                  # owned; see buffer.pxd
    Deferred* deferred          # borrowed, in order of queueing
    Deferred** deferred_end
    void* owner                 # borrowed: the Loop
    epoll_event* events         # owned: the batch
    int n_events                # of the batch being handled
    int error                   # errno of a failed epoll_wait
    Waker wake                  # reads wake_fd
    Waker signals               # reads signal_fd's other end
    uint64_t noted              # signals that came: bit number - 1
    bint python_due             # the GIL is wanted, whatever the queues say
    int64_t timer_us            # the first exact timer; INT64_MAX: none
    Callback* callbacks         # borrowed, in order of queueing
    Callback** callbacks_end

# 0, or -errno. `events` is EPOLLIN | … ; EPOLLET is the caller's choice.
cdef int loop_add(loop_t* loop, Source* source, uint32_t events) noexcept nogil
cdef int loop_modify(loop_t* loop, Source* source, uint32_t events) noexcept nogil
cdef int loop_remove(loop_t* loop, Source* source) noexcept nogil     # stays open

# Closes source.fd (which leaves the epoll set with it) and sets it to -1. No event reaches the source afterwards, not
# even one that this batch still holds. Its memory must outlive the turn (free it from a Deferred).
cdef void loop_close(loop_t* loop, Source* source) noexcept nogil

# Runs deadline.on_due once, at the first 64 ms tick at or after `due_ms` (on loop_t.now_ms's clock). Arming again replaces.
cdef inline void loop_arm(loop_t* loop, Deadline* deadline, int64_t due_ms) noexcept nogil:
    if not deadline_is_pushed(deadline, due_ms):
        wheel_file(loop.wheel, deadline, due_ms, loop.now_ms)

# Unlinks: the owner may be freed.
cdef inline void loop_disarm(loop_t* loop, Deadline* deadline) noexcept nogil:
    wheel_unlink(loop.wheel, deadline)

cdef int loop_init(loop_t* loop) noexcept nogil                       # 0, or -errno
cdef void loop_free(loop_t* loop) noexcept nogil                      # also after a failed loop_init; twice is fine
# Turns until Python work waits, then returns; at once if it does already. The GIL is not needed, and better not held.
cdef void loop_turn(loop_t* loop) noexcept nogil
cdef void loop_read_clocks(loop_t* loop) noexcept nogil

cdef void loop_defer(loop_t* loop, Deferred* deferred) noexcept nogil
cdef void loop_call(loop_t* loop, Callback* callback) noexcept nogil
