"""Content coding: which answers leave in gzip, and what their heads say of it (RFC 9110 sections 8.4 and 12.5.3)."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport writer_t

# Coding of a server's final answer, whose `head` was parsed from `data`; its route has gzip.
cdef int coding_of(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil
# The lines in which its head differs from the server's: Vary, and unless it is CODING_VARIES ETag and Content-Encoding.
cdef void put_coding(exchange_t* exchange, const uint8_t* data, const Head* head, writer_t* writer) noexcept nogil
