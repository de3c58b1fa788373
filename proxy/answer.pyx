"""Answers of our own: problems (RFC 9457), canned responses, redirects."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, strlen

from hotpath.core.wire.http1 cimport METHOD_HEAD, Head, reason_phrase
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport is_ours, put, put_date, put_int, put_str, put_text, spells, write_end, writer_t
from hotpath.proxy.plan cimport edits_t, text_t
from hotpath.proxy.route cimport match_t

cdef extern from "<string.h>" nogil:
    const void* memmem(const void* data, size_t size, const void* wanted, size_t wanted_size)


cdef void put_status(int status, writer_t* writer) noexcept nogil:
    put(writer, b"HTTP/1.1 ", 9)
    put_int(writer, status)
    put(writer, b" ", 1)
    put_str(writer, reason_phrase(status))
    put(writer, b"\r\n", 2)

cdef void write_start(exchange_t* exchange, int status, writer_t* writer) noexcept nogil:
    cdef const edits_t* edits = &exchange.route.response_edits
    put_status(status, writer)
    if is_ours(edits, b"date") and not says(&exchange.route.answer_lines, b"date"):
        put_date(exchange.relay, writer)
    put_text(writer, &edits.lines)

cdef uint32_t line_end(const text_t* lines, uint32_t at, const char* lower, bint* is_named) noexcept nogil:
    """Where the "Name: value" line that begins at `at` ends, and whether the name is that one."""
    cdef uint32_t end = at
    while lines.data[end] != c":":
        end += 1
    is_named[0] = spells(lines.data + at, end - at, <const uint8_t*>lower, <uint32_t>strlen(lower))
    while lines.data[end] != c"\n":
        end += 1
    return end + 1

cdef bint says(const text_t* lines, const char* lower) noexcept nogil:
    """Whether one of the lines has that name."""
    cdef uint32_t at = 0
    cdef bint is_named
    while at < lines.size:
        at = line_end(lines, at, lower, &is_named)
        if is_named:
            return True
    return False

cdef void put_lines_but(const text_t* lines, const char* lower, writer_t* writer) noexcept nogil:
    """All lines but those of one name."""
    cdef uint32_t at = 0, end
    cdef bint is_named
    while at < lines.size:
        end = line_end(lines, at, lower, &is_named)
        if not is_named:
            put(writer, lines.data + at, end - at)
        at = end

cdef void write_length(int64_t size, writer_t* writer) noexcept nogil:
    put(writer, b"Content-Length: ", 16)
    put_int(writer, size)
    put(writer, b"\r\n", 2)

cdef bint allow_holds(const match_t* refused, uint32_t n, const uint8_t* token, size_t size) noexcept nogil:
    """Whether one of the first `n` lists names the method already."""
    cdef uint32_t i, at, stop
    cdef const text_t* allow
    for i in range(n):
        allow = &refused.refused[i].allow
        at = 0
        while at < allow.size:
            stop = at
            while stop < allow.size and allow.data[stop] != c",":
                stop += 1
            if stop - at == size and memcmp(allow.data + at, token, size) == 0:
                return True
            at = stop + 2
    return False

cdef void write_allow(const match_t* refused, writer_t* writer) noexcept nogil:
    """The methods of all routes that the request would else have reached, each once."""
    cdef uint32_t i, at, stop
    cdef const text_t* allow
    cdef bint first = True
    put(writer, b"Allow: ", 7)
    if refused.n_refused == 0:
        put_str(writer, b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")
    for i in range(refused.n_refused):
        allow = &refused.refused[i].allow
        at = 0
        while at < allow.size:
            stop = at
            while stop < allow.size and allow.data[stop] != c",":
                stop += 1
            if not allow_holds(refused, i, allow.data + at, stop - at):
                put(writer, b", ", 0 if first else 2)
                put(writer, allow.data + at, stop - at)
                first = False
            at = stop + 2
    put(writer, b"\r\n", 2)

cdef void write_problem(exchange_t* exchange, int status, const char* detail, const match_t* refused, int64_t retry_after_us,
                        writer_t* writer) noexcept nogil:
    cdef const char* title = reason_phrase(status)
    cdef int64_t size = 58 + strlen(title) + strlen(detail)     # the literals below, and three digits
    cdef const edits_t* edits = NULL if exchange.route == NULL else &exchange.route.response_edits
    put_status(status, writer)
    if edits == NULL or is_ours(edits, b"date"):
        put_date(exchange.relay, writer)
    if edits != NULL:                       # a problem's type is its own, whatever the route's answers are
        put_lines_but(&edits.lines, b"content-type", writer)
    if refused != NULL:
        write_allow(refused, writer)
    if retry_after_us > 0 and (edits == NULL or is_ours(edits, b"retry-after")):
        put(writer, b"Retry-After: ", 13)
        put_int(writer, max(1, (retry_after_us + 999999) // 1000000))
        put(writer, b"\r\n", 2)
    put(writer, b"Content-Type: application/problem+json\r\n", 40)
    write_length(size, writer)
    write_end(exchange, writer)
    if exchange.method_id == METHOD_HEAD:
        return
    put(writer, b'{"type":"about:blank","title":"', 31)
    put_str(writer, title)
    put(writer, b'","status":', 11)
    put_int(writer, status)
    put(writer, b',"detail":"', 11)
    put_str(writer, detail)
    put(writer, b'"}', 2)
    exchange.body_sent += size

cdef void write_respond_head(exchange_t* exchange, writer_t* writer) noexcept nogil:
    cdef int status = exchange.route.status
    write_start(exchange, status, writer)
    put_text(writer, &exchange.route.answer_lines)
    if status != 204 and status != 304:
        write_length(exchange.route.answer_body.size, writer)
    write_end(exchange, writer)

cdef void put_local(const uint8_t* path, uint32_t path_size, writer_t* writer) noexcept nogil:
    while path_size > 1 and path[0] == c"/" and path[1] == c"/":
        path += 1
        path_size -= 1
    put(writer, path, path_size)

cdef void put_query(const uint8_t* data, const Head* head, writer_t* writer) noexcept nogil:
    put(writer, b"?", 1)
    put(writer, data + head.query.at, head.query.size)

cdef void put_target(const text_t* to, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                       writer_t* writer) noexcept nogil:
    """`to` with {path} put in; the query goes along with the path, unless `to` has one of its own."""
    cdef uint32_t at = 0
    cdef bint owes_query = head.has_query and memmem(to.data, to.size, b"{path}", 6) != NULL
    put(writer, b"Location: ", 10)
    while at < to.size:
        if to.size - at >= 6 and memcmp(to.data + at, b"{path}", 6) == 0:
            if at == 0:
                put_local(path, path_size, writer)
            else:
                put(writer, path, path_size)
            at += 6
        else:
            if to.data[at] == c"?":
                owes_query = False
            elif to.data[at] == c"#" and owes_query:    # a query stands before the fragment
                put_query(data, head, writer)
                owes_query = False
            put(writer, to.data + at, 1)
            at += 1
    if owes_query:
        put_query(data, head, writer)
    put(writer, b"\r\n", 2)

cdef void write_redirect(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                         writer_t* writer) noexcept nogil:
    write_start(exchange, exchange.route.status, writer)
    if is_ours(&exchange.route.response_edits, b"location"):
        put_target(&exchange.route.answer_body, data, head, path, path_size, writer)
    write_length(0, writer)
    write_end(exchange, writer)
