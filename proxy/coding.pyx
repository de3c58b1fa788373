"""Content coding: which answers leave in gzip, and what their heads say of it (RFC 9110 sections 8.4 and 12.5.3)."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.wire.http1 cimport BODY_NONE, NAME_CONTENT_LENGTH, STRICT, Field, Head, Span, parse_request
from hotpath.proxy.exchange cimport CODING_GZIP, CODING_HEAD, CODING_PLAIN, CODING_VARIES, exchange_t
from hotpath.proxy.forward cimport is_dropped, put, spells, writer_t
from hotpath.proxy.plan cimport gzip_t

cdef enum:
    MAX_LENGTH_DIGITS = 18      # a longer length only says "large"


cdef bint is_named(const uint8_t* data, const Field* field, const char* lower, uint32_t size) noexcept nogil:
    return spells(data + field.name_at, field.name_size, <const uint8_t*>lower, size)

cdef bint take_element(const uint8_t* data, Span* rest, Span* element) noexcept nogil:
    """The next element of a comma-separated list, without the blanks around it. False: none is left."""
    cdef uint32_t end = rest.at + rest.size, stop
    while rest.at < end and (data[rest.at] == c"," or data[rest.at] == c" " or data[rest.at] == c"\t"):
        rest.at += 1
    stop = element.at = rest.at
    while stop < end and data[stop] != c",":
        stop += 1
    rest.at = stop
    rest.size = end - stop
    while stop > element.at and (data[stop - 1] == c" " or data[stop - 1] == c"\t"):
        stop -= 1
    element.size = stop - element.at
    return element.size > 0

cdef bint lists(const uint8_t* data, const Field* field, const char* lower, uint32_t size) noexcept nogil:
    """Whether the field's value, a list, has this element."""
    cdef Span rest, element
    rest.at = field.value_at
    rest.size = field.value_size
    while take_element(data, &rest, &element):
        if spells(data + element.at, element.size, <const uint8_t*>lower, size):
            return True
    return False

cdef uint32_t name_end(const uint8_t* text, uint32_t size) noexcept nogil:
    """Where the parameters of a media type or of a coding begin."""
    cdef uint32_t at
    for at in range(size):
        if text[at] == c";" or text[at] == c" " or text[at] == c"\t":
            return at
    return size

cdef int weight_of(const uint8_t* text, uint32_t size) noexcept nogil:
    """The weight behind a coding, in thousandths; none is 1000, and what is no weight (section 12.4.2) is 0."""
    cdef uint32_t at = 0
    cdef int weight, unit = 100
    while at < size and (text[at] == c" " or text[at] == c"\t"):
        at += 1
    if at == size:
        return 1000
    if text[at] != c";":
        return 0
    at += 1
    while at < size and (text[at] == c" " or text[at] == c"\t"):
        at += 1
    if size - at < 3 or text[at] | 0x20 != c"q" or text[at + 1] != c"=" or text[at + 2] < c"0" or text[at + 2] > c"1":
        return 0
    weight = (text[at + 2] - c"0") * 1000
    at += 3
    if at < size and text[at] == c".":
        at += 1
        while at < size and unit and c"0" <= text[at] <= c"9":
            weight += (text[at] - c"0") * unit
            unit //= 10
            at += 1
    return weight if at == size and weight <= 1000 else 0

cdef bint takes_gzip(const uint8_t* data, const Head* head) noexcept nogil:
    """Whether Accept-Encoding takes gzip, and no less gladly than what is not encoded. Without the field we encode nothing."""
    cdef int gzip = -1, star = -1, identity = -1, weight
    cdef uint32_t i, size
    cdef const uint8_t* text
    cdef Span rest, element
    for i in range(head.n_fields):
        if not is_named(data, &head.fields[i], b"accept-encoding", 15):
            continue
        rest.at = head.fields[i].value_at
        rest.size = head.fields[i].value_size
        while take_element(data, &rest, &element):
            text = data + element.at
            size = name_end(text, element.size)
            weight = weight_of(text + size, element.size - size)
            if spells(text, size, <const uint8_t*>b"gzip", 4) or spells(text, size, <const uint8_t*>b"x-gzip", 6):
                gzip = max(gzip, weight)
            elif spells(text, size, <const uint8_t*>b"*", 1):
                star = max(star, weight)
            elif spells(text, size, <const uint8_t*>b"identity", 8):
                identity = max(identity, weight)
    if gzip < 0:
        gzip = star
    return gzip > 0 and gzip >= identity

cdef bint client_takes_gzip(exchange_t* exchange) noexcept nogil:
    """relay.head holds the response by now, so the kept request is read once more."""
    cdef Head head
    if exchange.minor == 0:                 # it takes no chunks, and an encoded answer has no length in advance
        return False
    parse_request(exchange.client.input.data, exchange.head_size, 0, &exchange.relay.plan.head_limits, STRICT, &head)
    return takes_gzip(exchange.client.input.data, &head)


cdef bint is_listed(const gzip_t* gzip, const uint8_t* data, const Field* field) noexcept nogil:
    """Whether a Content-Type is one of the route's."""
    cdef const uint8_t* text = data + field.value_at
    cdef uint32_t i, size = name_end(text, field.value_size)
    for i in range(gzip.n_types):
        if spells(text, size, gzip.types[i].data, gzip.types[i].size):
            return True
    return False

cdef int64_t announced_length(const uint8_t* data, const Head* head) noexcept nogil:
    """Content-Length, also of an answer without a body (to HEAD, 304). -1: not known."""
    cdef const Field* field
    cdef uint32_t i
    cdef int64_t length = 0
    if head.first[NAME_CONTENT_LENGTH] == 0:
        return -1
    field = &head.fields[head.first[NAME_CONTENT_LENGTH] - 1]
    for i in range(min(field.value_size, <uint32_t>MAX_LENGTH_DIGITS)):
        length = length * 10 + data[field.value_at + i] - c"0"
    return length

cdef bint is_compressible(const gzip_t* gzip, const uint8_t* data, const Head* head) noexcept nogil:
    """Whether a client who takes gzip gets this answer in gzip, or would have got it (HEAD, 304)."""
    cdef uint32_t i
    cdef bint typed = head.status == 304    # it need not say a type
    cdef int64_t length = announced_length(data, head)
    cdef const Field* field
    # No body, or a part or a difference of what may not be encoded anew.
    if head.status == 204 or head.status == 205 or head.status == 206 or head.status == 226:
        return False
    if length == 0 or 0 < length < gzip.min:
        return False
    for i in range(head.n_fields):
        field = &head.fields[i]
        if is_named(data, field, b"content-type", 12):
            if not is_listed(gzip, data, field):
                return False
            typed = True
        elif is_named(data, field, b"content-encoding", 16) or is_named(data, field, b"content-range", 13):
            return False
        elif is_named(data, field, b"cache-control", 13) and lists(data, field, b"no-transform", 12):
            return False
    return typed

cdef int coding_of(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil:
    if not is_compressible(exchange.route.gzip, data, head):
        return CODING_PLAIN
    if not client_takes_gzip(exchange):
        return CODING_VARIES
    return CODING_HEAD if head.framing == BODY_NONE else CODING_GZIP

cdef void put_coding(exchange_t* exchange, const uint8_t* data, const Head* head, writer_t* writer) noexcept nogil:
    cdef uint32_t i
    cdef bint varies = False
    cdef const Field* field
    for i in range(head.n_fields):
        field = &head.fields[i]
        if is_dropped(data, head, field, &exchange.route.response_edits):
            continue
        if is_named(data, field, b"vary", 4):
            varies = varies or lists(data, field, b"accept-encoding", 15) or lists(data, field, b"*", 1)
        elif exchange.coding != CODING_VARIES and is_named(data, field, b"etag", 4):
            # The same bytes no longer, the same meaning still (section 8.8.1).
            put(writer, data + field.name_at, field.name_size)
            put(writer, b": W/", 4 if field.value_size and data[field.value_at] == c'"' else 2)
            put(writer, data + field.value_at, field.value_size)
            put(writer, b"\r\n", 2)
    if not varies:
        put(writer, b"Vary: Accept-Encoding\r\n", 23)
    if exchange.coding != CODING_VARIES and head.status != 304:
        put(writer, b"Content-Encoding: gzip\r\n", 24)
