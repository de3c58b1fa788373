"""Whatever the bytes, wherever they are cut: the same answer, spans inside the input, nothing STRICT takes is lost on H11."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from hotpath.core.wire.http1 cimport (
    BODY_DONE,
    BROKEN,
    H11,
    NEED_MORE,
    STRICT,
    Body,
    Field,
    Head,
    Limits,
    Piece,
    Span,
    body_next,
    body_start,
    parse_request,
    parse_response,
)
from hotpath.core.wire.payload cimport take_payload


cdef extern from "start.h" nogil:
    void require(bint holds, const char* what)
    void count_kind(const char* name, int kind)

cdef enum:
    FNV_BASIS = 0xcbf29ce484222325
    FNV_PRIME = 0x100000001b3

# What a connection made of all that came in on it.
cdef struct Story:
    uint32_t n_heads
    uint32_t n_bodies           # complete ones
    uint64_t hash               # of every head's verdict and every byte of payload, in order
    Py_ssize_t last             # NEED_MORE or BROKEN, of the head or body that ended it; 0: between two messages
    bint in_body
    const char* error

cdef struct Outcome:
    Py_ssize_t taken            # bytes of the body
    uint64_t payload_hash       # FNV-1a
    uint8_t phase
    const char* error


# What libFuzzer calls: three bytes of options, then the message.
cdef public int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) noexcept nogil:
    cdef Limits limits
    if size < 4:
        return 0
    cdef bint is_response = data[0] & 1
    cdef uint8_t method = data[0] >> 4
    cdef size_t cut = data[1] | (<size_t> data[2] << 8)
    if data[0] & 2:
        limits.line, limits.head, limits.fields = 24, 80, 3
    else:
        limits.line, limits.head, limits.fields = 8192, 32768, 100
    count_kind(b"response" if is_response else b"request", is_response)
    check_message(data + 3, size - 3, cut % (size - 3), &limits, is_response, method)
    check_stream(data + 3, size - 3, 1 + cut % 97, &limits, is_response, method)
    return 0


cdef void check_message(const uint8_t* data, size_t size, size_t cut, const Limits* limits, bint is_response,
                        uint8_t method) noexcept nogil:
    cdef Head strict, lenient
    cdef Py_ssize_t consumed = parse(data, size, 0, limits, STRICT, is_response, method, &strict)
    cdef Py_ssize_t consumed_h11 = parse(data, size, 0, limits, H11, is_response, method, &lenient)
    check_head(data, size, consumed, &strict)
    check_head(data, size, consumed_h11, &lenient)
    require(consumed != NEED_MORE or not has_end(data, size), b"waited for more behind the end of a head")
    check_cut(data, size, cut, limits, STRICT, is_response, method, consumed, &strict)
    check_cut(data, size, cut, limits, H11, is_response, method, consumed_h11, &lenient)
    if consumed > 0 and h11_should_agree(data, is_response, &strict):
        require(consumed == consumed_h11, b"STRICT took a head that H11 did not")
        require(strict.framing == lenient.framing, b"STRICT and H11 framed differently")
        require(strict.content_length == lenient.content_length, b"STRICT and H11 read another length")
        require(strict.n_fields == lenient.n_fields, b"STRICT and H11 read other fields")
    if consumed > 0:
        check_body(data + consumed, size - consumed, &strict)


cdef Py_ssize_t parse(const uint8_t* data, size_t size, size_t seen, const Limits* limits, int rules, bint is_response,
                      uint8_t method, Head* head) noexcept nogil:
    if is_response:
        return parse_response(data, size, seen, limits, rules, method, head)
    return parse_request(data, size, seen, limits, rules, head)


# An empty line, but for one in front.
cdef bint has_end(const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(3, size):
        if data[i] == c"\n" and data[i - 1] == c"\r" and data[i - 2] == c"\n":
            return True
    return False


# STRICT alone takes a CRLF in front of a request, and blanks before the colon of a response's field.
cdef bint h11_should_agree(const uint8_t* data, bint is_response, const Head* head) noexcept nogil:
    cdef uint16_t i
    if not is_response:
        return data[0] != c"\r"
    for i in range(head.n_fields):
        if data[head.fields[i].name_at + head.fields[i].name_size] != c":":
            return False
    return True


cdef void check_head(const uint8_t* data, size_t size, Py_ssize_t consumed, const Head* head) noexcept nogil:
    cdef uint16_t i
    cdef const Field* field
    if consumed == BROKEN:
        require(head.error != NULL and head.error_status >= 400, b"refused without saying why")
        return
    if consumed == NEED_MORE:
        return
    require(0 < consumed and <size_t> consumed <= size, b"consumed what was not there")
    require(data[consumed - 1] == c"\n", b"a head that does not end in LF")
    inside(&head.method, consumed)
    inside(&head.target, consumed)
    inside(&head.path, consumed)
    inside(&head.query, consumed)
    inside(&head.host, consumed)
    inside(&head.reason, consumed)
    for i in range(head.n_fields):
        field = &head.fields[i]
        require(field.name_size > 0, b"an empty field name")
        require(field.name_at + field.name_size <= field.value_at, b"a value before its name")
        require(field.value_at + field.value_size < consumed, b"a value behind the head")


cdef void inside(const Span* span, Py_ssize_t consumed) noexcept nogil:
    require(<Py_ssize_t> span.at + span.size < consumed, b"a span behind the head")


# First a piece, then all of it. A refusal may come with the piece.
cdef void check_cut(const uint8_t* data, size_t size, size_t cut, const Limits* limits, int rules, bint is_response,
                    uint8_t method, Py_ssize_t consumed, const Head* whole) noexcept nogil:
    cdef Head head
    cdef uint8_t* piece = <uint8_t*> malloc(cut if cut else 1)      # of its own size, so that ASan sees its end
    memcpy(piece, data, cut)
    cdef Py_ssize_t found = parse(piece, cut, 0, limits, rules, is_response, method, &head)
    free(piece)
    if found == NEED_MORE:
        found = parse(data, size, cut, limits, rules, is_response, method, &head)
        # Without an end in sight the second call may wait longer than the first parse had to.
        if found == NEED_MORE and consumed == BROKEN:
            return
    require(found == consumed, b"a cut changed the verdict")
    if found == BROKEN:
        require(head.error_status == whole.error_status, b"a cut changed the status")
        require(head.error == whole.error, b"a cut changed the reason")
    elif found > 0:
        require(head.n_fields == whole.n_fields and head.framing == whole.framing, b"a cut changed the head")


cdef void check_body(const uint8_t* data, size_t size, const Head* head) noexcept nogil:
    cdef Outcome whole = run_body(data, size, size if size else 1, STRICT, head)
    cdef Outcome dripped = run_body(data, size, 1, STRICT, head)
    cdef Outcome lenient = run_body(data, size, size if size else 1, H11, head)
    require(whole.payload_hash == dripped.payload_hash, b"a cut changed the payload")
    require(whole.phase == dripped.phase and whole.error == dripped.error, b"a cut changed the body's end")
    require(whole.error != NULL or whole.taken == dripped.taken, b"a cut changed where the body ends")
    if whole.phase == BODY_DONE:
        require(lenient.phase == BODY_DONE and lenient.taken == whole.taken, b"STRICT ended a body where H11 did not")
        require(lenient.payload_hash == whole.payload_hash, b"STRICT and H11 read other payload")


cdef Outcome run_body(const uint8_t* data, size_t size, size_t step, int rules, const Head* head) noexcept nogil:
    cdef Outcome outcome
    cdef Body body
    cdef Piece piece
    cdef size_t at = 0, n, i
    cdef Py_ssize_t consumed
    body_start(&body, head.framing, head.content_length, rules, 4096)
    outcome.payload_hash = FNV_BASIS
    while at < size and body.phase != BODY_DONE:
        n = size - at if size - at < step else step
        consumed = body_next(&body, data + at, n, &piece)
        if consumed == BROKEN:
            break
        require(0 < consumed and <size_t> consumed <= n, b"a body took what was not there")
        require(<size_t> piece.data.at + piece.data.size <= <size_t> consumed, b"payload behind what was taken")
        for i in range(piece.data.size):
            outcome.payload_hash = (outcome.payload_hash ^ data[at + piece.data.at + i]) * FNV_PRIME
        at += consumed
    outcome.taken = at
    outcome.phase = body.phase
    outcome.error = body.error
    return outcome


# Message behind message, as a connection sees them: dripped, in pieces and at once, the same story.
cdef void check_stream(const uint8_t* data, size_t size, size_t step, const Limits* limits, bint is_response,
                       uint8_t method) noexcept nogil:
    cdef Story whole = tell(data, size, size, limits, is_response, method)
    cdef Story pieces = tell(data, size, step, limits, is_response, method)
    cdef Story dripped = tell(data, size, 1, limits, is_response, method)
    same_story(&whole, &pieces)
    same_story(&whole, &dripped)


cdef void same_story(const Story* whole, const Story* other) noexcept nogil:
    require(whole.n_heads == other.n_heads, b"pieces made another number of heads")
    require(whole.n_bodies == other.n_bodies, b"pieces made another number of bodies")
    require(whole.in_body == other.in_body, b"pieces ended elsewhere")
    require(whole.hash == other.hash, b"pieces told another story")
    # A head that never ends may be refused later when it drips: nonsense has until it has doubled.
    if whole.last == BROKEN and other.last == NEED_MORE and not whole.in_body:
        return
    require(whole.last == other.last and whole.error == other.error, b"pieces changed the verdict")


cdef Story tell(const uint8_t* data, size_t size, size_t step, const Limits* limits, bint is_response, uint8_t method) noexcept nogil:
    cdef Story story
    cdef Head head
    cdef Body body
    cdef size_t start = 0, seen = 0, end = 0, n = 0, i
    cdef Py_ssize_t used
    cdef uint8_t* payload
    cdef uint8_t* piece = <uint8_t*> malloc(size)       # take_payload moves things
    story.n_heads = story.n_bodies = 0
    story.hash = FNV_BASIS
    story.last = 0
    story.in_body = False
    story.error = NULL
    while True:
        if start == end or story.last == NEED_MORE:
            if end == size:
                break
            end = size if size - end < step else end + step
            story.last = 0
        if not story.in_body:
            used = parse(data + start, end - start, seen, limits, STRICT, is_response, method, &head)
            if used == NEED_MORE:
                seen = end - start
                story.last = NEED_MORE
                continue
            if used == BROKEN:
                story.last = BROKEN
                story.error = head.error
                break
            mix(&story, used << 16 | head.n_fields << 8 | head.framing)
            story.n_heads += 1
            start += used
            seen = 0
            body_start(&body, head.framing, head.content_length, STRICT, limits.head)
            story.in_body = True
        else:
            memcpy(piece, data + start, end - start)
            used = take_payload(&body, piece, end - start, &payload, &n)
            if used < 0:
                story.last = BROKEN
                story.error = body.error
                break
            require(<size_t> used <= end - start, b"a payload took what was not there")
            require(payload >= piece and payload + n <= piece + used, b"payload outside what was taken")
            for i in range(n):
                story.hash = (story.hash ^ payload[i]) * FNV_PRIME
            start += used
            require(start == end or body.phase == BODY_DONE, b"a body left what it could have taken")
        if body.phase == BODY_DONE:
            story.in_body = False
            story.n_bodies += 1
    if story.in_body and story.last == BROKEN:
        story.hash = 0                                  # how much payload comes out before the fault depends on the pieces
    free(piece)
    return story


cdef void mix(Story* story, uint64_t what) noexcept nogil:
    story.hash = (story.hash ^ what) * FNV_PRIME
