"""gzip: the body of an answer on its way through zlib.

Python's zlib, under the GIL: one call per piece that the server sends. Each piece is flushed, so that an event or a slow answer is
held back by nothing. A compressor lives from the first piece of a body to its last, and takes up to 128 KiB.
"""
import logging
import zlib

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_INCREF, Py_DECREF
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.wire.http1 cimport BODY_LENGTH
from hotpath.proxy.forward cimport CHUNK_LINE_BYTES, put, put_chunk_line

log = logging.getLogger(__name__)

cdef enum:
    GZIP_FORMAT = 16            # added to the window's bits: zlib.h, deflateInit2
    MIN_WINDOW_BITS = 9
    MAX_WINDOW_BITS = 14        # with as many bits of hash table 128 KiB; zlib's own 15 would take 256 KiB and save 1 % of a page


cdef object compressor_for(int level, int64_t size):
    """A compressor for a body of `size` bytes: what is smaller than a window needs no more memory than its own size."""
    cdef int bits = MIN_WINDOW_BITS
    while bits < MAX_WINDOW_BITS and size >> bits:
        bits += 1
    return zlib.compressobj(level, zlib.DEFLATED, GZIP_FORMAT + bits, bits - 7)

cdef bint put_zipped(exchange_t* exchange, const uint8_t* payload, size_t n, bint last, writer_t* writer) noexcept nogil:
    if n == 0 and not last:
        return True
    with gil:
        try:
            zip_piece(exchange, payload, n, last, writer)
        except Exception:
            log.exception("gzip failed route=%s", exchange.route.name.data[:exchange.route.name.size])
            return False
    if last:
        put(writer, b"0\r\n\r\n", 5)
    return not writer.full

cdef int zip_piece(exchange_t* exchange, const uint8_t* payload, size_t n, bint last, writer_t* writer) except -1:
    cdef uint8_t line[CHUNK_LINE_BYTES]
    cdef size_t size, line_size
    cdef int64_t at_most
    cdef const char* data
    if exchange.zipper == NULL:
        # Of chunks, and until the close, nobody knows how much will come.
        at_most = <int64_t>n if last else <int64_t>n + exchange.response_body.left \
            if exchange.response_body.framing == BODY_LENGTH else <int64_t>1 << MAX_WINDOW_BITS
        made = compressor_for(exchange.route.gzip.level, at_most)
        Py_INCREF(made)
        exchange.zipper = <void*>made
    compressor = <object>exchange.zipper
    zipped = compressor.compress(PyMemoryView_FromMemory(<char*>payload, n, PyBUF_READ)) if n else b""
    zipped += compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    data = zipped
    size = len(zipped)
    line_size = put_chunk_line(line + CHUNK_LINE_BYTES, size)
    put(writer, line + CHUNK_LINE_BYTES - line_size, line_size)
    put(writer, data, size)
    put(writer, b"\r\n", 2)
    exchange.body_sent += size
    if last:
        zipper_free(exchange)
    return 0

cdef void zipper_free(exchange_t* exchange) noexcept nogil:
    with gil:
        Py_DECREF(<object>exchange.zipper)
    exchange.zipper = NULL
