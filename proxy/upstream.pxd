"""Connections to servers: kept, taken newest first, opened, closed."""
from libc.stdint cimport uint8_t

from hotpath.proxy.exchange cimport exchange_t, peer_t, relay_t

# A connection to exchange.server, attached to the exchange: an idle one unless `fresh`, else one being opened.
# NULL: it cannot even be tried (refused at once, no descriptor, no memory).
cdef peer_t* peer_lease(exchange_t* exchange, bint fresh) noexcept nogil
# Detaches it; back to the idle ones when `keep` says that it is clean, else closed.
cdef void peer_release(peer_t* peer, bint keep) noexcept nogil
cdef void peer_close(peer_t* peer) noexcept nogil               # idle or attached
# Idle ones: all, since a draining worker needs none, or those whose server takes no more requests or stands elsewhere now.
cdef void peers_close_idle(relay_t* relay, bint stale_ones) noexcept nogil
# Keeps the beginning of something for the next read. False: no memory.
cdef bint peer_keep(peer_t* peer, const uint8_t* data, size_t size) noexcept nogil
