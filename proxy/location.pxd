"""Where a server leads its client to (RFC 9110 section 10.2.2): its own path, or the one that the client has to ask us for?"""
from libc.stdint cimport uint8_t

from hotpath.core.wire.http1 cimport Field, Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport writer_t

# The field that put_location writes anew; NULL: its answer has none, or one that is right as it is. `data` is what `head` was parsed from.
cdef const Field* moved_location(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil
cdef void put_location(exchange_t* exchange, const uint8_t* data, const Field* field, writer_t* writer) noexcept nogil
