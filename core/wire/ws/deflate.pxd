"""permessage-deflate (RFC 7692): messages to and from compressed payloads, in bounded memory."""
from libc.stdint cimport int64_t, uint8_t

cdef enum:
    INFLATE_MORE = 1            # `to` is full and more may come: call again with the rest of the input
    INFLATE_FED = 0             # all input is used up
    INFLATE_BROKEN = -1         # no deflate data, or they stop within a block: close 1007 (RFC 7692 leaves the code open)
    INFLATE_NO_MEMORY = -3

# One direction of one connection. Zeroed memory is a closed one. Nothing is allocated before its first use, and with
# no_context_takeover the memory (some 44 KB to inflate, up to 268 KB to deflate) goes back after each message.
cdef struct Deflate:
    void* stream                # owned z_stream; NULL: not open
    uint8_t window_bits         # to deflate: 9 to 15 (zlib cannot deflate raw with 8)
    uint8_t keeps_context       # from message to message: no no_context_takeover was agreed for this direction
    uint8_t level               # to deflate: 1 to 9
    uint8_t mem_level           # to deflate: 1 to 9
    uint8_t tail_fed            # to inflate: 00 00 FF FF of this message

cdef struct Progress:
    size_t consumed             # of the input
    size_t produced             # bytes at `to`

# Inflates payload of one message to `to`. `ends`: this input is the message's last (the 00 00 FF FF cut off by the sender is put
# back here, and without context takeover the stream is closed). INFLATE_…; the caller owns the bound: it stops calling at its limit.
# A message that fills `room` exactly is INFLATE_FED. Blocks with BFINAL are legal (section 7.2.3.4): inflating goes on behind them.
cdef int inflate_some(Deflate* deflate, const uint8_t* data, size_t size, bint ends, uint8_t* to, size_t room,
                      Progress* progress) noexcept nogil
# Compresses one part of a message. Each part is flushed, so that it can leave as a frame; with `ends` its 00 00 FF FF is cut off.
# Bytes at `to`, which has deflate_bound(size) of room; INFLATE_NO_MEMORY.
cdef Py_ssize_t deflate_some(Deflate* deflate, const uint8_t* data, size_t size, bint ends, uint8_t* to,
                             size_t room) noexcept nogil
cdef size_t deflate_bound(size_t size) noexcept nogil
cdef void deflate_close(Deflate* deflate) noexcept nogil       # frees; twice is fine
