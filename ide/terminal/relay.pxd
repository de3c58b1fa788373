"""A program's terminal between its descriptor and the seats of its clients, as C callbacks on the loop."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.net.epoll cimport Callback, Deadline, Source, loop_t
from hotpath.ide.terminal.ring cimport ring_t, view_t

cdef enum Owed:                 # what a seat is to be told, in this order; then output, then the end
    OWES_START = 1
    OWES_LEAD = 2
    OWES_SIZE = 4

cdef enum News:                 # of the relay, for Python
    NEWS_SIZE = 1               # cols and rows are others
    NEWS_DONE = 2               # the program and its output have ended
    NEWS_EMPTY = 4              # the last seat of a closed relay was left

cdef struct relay_t

# A client's place at a terminal. Part of the client; it may go between two callbacks only, never within `tell`.
cdef struct seat_t:
    relay_t* relay              # borrowed: it outlives its seats
    seat_t* next                # in the order in which they came
    seat_t* previous
    void (*tell)(seat_t* seat) noexcept nogil       # there is output, or something is owed
    void (*go_on)(seat_t* seat) noexcept nogil      # there is room for input again
    view_t view
    uint8_t attached            # before that nothing is sent but a close
    uint8_t owed                # Owed
    uint8_t reset               # START: it begins anew
    uint8_t stalled             # its input is not read, and so neither are its ACKs
    uint16_t cols               # as large as it is where it is seen; 0: not said
    uint16_t rows

cdef struct relay_t:
    Source source               # first: the terminal's master, or a stream socket; fd -1: closed
    Source timer                # a timerfd, for output that waits for more; fd -1: not needed so far
    Deadline deadline           # of silence behind the program's end, or for the last clients of a closed relay
    Callback callback
    loop_t* loop                # borrowed
    ring_t ring
    seat_t* seats               # borrowed
    seat_t* leader              # borrowed: it sets the size and answers queries; NULL: nobody is attached
    uint32_t window
    uint32_t events             # that epoll is asked for; 0: it is not
    uint8_t* queue              # owned: input that the program has not taken
    size_t queue_start
    size_t queue_end
    size_t queue_room
    uint64_t told               # output up to here was told to the seats
    int64_t told_us
    int64_t read_us             # the last output
    int64_t input_us            # the last input
    uint16_t cols
    uint16_t rows
    uint8_t armed               # the timer is
    uint8_t answering           # there was input since: what comes next may be its echo
    uint8_t paused              # every client is a window behind
    uint8_t resting             # output comes in driblets: the next is read together with what gathers until the timer
    uint8_t ended               # no output comes any more
    uint8_t exited              # the program has ended, with `status`
    uint8_t gone                # nobody may come any more
    uint8_t forced              # who is left gets no more output
    uint8_t news                # News
    int status                  # exit status, or -signal

# The seat, zeroed but for its functions, is there from now on; it may be left at any time.
cdef void relay_sit(relay_t* relay, seat_t* seat) noexcept nogil
cdef void relay_leave(seat_t* seat) noexcept nogil
# From `offset` on, or from the oldest byte where that is not there. Sizes out of bounds are passed over.
cdef void relay_attach(seat_t* seat, uint64_t offset, uint16_t cols, uint16_t rows) noexcept nogil
cdef void relay_resize(seat_t* seat, uint16_t cols, uint16_t rows) noexcept nogil
cdef bint relay_ack(seat_t* seat, uint64_t offset) noexcept nogil       # False: of what was never sent
# All is taken. The seat is `stalled` when there is no room for more. False: no memory.
cdef bint relay_input(seat_t* seat, const uint8_t* data, size_t size) noexcept nogil
# Where START says that it begins: what the seat attached for may be gone by the time it is told.
cdef void relay_start(seat_t* seat) noexcept nogil
# It has got all there ever is.
cdef bint relay_is_over(const seat_t* seat) noexcept nogil

cdef class Relay:
    cdef relay_t c
    cdef object loop
    cdef object on_size
    cdef object on_done
    cdef bint held              # by the loop, which points into it

    cdef int attend(self) except -1
