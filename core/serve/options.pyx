"""What does a websocket's route allow?"""


cdef class Options:
    """What a websocket's route allows; times in seconds, 0: for ever.

    max_message, max_frame: bytes of payload (inflated), 0: any. subprotocols: what may be chosen. deflate: the
    DeflateParameters we want, None: no compression. ping_s: of silence before a ping, pong_s: for an answer.
    close_s: for the client's close frame. max_unsent, age_s: how much may wait for a slow client, and how long.
    max_queued: bytes received that no handler has asked for.
    """

    def __init__(self, int64_t max_message=1024 * 1024, *, int64_t max_frame=0, subprotocols=(), deflate=None, double ping_s=30.0,
                 double pong_s=30.0, double close_s=5.0, uint32_t max_unsent=1024 * 1024, double age_s=30.0,
                 uint32_t max_queued=65536, uint32_t min_deflate=128):
        if max_message < 0 or max_frame < 0 or min(ping_s, pong_s, close_s, age_s) < 0:
            raise ValueError("a limit is 0, for none, or more")
        self.c.max_message, self.c.max_frame = max_message, max_frame
        self.c.ping_ms, self.c.pong_ms, self.c.close_ms = <int64_t>(ping_s * 1000), <int64_t>(pong_s * 1000), <int64_t>(close_s * 1000)
        self.c.age_ms, self.c.max_unsent, self.c.max_queued = <int64_t>(age_s * 1000), max_unsent, max_queued
        self.c.min_deflate = min_deflate
        self.subprotocols, self.deflate = tuple(subprotocols), deflate
