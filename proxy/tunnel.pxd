"""Tunnels at C level."""
from libc.stdint cimport uint8_t

from hotpath.proxy.exchange cimport exchange_t

# `head_size` bytes of a 101 at `data`, and `size` bytes of frames behind it.
cdef void start_tunnel(exchange_t* exchange, uint8_t* data, size_t head_size, size_t size) noexcept nogil
cdef void pump_tunnel(exchange_t* exchange) noexcept nogil
# The server takes no more: its last words, then the end.
cdef void end_tunnel(exchange_t* exchange) noexcept nogil
