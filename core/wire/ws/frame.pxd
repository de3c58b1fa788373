"""WebSocket on the wire (RFC 6455 section 5): pure functions over bytes. They allocate nothing and keep nothing but a Receiver."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    NEED_MORE = -2              # not whole yet: keep the bytes (139 at most), call again with more
    BROKEN = -1                 # the peer broke RFC 6455 or a limit: close with Receiver.close_code
    MAX_FRAME_HEAD = 14
    MAX_CONTROL = 125           # payload of a control frame

cdef enum Opcode:
    OP_CONTINUATION = 0
    OP_TEXT = 1
    OP_BINARY = 2
    OP_CLOSE = 8
    OP_PING = 9
    OP_PONG = 10

cdef enum:                      # the first byte of a frame, above its opcode
    FIN = 0x80
    RSV1 = 0x40                 # RFC 7692: this message is compressed
    RSV2 = 0x20
    RSV3 = 0x10

cdef enum:                      # RFC 6455 section 7.4.1
    CLOSE_NORMAL = 1000
    CLOSE_GOING_AWAY = 1001
    CLOSE_PROTOCOL_ERROR = 1002
    CLOSE_UNSUPPORTED = 1003
    CLOSE_NO_STATUS = 1005      # never on the wire: a close frame without a body
    CLOSE_ABNORMAL = 1006       # never on the wire: the connection ended without a close frame
    CLOSE_INVALID_DATA = 1007
    CLOSE_POLICY = 1008
    CLOSE_TOO_BIG = 1009
    CLOSE_INTERNAL_ERROR = 1011

cdef struct FrameHead:
    int64_t size                # of the payload
    uint8_t head_size           # of the head itself: 2 to 14
    uint8_t first               # FIN, RSV bits, opcode
    uint8_t opcode
    uint8_t masked
    uint8_t mask[4]             # zeros when not masked

# Bytes of the head (> 0), NEED_MORE, or BROKEN: a length not in its shortest form, or its highest bit set (section 5.2).
# Whether the opcode, the bits and the mask may be there is not asked here.
cdef Py_ssize_t read_frame_head(const uint8_t* data, size_t size, FrameHead* head) noexcept nogil
# Bytes written at `to` (2 to 14). `first`: FIN | RSV | opcode. `mask`: 4 bytes, or NULL for none.
cdef Py_ssize_t write_frame_head(uint8_t* to, uint8_t first, uint64_t size, const uint8_t* mask) noexcept nogil
# to[i] = data[i] ^ mask[i & 3]; `to` may be `data`. Works eight, then sixteen or thirty-two bytes at once.
cdef void unmask(uint8_t* to, const uint8_t* data, size_t size, const uint8_t* mask) noexcept nogil
# May this code stand in a close frame (section 7.4)? 1000-1003, 1007-1014, 3000-4999.
cdef bint is_close_code(int code) noexcept nogil

# UTF-8 that arrives in pieces (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF). Zeroed memory is a fresh one.
cdef struct Utf8:
    uint32_t state              # of the automaton; 0: between characters

# False at the first byte that no text can have there. What is left open between pieces is in `state`.
cdef bint utf8_feed(Utf8* utf8, const uint8_t* data, size_t size) noexcept nogil

cdef enum PieceKind:
    PIECE_DATA = 0              # part of a text or binary message
    PIECE_PING
    PIECE_PONG
    PIECE_CLOSE

# Where in the incoming frames the next byte falls. Plain data, 72 bytes; zero it, then set the first group.
cdef struct Receiver:
    int64_t max_frame           # bytes of payload, from the head: 1009 beyond; 0: no limit
    int64_t max_message         # sum of a message's payloads as they stand on the wire: 1009 beyond; 0: no limit
    uint8_t is_client           # frames come unmasked; else they must be masked
    uint8_t deflate             # permessage-deflate is agreed: RSV1 may stand on a message's first frame
    # its own
    uint8_t opcode              # of the message under way: OP_TEXT or OP_BINARY; 0: none
    uint8_t compressed          # it is
    uint8_t first               # first byte of the frame under way
    uint8_t in_frame            # `left` bytes of a data frame's payload still come
    uint8_t mask[4]             # of the frame under way, turned to its next byte
    uint16_t close_code         # BROKEN: 1002, 1007 or 1009
    uint8_t closed              # a close frame came: what follows is not looked at, receive() answers 0
    int64_t left                # of the frame under way
    int64_t frame_size          # of its whole payload
    int64_t total               # of the message under way
    Utf8 utf8
    const char* error           # BROKEN: static text

cdef struct Piece:
    uint8_t kind                # PieceKind
    uint8_t opcode              # PIECE_DATA: OP_TEXT or OP_BINARY, also in continuation frames
    uint8_t compressed          # PIECE_DATA: to be inflated; its text is checked behind that, by the caller
    uint8_t starts              # PIECE_DATA: first of its message
    uint8_t frame_ends          # PIECE_DATA: last of its frame
    uint8_t ends                # PIECE_DATA: last of its message
    uint8_t mask[4]             # turned to data[0]; zeros: not masked
    uint8_t frame_starts        # PIECE_DATA: first of its frame
    uint16_t close_code         # PIECE_CLOSE: CLOSE_NO_STATUS for an empty one
    const uint8_t* data         # borrowed from the input, still masked; PIECE_CLOSE: the reason, behind the code
    size_t size
    int64_t frame_size          # PIECE_DATA: of the whole frame's payload, so that room can be made at once

# Bytes consumed (> 0), NEED_MORE, BROKEN, or 0 once closed. One piece each; a data frame's payload is handed on as it comes, also as
# an empty piece where a frame has none (else a head waits for the first byte behind it); a control frame comes whole, between two
# pieces of a message as well. A head that claims what is not allowed is BROKEN as soon as the byte that says so is here, and BROKEN
# it stays: close_code says how to close.
cdef Py_ssize_t receive(Receiver* receiver, const uint8_t* data, size_t size, Piece* piece) noexcept nogil
# Unmasks the piece to `to` (may be piece.data; any room of piece.size) and checks its text: of an uncompressed text message (at its
# end whole), of a close frame's reason. False: BROKEN, 1007.
cdef bint take_piece(Receiver* receiver, const Piece* piece, uint8_t* to) noexcept nogil
