"""A websocket between a connection's frames and a handler's messages."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.serve.connection cimport connection_t
from hotpath.core.serve.exchange cimport Exchange, Upgraded
from hotpath.core.tasks.line cimport link_t
from hotpath.core.tasks.task cimport Task
from hotpath.core.wire.ws.deflate cimport Deflate
from hotpath.core.wire.ws.frame cimport Piece, Receiver

cdef enum Phase:
    OPEN = 0
    CLOSE_RECEIVED = 1          # theirs is here, or a fault of theirs; ours waits until the handler has taken what came before
    CLOSE_SENT = 2              # ours is out; what still comes is not for the handler
    ENDED = 3                   # both are said, or one side failed, or the client is gone: nothing is read any more

# What one route allows. Times in ms; 0: for ever.
cdef struct options_t:
    int64_t max_frame
    int64_t max_message
    int64_t ping_ms             # of silence, then we ask
    int64_t pong_ms             # for any sign of life behind that
    int64_t close_ms            # for the client's close, and for a handler to end behind the end
    int64_t age_ms              # that a byte may wait unsent
    uint32_t max_unsent         # bytes that may wait unsent; a handler waits at half of it
    uint32_t max_queued         # bytes received that the handler has not taken
    uint32_t min_deflate        # shorter messages are sent as they are

# All that C code needs to send. Part of a WebSocket: valid as long as that is referenced.
cdef struct socket_t:
    connection_t* connection    # borrowed; NULL once it is over
    const options_t* options    # borrowed from the route
    Receiver receiver
    uint64_t total_put          # bytes of frames so far
    uint64_t mark               # of these, which is being timed
    int64_t marked_ms           # since when; 0: nothing is unsent
    uint8_t phase               # Phase
    uint8_t pinged              # we asked, nothing came since
    uint8_t blocked             # reading stopped although there is more
    uint8_t said_goodbye        # the drain was told
    uint8_t failed              # they broke the protocol or a limit

# A whole frame, made once for many sockets. A long-lived one may be sent by C code: it is not changed.
cdef class Block:
    cdef readonly bytes frame

# Queues `size` bytes of whole frames; they leave at the end of the turn, together. False: it is closed, or the client took too
# little for too long and is cut off now.
cdef bint socket_put(socket_t* socket, const uint8_t* frame, size_t size) noexcept nogil

cdef class Options:
    cdef options_t c
    cdef readonly tuple subprotocols
    cdef readonly object deflate        # DeflateParameters that we want; None: no compression

cdef class WebSocket(Upgraded):
    cdef socket_t c
    cdef Exchange exchange
    cdef Options options
    cdef object queue           # deque of messages the handler has not asked for yet; None: never needed one
    cdef size_t n_queued        # what is in it, by cost_of
    cdef Task reader            # parked in receive, or behind the handler for the client's close
    cdef link_t writers         # head: tasks parked until there is room
    cdef Deflate inflate
    cdef Deflate deflate
    cdef bint deflates
    cdef uint8_t* message       # owned: the message under way
    cdef size_t n_message
    cdef size_t room
    cdef readonly object subprotocol
    cdef readonly object close_code     # theirs, or why it ended; None: open
    cdef readonly object close_reason

    cdef int open(self, Exchange exchange, Options options, object opening) except -1
    cdef int check_open(self) except -1
    cdef object closed_error(self)
    cdef int serve(self) except -1
    cdef int finish(self, int code) except -1
    cdef int read(self) except -1
    cdef bint read_some(self) except -1
    cdef Py_ssize_t parse(self, uint8_t* data, size_t size) except -1
    cdef int take(self, Piece* piece) except -1
    cdef int take_data(self, Piece* piece) except -1
    cdef int take_close(self, Piece* piece) except -1
    cdef bint append(self, const uint8_t* data, size_t size) except -1
    cdef bint append_inflated(self, Piece* piece) except -1
    cdef int enqueue(self, object message) except -1
    cdef bint deliver(self) except -1
    cdef int on_due(self) except -1
    cdef int fail(self, int code, str reason) except -1
    cdef int end(self, int code, str reason) except -1
    cdef int answer_close(self) except -1
    cdef int say_close(self, int code, bytes reason) except -1
    cdef int put(self, uint8_t first, const uint8_t* data, size_t size) except -1
    cdef int put_deflated(self, uint8_t first, const uint8_t* data, size_t size) except -1
    cdef int wait_for_room(self) except -1
