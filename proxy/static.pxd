"""Static files at C level."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport writer_t

# Writes the head of the answer and sets the exchange's file and status. Not 0: that status, and nothing was written.
cdef int site_answer(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                     writer_t* writer) noexcept nogil
