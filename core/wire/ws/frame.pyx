"""WebSocket frames: heads read and written, incoming ones judged, their payload handed on as it comes (RFC 6455 section 5)."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "mask.h" nogil:
    void unmask_bytes(uint8_t* to, const uint8_t* data, size_t size, const uint8_t* mask)

cdef extern from "utf8.h" nogil:
    enum:
        BETWEEN
        NO_TEXT
    uint32_t utf8_next(uint32_t state, const uint8_t* data, size_t size)
    uint32_t utf8_unmask(uint32_t state, uint8_t* to, const uint8_t* data, size_t size, const uint8_t* mask)

cdef enum:                      # the second byte of a frame
    MASKED = 0x80
    LENGTH = 0x7f
    LENGTH_16 = 126             # the length follows in two bytes
    LENGTH_64 = 127             # in eight

cdef enum:
    IS_CONTROL = 8              # in an opcode


# The bytes in front of the mask (2, 4 or 10), NEED_MORE or BROKEN. A wrong length shows before its mask is here.
cdef Py_ssize_t read_length(const uint8_t* data, size_t size, FrameHead* head) noexcept nogil:
    cdef uint64_t length
    cdef int i
    if size < 2:
        return NEED_MORE
    head.first = data[0]
    head.opcode = data[0] & 0x0f
    head.masked = data[1] & MASKED != 0
    length = data[1] & LENGTH
    if length < LENGTH_16:
        head.size = length
        return 2
    if length == LENGTH_16:
        if size < 4:
            return NEED_MORE
        head.size = data[2] << 8 | data[3]
        return 4 if head.size >= LENGTH_16 else BROKEN
    if size < 10:
        return NEED_MORE
    length = 0
    for i in range(2, 10):
        length = length << 8 | data[i]
    if length <= 0xffff or length > <uint64_t> INT64_MAX:
        return BROKEN
    head.size = length
    return 10


cdef Py_ssize_t read_mask(const uint8_t* data, size_t size, Py_ssize_t at, FrameHead* head) noexcept nogil:
    if head.masked:
        if size < <size_t> at + 4:
            return NEED_MORE
        memcpy(head.mask, data + at, 4)
        at += 4
    else:
        memset(head.mask, 0, 4)
    head.head_size = at
    return at


cdef Py_ssize_t read_frame_head(const uint8_t* data, size_t size, FrameHead* head) noexcept nogil:
    cdef Py_ssize_t at = read_length(data, size, head)
    return at if at < 0 else read_mask(data, size, at, head)


cdef Py_ssize_t write_frame_head(uint8_t* to, uint8_t first, uint64_t size, const uint8_t* mask) noexcept nogil:
    cdef uint8_t masked = 0 if mask == NULL else MASKED
    cdef Py_ssize_t at
    cdef int i
    to[0] = first
    if size < LENGTH_16:
        to[1] = masked | <uint8_t> size
        at = 2
    elif size <= 0xffff:
        to[1] = masked | LENGTH_16
        to[2] = <uint8_t> (size >> 8)
        to[3] = <uint8_t> size
        at = 4
    else:
        to[1] = masked | LENGTH_64
        for i in range(8):
            to[2 + i] = <uint8_t> (size >> (56 - 8 * i))
        at = 10
    if mask != NULL:
        memcpy(to + at, mask, 4)
        at += 4
    return at


cdef void unmask(uint8_t* to, const uint8_t* data, size_t size, const uint8_t* mask) noexcept nogil:
    unmask_bytes(to, data, size, mask)


cdef bint is_close_code(int code) noexcept nogil:
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cdef bint utf8_feed(Utf8* utf8, const uint8_t* data, size_t size) noexcept nogil:
    utf8.state = utf8_next(utf8.state, data, size)
    return utf8.state != NO_TEXT


cdef Py_ssize_t receive(Receiver* receiver, const uint8_t* data, size_t size, Piece* piece) noexcept nogil:
    cdef FrameHead head
    cdef Py_ssize_t at
    if receiver.closed:
        return 0
    if receiver.close_code:
        return BROKEN
    if size == 0:
        return NEED_MORE
    if receiver.in_frame:
        return hand_on(receiver, data, size, 0, piece)
    # In the order in which the bytes come, so that a cut changes nothing.
    if not judge_first(receiver, data[0]) or size > 1 and not judge_second(receiver, data[0], data[1]):
        return BROKEN
    at = read_length(data, size, &head)
    if at == NEED_MORE:
        return NEED_MORE
    if at == BROKEN:
        return refuse(receiver, CLOSE_PROTOCOL_ERROR, b"length not in its shortest form, or with its highest bit set")
    if not judge_size(receiver, &head):
        return BROKEN
    at = read_mask(data, size, at, &head)
    if at == NEED_MORE:
        return NEED_MORE
    if head.opcode & IS_CONTROL:
        return hand_on_control(receiver, data, size, &head, piece)
    if head.size > 0 and size == <size_t> at:
        return NEED_MORE        # so that only a frame without payload is an empty piece
    begin_frame(receiver, &head)
    return hand_on(receiver, data + at, size - at, at, piece)


# BROKEN, with its reason.
cdef Py_ssize_t refuse(Receiver* receiver, uint16_t close_code, const char* error) noexcept nogil:
    receiver.close_code = close_code
    receiver.error = error
    return BROKEN


# May a frame begin so, here?
cdef bint judge_first(Receiver* receiver, uint8_t first) noexcept nogil:
    cdef uint8_t opcode = first & 0x0f
    cdef uint8_t reserved = first & (RSV1 | RSV2 | RSV3)
    if receiver.deflate and (opcode == OP_TEXT or opcode == OP_BINARY):
        reserved &= ~RSV1
    if reserved:
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"a reserved bit is set")
    elif opcode > OP_PONG or OP_BINARY < opcode < OP_CLOSE:
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"reserved opcode")
    elif opcode & IS_CONTROL:
        if first & FIN:
            return True
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"fragmented control frame")
    elif opcode == OP_CONTINUATION:
        if receiver.opcode:
            return True
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"continuation of no message")
    else:
        if not receiver.opcode:
            return True
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"new message within a message")
    return False


cdef bint judge_second(Receiver* receiver, uint8_t first, uint8_t second) noexcept nogil:
    if (second & MASKED == 0) != (receiver.is_client != 0):
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"masked frame from a server" if receiver.is_client else b"frame without a mask")
    elif first & IS_CONTROL and second & LENGTH > MAX_CONTROL:
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"control frame longer than 125 bytes")
    elif first & 0x0f == OP_CLOSE and second & LENGTH == 1:
        refuse(receiver, CLOSE_PROTOCOL_ERROR, b"close frame with half a code")
    else:
        return True
    return False


cdef bint judge_size(Receiver* receiver, const FrameHead* head) noexcept nogil:
    cdef int64_t total = 0 if head.opcode != OP_CONTINUATION else receiver.total
    if head.opcode & IS_CONTROL:
        return True
    if receiver.max_frame and head.size > receiver.max_frame:
        refuse(receiver, CLOSE_TOO_BIG, b"frame over the limit")
    elif receiver.max_message and head.size > receiver.max_message - total:
        refuse(receiver, CLOSE_TOO_BIG, b"message over the limit")
    else:
        return True
    return False


# A data frame, all of whose head is here and may be.
cdef void begin_frame(Receiver* receiver, const FrameHead* head) noexcept nogil:
    if head.opcode != OP_CONTINUATION:
        receiver.opcode = head.opcode
        receiver.compressed = head.first & RSV1 != 0
        receiver.total = 0
    receiver.first = head.first
    memcpy(receiver.mask, head.mask, 4)
    receiver.left = receiver.frame_size = head.size
    # Without a limit the sum could overflow; nobody compares it then.
    receiver.total = INT64_MAX if head.size > INT64_MAX - receiver.total else receiver.total + head.size


# What `data` holds of the frame under way. `head_size` bytes stood in front of it; 0: its head came earlier.
cdef Py_ssize_t hand_on(Receiver* receiver, const uint8_t* data, size_t size, Py_ssize_t head_size, Piece* piece) noexcept nogil:
    if <uint64_t> receiver.left < size:
        size = receiver.left
    piece.kind = PIECE_DATA
    piece.opcode = receiver.opcode
    piece.compressed = receiver.compressed
    piece.frame_starts = head_size != 0
    piece.starts = piece.frame_starts and receiver.first & 0x0f != OP_CONTINUATION
    memcpy(piece.mask, receiver.mask, 4)
    piece.close_code = 0
    piece.data = data
    piece.size = size
    piece.frame_size = receiver.frame_size
    receiver.left -= size
    piece.frame_ends = receiver.left == 0
    piece.ends = piece.frame_ends and receiver.first & FIN != 0
    receiver.in_frame = not piece.frame_ends
    if piece.ends:
        receiver.opcode = 0
    elif receiver.in_frame:
        turn(receiver.mask, size)
    return head_size + size


# Turns the mask by as many bytes as were handed on.
cdef void turn(uint8_t* mask, size_t n) noexcept nogil:
    cdef uint8_t[8] twice
    memcpy(twice, mask, 4)
    memcpy(twice + 4, mask, 4)
    memcpy(mask, twice + (n & 3), 4)


# A control frame, all of whose head is here and may be.
cdef Py_ssize_t hand_on_control(Receiver* receiver, const uint8_t* data, size_t size, const FrameHead* head,
                                Piece* piece) noexcept nogil:
    cdef const uint8_t* payload = data + head.head_size
    cdef size_t length = head.size
    if size - head.head_size < length:
        return NEED_MORE
    memset(piece, 0, sizeof(Piece))
    memcpy(piece.mask, head.mask, 4)
    piece.data = payload
    piece.size = length
    piece.kind = PIECE_PING if head.opcode == OP_PING else PIECE_PONG if head.opcode == OP_PONG else PIECE_CLOSE
    piece.opcode = head.opcode
    piece.frame_size = length
    if head.opcode == OP_CLOSE:
        piece.close_code = CLOSE_NO_STATUS
        if length:
            piece.close_code = (payload[0] ^ head.mask[0]) << 8 | payload[1] ^ head.mask[1]
            if not is_close_code(piece.close_code):
                return refuse(receiver, CLOSE_PROTOCOL_ERROR, b"close frame with a code that may not stand there")
            piece.data += 2
            piece.size -= 2
            turn(piece.mask, 2)
        receiver.closed = True
    return head.head_size + length


cdef bint take_piece(Receiver* receiver, const Piece* piece, uint8_t* to) noexcept nogil:
    cdef uint32_t state
    if piece.kind == PIECE_CLOSE:
        state = utf8_unmask(BETWEEN, to, piece.data, piece.size, piece.mask)
        if state != BETWEEN:
            refuse(receiver, CLOSE_INVALID_DATA, b"the reason of a close frame is not UTF-8")
            return False
    elif piece.kind == PIECE_DATA and piece.opcode == OP_TEXT and not piece.compressed:
        state = utf8_unmask(BETWEEN if piece.starts else receiver.utf8.state, to, piece.data, piece.size, piece.mask)
        receiver.utf8.state = state
        if state == NO_TEXT or piece.ends and state != BETWEEN:
            refuse(receiver, CLOSE_INVALID_DATA, b"a text message is not UTF-8")
            return False
    else:
        unmask_bytes(to, piece.data, piece.size, piece.mask)
    return True


cdef Py_ssize_t scan(const uint8_t* data, size_t size) noexcept nogil:
    cdef Receiver receiver
    cdef Piece piece
    cdef Py_ssize_t consumed
    memset(&receiver, 0, sizeof(Receiver))
    receiver.is_client = size > 1 and data[1] & MASKED == 0
    consumed = receive(&receiver, data, size, &piece)
    return NEED_MORE if receiver.in_frame else consumed


def scan_frame(object data, int repeat=1) -> int:
    """Bytes of the frame that `data` begins with, head and payload; -2: not whole yet, -1: broken, or no message's first.

    `data` is anything with a contiguous buffer. The frame may come from either side, without extensions and limits.
    Scans `repeat` times, for benchmarks.
    """
    cdef Py_buffer view
    cdef Py_ssize_t consumed = NEED_MORE
    cdef int i
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    with nogil:
        for i in range(repeat):
            consumed = scan(<const uint8_t*> view.buf, view.len)
    PyBuffer_Release(&view)
    return consumed
