"""Heads as they leave: what a server and a client get to see of each other."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Field, Head
from hotpath.proxy.exchange cimport exchange_t, relay_t
from hotpath.proxy.plan cimport edits_t, text_t

# A cursor into a buffer that is known to be large enough. `n` is what was written.
cdef struct writer_t:
    uint8_t* out
    size_t n
    size_t room                 # writing beyond sets `full` and writes nothing
    bint full

cdef void write_into(writer_t* writer, uint8_t* out, size_t room) noexcept nogil     # from the start of `out`
cdef void put(writer_t* writer, const void* data, size_t size) noexcept nogil
cdef void put_str(writer_t* writer, const char* text) noexcept nogil        # NUL-terminated
cdef void put_text(writer_t* writer, const text_t* text) noexcept nogil
cdef void put_int(writer_t* writer, int64_t number) noexcept nogil
cdef void put_date(relay_t* relay, writer_t* writer) noexcept nogil         # the whole line

cdef bint spells(const uint8_t* name, uint32_t size, const uint8_t* lower, uint32_t lower_size) noexcept nogil  # whatever its case
# Whether a field that we write is left to us: no route sets it or wants it gone.
cdef bint is_ours(const edits_t* edits, const char* lower) noexcept nogil
# The route edits it away, or a Connection field nominates it.
cdef bint is_dropped(const uint8_t* data, const Head* head, const Field* field, const edits_t* edits) noexcept nogil

# The request's head for the server of exchange.server. `data` is what `head` was parsed from; `path` is normalised, without query.
cdef void write_request(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                        writer_t* writer) noexcept nogil
# The response's head for the client; the exchange says how its body leaves. Also 1xx and 101.
cdef void write_response(exchange_t* exchange, const uint8_t* data, const Head* head, size_t head_size, writer_t* writer) noexcept nogil
# "Connection: close" and the like, RateLimit fields: the end of every final head of ours, with the empty line.
cdef void write_end(exchange_t* exchange, writer_t* writer) noexcept nogil

cdef enum:
    CHUNK_LINE_BYTES = 18       # the longest size line of ours: 16 digits, CRLF

# Writes the size line of a chunk of `n` bytes right before `payload`; its size.
cdef size_t put_chunk_line(uint8_t* payload, size_t n) noexcept nogil
