"""The head of an HTTP/1.1 message: one pass from bytes to spans.

Targets are read in target.pyx; what it all means together is judged in meaning.pyx. A function takes the place where its
part begins and returns the place behind it. NULL: it stopped; head.error says why, and while that is NULL too, the bytes
ran out. Faults are found from left to right, so what is reported does not depend on how much more has arrived.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memset

from hotpath.core.wire.meaning cimport judge_request, judge_response, judge_trailers
from hotpath.core.wire.target cimport parse_free_target, parse_target


cdef extern from "scan.h" nogil:
    enum:
        TOKEN
        DIGIT
    bint is_a(uint8_t byte, int class_bits)
    bint is_blank(uint8_t byte)
    const uint8_t* scan_class(const uint8_t* p, const uint8_t* end, int class_bits)
    const uint8_t* skip_blanks(const uint8_t* p, const uint8_t* end)
    const uint8_t* trim_blanks(const uint8_t* start, const uint8_t* end)
    const uint8_t* scan_name(const uint8_t* p, const uint8_t* end, bint* is_common)
    const uint8_t* scan_value(const uint8_t* p, const uint8_t* end)
    const uint8_t* scan_free_value(const uint8_t* p, const uint8_t* end)
    bint has_empty_line(const uint8_t* p, const uint8_t* end)


cdef extern from "words.h" nogil:
    int known_name(const uint8_t* p, size_t size)
    int known_method(const uint8_t* p, size_t size)
    bint is_http_1_1(const uint8_t* p)
    const char* reason_of(int status)


# The bytes being parsed, and the rules for them.
cdef struct Input:
    const uint8_t* data         # offsets count from here
    const uint8_t* end          # what has arrived, at most Limits.head
    uint32_t max_fields
    bint strict
    bint is_response
    uint32_t repeated           # bit i: Name i came more than once


# ---------------------------------------------------------------------------------------------- the three entrances

cdef Py_ssize_t parse_request(const uint8_t* data, size_t size, size_t seen, const Limits* limits, int rules, Head* head) noexcept nogil:
    cdef Input bytes_
    cdef const uint8_t* p = data
    cdef const uint8_t* line
    cdef const uint8_t* line_end
    if seen and not worth_parsing(data, size, seen, limits):
        return NEED_MORE
    begin(&bytes_, data, size, limits, rules, False, head)
    if bytes_.strict and bytes_.end - p >= 1 and p[0] == c"\r":
        # RFC 9112 section 2.2: some old clients send a CRLF behind a body.
        p = end_of_line(&bytes_, p, bytes_.end, head)
    if p != NULL:
        line = p
        line_end = end_of_first_line(line, bytes_.end, limits)
        p = parse_request_line(&bytes_, line, line_end, head)
        if p == NULL and head.error == NULL and <size_t> (line_end - line) == <size_t> limits.line + 2:
            fail(head, 414, b"request line too long")
    if p != NULL:
        p = parse_fields(&bytes_, p, head)
    if p == NULL:
        return stopped(size, limits, head)
    if not judge_request(head, data, bytes_.strict, bytes_.repeated):
        return BROKEN
    return p - data


cdef Py_ssize_t parse_response(const uint8_t* data, size_t size, size_t seen, const Limits* limits, int rules, int method_id,
                               Head* head) noexcept nogil:
    cdef Input bytes_
    cdef const uint8_t* p = data
    cdef const uint8_t* line_end
    cdef Py_ssize_t consumed
    if seen and not worth_parsing(data, size, seen, limits):
        return NEED_MORE
    begin(&bytes_, data, size, limits, rules, True, head)
    line_end = end_of_first_line(p, bytes_.end, limits)
    p = parse_status_line(&bytes_, p, line_end, head)
    if p == NULL and head.error == NULL and <size_t> (line_end - data) == <size_t> limits.line + 2:
        fail(head, 414, b"status line too long")
    if p != NULL:
        p = parse_fields(&bytes_, p, head)
    if p == NULL:
        consumed = stopped(size, limits, head)
    elif judge_response(head, data, bytes_.strict, bytes_.repeated, method_id):
        consumed = p - data
    else:
        consumed = BROKEN
    if consumed == BROKEN and bytes_.strict:
        head.error_status = 502
    return consumed


cdef Py_ssize_t parse_trailers(const uint8_t* data, size_t size, size_t seen, const Limits* limits, Head* head) noexcept nogil:
    cdef Input bytes_
    cdef const uint8_t* p
    if seen and not worth_parsing(data, size, seen, limits):
        return NEED_MORE
    begin(&bytes_, data, size, limits, H11, False, head)
    p = parse_fields(&bytes_, data, head)
    if p == NULL:
        return stopped(size, limits, head)
    return p - data if judge_trailers(head, data, bytes_.repeated) else BROKEN


cdef const char* reason_phrase(int status) noexcept nogil:
    return reason_of(status)


# A head that comes in drops is parsed when its end has come, when it passes a limit, and whenever its size passes a power of
# two. So nonsense is refused before it has doubled, and all the parsing together costs twice the bytes at most.
cdef bint worth_parsing(const uint8_t* data, size_t size, size_t seen, const Limits* limits) noexcept nogil:
    cdef size_t line = <size_t> limits.line + 2
    if seen ^ size > seen:                          # the highest bit of size is above the highest bit of seen
        return True
    if size >= limits.head or (size >= line and seen < line + 2):   # + 2: one CRLF may stand before the line
        return True
    return has_empty_line(data + (seen - 3 if seen > 3 else 0), data + size)


cdef void begin(Input* bytes_, const uint8_t* data, size_t size, const Limits* limits, int rules, bint is_response,
                Head* head) noexcept nogil:
    bytes_.data = data
    bytes_.end = data + (size if size < limits.head else limits.head)
    bytes_.max_fields = limits.fields if limits.fields < MAX_FIELDS else MAX_FIELDS
    bytes_.strict = rules == STRICT
    bytes_.is_response = is_response
    bytes_.repeated = 0
    # All but the 4 KiB of fields, which are written as they come.
    memset(head, 0, <size_t> (<uint8_t*> &head.fields[0] - <uint8_t*> head))
    head.content_length = -1


# As far as the first line may reach: its limit and its CRLF.
cdef const uint8_t* end_of_first_line(const uint8_t* p, const uint8_t* end, const Limits* limits) noexcept nogil:
    if <size_t> (end - p) > <size_t> limits.line + 2:
        return p + limits.line + 2
    return end


cdef const uint8_t* fail(Head* head, int status, const char* error) noexcept nogil:
    head.error_status = <uint16_t> status
    head.error = error
    return NULL


cdef Py_ssize_t stopped(size_t size, const Limits* limits, Head* head) noexcept nogil:
    if head.error == NULL:
        if size < limits.head:
            return NEED_MORE
        fail(head, 431, b"head too large")
    return BROKEN


cdef Span span(Input* bytes_, const uint8_t* start, const uint8_t* end) noexcept nogil:
    cdef Span found
    found.at = <uint32_t> (start - bytes_.data)
    found.size = <uint32_t> (end - start)
    return found


# ---------------------------------------------------------------------------------------------- the first line

cdef const uint8_t* parse_request_line(Input* bytes_, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* start = p
    p = scan_class(p, end, TOKEN)
    if p == end:
        return NULL
    if p[0] != c" " or p == start:
        return fail(head, 400, b"malformed method")
    head.method = span(bytes_, start, p)
    head.method_id = <uint8_t> known_method(start, <size_t> (p - start))
    p += 1
    p = parse_target(bytes_.data, p, end, head) if bytes_.strict else parse_free_target(bytes_.data, p, end, head)
    if p == NULL:
        return NULL
    p = parse_version(bytes_, p + 1, end, head)
    if p == NULL:
        return NULL
    if head.form == TARGET_ASTERISK and head.method_id != METHOD_OPTIONS and bytes_.strict:
        return fail(head, 400, b"target * without OPTIONS")
    return end_of_line(bytes_, p, end, head)


cdef const uint8_t* parse_version(Input* bytes_, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const char* pattern = b"HTTP/0.0"
    cdef int i
    if end - p >= 8 and is_http_1_1(p):
        head.major = head.minor = 1
        return p + 8
    for i in range(8):
        if p + i == end:
            return NULL
        if p[i] != <uint8_t> pattern[i] if pattern[i] != c"0" else not is_a(p[i], DIGIT):
            return fail(head, 400, b"malformed HTTP version")
    head.major = p[5] - c"0"
    head.minor = p[7] - c"0"
    if bytes_.strict and (head.major != 1 or head.minor > 1):
        return fail(head, 505, b"HTTP version other than 1.0 and 1.1")
    return p + 8


cdef const uint8_t* parse_status_line(Input* bytes_, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* start
    cdef int i
    p = parse_version(bytes_, p, end, head)
    if p == NULL:
        return NULL
    for i in range(4):
        if p + i == end:
            return NULL
        if p[i] != c" " if i == 0 else not is_a(p[i], DIGIT):
            return fail(head, 400, b"malformed status")
    head.status = (p[1] - c"0") * 100 + (p[2] - c"0") * 10 + (p[3] - c"0")
    if head.status < 100:
        return fail(head, 400, b"status below 100")
    p += 4
    if p == end:
        return NULL
    # Too many servers leave out the space when they have no reason to give.
    if p[0] == c" ":
        p += 1
        start = p
        p = scan_value(p, end) if bytes_.strict else scan_free_value(p, end)
        if p == end:
            return NULL
        head.reason = span(bytes_, start, p)
    return end_of_line(bytes_, p, end, head)


cdef const uint8_t* end_of_line(Input* bytes_, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    if p == end:
        return NULL
    if p[0] == c"\r":
        if end - p < 2:
            return NULL
        if p[1] == c"\n":
            return p + 2
        return fail(head, 400, b"CR without LF")
    if p[0] == c"\n":
        return fail(head, 400, b"LF without CR") if bytes_.strict else p + 1
    return fail(head, 400, b"byte not allowed in a line")


# ---------------------------------------------------------------------------------------------- the fields

cdef const uint8_t* parse_fields(Input* bytes_, const uint8_t* p, Head* head) noexcept nogil:
    cdef const uint8_t* end = bytes_.end
    cdef const uint8_t* start
    cdef const uint8_t* name_end
    cdef Field* field
    cdef uint32_t n = 0
    cdef bint is_common
    while True:
        if p == end:
            return NULL
        if p[0] == c"\r" or p[0] == c"\n":
            return end_of_line(bytes_, p, end, head)
        if n == bytes_.max_fields:
            return fail(head, 431, b"too many fields")
        field = &head.fields[n]
        start = p
        p = name_end = scan_name(p, end, &is_common)
        if p == end:
            return NULL
        if p[0] != c":":
            p = name_without_colon(bytes_, start, p, head)
            if p == NULL:
                return NULL
        if name_end == start:
            return fail(head, 400, b"empty field name")
        if name_end - start > 0xffff:
            return fail(head, 431, b"field name too long")
        field.name_at = <uint32_t> (start - bytes_.data)
        field.name_size = <uint16_t> (name_end - start)
        field.flags = 0
        if not is_common and memchr(start, c"_", field.name_size) != NULL:
            field.flags = FIELD_UNDERSCORE
        n += 1
        head.n_fields = <uint16_t> n
        remember(bytes_, known_name(start, field.name_size), field, head)
        p += 1
        p = parse_value(bytes_, p, end, field, head) if bytes_.strict else parse_free_value(bytes_, p, end, field, head)
        if p == NULL:
            return NULL


cdef void remember(Input* bytes_, int known, Field* field, Head* head) noexcept nogil:
    field.known = <uint8_t> known
    if known == NAME_OTHER:
        return
    if head.first[known]:
        bytes_.repeated |= 1u << known
    else:
        head.first[known] = head.n_fields


# A name that does not end at a colon: a fault, or blanks in a response, which RFC 9112 section 5.1 has a proxy remove.
# Returns the colon.
cdef const uint8_t* name_without_colon(Input* bytes_, const uint8_t* start, const uint8_t* p, Head* head) noexcept nogil:
    if is_blank(p[0]):
        if p == start:
            return fail(head, 400, b"folded line")
        if not bytes_.is_response or not bytes_.strict:
            return fail(head, 400, b"blank before the colon")
        p = skip_blanks(p, bytes_.end)
        if p == bytes_.end or p[0] == c":":
            return p if p != bytes_.end else NULL
    if p[0] == c"\r" or p[0] == c"\n":
        return fail(head, 400, b"field without a colon")
    return fail(head, 400, b"byte not allowed in a field name")


cdef const uint8_t* parse_value(Input* bytes_, const uint8_t* p, const uint8_t* end, Field* field, Head* head) noexcept nogil:
    cdef const uint8_t* start = skip_blanks(p, end)
    p = scan_value(start, end)
    field.value_at = <uint32_t> (start - bytes_.data)
    field.value_size = <uint32_t> (trim_blanks(start, p) - start)
    return end_of_line(bytes_, p, end, head)


# As h11: bare LF, folded lines, more control bytes. The value ends before its last blanks and folds.
cdef const uint8_t* parse_free_value(Input* bytes_, const uint8_t* p, const uint8_t* end, Field* field, Head* head) noexcept nogil:
    cdef const uint8_t* start = NULL
    cdef const uint8_t* value_end = p
    cdef const uint8_t* stop
    cdef int lines = 0
    while True:
        p = skip_blanks(p, end)
        stop = scan_free_value(p, end)
        if stop == end:
            return NULL
        if stop > p:
            if start == NULL:
                start = p
            value_end = trim_blanks(p, stop)
            lines += 1
        p = end_of_line(bytes_, stop, end, head)
        if p == NULL or p == end:
            return NULL
        if not is_blank(p[0]):
            break
    if start == NULL:
        start = value_end
    field.value_at = <uint32_t> (start - bytes_.data)
    field.value_size = <uint32_t> (value_end - start)
    if lines > 1:
        field.flags |= FIELD_FOLDED
    return p
