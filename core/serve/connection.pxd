"""One client of the server, as C structs: memory, reading a head, flushing, deadlines, the end."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.net.accept cimport listener_t
from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport Callback, Deferred, loop_t
from hotpath.core.net.linux cimport sockaddr_storage
from hotpath.core.net.slab cimport slot_t
from hotpath.core.net.stream cimport stream_t
from hotpath.core.wire.http1 cimport Head, Limits

cdef enum Waits:                # for what the connection's task is parked, if we are the ones to wake it
    WAITS_NOT = 0
    WAITS_BODY = 1              # more of the request's body
    WAITS_ROOM = 2              # until the client has taken what is unsent
    WAITS_TURN = 3              # it sends, and let others go first: nobody wakes it

cdef enum Last:                 # no further request is read
    LAST_NOT = 0
    LAST_THEIRS = 1             # the client asked for the end, and will close
    LAST_OURS = 2               # we did: it may still be sending

cdef enum Rejection:            # refused before, or against, the handler; indices of counts_t.rejected
    REJECTED_MALFORMED = 0
    REJECTED_TOO_LARGE
    REJECTED_TIMEOUT
    REJECTED_NO_ROUTE
    REJECTED_METHOD
    REJECTED_SLOW_READER
    REJECTED_LOST               # the client was gone before its answer
    N_REJECTIONS

# Times in ms; 0: none.
cdef struct limits_t:
    Limits head
    int64_t head_ms             # from the first byte of a head (or the accept) to its end
    int64_t idle_ms             # between two requests
    int64_t body_ms             # waiting for a body: this much, and more as bytes arrive
    int64_t body_rate           # bytes per second that buy one more second; 0: body_ms is the longest silence
    int64_t send_ms             # in which the client takes nothing of what is unsent
    int64_t max_body            # bytes of a request's body, where the route says nothing else; -1: any
    uint32_t high_water         # bytes unsent above which the producer waits
    uint32_t requests           # of one connection; 0: any

# Cells in shared memory, this worker's row.
cdef struct counts_t:
    uint64_t* rejected          # N_REJECTIONS
    uint64_t* accepted
    uint64_t* bytes_received
    uint64_t* bytes_sent
    uint64_t* log_dropped
    uint64_t* seconds           # N_BUCKETS and the sum in us
    uint64_t* requests          # of route i and status class j at i * N_CLASSES + j
    int64_t* connections        # gauge
    int64_t* active             # gauge: requests under way

cdef struct connection_t

cdef struct server_t:
    loop_t* loop                # borrowed
    limits_t limits
    counts_t counts
    Head head                   # of the head being read; valid until the next one is
    slot_t* free_connections
    connection_t* connections   # all of them
    connection_t* gone          # closed in this turn; freed at its end, because events of the batch may point at them
    uint32_t n_connections
    Deferred sweep
    int64_t grace_ms            # an idle client's last chance while draining
    int64_t date_s              # the second that `date` says
    uint8_t date[40]            # "Date: …" with its CRLF: DATE_BYTES
    bint draining
    bint closed                 # the loop is closing: nothing is begun any more
    int64_t quiet_until_ms      # failures to accept are logged once a second
    void* owner                 # borrowed: the Server
    int (*attend)(Callback* callback) except -1     # exchange.pyx: the connection's Python side
    # C code of an application, or NULL. A head is whole: True when it was answered, False leaves it to the routes.
    bint (*answer)(connection_t* connection) noexcept nogil

cdef struct connection_t:
    stream_t stream             # first
    server_t* server            # borrowed
    connection_t* next
    connection_t* previous
    Buffer* input               # owned: what is read and not yet used; NULL: nothing
    Callback callback           # a head is whole, or what the task waits for has come
    void* exchange              # owned reference: the Exchange under way; NULL: between two requests
    void* upgraded              # borrowed: the Upgraded that took the connection over; NULL: it speaks HTTP
    void* taker                 # owned by `taken`, which speaks for it instead of HTTP; NULL: nobody
    # Something happened to a connection with `taker`: events, its deadline (late), a drain, and at last its end (fd -1: free taker).
    void (*taken)(connection_t* connection) noexcept nogil
    Deferred flushing           # at the end of the turn: what an Upgraded queued leaves together
    uint32_t seen               # parse_request's
    uint32_t n_requests
    uint8_t address[16]         # IPv6, or ::ffff:a.b.c.d; all ones: a unix socket
    uint16_t port
    uint8_t waits               # Waits
    uint8_t last                # Last
    uint8_t lingering
    uint8_t proceeding          # attend is at work on it
    uint8_t late                # the deadline of what is waited for has passed
    uint8_t held                # answers of this turn wait unsent for one send

cdef void server_start(server_t* server) noexcept nogil
cdef void server_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil
# An idle client has `grace_ms` for a request that is on the wire already; the loop stops with the last one.
cdef void server_drain(server_t* server, int64_t grace_ms) noexcept nogil
cdef void stop_when_empty(server_t* server) noexcept nogil

# True: something that begins with a whole head, or can be refused, lies in connection.input. False: wait, or it is gone.
cdef bint connection_gather(connection_t* connection) noexcept nogil
# Sends what is unsent. False: the client is gone.
cdef bint connection_flush(connection_t* connection) noexcept nogil
cdef void connection_arm(connection_t* connection, int64_t after_ms) noexcept nogil     # 0: nothing is due
cdef void connection_rest(connection_t* connection) noexcept nogil      # it waits for the next request, without a buffer
# Keeps `size` bytes as the input. False: no memory.
cdef bint connection_keep(connection_t* connection, const uint8_t* data, size_t size) noexcept nogil
cdef void connection_drop_input(connection_t* connection) noexcept nogil
# There is no exchange: says why in a problem, and closes.
cdef void connection_refuse(connection_t* connection, int status, const char* detail, int reason) noexcept nogil
# Its last answer is given: what is unsent leaves, then FIN; what still comes is discarded.
cdef void connection_end(connection_t* connection) noexcept nogil
# It is gone, or can be told nothing more that is true. An exchange is told in its turn; without one, the struct is freed.
cdef void connection_lost(connection_t* connection) noexcept nogil
# The exchange let go of a closed connection.
cdef void connection_free(connection_t* connection) noexcept nogil
