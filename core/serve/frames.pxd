"""Frames on their way to a client: queued, sent together, and given up when it takes too little."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from hotpath.core.serve.connection cimport connection_t
from hotpath.core.serve.options cimport options_t
from hotpath.core.wire.ws.frame cimport Receiver

cdef enum Phase:
    OPEN = 0
    CLOSE_RECEIVED = 1          # theirs is here, or a fault of theirs; ours waits until the handler has taken what came before
    CLOSE_SENT = 2              # ours is out; what still comes is not for the handler
    ENDED = 3                   # both are said, or one side failed, or the client is gone: nothing is read any more

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

# Queues `size` bytes of whole frames; they leave at the end of the turn, together. False: it is closed, or the client took too
# little for too long and is cut off now.
cdef bint socket_put(socket_t* socket, const uint8_t* frame, size_t size) noexcept nogil
# The same of one frame that has no head yet, however much waits already: who sends it waits for room. `first`: FIN | RSV | opcode.
cdef bint socket_put_frame(socket_t* socket, uint8_t first, const uint8_t* data, size_t size) noexcept nogil
# The client takes too little for too long: what is queued is not what it should see next. False.
cdef bint socket_cut_off(socket_t* socket) noexcept nogil
# Has some byte waited longer than allowed?
cdef bint socket_is_stale(socket_t* socket) noexcept nogil
