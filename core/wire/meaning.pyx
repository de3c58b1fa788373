"""What the fields of a head mean together: whose host, which framing, does the connection stay?

Spans in, verdicts out. A judging function answers False when it has refused the head; head.error then says why.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.wire.head cimport (
    BODY_CHUNKED,
    BODY_LENGTH,
    BODY_NONE,
    BODY_UNTIL_CLOSE,
    CONNECTION_CLOSE,
    CONNECTION_KEEP_ALIVE,
    CONNECTION_NOMINATES,
    CONNECTION_UPGRADE,
    METHOD_CONNECT,
    METHOD_HEAD,
    NAME_CONNECTION,
    NAME_CONTENT_LENGTH,
    NAME_EXPECT,
    NAME_HOST,
    NAME_TRANSFER_ENCODING,
    NAME_UPGRADE,
    TARGET_ABSOLUTE,
    Field,
    Head,
)
from hotpath.core.wire.target cimport is_host


cdef extern from "scan.h" nogil:
    enum:
        TOKEN
        DIGIT
    bint is_a(uint8_t byte, int class_bits)
    bint is_blank(uint8_t byte)
    const uint8_t* scan_class(const uint8_t* p, const uint8_t* end, int class_bits)
    const uint8_t* skip_blanks(const uint8_t* p, const uint8_t* end)


cdef extern from "words.h" nogil:
    bint is_word(const uint8_t* p, size_t size, const char* word)
    bint equal_words(const uint8_t* a, const uint8_t* b, size_t size)


cdef enum:
    # As h11: 2**63-1 has 19, and nobody needs many leading zeros.
    MAX_LENGTH_DIGITS = 20

cdef enum:
    MAX_TENTH = 922337203685477580      # (2**63-1) / 10


cdef bint judge_request(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil:
    if not judge_host(head, data, strict, repeated) or not judge_framing(head, data, strict, repeated):
        return False
    if head.framing == BODY_UNTIL_CLOSE:            # the end of a request is never the end of the connection
        head.framing = BODY_NONE
    judge_connection(head, data, repeated)
    if head.first[NAME_EXPECT]:
        judge_expect(head, data)
    return True


cdef bint judge_response(Head* head, const uint8_t* data, bint strict, uint32_t repeated, int method_id) noexcept nogil:
    if not judge_framing(head, data, strict, repeated):
        return False
    if (head.status < 200 or head.status == 204 or head.status == 304 or method_id == METHOD_HEAD
            or (method_id == METHOD_CONNECT and head.status < 300)):
        head.framing = BODY_NONE
        head.content_length = -1
    judge_connection(head, data, repeated)
    return True


cdef bint judge_trailers(Head* head, const uint8_t* data, uint32_t repeated) noexcept nogil:
    return judge_framing(head, data, False, repeated)


# RFC 9112 section 3.2, RFC 9110 section 7.2.
cdef bint judge_host(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil:
    cdef Field* field
    cdef const uint8_t* value
    if not head.first[NAME_HOST]:
        if head.major == 1 and head.minor == 1:
            return refuse(head, 400, b"no Host")
        return True
    if repeated & 1u << NAME_HOST:
        return refuse(head, 400, b"more than one Host")
    field = &head.fields[head.first[NAME_HOST] - 1]
    value = data + field.value_at
    if strict:
        if not is_host(value, value + field.value_size):
            return refuse(head, 400, b"malformed Host")
        if head.form == TARGET_ABSOLUTE:
            if head.host.size != field.value_size or not equal_words(data + head.host.at, value, field.value_size):
                return refuse(head, 400, b"Host is not the host of the target")
            return True
    head.host.at = field.value_at
    head.host.size = field.value_size
    return True


# RFC 9112 section 6.3, but for the cases that the status or the request's method decide. What is left without a length
# lasts until the connection closes.
cdef bint judge_framing(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil:
    cdef bint has_length = head.first[NAME_CONTENT_LENGTH] != 0
    cdef bint has_coding = head.first[NAME_TRANSFER_ENCODING] != 0
    if not has_length and not has_coding:
        head.framing = BODY_UNTIL_CLOSE
        return True
    if has_length and has_coding and strict:
        return refuse(head, 400, b"Content-Length with Transfer-Encoding")
    if has_length and not judge_lengths(head, data, strict, repeated):
        return False
    if has_coding:
        if not judge_coding(head, data, strict, repeated):
            return False
        head.framing = BODY_CHUNKED
        head.content_length = -1
    else:
        head.framing = BODY_LENGTH
    return True


cdef bint judge_lengths(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil:
    cdef Field* field
    cdef uint16_t i
    if strict:
        if repeated & 1u << NAME_CONTENT_LENGTH:
            return refuse(head, 400, b"more than one Content-Length")
        field = &head.fields[head.first[NAME_CONTENT_LENGTH] - 1]
        head.content_length = decimal(data + field.value_at, field.value_size)
        if head.content_length < 0:
            return refuse(head, 400, b"malformed Content-Length")
        return True
    for i in range(head.first[NAME_CONTENT_LENGTH] - 1, head.n_fields):
        if head.fields[i].known == NAME_CONTENT_LENGTH and not same_length_again(head, data, &head.fields[i]):
            return refuse(head, 400, b"malformed or conflicting Content-Length")
    return True


# h11 takes lists and repetitions of one and the same number, digit for digit. Digit for digit: "5, 05" is refused, so the
# number of digits is compared too.
cdef bint same_length_again(Head* head, const uint8_t* data, const Field* field) noexcept nogil:
    cdef Field* first = &head.fields[head.first[NAME_CONTENT_LENGTH] - 1]
    cdef const uint8_t* first_end = data + first.value_at
    cdef const uint8_t* p = data + field.value_at
    cdef const uint8_t* end = p + field.value_size
    cdef const uint8_t* start
    cdef int64_t length
    first_end = scan_class(first_end, first_end + first.value_size, DIGIT)
    while True:
        while p < end and is_fold_or_blank(p[0]):
            p += 1
        start = p
        p = scan_class(p, end, DIGIT)
        length = decimal(start, <size_t> (p - start))
        if length < 0 or p - start != first_end - (data + first.value_at):
            return False
        if head.content_length >= 0 and length != head.content_length:
            return False
        head.content_length = length
        while p < end and is_fold_or_blank(p[0]):
            p += 1
        if p == end:
            return True
        if p[0] != c",":
            return False
        p += 1


cdef bint is_fold_or_blank(uint8_t byte) noexcept nogil:
    return is_blank(byte) or byte == c"\r" or byte == c"\n"


# -1: not 1*DIGIT, too many of them, or beyond 2**63-1.
cdef int64_t decimal(const uint8_t* p, size_t size) noexcept nogil:
    cdef uint64_t number = 0
    cdef const uint8_t* end = p + size
    if size == 0 or size > MAX_LENGTH_DIGITS:
        return -1
    while p < end:
        if not is_a(p[0], DIGIT) or number > MAX_TENTH:
            return -1
        number = number * 10 + p[0] - c"0"
        p += 1
    return <int64_t> number if number <= <uint64_t> INT64_MAX else -1


cdef bint judge_coding(Head* head, const uint8_t* data, bint strict, uint32_t repeated) noexcept nogil:
    cdef Field* field = &head.fields[head.first[NAME_TRANSFER_ENCODING] - 1]
    cdef const uint8_t* value = data + field.value_at
    if repeated & 1u << NAME_TRANSFER_ENCODING:
        return refuse(head, 400 if strict else 501, b"more than one Transfer-Encoding")
    if not is_word(value, field.value_size, b"chunked"):
        if strict and not names_unknown_codings(value, value + field.value_size):
            return refuse(head, 400, b"malformed Transfer-Encoding")
        return refuse(head, 501, b"Transfer-Encoding other than chunked")
    if strict and head.minor == 0:
        return refuse(head, 400, b"Transfer-Encoding in HTTP/1.0")
    return True


# Is it a well-formed list of codings, "chunked" at most at its end? Then it is not wrong, only more than we know.
cdef bint names_unknown_codings(const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef const uint8_t* start
    while True:
        start = p
        p = scan_class(p, end, TOKEN)
        if p == start:
            return False
        if p == end:
            return True
        if is_word(start, <size_t> (p - start), b"chunked"):
            return False
        p = skip_blanks(p, end)
        if p == end or p[0] != c",":
            return False
        p = skip_blanks(p + 1, end)


# RFC 9112 section 9.3: connection bits, keep_alive, upgrades_websocket.
cdef void judge_connection(Head* head, const uint8_t* data, uint32_t repeated) noexcept nogil:
    cdef Field* field
    cdef uint16_t i
    if head.first[NAME_CONNECTION]:
        for i in range(head.first[NAME_CONNECTION] - 1, head.n_fields):
            field = &head.fields[i]
            if field.known == NAME_CONNECTION:
                head.connection |= connection_bits(data + field.value_at, field.value_size)
                if not repeated & 1u << NAME_CONNECTION:
                    break
    if head.connection & CONNECTION_CLOSE:
        head.keep_alive = False
    elif is_1_1(head):
        head.keep_alive = True
    else:
        head.keep_alive = head.major == 1 and head.connection & CONNECTION_KEEP_ALIVE != 0
    if head.connection & CONNECTION_UPGRADE and head.first[NAME_UPGRADE] and not repeated & 1u << NAME_UPGRADE:
        field = &head.fields[head.first[NAME_UPGRADE] - 1]
        head.upgrades_websocket = is_word(data + field.value_at, field.value_size, b"websocket")


cdef uint8_t connection_bits(const uint8_t* p, size_t size) noexcept nogil:
    cdef const uint8_t* end = p + size
    cdef const uint8_t* start
    cdef uint8_t bits = 0
    cdef size_t n
    while next_item(&p, end, &start, &n):
        if is_word(start, n, b"keep-alive"):
            bits |= CONNECTION_KEEP_ALIVE
        elif is_word(start, n, b"close"):
            bits |= CONNECTION_CLOSE
        elif is_word(start, n, b"upgrade"):
            bits |= CONNECTION_UPGRADE
        else:
            bits |= CONNECTION_NOMINATES
    return bits


# RFC 9110 section 10.1.1: a 1.0 client cannot wait for 100.
cdef void judge_expect(Head* head, const uint8_t* data) noexcept nogil:
    cdef const uint8_t* p
    cdef const uint8_t* end
    cdef const uint8_t* start
    cdef size_t n
    cdef uint16_t i
    for i in range(head.first[NAME_EXPECT] - 1, head.n_fields):
        if head.fields[i].known != NAME_EXPECT:
            continue
        p = data + head.fields[i].value_at
        end = p + head.fields[i].value_size
        while next_item(&p, end, &start, &n):
            if not is_word(start, n, b"100-continue"):
                head.expects_other = True
            elif is_1_1(head):
                head.expects_continue = True


# Or later, which only the rules of H11 let in.
cdef bint is_1_1(const Head* head) noexcept nogil:
    return head.major > 1 or (head.major == 1 and head.minor >= 1)


# The next non-empty item of a comma-separated list (RFC 9110 section 5.6.1). False: there is none.
cdef bint next_item(const uint8_t** p, const uint8_t* end, const uint8_t** start, size_t* size) noexcept nogil:
    cdef const uint8_t* at = p[0]
    cdef const uint8_t* item_end
    while at < end and (at[0] == c"," or is_fold_or_blank(at[0])):
        at += 1
    if at == end:
        return False
    start[0] = at
    while at < end and at[0] != c",":
        at += 1
    item_end = at
    while is_fold_or_blank(item_end[-1]):           # ends at the latest behind start[0], which is neither
        item_end -= 1
    size[0] = <size_t> (item_end - start[0])
    p[0] = at
    return True


cdef bint refuse(Head* head, int status, const char* error) noexcept nogil:
    head.error_status = <uint16_t> status
    head.error = error
    return False
