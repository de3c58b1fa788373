"""Whatever the bytes, wherever they are cut: the same messages, no read outside; what is taken, written again, is the input."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from hotpath.core.wire.ws.deflate cimport (
    INFLATE_BROKEN,
    INFLATE_FED,
    INFLATE_MORE,
    Deflate,
    Progress,
    deflate_bound,
    deflate_close,
    deflate_some,
    inflate_some,
)
from hotpath.core.wire.ws.frame cimport (
    BROKEN,
    FIN,
    MAX_FRAME_HEAD,
    NEED_MORE,
    OP_TEXT,
    PIECE_CLOSE,
    PIECE_DATA,
    Piece,
    Receiver,
    Utf8,
    is_close_code,
    receive,
    take_piece,
    utf8_feed,
    write_frame_head,
)

cdef extern from "start.h" nogil:
    void require(bint holds, const char* what)

cdef enum:                      # the first byte of the input
    IS_CLIENT = 1
    DEFLATE = 2
    LIMITED = 4
    COMPRESSION = 8             # what follows is a message or compressed data, not frames

cdef enum:
    ENOUGH = 1 << 20            # what a bomb may make here

# All that may not depend on the cut.
cdef struct Outcome:
    uint64_t hash               # FNV-1a over what came
    uint64_t settled            # the same, up to the last whole message or control frame
    int64_t taken
    uint16_t close_code
    const char* error
    bint closed


# What libFuzzer calls: three bytes of options, then the stream.
cdef public int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) noexcept nogil:
    if size < 4:
        return 0
    cdef uint8_t options = data[0]
    cdef size_t cut = (data[1] | <size_t> data[2] << 8) % (size - 3)
    data += 3
    size -= 3
    check_text(data, size, cut)
    if options & COMPRESSION:
        check_deflate(data, size, cut, options)
        check_inflate(data, size, options)
    else:
        check_frames(data, size, cut, options)
    return 0


cdef void check_frames(const uint8_t* data, size_t size, size_t cut, uint8_t options) noexcept nogil:
    cdef Outcome whole = run(data, size, size, options)
    same(whole, run(data, size, 1, options))
    same(whole, run(data, size, cut if cut else 1, options))


cdef void same(Outcome one, Outcome other) noexcept nogil:
    require(one.close_code == other.close_code and one.error == other.error, b"a cut changed the refusal")
    require(one.settled == other.settled, b"a cut changed the messages")
    require(one.closed == other.closed, b"a cut changed the end")
    # How much of a message came before it was refused is up to the cut.
    require(one.close_code or one.hash == other.hash and one.taken == other.taken, b"a cut changed the payload")


# The stream in steps: what is not taken comes again with the next.
cdef Outcome run(const uint8_t* data, size_t size, size_t step, uint8_t options) noexcept nogil:
    cdef Outcome outcome
    cdef Receiver receiver
    cdef Deflate inflater
    cdef Utf8 utf8
    cdef Piece piece
    cdef size_t at = 0, end = 0
    cdef Py_ssize_t consumed = NEED_MORE
    cdef uint8_t* copy
    memset(&receiver, 0, sizeof(Receiver))
    memset(&inflater, 0, sizeof(Deflate))
    memset(&utf8, 0, sizeof(Utf8))
    receiver.is_client = options & IS_CLIENT != 0
    receiver.deflate = options & DEFLATE != 0
    if options & LIMITED:
        receiver.max_frame, receiver.max_message = 200, 300
    inflater.window_bits, inflater.keeps_context = 15, options & 16 != 0
    outcome.hash = outcome.settled = 0xcbf29ce484222325
    outcome.close_code, outcome.error = 0, NULL
    while end < size and not receiver.closed and not outcome.close_code:
        end += min(step, size - end)
        while True:
            copy = <uint8_t*> malloc(end - at if end > at else 1)   # of its own size, so that ASan sees its end
            memcpy(copy, data + at, end - at)
            consumed = receive(&receiver, copy, end - at, &piece)
            if consumed > 0:
                require(<size_t> consumed <= end - at, b"consumed what was not there")
                check_piece(&receiver, &piece, copy, consumed)
                take(&receiver, &inflater, &utf8, &piece, &outcome)
                at += consumed
            free(copy)
            if consumed <= 0 or outcome.close_code:
                break
        if consumed == BROKEN and not outcome.close_code:
            outcome.close_code, outcome.error = receiver.close_code, receiver.error
            require(receiver.close_code and receiver.error != NULL, b"refused without saying why")
        require(end - at <= MAX_FRAME_HEAD + 125 or outcome.close_code or receiver.closed, b"more was kept than a control frame")
    outcome.taken = at
    outcome.closed = receiver.closed
    deflate_close(&inflater)
    return outcome


# The flags fit, all lies inside; a frame's head, written again, is the one that stands there.
cdef void check_piece(const Receiver* receiver, const Piece* piece, const uint8_t* data, Py_ssize_t consumed) noexcept nogil:
    cdef uint8_t[MAX_FRAME_HEAD] head
    cdef uint8_t[4] mask
    cdef uint8_t first = receiver.first if piece.kind == PIECE_DATA else FIN | piece.opcode
    cdef Py_ssize_t size = 0
    require(piece.data >= data and piece.data + piece.size == data + consumed, b"payload that does not end what was consumed")
    memcpy(mask, piece.mask, 4)
    if piece.kind == PIECE_DATA:
        require(piece.size > 0 or piece.frame_ends, b"an empty piece within a frame")
        require(not piece.ends or piece.frame_ends, b"a message that ends within a frame")
        require(not piece.starts or piece.frame_starts, b"a message that starts within a frame")
        require(<int64_t> piece.size <= piece.frame_size, b"a piece larger than its frame")
        if not piece.frame_starts:
            require(piece.data == data, b"a head within a frame")
            return
    elif piece.kind == PIECE_CLOSE and piece.frame_size:
        require(is_close_code(piece.close_code), b"a close code that may not be")
        size = 2                # the code, which stands in front of the reason
        memcpy(mask, &piece.mask[2], 2)
        memcpy(mask + 2, piece.mask, 2)
    if piece.kind != PIECE_DATA:
        require(<int64_t> piece.size + size == piece.frame_size <= 125, b"a control frame of another size")
    size += write_frame_head(head, first, piece.frame_size, NULL if receiver.is_client else mask)
    require(size + <Py_ssize_t> piece.size == consumed, b"a head of another size")
    if piece.kind != PIECE_CLOSE or piece.frame_size == 0:
        require(memcmp(head, data, size) == 0, b"a head that is written in another way")


# Adds the piece to the outcome, as a server would take it.
cdef void take(Receiver* receiver, Deflate* inflater, Utf8* utf8, const Piece* piece, Outcome* outcome) noexcept nogil:
    cdef uint8_t* payload = <uint8_t*> malloc(piece.size if piece.size else 1)
    if not take_piece(receiver, piece, payload):
        outcome.close_code, outcome.error = receiver.close_code, receiver.error
        free(payload)
        return
    if piece.kind != PIECE_DATA:
        # A control frame stands between messages here, wherever within one it came.
        outcome.settled = add_byte(add(outcome.settled, payload, piece.size), piece.opcode)
    else:
        if piece.frame_starts:
            outcome.hash = add_byte(outcome.hash, receiver.first)
        if piece.compressed:
            if piece.starts:
                memset(utf8, 0, sizeof(Utf8))
            take_compressed(inflater, utf8, piece, payload, outcome)
        else:
            outcome.hash = add(outcome.hash, payload, piece.size)
        if piece.ends and not outcome.close_code:
            outcome.settled = add(outcome.settled, <uint8_t*> &outcome.hash, 8)
    free(payload)


cdef void take_compressed(Deflate* inflater, Utf8* utf8, const Piece* piece, const uint8_t* payload,
                          Outcome* outcome) noexcept nogil:
    cdef uint8_t[512] made
    cdef Progress progress
    cdef size_t at = 0, total = 0
    cdef int answer = INFLATE_MORE
    cdef bint is_text = True
    while answer == INFLATE_MORE and is_text and total < ENOUGH:
        answer = inflate_some(inflater, payload + at, piece.size - at, piece.ends, made, 512, &progress)
        require(progress.produced <= 512 and progress.consumed <= piece.size - at, b"inflated more than there was")
        outcome.hash = add(outcome.hash, made, progress.produced)
        at += progress.consumed
        total += progress.produced
        is_text = piece.opcode != OP_TEXT or utf8_feed(utf8, made, progress.produced)
    if piece.ends and piece.opcode == OP_TEXT and utf8.state:
        is_text = False
    if answer != INFLATE_FED or not is_text:
        outcome.close_code, outcome.error = 1007, NULL


# All at once, byte by byte and in two pieces: the same verdict.
cdef void check_text(const uint8_t* data, size_t size, size_t cut) noexcept nogil:
    cdef Utf8 whole, dripped, halves
    cdef bint is_text
    cdef size_t i
    memset(&whole, 0, sizeof(Utf8))
    memset(&dripped, 0, sizeof(Utf8))
    memset(&halves, 0, sizeof(Utf8))
    is_text = utf8_feed(&whole, data, size)
    for i in range(size):
        utf8_feed(&dripped, data + i, 1)
    utf8_feed(&halves, data, cut)
    utf8_feed(&halves, data + cut, size - cut)
    require(whole.state == dripped.state == halves.state, b"a cut changed what is text")
    require(is_text == utf8_feed(&dripped, data, 0), b"text, and yet not")


# A message in two parts comes back, and its parts keep to their bound.
cdef void check_deflate(const uint8_t* data, size_t size, size_t cut, uint8_t options) noexcept nogil:
    cdef Deflate deflater, inflater
    cdef size_t room = deflate_bound(cut) + deflate_bound(size - cut)
    cdef uint8_t* packed = <uint8_t*> malloc(room)
    cdef uint8_t* again = <uint8_t*> malloc(size)
    cdef Py_ssize_t first, last
    cdef Progress progress
    cdef int k
    memset(&deflater, 0, sizeof(Deflate))
    memset(&inflater, 0, sizeof(Deflate))
    deflater.window_bits = inflater.window_bits = 9 + (options >> 4) % 7
    deflater.keeps_context = inflater.keeps_context = options & IS_CLIENT != 0
    deflater.level, deflater.mem_level = 1 + (options >> 5), 1 + (options >> 5)
    for k in range(2):
        first = deflate_some(&deflater, data, cut, False, packed, deflate_bound(cut))
        require(first >= 0, b"a part over its bound")
        last = deflate_some(&deflater, data + cut, size - cut, True, packed + first, deflate_bound(size - cut))
        require(last > 0, b"the last part over its bound")
        require(inflate_some(&inflater, packed, first + last, True, again, size, &progress) == INFLATE_FED,
                b"our own message refused")
        require(progress.produced == size and memcmp(data, again, size) == 0, b"another message came back")
    deflate_close(&deflater)
    deflate_close(&inflater)
    free(packed)
    free(again)


# Any bytes, with much room and with little: the same verdict over the same payload.
cdef void check_inflate(const uint8_t* data, size_t size, uint8_t options) noexcept nogil:
    cdef uint64_t much = 0xcbf29ce484222325, little = much
    cdef int one = inflate_all(data, size, 4096, options, &much)
    cdef int other = inflate_all(data, size, 1 + (options >> 4), options, &little)
    require(one == other and (one == INFLATE_BROKEN or much == little), b"the room changed what was inflated")


cdef int inflate_all(const uint8_t* data, size_t size, size_t room, uint8_t options, uint64_t* hash) noexcept nogil:
    cdef Deflate inflater
    cdef Progress progress
    cdef size_t total = 0
    cdef int answer = INFLATE_MORE
    cdef uint8_t* made = <uint8_t*> malloc(room)
    memset(&inflater, 0, sizeof(Deflate))
    inflater.window_bits = 8 + (options >> 4) % 8
    while answer == INFLATE_MORE and total < ENOUGH // 16:
        answer = inflate_some(&inflater, data, size, True, made, min(room, ENOUGH // 16 - total), &progress)
        hash[0] = add(hash[0], made, progress.produced)
        data += progress.consumed
        size -= progress.consumed
        total += progress.produced
    deflate_close(&inflater)
    free(made)
    return answer


cdef uint64_t add(uint64_t hash, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        hash = add_byte(hash, data[i])
    return hash


cdef uint64_t add_byte(uint64_t hash, uint8_t byte) noexcept nogil:
    return (hash ^ byte) * <uint64_t> 0x100000001b3
