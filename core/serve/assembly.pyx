"""A websocket message that comes in pieces, or compressed, put together in memory that is bounded."""
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from hotpath.core.net.epoll cimport INBOX_BYTES
from hotpath.core.wire.ws.deflate cimport INFLATE_BROKEN, INFLATE_MORE, INFLATE_NO_MEMORY, Progress, deflate_close, inflate_some
from hotpath.core.wire.ws.frame cimport CLOSE_INVALID_DATA, CLOSE_TOO_BIG, OP_TEXT, take_piece, utf8_feed

cdef enum:
    SMALLEST_ROOM = 4096
    MOST_CLAIMED = 1 << 18      # of a frame whose bytes are still to come


cdef bint assembly_add(assembly_t* assembly, Receiver* receiver, Piece* piece, uint8_t* inbox) noexcept nogil:
    if piece.starts:
        assembly.size = 0
        if piece.compressed:
            receiver.utf8.state = 0
    if piece.compressed:
        if not take_piece(receiver, piece, <uint8_t*>piece.data) or not add_inflated(assembly, receiver, piece, inbox):
            deflate_close(&assembly.inflate)
            return False
        return True
    # Room for a whole frame at once, as far as its claim costs little.
    if not make_room(assembly, receiver, max(piece.size, <size_t>min(piece.frame_size, <int64_t>MOST_CLAIMED))):
        return False
    if not take_piece(receiver, piece, assembly.data + assembly.size):
        return False
    assembly.size += piece.size
    return True


cdef bint refuse(Receiver* receiver, uint16_t close_code, const char* error) noexcept nogil:
    receiver.close_code = close_code
    receiver.error = error
    return False


cdef bint make_room(assembly_t* assembly, Receiver* receiver, size_t size) noexcept nogil:
    cdef uint8_t* larger
    cdef size_t room = assembly.room
    if assembly.data == NULL or assembly.size + size > room:    # an empty message lies somewhere too
        room = max(room + room // 2, assembly.size + size, <size_t>SMALLEST_ROOM)
        larger = <uint8_t*>realloc(assembly.data, room)
        if larger == NULL:
            return refuse(receiver, CLOSE_TOO_BIG, b"no memory for a message of this size")
        assembly.data, assembly.room = larger, room
    return True


# Through the inbox: what a few bytes blow up to is measured before it is kept.
cdef bint add_inflated(assembly_t* assembly, Receiver* receiver, Piece* piece, uint8_t* inbox) noexcept nogil:
    cdef const uint8_t* data = piece.data
    cdef size_t size = piece.size
    cdef int64_t most = receiver.max_message
    cdef Progress progress
    cdef int result = INFLATE_MORE
    while result == INFLATE_MORE:
        result = inflate_some(&assembly.inflate, data, size, piece.ends, inbox, INBOX_BYTES, &progress)
        if result == INFLATE_BROKEN:
            return refuse(receiver, CLOSE_INVALID_DATA, b"the compressed data cannot be read")
        if result == INFLATE_NO_MEMORY:
            return refuse(receiver, CLOSE_TOO_BIG, b"no memory to inflate a message")
        data += progress.consumed
        size -= progress.consumed
        if most and <int64_t>(assembly.size + progress.produced) > most:
            return refuse(receiver, CLOSE_TOO_BIG, b"the message is too large once inflated")
        if piece.opcode == OP_TEXT and not utf8_feed(&receiver.utf8, inbox, progress.produced):
            return refuse(receiver, CLOSE_INVALID_DATA, b"text that is not UTF-8")
        if not make_room(assembly, receiver, progress.produced):
            return False
        memcpy(assembly.data + assembly.size, inbox, progress.produced)
        assembly.size += progress.produced
    if piece.ends and piece.opcode == OP_TEXT and receiver.utf8.state:
        return refuse(receiver, CLOSE_INVALID_DATA, b"text ends within a character")
    return True


cdef void assembly_drop(assembly_t* assembly) noexcept nogil:
    free(assembly.data)
    assembly.data = NULL
    assembly.size = assembly.room = 0


cdef void assembly_free(assembly_t* assembly) noexcept nogil:
    assembly_drop(assembly)
    deflate_close(&assembly.inflate)
