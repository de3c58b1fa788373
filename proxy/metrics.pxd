"""Counting at C level."""
from hotpath.core.data.shared cimport Counters, Gauges
from hotpath.proxy.exchange cimport exchange_t, relay_t

cdef void count_exchange(exchange_t* exchange) noexcept nogil       # once, when it ends
cdef int bind(relay_t* relay, Counters counters, Gauges gauges, config, size_t n_slots) except -1
