"""What a server says, at C level."""
from libc.stdint cimport uint32_t

from hotpath.core.net.epoll cimport Deadline, Source
from hotpath.proxy.exchange cimport exchange_t

cdef void on_peer_events(Source* source, uint32_t events) noexcept nogil
# Reads on, after the client took what was kept for it.
cdef void pump_response(exchange_t* exchange) noexcept nogil
cdef void on_peer_due(Deadline* deadline) noexcept nogil
