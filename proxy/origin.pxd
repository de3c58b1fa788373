"""Who is the client? The peer, or whom a trusted peer names."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t

# Sets exchange.client_ip.
cdef void find_origin(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil
