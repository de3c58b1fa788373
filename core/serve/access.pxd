"""The access log's lines."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from hotpath.core.net.lines cimport lines_t
from hotpath.core.wire.http1 cimport Span

cdef struct access_t:
    lines_t* lines              # borrowed
    bint json
    int64_t second              # the one that the two texts below say
    uint8_t apache_time[32]
    uint32_t apache_size
    uint8_t iso_second[24]      # 2026-11-24T02:27:45

# One answered request. Spans point into `head`.
cdef struct entry_t:
    const uint8_t* head
    Span method
    Span target
    Span referer                # size 0: none
    Span user_agent
    const uint8_t* address      # 16 bytes, as connection_t's
    uint8_t minor
    uint16_t status             # 0: the client was gone, logged as 499
    int64_t body_sent
    int64_t took_us

cdef void log_entry(access_t* log, const entry_t* entry) noexcept nogil
