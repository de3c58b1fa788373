"""Where a request goes: the four forms of its target (RFC 9112 section 3.2), and what a host may be.

The functions answer as those of head.pyx do: the place behind their part, or NULL with or without head.error.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from hotpath.core.wire.head cimport (
    METHOD_CONNECT,
    TARGET_ABSOLUTE,
    TARGET_ASTERISK,
    TARGET_AUTHORITY,
    TARGET_ORIGIN,
    Head,
    Span,
)


cdef extern from "scan.h" nogil:
    enum:
        HOST
        HEX
        DIGIT
    bint is_a(uint8_t byte, int class_bits)
    const uint8_t* scan_class(const uint8_t* p, const uint8_t* end, int class_bits)
    const uint8_t* scan_plain(const uint8_t* p, const uint8_t* end)
    const uint8_t* scan_target(const uint8_t* p, const uint8_t* end)
    const uint8_t* scan_visible(const uint8_t* p, const uint8_t* end)


cdef extern from "words.h" nogil:
    bint is_word(const uint8_t* p, size_t size, const char* word)


cdef const uint8_t* parse_target(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* start = p
    cdef const uint8_t* space
    if p == end:
        return NULL
    if p[0] == c"/" and head.method_id != METHOD_CONNECT:
        head.form = TARGET_ORIGIN
        p = parse_path(data, p, end, head)
        if p == NULL:
            return NULL
        if p[0] != c" ":
            return refuse(head, b"byte not allowed in a target")
        head.target = span(data, start, p)
        return p
    # The other forms are rare. They are looked at when they are whole.
    space = scan_target(p, end)
    if space == end:
        return NULL
    if space[0] != c" ":
        return refuse(head, b"byte not allowed in a target")
    head.target = span(data, start, space)
    if head.method_id == METHOD_CONNECT:
        head.form = TARGET_AUTHORITY
        if not is_host(start, space) or space[-1] == c"]" or memchr(start, c":", <size_t> (space - start)) == NULL:
            return refuse(head, b"CONNECT without host:port")
        return space
    if space - start == 1 and start[0] == c"*":
        head.form = TARGET_ASTERISK
        head.path = head.target
        head.path_is_plain = True
        return space
    return space if parse_absolute(data, start, space, head) else NULL


# scheme://host[:port]path?query in [p, end). False: head.error is set.
cdef bint parse_absolute(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* host
    head.form = TARGET_ABSOLUTE
    if end - p > 7 and is_word(p, 7, b"http://"):
        host = p + 7
    elif end - p > 8 and is_word(p, 8, b"https://"):
        host = p + 8
    else:
        refuse(head, b"target neither a path nor an http(s) URI")
        return False
    p = host
    while p < end and p[0] != c"/" and p[0] != c"?":
        p += 1
    head.host = span(data, host, p)
    if not is_host(host, p):
        refuse(head, b"malformed host in the target")
        return False
    # `end` is the space behind the target, which ends the path as it does in origin-form.
    p = parse_path(data, p, end + 1, head)
    if p == NULL and head.error == NULL:            # it looked for more: of an escape, since all else ends at the space
        refuse(head, b"bad percent escape in the path")
    elif p != NULL and p != end:
        refuse(head, b"byte not allowed in a target")
    return p == end


# Path and query. Returns the first byte that is part of neither.
cdef const uint8_t* parse_path(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* start = p
    cdef bint plain = True
    while True:
        p = scan_plain(p, end)
        if p == end:
            return NULL
        if p[0] == c"/":
            p += 1
            if p == end:
                return NULL
            if p[0] == c"/" or p[0] == c".":
                plain = False
        elif p[0] == c"%":
            plain = False
            if end - p < 3:
                return NULL
            if not is_a(p[1], HEX) or not is_a(p[2], HEX):
                return refuse(head, b"bad percent escape in the path")
            if p[1] == c"0" and p[2] == c"0":
                return refuse(head, b"NUL in the path")
            p += 3
        else:
            break
    head.path = span(data, start, p)
    head.path_is_plain = plain
    if p[0] == c"?":
        head.has_query = True
        start = p + 1
        p = scan_target(start, end)
        if p == end:
            return NULL
        head.query = span(data, start, p)
    return p


# h11 takes any visible ASCII.
cdef const uint8_t* parse_free_target(const uint8_t* data, const uint8_t* p, const uint8_t* end, Head* head) noexcept nogil:
    cdef const uint8_t* start = p
    cdef const uint8_t* mark
    p = scan_visible(p, end)
    if p == end:
        return NULL
    if p[0] != c" " or p == start:
        return refuse(head, b"byte not allowed in a target")
    head.target = head.path = span(data, start, p)
    if head.method_id == METHOD_CONNECT:
        head.form = TARGET_AUTHORITY
    elif p - start == 1 and start[0] == c"*":
        head.form = TARGET_ASTERISK
    elif start[0] != c"/":
        head.form = TARGET_ABSOLUTE
    mark = <const uint8_t*> memchr(start, c"?", <size_t> (p - start))
    if mark != NULL:
        head.has_query = True
        head.path = span(data, start, mark)
        head.query = span(data, mark + 1, p)
    return p


# host[:port]: letters, digits, "-._~", or an IPv6 address in brackets; a port of 1 to 65535.
cdef bint is_host(const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef const uint8_t* start = p
    cdef uint32_t port = 0
    cdef int colons = 0
    if p < end and p[0] == c"[":
        p += 1
        while p < end and (is_a(p[0], HEX) or p[0] == c":" or p[0] == c"."):
            colons += p[0] == c":"
            p += 1
        if p == end or p[0] != c"]" or colons < 2 or p - start > 46:     # 45: the longest, with an IPv4 address at its end
            return False
        p += 1
    else:
        p = scan_class(p, end, HOST)
        if p == start:
            return False
    if p == end:
        return True
    if p[0] != c":" or p + 1 == end or end - p > 6:
        return False
    p += 1
    while p < end:
        if not is_a(p[0], DIGIT):
            return False
        port = port * 10 + p[0] - c"0"
        p += 1
    return 1 <= port <= 65535


cdef Span span(const uint8_t* data, const uint8_t* start, const uint8_t* end) noexcept nogil:
    cdef Span found
    found.at = <uint32_t> (start - data)
    found.size = <uint32_t> (end - start)
    return found


cdef const uint8_t* refuse(Head* head, const char* error) noexcept nogil:
    head.error_status = 400
    head.error = error
    return NULL
