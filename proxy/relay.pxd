"""The relay at C level: what a worker and the static files call."""
from libc.stdint cimport uint32_t

from hotpath.core.net.epoll cimport Deadline, Source
from hotpath.proxy.exchange cimport client_t, relay_t

# Zeroed memory whose loop, plan, table, log, counts, worker are set, made ready.
cdef void relay_start(relay_t* relay) noexcept nogil
# Of a client's stream, once it speaks HTTP.
cdef void on_client_events(Source* source, uint32_t events) noexcept nogil
cdef void on_client_due(Deadline* deadline) noexcept nogil
cdef void client_proceed(client_t* client) noexcept nogil
# Idle clients get `grace_ms` for one more request; each answer says Connection: close. The loop stops when nobody is left.
cdef void relay_drain(relay_t* relay, int grace_ms) noexcept nogil
