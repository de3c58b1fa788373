"""Clients and their exchanges: memory, addresses, the end of a connection."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport Deferred
from hotpath.core.net.linux cimport sockaddr_storage
from hotpath.proxy.exchange cimport client_t, exchange_t, relay_t

cdef client_t* client_new(relay_t* relay) noexcept nogil                # NULL: no memory
cdef void client_close(client_t* client) noexcept nogil                 # at once; it has no exchange
cdef void client_linger(client_t* client) noexcept nogil                # what is unsent leaves, then FIN; what comes is discarded
cdef Buffer* client_grow(client_t* client) noexcept nogil               # a larger input; NULL: no memory
# Keeps `size` bytes behind the request's head in client.input. False: no memory.
cdef bint client_store(client_t* client, uint32_t head_size, const uint8_t* data, size_t size) noexcept nogil
cdef void set_address(client_t* client, const sockaddr_storage* peer) noexcept nogil
cdef void set_ip(client_t* client, const uint8_t* raw) noexcept nogil   # 16 bytes
cdef void set_unix(client_t* client) noexcept nogil
cdef bint count_address(client_t* client) noexcept nogil                # False: its address has connections_per_ip already
cdef void stop_when_empty(relay_t* relay) noexcept nogil

cdef exchange_t* exchange_new(client_t* client) noexcept nogil          # client's; NULL: no memory
cdef void exchange_free(exchange_t* exchange) noexcept nogil
cdef void sweep(Deferred* deferred) noexcept nogil                      # relay_t.sweep's

cdef enum:
    ADDRESS_CELLS = 8192        # of a worker's row; a power of two
