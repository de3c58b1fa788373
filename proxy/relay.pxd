"""The relay at C level: what a worker and the static files call."""
from hotpath.core.net.accept cimport listener_t
from hotpath.core.net.linux cimport sockaddr_storage
from hotpath.proxy.exchange cimport exchange_t, relay_t

# Zeroed memory whose loop, plan, table, log, counts, worker are set, made ready.
cdef void relay_start(relay_t* relay) noexcept nogil
cdef void relay_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil   # listener.owner is the relay
# Idle clients get `grace_ms` for one more request; each answer says Connection: close. The loop stops when nobody is left.
cdef void relay_drain(relay_t* relay, int grace_ms) noexcept nogil
