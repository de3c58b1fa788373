"""Static files: the one action of a route that runs Python, once per request; the bytes leave by sendfile."""
import logging
import os

from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.wire.http1 cimport METHOD_GET, METHOD_HEAD, Field, Head
from hotpath.proxy.answer cimport put_local, put_query, write_start
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport is_ours, put, put_int, write_end, writer_t
from hotpath.proxy.plan cimport edits_t
from hotpath.core.site import Wanted

log = logging.getLogger(__name__)


cdef object value_of(const uint8_t* data, const Head* head, bytes lower):
    """The value of the first field of that name, or None."""
    cdef uint32_t i
    cdef const Field* field
    for i in range(head.n_fields):
        field = &head.fields[i]
        if field.name_size == len(lower) and (<const char*>data)[field.name_at:field.name_at + field.name_size].lower() == lower:
            return (<const char*>data)[field.value_at:field.value_at + field.value_size].decode("latin-1")
    return None

cdef int site_answer(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                     writer_t* writer) noexcept nogil:
    with gil:
        try:
            return find_and_write(exchange, data, head, path, path_size, writer)
        except Exception:
            log.exception("static file failed route=%s", exchange.route.name.data[:exchange.route.name.size])
            return 500

cdef int find_and_write(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                        writer_t* writer) except -1:
    cdef const edits_t* edits = &exchange.route.response_edits
    cdef uint32_t strip = exchange.route.strip_prefix.size
    asked = path[:path_size]
    if strip and asked.startswith(exchange.route.strip_prefix.data[:strip]) and asked[strip:strip + 1] in (b"/", b""):
        asked = asked[strip:] or b"/"
    asked = exchange.route.add_prefix.data[:exchange.route.add_prefix.size] + asked
    # Range is for GET alone (RFC 9110 section 14.2).
    found = (<object>exchange.route.site).find(asked, Wanted(
        range=value_of(data, head, b"range") if exchange.method_id == METHOD_GET else None,
        if_range=value_of(data, head, b"if-range"),
        if_none_match=value_of(data, head, b"if-none-match"), if_modified_since=value_of(data, head, b"if-modified-since")))
    if found.status == 404:
        return 404
    exchange.status = found.status
    write_start(exchange, found.status, writer)
    lines = "".join(f"{name}: {value}\r\n" for name, value in found.fields
                    if is_ours(edits, name.lower().encode())).encode("latin-1")
    put(writer, <const char*>lines, len(lines))
    if found.status == 301 and is_ours(edits, b"location"):
        put(writer, b"Location: ", 10)
        put_local(path, path_size, writer)
        put(writer, b"/", 1)
        if head.has_query:
            put_query(data, head, writer)
        put(writer, b"\r\n", 2)
    if found.status != 304:
        put(writer, b"Content-Length: ", 16)
        put_int(writer, found.size)
        put(writer, b"\r\n", 2)
    write_end(exchange, writer)
    if found.fd >= 0 and exchange.method_id == METHOD_HEAD:
        os.close(found.fd)
    elif found.fd >= 0:
        exchange.file_fd = found.fd
        exchange.file_at = found.offset
        exchange.file_left = found.size
    return 0
