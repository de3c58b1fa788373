"""The body of an HTTP/1.1 message: where is payload, where does it end?"""
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t

from hotpath.core.wire.head cimport (
    BODY_CHUNKED,
    BODY_LENGTH,
    BODY_UNTIL_CLOSE,
    BROKEN,
    NEED_MORE,
    STRICT,
)


cdef extern from "chunked.h" nogil:
    enum:
        WRONG
        SIZE
        SIZE_MORE
        SIZE_BLANK
        FREE_EXT_CR
        SIZE_END
        DATA_CR
        DATA_END
        TRAILER_FIRST
        TRAILER_NAME
        TRAILER_LF
        BODY_END
    uint8_t framing_step(uint8_t rules, uint8_t state, uint8_t byte)
    int digit_16(uint8_t byte)


cdef enum:
    # Nobody is known to send extensions of any length; endless ones are an attack (CVE-2023-39326 in Go).
    MAX_EXTENSIONS = 4096
    # RFC 9112 asks to guard against overflow. h11 takes 20 digits; leading zeros count in both.
    MAX_SIZE_DIGITS = 16
    MAX_SIZE_DIGITS_H11 = 20
    # A Span holds 32 bits. More payload at once only takes a second call.
    MAX_PIECE = 0x40000000


cdef void body_start(Body* body, int framing, int64_t content_length, int rules, uint32_t max_trailers) noexcept nogil:
    body.framing = <uint8_t> framing
    body.rules = <uint8_t> rules
    body.state = SIZE
    body.last = BODY_DONE
    body.digits = 0
    body.overhead = 0
    body.max_trailers = max_trailers
    body.left = 0
    body.error = NULL
    if framing == BODY_CHUNKED:
        body.phase = BODY_SIZE
    elif framing == BODY_UNTIL_CLOSE:
        body.phase = BODY_DATA
        body.left = INT64_MAX
    elif framing == BODY_LENGTH and content_length > 0:
        body.phase = BODY_DATA
        body.left = content_length
    else:
        body.phase = BODY_DONE


cdef Py_ssize_t body_next(Body* body, const uint8_t* data, size_t size, Piece* piece) noexcept nogil:
    cdef size_t at = 0
    piece.data.at = 0
    piece.data.size = 0
    if body.error != NULL:
        return BROKEN
    if body.phase >= body.last:
        return 0
    if size == 0:
        return NEED_MORE
    while at < size:
        if body.phase == BODY_DATA:
            return take_data(body, at, size, piece)
        if not take_framing(body, data[at]):
            return BROKEN
        at += 1
        if body.phase >= body.last:
            break
    return <Py_ssize_t> at


# Payload at `at`, as much of it as there is. Returns where it ends.
cdef Py_ssize_t take_data(Body* body, size_t at, size_t size, Piece* piece) noexcept nogil:
    cdef size_t n = size - at
    if n > MAX_PIECE:
        n = MAX_PIECE
    if body.framing != BODY_UNTIL_CLOSE:
        if <int64_t> n > body.left:
            n = <size_t> body.left
        body.left -= <int64_t> n
        if body.left == 0:
            body.phase = BODY_DATA_END if body.framing == BODY_CHUNKED else BODY_DONE
            body.state = DATA_CR
    piece.data.at = <uint32_t> at
    piece.data.size = <uint32_t> n
    return <Py_ssize_t> (at + n)


# One byte of a size line, of the CRLF behind a chunk or of the trailers. False: body.error is set.
cdef bint take_framing(Body* body, uint8_t byte) noexcept nogil:
    cdef uint8_t state = framing_step(body.rules, body.state, byte)
    body.state = state
    if state == SIZE_MORE:
        return add_digit(body, byte)
    if SIZE_BLANK <= state <= FREE_EXT_CR:
        return count_overhead(body, MAX_EXTENSIONS if body.rules == STRICT else body.max_trailers, b"chunk extensions too long")
    if TRAILER_NAME <= state <= TRAILER_LF:
        return count_overhead(body, body.max_trailers, b"trailers too long")
    if state == SIZE_END:
        if body.left == 0:
            body.phase = BODY_TRAILERS
            body.state = TRAILER_FIRST
            body.overhead = 0
        else:
            body.phase = BODY_DATA
    elif state == DATA_END:
        body.phase = BODY_SIZE
        body.state = SIZE
        body.digits = 0
        if body.rules != STRICT:
            body.overhead = 0
    elif state == BODY_END:
        body.phase = BODY_DONE
    elif state == WRONG:
        return stop(body, b"malformed chunk size line" if body.phase == BODY_SIZE
                    else b"no CRLF behind a chunk" if body.phase == BODY_DATA_END else b"malformed trailer field")
    return True


cdef bint add_digit(Body* body, uint8_t byte) noexcept nogil:
    body.digits += 1
    if body.digits > (MAX_SIZE_DIGITS if body.rules == STRICT else MAX_SIZE_DIGITS_H11):
        return stop(body, b"chunk size has too many digits")
    if body.left > INT64_MAX >> 4:
        return stop(body, b"chunk size beyond 2**63-1")
    body.left = body.left << 4 | digit_16(byte)
    return True


cdef bint count_overhead(Body* body, uint32_t limit, const char* error) noexcept nogil:
    body.overhead += 1
    if body.overhead > limit:
        return stop(body, error)
    return True


cdef bint stop(Body* body, const char* error) noexcept nogil:
    body.error = error
    return False
