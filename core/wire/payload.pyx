"""The payload of a body, moved together: many small chunks are one piece to whoever reads."""
from libc.string cimport memmove

from hotpath.core.wire.http1 cimport BROKEN, NEED_MORE, Piece, body_next


cdef Py_ssize_t take_payload(Body* body, uint8_t* data, size_t size, uint8_t** payload, size_t* n_payload) noexcept nogil:
    cdef size_t at = 0, n = 0
    cdef uint8_t* to = NULL
    cdef uint8_t* source
    cdef Py_ssize_t used
    cdef Piece piece
    while at < size and body.phase < body.last:
        used = body_next(body, data + at, size - at, &piece)
        if used == NEED_MORE:
            break
        if used == BROKEN:
            return -1
        if piece.data.size:
            source = data + at + piece.data.at
            if to == NULL:
                to = source
            elif to + n != source:          # close the gap that a size line left
                memmove(to + n, source, piece.data.size)
            n += piece.data.size
        at += used
    payload[0] = to if to != NULL else data
    n_payload[0] = n
    return at
