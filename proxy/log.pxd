"""The access log at C level."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.net.epoll cimport loop_t
from hotpath.core.net.lines cimport LineFile, lines_t
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.plan cimport text_t

cdef enum LogField:
    LOG_LITERAL = 0             # text of the format itself
    LOG_TIME
    LOG_CLIENT
    LOG_METHOD
    LOG_TARGET
    LOG_PROTOCOL
    LOG_STATUS
    LOG_BYTES_SENT
    LOG_BYTES_RECEIVED
    LOG_DURATION_MS
    LOG_HOST
    LOG_ROUTE
    LOG_UPSTREAM
    LOG_UPSTREAM_STATUS
    LOG_UPSTREAM_MS
    LOG_RETRIES
    LOG_REFERER
    LOG_USER_AGENT
    LOG_APACHE_TIME             # of combined
    LOG_APACHE_BYTES            # of the body; "-" for none
    LOG_APACHE_REQUEST          # method, target and protocol; one "-" for a head that was refused

cdef struct segment_t:
    uint8_t field               # LogField
    text_t literal

cdef struct log_t:
    lines_t* lines              # borrowed from the AccessLog's file
    bint json                   # strings in quotes, null for what is absent
    segment_t* segments         # owned by the AccessLog
    uint32_t n_segments
    loop_t* loop                # borrowed
    int64_t second              # the one that the two texts below say
    uint8_t apache_time[32]
    uint8_t iso_second[24]      # 2026-11-24T02:27:45
    uint32_t apache_size

# Appends the exchange's line; `data` is what its spans point into (NULL: no head was read). Never blocks, never fails.
cdef void log_exchange(log_t* log, exchange_t* exchange, const uint8_t* data) noexcept nogil

cdef class AccessLog:
    cdef log_t c
    cdef LineFile file
    cdef list kept

    cdef int attach(self, loop_t* loop, uint64_t* dropped) except -1     # a worker's, from now on
