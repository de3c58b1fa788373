"""Balancing: which server takes this request?"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.plan cimport server_t

# A server in service that has not failed this request; NULL: none. Its in-flight gauge counts the request from now on.
cdef server_t* server_lease(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path,
                            uint32_t path_size) noexcept nogil
# One more in this worker's cell of a gauge; the sum over all workers, with it. Of two that enter at once at least one sees both, so
# that a bound is never passed.
cdef int64_t gauge_enter(int64_t* cells, uint32_t stride, uint32_t n_workers, uint32_t worker) noexcept nogil
cdef void gauge_leave(int64_t* cells, uint32_t stride, uint32_t worker) noexcept nogil
cdef void server_release(exchange_t* exchange) noexcept nogil                   # of exchange.server; once
cdef void server_failed(exchange_t* exchange) noexcept nogil                    # refused, reset, silent: not the client's doing
cdef void server_answered(exchange_t* exchange) noexcept nogil                  # the head of a final answer is here
cdef bint server_has_other(exchange_t* exchange) noexcept nogil                 # one beside exchange.server could take it as well
cdef bint server_is_ejected(const server_t* server, int64_t now_us) noexcept nogil
