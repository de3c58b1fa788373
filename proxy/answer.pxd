"""Answers of our own: problems (RFC 9457), canned responses, redirects."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport writer_t
from hotpath.proxy.route cimport match_t

# Whole responses, head and body; a HEAD gets the head alone. exchange.client.last is decided before.
cdef void write_problem(exchange_t* exchange, int status, const char* detail, const match_t* refused, int64_t retry_after_us,
                        writer_t* writer) noexcept nogil
# The head of the route's canned answer; its body (route.answer_body) follows it on the wire.
cdef void write_respond_head(exchange_t* exchange, writer_t* writer) noexcept nogil
cdef void write_redirect(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                         writer_t* writer) noexcept nogil
# A path of this site, for Location: "//x" would name the host x (RFC 3986 section 4.2), so it gets one slash.
cdef void put_local(const uint8_t* path, uint32_t path_size, writer_t* writer) noexcept nogil
cdef void put_query(const uint8_t* data, const Head* head, writer_t* writer) noexcept nogil     # "?" and the query
# Status line, Date, and "Name: value" lines of a final answer; the caller goes on with framing and write_end.
cdef void write_start(exchange_t* exchange, int status, writer_t* writer) noexcept nogil
