"""Limits: may this request pass now?"""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t

# All rate limits of its route; False: refused by exchange.limit, to be tried again after `retry_after_us`.
cdef bint limits_allow(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                       long long* retry_after_us) noexcept nogil
# The route's concurrency; True counts the request in, until concurrency_release.
cdef bint concurrency_lease(exchange_t* exchange) noexcept nogil
cdef void concurrency_release(exchange_t* exchange) noexcept nogil
