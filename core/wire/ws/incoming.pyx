"""What a peer sends: bytes to events, a whole frame straight into the `str` or `bytes` of its event.

Input stays in the `bytes` it came in; of what has been read nothing is kept but the start of a frame's head, of a control
frame, of a character, and with `whole` of a message.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memmove

from hotpath.core.wire.ws.deflate cimport (
    INFLATE_FED, INFLATE_NO_MEMORY, Deflate, Progress, deflate_bound, deflate_close, inflate_some)
from hotpath.core.wire.ws.events cimport BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from hotpath.core.wire.ws.frame cimport (
    BROKEN, CLOSE_INVALID_DATA, CLOSE_TOO_BIG, MAX_CONTROL, NEED_MORE, OP_TEXT, PIECE_CLOSE, PIECE_DATA, PIECE_PING, Piece,
    Utf8, receive, take_piece, utf8_feed)
from .codes import CloseReason, ParseFailed, received_code

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    uint8_t* PyUnicode_1BYTE_DATA(object text)
    object PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)
    object PyUnicode_DecodeUTF8Stateful(const char* data, Py_ssize_t size, const char* errors, Py_ssize_t* consumed)

cdef extern from "growing.h" nogil:
    int growing_reserve(Growing* growing, size_t more)
    void growing_free(Growing* growing)

cdef enum:
    LONG_PAYLOAD = 16 * 1024        # unmasking more lets other threads run meanwhile
    LONG_INFLATE = 1024             # as much can become a megabyte
    SMALL_REST = 4096               # unread input, put in front of what comes: cheaper than an event of its own
    INFLATE_ROOM = 1024             # at least, for each turn
    INFLATE_TOO_BIG = -4            # beside INFLATE_BROKEN and INFLATE_NO_MEMORY


cdef uint64_t HIGH_BITS = <uint64_t> 0x80808080 << 32 | 0x80808080


cdef bint is_ascii(const uint8_t* data, size_t size) noexcept nogil:
    cdef uint64_t seen = 0, word
    cdef size_t at = 0
    while size - at >= 8:
        memcpy(&word, data + at, 8)
        seen |= word
        at += 8
    while at < size:
        seen |= data[at]
        at += 1
    return not seen & HIGH_BITS


# Inflates a piece to the end of `message`, at most `limit` bytes; INFLATE_FED, INFLATE_TOO_BIG or what inflate_some says.
cdef int inflate_piece(Deflate* deflate, const uint8_t* data, size_t size, bint ends, int64_t limit,
                       Growing* message) noexcept nogil:
    cdef Progress progress
    cdef size_t taken = 0, room
    cdef int64_t made = 0
    cdef int code
    while True:
        # Text and JSON shrink to a quarter or so.
        if growing_reserve(message, <size_t> INFLATE_ROOM + (size - taken) * 4) < 0:
            return INFLATE_NO_MEMORY
        room = message.room - message.size
        if <uint64_t> (limit - made) < room:
            room = limit - made + 1         # one more than is allowed shows that there is more
        code = inflate_some(deflate, data + taken, size - taken, ends, message.at + message.size, room, &progress)
        taken += progress.consumed
        made += progress.produced
        message.size += progress.produced
        if code < 0:
            return code
        if made > limit:
            return INFLATE_TOO_BIG
        if code == INFLATE_FED:
            return INFLATE_FED


# 0: no limit.
cdef int64_t limit_of(object limit) except -1:
    if limit is None:
        return 0
    if limit < 1:
        raise ValueError(f"a limit of {limit} bytes: 1 or more, or None for no limit")
    return limit


cdef class Incoming:
    def __cinit__(self):
        self.data = b""
        self.more = []

    def __dealloc__(self):
        growing_free(&self.message)
        deflate_close(&self.deflate)

    cdef int start(self, bint client, object max_message, object max_frame, bint whole) except -1:
        self.receiver.is_client = client
        self.receiver.max_frame = limit_of(max_frame)
        self.receiver.max_message = limit_of(max_message)
        self.max_message = self.receiver.max_message or INT64_MAX
        self.whole = whole
        return 0

    cdef int start_deflate(self, int window_bits, bint keeps_context) except -1:
        self.receiver.deflate = 1
        self.deflate.window_bits = window_bits
        self.deflate.keeps_context = keeps_context
        # What cannot be compressed grows a little. What is not compressed is held to the limit itself, see `plain`.
        if 0 < self.receiver.max_message < INT64_MAX // 2:
            self.receiver.max_message = deflate_bound(self.receiver.max_message)
        return 0

    cdef int feed(self, object data) except -1:
        cdef bytes chunk = data if type(data) is bytes else bytes(data)
        if self.over or not chunk:
            return 0
        if self.at == self.size and not self.busy and not self.more:
            self.data = chunk
            self.at = 0
            self.size = PyBytes_GET_SIZE(chunk)
        else:
            self.more.append(chunk)
        return 0

    # Put what came meanwhile behind what is left. False: nothing came.
    cdef int load(self) except -1:
        cdef bytes rest = b""
        if self.at < self.size:
            rest = self.data[self.at:]
        if self.more:
            if rest:
                self.more.insert(0, rest)
            self.data = self.more[0] if len(self.more) == 1 else b"".join(self.more)
            self.more.clear()
            self.at = 0
            self.size = PyBytes_GET_SIZE(self.data)
            return True
        self.data = rest            # lets go of what was read
        self.at = 0
        self.size = PyBytes_GET_SIZE(rest)
        return False

    cdef Event next(self):
        cdef Piece piece
        cdef Py_ssize_t taken
        cdef Event event
        if self.busy:
            raise RuntimeError("two threads read from one connection")
        if self.more and (self.at == 0 or self.size - self.at < SMALL_REST):
            self.load()
        while not self.over:
            taken = NEED_MORE
            if self.at < self.size:
                taken = receive(&self.receiver, <const uint8_t*> PyBytes_AS_STRING(self.data) + self.at,
                                self.size - self.at, &piece)
            if taken > 0:
                self.at += taken
                event = self.event_of(&piece)
                if event is not None:
                    return event
            elif taken == BROKEN:
                self.fail(self.receiver.close_code, self.receiver.error.decode("ascii"))
            elif not self.load():
                return None
        return None

    # Raises ParseFailed; nothing counts from here on.
    cdef int fail(self, int code, str reason) except -1:
        self.finish()
        raise ParseFailed(reason, CloseReason(code))

    cdef int finish(self) except -1:
        self.over = True
        self.data = b""
        self.at = self.size = 0
        self.more.clear()
        growing_free(&self.message)
        deflate_close(&self.deflate)
        return 0

    cdef Event event_of(self, const Piece* piece):
        if piece.kind != PIECE_DATA:
            return self.control(piece)
        if piece.starts:
            self.total = 0
        if piece.compressed:
            return self.inflated(piece)
        return self.plain(piece)

    cdef Event plain(self, const Piece* piece):
        if piece.frame_starts and self.receiver.deflate and piece.frame_size > self.max_message - self.total:
            self.fail(CLOSE_TOO_BIG, "message over its limit")
        self.total += piece.size
        if self.whole and not (piece.starts and piece.ends):
            self.append(piece)
            return self.take_message(piece) if piece.ends else None
        return message(piece, self.text(piece) if piece.opcode == OP_TEXT else self.binary(piece))

    cdef Event inflated(self, const Piece* piece):
        cdef bytes plain = self.binary(piece)
        cdef const uint8_t* data = <const uint8_t*> PyBytes_AS_STRING(plain)
        cdef int64_t limit = self.max_message - self.total
        cdef size_t before = self.message.size
        cdef bint ends = piece.ends
        cdef size_t size = piece.size
        cdef int code
        if size < LONG_INFLATE:
            code = inflate_piece(&self.deflate, data, size, ends, limit, &self.message)
        else:
            self.busy = True
            with nogil:
                code = inflate_piece(&self.deflate, data, size, ends, limit, &self.message)
            self.busy = False
        if code == INFLATE_NO_MEMORY:
            self.finish()
            raise MemoryError()
        if code == INFLATE_TOO_BIG:
            self.fail(CLOSE_TOO_BIG, "message over its limit")
        if code != INFLATE_FED:
            self.fail(CLOSE_INVALID_DATA, "compressed data is broken")
        self.total += self.message.size - before
        if self.whole and piece.opcode == OP_TEXT:
            if piece.starts:
                self.utf8 = Utf8(0)
            if not utf8_feed(&self.utf8, self.message.at + before, self.message.size - before):
                self.fail(CLOSE_INVALID_DATA, "text is not UTF-8")
        return None if self.whole and not ends else self.take_message(piece)

    # The piece unmasked to `to`, which nobody else sees.
    cdef int take(self, const Piece* piece, uint8_t* to) except -1:
        cdef bytes keep = self.data         # what piece.data points into
        cdef bint fits
        if piece.size < LONG_PAYLOAD:
            fits = take_piece(&self.receiver, piece, to)
        else:
            self.busy = True
            with nogil:
                fits = take_piece(&self.receiver, piece, to)
            self.busy = False
        if not fits:
            self.fail(self.receiver.close_code, self.receiver.error.decode("ascii"))
        return 0

    cdef bytes binary(self, const Piece* piece):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, piece.size)
        self.take(piece, <uint8_t*> PyBytes_AS_STRING(data))
        return data

    # Its characters, with what the piece before it left open in front; what it leaves open stays in `message`.
    cdef str text(self, const Piece* piece):
        cdef size_t left = self.message.size
        cdef Py_ssize_t size = left + piece.size, taken
        cdef str text = PyUnicode_New(size, 127)
        cdef uint8_t* data = PyUnicode_1BYTE_DATA(text)
        if left:
            memcpy(data, self.message.at, left)
            self.message.size = 0
        self.take(piece, data + left)
        if is_ascii(data, size):
            return text
        if piece.ends:
            return PyUnicode_DecodeUTF8(<const char*> data, size, NULL)
        text, kept = PyUnicode_DecodeUTF8Stateful(<const char*> data, size, NULL, &taken), text
        self.keep(data + taken, size - taken)
        return text

    cdef int keep(self, const uint8_t* data, size_t size) except -1:
        self.message.size = 0       # so that nothing moves when `data` is of `message` itself
        if size:
            if growing_reserve(&self.message, size) < 0:
                raise MemoryError()
            memmove(self.message.at, data, size)
            self.message.size = size
        return 0

    cdef int append(self, const Piece* piece) except -1:
        cdef size_t size = self.message.size
        if growing_reserve(&self.message, piece.size) < 0:
            self.finish()
            raise MemoryError()
        self.take(piece, self.message.at + size)
        self.message.size = size + piece.size
        return 0

    # An event of all that `message` holds, but for an open character at its end.
    cdef Event take_message(self, const Piece* piece):
        cdef const char* data = <const char*> self.message.at
        cdef Py_ssize_t size = self.message.size, taken = size
        cdef object whole
        if piece.opcode != OP_TEXT:
            whole = PyBytes_FromStringAndSize(data, size) if size else b""
        else:
            try:
                whole = PyUnicode_DecodeUTF8Stateful(data, size, NULL, NULL if piece.ends else &taken) if size else ""
            except UnicodeDecodeError:
                self.fail(CLOSE_INVALID_DATA, "text is not UTF-8")
        if taken < size:
            self.keep(<const uint8_t*> data + taken, size - taken)
        else:
            growing_free(&self.message)
        return message(piece, whole)

    cdef Event control(self, const Piece* piece):
        cdef uint8_t reason[MAX_CONTROL]
        cdef Ping ping
        cdef Pong pong
        if piece.kind == PIECE_PING:
            ping = Ping.__new__(Ping)
            ping.payload = self.binary(piece)
            return ping
        if piece.kind != PIECE_CLOSE:
            pong = Pong.__new__(Pong)
            pong.payload = self.binary(piece)
            return pong
        code = CloseReason.NO_STATUS_RCVD
        if piece.close_code != CloseReason.NO_STATUS_RCVD:
            try:
                code = received_code(piece.close_code)
            except ParseFailed:
                self.finish()
                raise
        self.take(piece, reason)
        said = PyUnicode_DecodeUTF8(<const char*> reason, piece.size, NULL)
        self.finish()
        return CloseConnection(code, said)


cdef Message message(const Piece* piece, object data):
    cdef Message event
    if piece.opcode == OP_TEXT:
        event = TextMessage.__new__(TextMessage)
    else:
        event = BytesMessage.__new__(BytesMessage)
    event.data = data
    event.frame_finished = piece.frame_ends
    event.message_finished = piece.ends
    return event
