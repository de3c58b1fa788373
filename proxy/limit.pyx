"""Limits: may this request pass now?

Rates are GCRA cells in memory that all workers share; concurrency is a gauge with a row per worker, so that a killed worker's
requests stop counting.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from hotpath.core.data.shared cimport Verdict, cells_take
from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.balance cimport gauge_enter, gauge_leave
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.key cimport key_find
from hotpath.proxy.plan cimport LIMIT_HEADERS_ALWAYS, LIMIT_HEADERS_NEVER, limit_t, route_t

cdef enum:
    MAX_KEY_BYTES = 1024        # of a combined key (of at most 16: config.RateLimit); what is beyond does not tell clients apart


cdef bint join_key(const limit_t* limit, exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path,
                   uint32_t path_size, uint8_t* joined, uint32_t* joined_size) noexcept nogil:
    """The limit's keys, one behind the other, each with its size before it. False: one of them is absent."""
    cdef const uint8_t* value
    cdef uint32_t i, size, at = 0
    for i in range(limit.n_keys):
        if not key_find(&limit.keys[i], exchange, data, head, path, path_size, &value, &size):
            return False
        if size > MAX_KEY_BYTES - at - 4 * (limit.n_keys - i):
            size = MAX_KEY_BYTES - at - 4 * (limit.n_keys - i)
        memcpy(joined + at, &size, 4)
        memcpy(joined + at + 4, value, size)
        at += 4 + size
    joined_size[0] = at
    return True

cdef bint limits_allow(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                       long long* retry_after_us) noexcept nogil:
    cdef uint8_t joined[MAX_KEY_BYTES]
    cdef uint32_t i, size = 0
    cdef Verdict verdict
    cdef limit_t* limit
    for i in range(exchange.route.n_limits):
        limit = exchange.route.limits[i]
        if not join_key(limit, exchange, data, head, path, path_size, joined, &size):
            continue
        cells_take(limit.cells, joined, size, exchange.relay.loop.now_us, limit.period_us, limit.burst_us, 1, &verdict)
        if not verdict.allowed:
            exchange.relay.counts.limited[limit.index] += 1
            if limit.dry_run:
                continue
        elif limit.headers != LIMIT_HEADERS_ALWAYS or (exchange.limit_shown and verdict.remaining >= exchange.limit_remaining):
            continue
        exchange.limit = limit
        exchange.limit_shown = limit.headers != LIMIT_HEADERS_NEVER
        exchange.limit_remaining = verdict.remaining
        exchange.limit_reset_us = verdict.reset_us if verdict.allowed else verdict.retry_after_us
        if not verdict.allowed:
            exchange.limit_remaining = 0
            retry_after_us[0] = verdict.retry_after_us
            return False
    return True


cdef bint concurrency_lease(exchange_t* exchange) noexcept nogil:
    cdef route_t* route = exchange.route
    if gauge_enter(route.in_flight, route.in_flight_stride, exchange.relay.n_workers, exchange.relay.worker) > route.concurrency:
        gauge_leave(route.in_flight, route.in_flight_stride, exchange.relay.worker)
        return False
    exchange.counted_route = True
    return True

cdef void concurrency_release(exchange_t* exchange) noexcept nogil:
    gauge_leave(exchange.route.in_flight, exchange.route.in_flight_stride, exchange.relay.worker)
    exchange.counted_route = False
