"""Attempts to have a request answered, at C level."""
from libc.stdint cimport uint32_t, uint8_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t, relay_t

# relay.head holds the request. Tries servers until one is at least being connected to, or answers 502, 503, 504.
cdef void forward(exchange_t* exchange, const uint8_t* path, uint32_t path_size) noexcept nogil
cdef void forward_again(exchange_t* exchange) noexcept nogil
# The path without dot segments; NULL: it leads above the root. Of "*" it is "*".
cdef const uint8_t* request_path(relay_t* relay, const uint8_t* data, const Head* head, uint32_t* size) noexcept nogil
# Fills relay.head again from the kept head; answers the path.
cdef const uint8_t* reparse(exchange_t* exchange, uint32_t* path_size) noexcept nogil
# Head and what of the body is here leave in one send. relay.head holds the request.
cdef void send_request(exchange_t* exchange, const uint8_t* path, uint32_t path_size) noexcept nogil
cdef void pump_request(exchange_t* exchange) noexcept nogil
# Writes the size line before and the CRLF (and the last chunk) behind; there must be room on both sides.
cdef void frame_chunk(uint8_t** payload, size_t* n, bint last) noexcept nogil
# The server's connection broke, or its time is up: another try, or the end.
cdef void peer_failed(exchange_t* exchange) noexcept nogil
# What it says is no HTTP: 502, or the end if the client has seen some of it.
cdef void bad_gateway(exchange_t* exchange, const char* why) noexcept nogil
