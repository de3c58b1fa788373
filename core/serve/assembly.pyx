"""A websocket message that comes in pieces, or compressed, put together in memory that is bounded."""
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from hotpath.core.net.epoll cimport SCRATCH_BYTES
from hotpath.core.wire.ws.deflate cimport INFLATE_BROKEN, INFLATE_MORE, INFLATE_NO_MEMORY, Progress, deflate_close, inflate_some
from hotpath.core.wire.ws.frame cimport CLOSE_INVALID_DATA, CLOSE_TOO_BIG, OP_TEXT, take_payload, utf8_feed

cdef enum:
    SMALLEST_ROOM = 4096


cdef bint assembly_add(assembly_t* assembly, Receiver* receiver, Piece* piece, uint8_t* scratch) noexcept nogil:
    cdef uint8_t* payload = <uint8_t*>piece.data
    if piece.starts:
        assembly.size = 0
        if piece.compressed:
            receiver.utf8.state = 0
    if not take_payload(receiver, piece, payload):
        return False
    if not piece.compressed:
        return append(assembly, receiver, payload, piece.size)
    if not add_inflated(assembly, receiver, piece, scratch):
        deflate_close(&assembly.inflate)
        return False
    return True


cdef bint refuse(Receiver* receiver, uint16_t close_code, const char* error) noexcept nogil:
    receiver.close_code = close_code
    receiver.error = error
    return False


cdef bint append(assembly_t* assembly, Receiver* receiver, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t* larger
    cdef size_t room = assembly.room
    if assembly.size + size > room:
        room = max(2 * room, assembly.size + size, <size_t>SMALLEST_ROOM)
        larger = <uint8_t*>realloc(assembly.data, room)
        if larger == NULL:
            return refuse(receiver, CLOSE_TOO_BIG, b"no memory for a message of this size")
        assembly.data, assembly.room = larger, room
    if size:
        memcpy(assembly.data + assembly.size, data, size)
    assembly.size += size
    return True


# Through scratch memory: what a few bytes blow up to is measured before it is kept.
cdef bint add_inflated(assembly_t* assembly, Receiver* receiver, Piece* piece, uint8_t* scratch) noexcept nogil:
    cdef const uint8_t* data = piece.data
    cdef size_t size = piece.size
    cdef int64_t most = receiver.max_message
    cdef Progress progress
    cdef int result = INFLATE_MORE
    while result == INFLATE_MORE:
        result = inflate_some(&assembly.inflate, data, size, piece.ends, scratch, SCRATCH_BYTES, &progress)
        if result == INFLATE_BROKEN:
            return refuse(receiver, CLOSE_INVALID_DATA, b"the compressed data cannot be read")
        if result == INFLATE_NO_MEMORY:
            return refuse(receiver, CLOSE_TOO_BIG, b"no memory to inflate a message")
        data += progress.consumed
        size -= progress.consumed
        if most and <int64_t>(assembly.size + progress.produced) > most:
            return refuse(receiver, CLOSE_TOO_BIG, b"the message is too large once inflated")
        if piece.opcode == OP_TEXT and not utf8_feed(&receiver.utf8, scratch, progress.produced):
            return refuse(receiver, CLOSE_INVALID_DATA, b"text that is not UTF-8")
        if not append(assembly, receiver, scratch, progress.produced):
            return False
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
