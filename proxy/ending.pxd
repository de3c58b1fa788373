"""Ends of exchanges and of clients, at C level."""
from hotpath.proxy.exchange cimport client_t, exchange_t, relay_t

cdef void count_rejected(relay_t* relay, int why) noexcept nogil
# The answer is complete as far as we are concerned; it may still be leaving. Goes on with the client's next request.
cdef void finish(exchange_t* exchange, bint keep_peer) noexcept nogil
# Its last answer is given: lingers where a close could reset that answer away.
cdef void client_end(client_t* client) noexcept nogil
# It is gone, or can be told nothing more that is true: both connections break off.
cdef void client_lost(client_t* client) noexcept nogil
