"""Replies of our own, at C level. Each ends the exchange."""
from libc.stdint cimport int64_t, uint32_t, uint8_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport client_t, exchange_t
from hotpath.proxy.route cimport match_t

# A problem (RFC 9457). `detail` is static text.
cdef void answer(exchange_t* exchange, int status, const char* detail) noexcept nogil
cdef void answer_with(exchange_t* exchange, int status, const char* detail, const match_t* refused, int64_t retry_after_us) noexcept nogil
# What the route says: respond, redirect, static.
cdef void answer_canned(exchange_t* exchange) noexcept nogil
cdef void answer_redirect(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size) noexcept nogil
cdef void answer_static(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size) noexcept nogil
cdef void pump_file(exchange_t* exchange) noexcept nogil
# There is no request to answer: say why, half-close, discard, close. `reason` is a Rejection.
cdef void refuse(client_t* client, int status, const char* why, int reason) noexcept nogil
