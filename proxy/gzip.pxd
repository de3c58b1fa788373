"""gzip: the body of an answer on its way through zlib."""
from libc.stdint cimport uint8_t

from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport writer_t

# Writes `n` bytes of body behind what `writer` holds, as one chunk that the client can decode to its end at once; the `last` one
# also ends the body. Counts in body_sent. False: no memory or no room; the client must see that something is missing.
cdef bint put_zipped(exchange_t* exchange, const uint8_t* payload, size_t n, bint last, writer_t* writer) noexcept nogil
# Gives back exchange.zipper, which is not NULL: the answer breaks off.
cdef void zipper_free(exchange_t* exchange) noexcept nogil
