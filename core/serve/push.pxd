"""A websocket without a task: what comes is told to its owner, what goes is queued by reference."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.net.epoll cimport Callback
from hotpath.core.serve.assembly cimport assembly_t
from hotpath.core.serve.connection cimport connection_t
from hotpath.core.serve.exchange cimport Exchange, Upgraded
from hotpath.core.serve.outbox cimport Block, block_t, outbox_t, spool_t
from hotpath.core.wire.ws.frame cimport Piece, Receiver

cdef enum PushPhase:
    PUSH_OPEN = 0
    PUSH_CLOSE_SENT = 1         # ours is out; what still comes is for nobody
    PUSH_ENDED = 2              # everything is said, or the client is gone

# What one route allows. Times in ms; 0: for ever.
cdef struct push_limits_t:
    int64_t max_message
    int64_t ping_ms             # of silence, then we ask; as long again for any sign of life
    int64_t close_ms            # for the client's close
    int64_t age_ms              # that a frame may wait unsent
    uint32_t soft               # bytes unsent above which transient frames are dropped
    uint32_t hard               # above which the socket is closed
    int send_buffer             # of the kernel's; 0: as it grows
    uint64_t n_slow             # sockets closed for being slow
    uint64_t n_dropped          # transient frames

# All that C code needs to send. Part of a PushSocket: valid as long as that is referenced.
cdef struct push_t:
    connection_t* connection    # borrowed; NULL: it is over
    push_limits_t* limits       # borrowed
    outbox_t out
    Callback callback
    Receiver receiver
    assembly_t* assembly        # owned: a message that comes in pieces; NULL: none is under way
    int64_t heard_ms            # the last sign of life
    int64_t end_ms              # PUSH_CLOSE_SENT: when patience with the client ends
    uint16_t close_code         # theirs or ours; 0: open
    uint8_t phase               # PushPhase
    uint8_t pinged              # we asked, nothing came since
    uint8_t told                # on_close was called
    uint8_t deflates            # permessage-deflate is agreed, without context takeover
    uint8_t window_bits         # of its client's
    uint8_t held                # the connection's reference to the PushSocket is not given back

cdef class PushOptions:
    cdef push_limits_t c
    cdef object deflate         # DeflateParameters that we want; None: no compression

cdef class Pusher:
    cdef spool_t spool
    cdef PushOptions options
    cdef object loop

cdef class PushSocket(Upgraded):
    cdef push_t c
    cdef Pusher pusher
    cdef Exchange exchange      # until the handler returns

    cdef int look(self) except -1
    cdef int read(self) except -1
    cdef Py_ssize_t parse(self, uint8_t* data, size_t size) except -1
    cdef int take(self, Piece* piece) except -1
    cdef int take_data(self, Piece* piece) except -1

# Queues the block. False: it is closed, or is closed now for taking too little for too long.
cdef bint push_put(push_t* push, block_t* block) noexcept nogil
# The same of what may be lost: dropped for a slow client.
cdef bint push_put_transient(push_t* push, block_t* block) noexcept nogil
