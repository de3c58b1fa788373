"""What does a websocket's route allow?"""
from libc.stdint cimport int64_t, uint32_t

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

cdef class Options:
    cdef options_t c
    cdef readonly tuple subprotocols
    cdef readonly object deflate        # DeflateParameters that we want; None: no compression
