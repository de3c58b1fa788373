"""`hotpath-echo --raw`: hello and echo from C, without a handler, a task or a Python object per request.

What is out of the ordinary (a body, an upgrade, /healthz) is left to the routes.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES, loop_call
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_flush, stream_put, stream_recv, stream_send
from hotpath.core.serve.answer cimport put, put_start
from hotpath.core.serve.connection cimport (
    LAST_OURS, connection_arm, connection_drop_input, connection_end, connection_gather, connection_keep, connection_lost,
    connection_rest, connection_t, server_t)
from hotpath.core.serve.exchange cimport Exchange, Server, Upgraded
from hotpath.core.serve.metrics cimport count_answer
from hotpath.core.wire.http1 cimport BODY_NONE, METHOD_GET, STRICT, Head, parse_request
from hotpath.core.wire.ws.frame cimport (
    CLOSE_GOING_AWAY, CLOSE_NO_STATUS, FIN, MAX_FRAME_HEAD, NEED_MORE, OP_CLOSE, OP_PING, OP_PONG, PIECE_CLOSE, PIECE_DATA,
    PIECE_PING, Piece, Receiver, receive, take_piece, write_frame_head)

from hotpath.core.serve.handshake import Opening, judge

cdef enum:
    MAX_PIPELINED = 64          # answers of one send; scratch holds five times as many
    READ_BUDGET_BYTES = 1 << 20  # of one client in one turn
    SILENCE_MS = 30_000         # then a ping, and as long again for a sign of life
    CLOSE_MS = 5_000            # for the client's close behind ours
    SMALLEST_ROOM = 4096        # of a message that comes in pieces

cdef bytes HELLO = b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
cdef const char* HELLO_LINES = HELLO
cdef size_t HELLO_BYTES = len(HELLO)


# ---------------------------------------------------------------------------------------------------------- HTTP

cdef bint is_path(const uint8_t* data, const Head* head, const char* path, size_t size) noexcept nogil:
    return head.path.size == size and memcmp(data + head.path.at, path, size) == 0


cdef bint is_plain(const uint8_t* data, const Head* head) noexcept nogil:
    return (head.method_id == METHOD_GET and head.framing == BODY_NONE and head.keep_alive and head.minor == 1
            and not head.expects_continue and not head.expects_other and not head.upgrades_websocket
            and not is_path(data, head, b"/healthz", 8) and not is_path(data, head, b"/metrics", 8))


cdef bint answer(connection_t* connection) noexcept nogil:
    cdef server_t* server = connection.server
    cdef uint8_t* start = server.loop.scratch
    cdef uint8_t* out = start
    cdef Buffer* input
    cdef Py_ssize_t used, left
    cdef int n = 0
    cdef bint more = True
    while more and n < MAX_PIPELINED and not server.draining:
        input = connection.input
        used = parse_request(input.data + input.start, input.end - input.start, 0, &server.limits.head, STRICT, &server.head)
        if used <= 0 or not is_plain(input.data + input.start, &server.head):
            break
        input.start += <uint32_t>used
        if input.start == input.end:
            connection_drop_input(connection)
        connection.n_requests += 1
        out = put_start(server, 200, out)
        out = put(out, HELLO_LINES, HELLO_BYTES)
        count_answer(&server.counts, 0, 200, 0)
        n += 1
        more = connection_gather(connection)
    if connection.stream.source.fd < 0:
        return True                     # gone meanwhile
    if n:
        server.counts.bytes_sent[0] += <size_t>(out - start)
        left = stream_send(&connection.stream, start, out - start, False)
        if left == STREAM_FAILED:
            connection_lost(connection)
            return True
        if left:
            connection_arm(connection, server.limits.send_ms)
        elif not more and connection.input == NULL:
            connection_rest(connection)
    return not more


# ---------------------------------------------------------------------------------------------------- WebSocket

cdef struct echo_t:
    Receiver receiver
    uint8_t* message            # owned: what came of one that is not whole yet
    size_t n_message
    size_t room
    uint8_t pinged              # we asked, nothing came since
    uint8_t closing             # our close is out


cdef void drop(connection_t* connection) noexcept nogil:
    cdef echo_t* echo = <echo_t*>connection.taker
    connection.taker = NULL
    free(echo.message)
    free(echo)


cdef void end(connection_t* connection) noexcept nogil:
    """Everything is said: what is unsent leaves, then FIN."""
    drop(connection)
    connection.last = LAST_OURS
    connection_drop_input(connection)
    if connection.stream.n_unsent == 0:
        connection_end(connection)


cdef bint put_frame(connection_t* connection, uint8_t first, const uint8_t* data, size_t size) noexcept nogil:
    """False: the client is gone."""
    cdef uint8_t head[MAX_FRAME_HEAD]
    cdef Py_ssize_t left = stream_put(&connection.stream, head, write_frame_head(head, first, size, NULL))
    if left != STREAM_FAILED and size:
        left = stream_put(&connection.stream, data, size)
    return left != STREAM_FAILED


cdef bint put_close(connection_t* connection, int code) noexcept nogil:
    cdef uint8_t payload[2]
    payload[0], payload[1] = <uint8_t>(code >> 8), <uint8_t>code
    return put_frame(connection, FIN | OP_CLOSE, payload, 0 if code == CLOSE_NO_STATUS else 2)


cdef bint append(echo_t* echo, const Piece* piece) noexcept nogil:
    """False: no memory, or the text is none (receiver.close_code says so)."""
    cdef size_t room = echo.room
    cdef uint8_t* larger
    if piece.starts:
        echo.n_message = 0
    if echo.message == NULL or echo.n_message + piece.size > room:
        room = max(2 * room, echo.n_message + piece.size, <size_t>SMALLEST_ROOM)
        larger = <uint8_t*>realloc(echo.message, room)
        if larger == NULL:
            return False
        echo.message, echo.room = larger, room
    if not take_piece(&echo.receiver, piece, echo.message + echo.n_message):
        return False
    echo.n_message += piece.size
    return True


# 0: the connection is as it was; 1: everything is said; -1: it is gone, or must be.
cdef int echo_piece(connection_t* connection, Piece* piece, bint is_last) noexcept nogil:
    cdef echo_t* echo = <echo_t*>connection.taker
    cdef uint8_t* payload = <uint8_t*>piece.data        # ours to change: scratch, or a buffer
    cdef uint8_t head[MAX_FRAME_HEAD]
    cdef Py_ssize_t n, left
    if piece.kind == PIECE_CLOSE:
        if not take_piece(&echo.receiver, piece, payload):
            return -1                   # a reason that is no text
        if not echo.closing and not put_close(connection, piece.close_code):
            return -1
        return 1
    if echo.closing:
        return 0
    if piece.kind == PIECE_PING:
        take_piece(&echo.receiver, piece, payload)
        return 0 if put_frame(connection, FIN | OP_PONG, payload, piece.size) else -1
    if piece.kind != PIECE_DATA:
        return 0
    if piece.starts and piece.ends:
        if not take_piece(&echo.receiver, piece, payload):
            return -1
        # Our head is shorter than theirs, by the mask: it fits before the payload, where it lies.
        n = write_frame_head(head, FIN | piece.opcode, piece.size, NULL)
        payload -= n
        memcpy(payload, head, n)
        left = (stream_send(&connection.stream, payload, piece.size + n, False) if is_last
                else stream_put(&connection.stream, payload, piece.size + n))
        return -1 if left == STREAM_FAILED else 0
    if not append(echo, piece):
        return -1
    if piece.ends:
        n = write_frame_head(head, FIN | piece.opcode, echo.n_message, NULL)
        if (stream_put(&connection.stream, head, n) == STREAM_FAILED
                or stream_send(&connection.stream, echo.message, echo.n_message, False) == STREAM_FAILED):
            return -1
        free(echo.message)              # an idle one owns no buffer
        echo.message, echo.room = NULL, 0
    return 0


# Bytes used; -1: it is over, and connection.taker is gone.
cdef Py_ssize_t echo_all(connection_t* connection, uint8_t* data, size_t size) noexcept nogil:
    cdef echo_t* echo = <echo_t*>connection.taker
    cdef Piece piece
    cdef size_t at = 0
    cdef Py_ssize_t used
    cdef int state
    while at < size:
        used = receive(&echo.receiver, data + at, size - at, &piece)
        if used == NEED_MORE:
            break
        if used == 0:
            return size                 # behind their close frame nothing counts
        state = -1
        if used > 0:
            at += used
            state = echo_piece(connection, &piece, at == size)
        if state == 0:
            continue
        if state < 0:
            if echo.receiver.close_code == 0 or echo.closing or not put_close(connection, echo.receiver.close_code):
                connection_lost(connection)
                return -1
        if stream_flush(&connection.stream) == STREAM_FAILED:
            connection_lost(connection)
        else:
            end(connection)
        return -1
    return at


cdef void read_all(connection_t* connection) noexcept nogil:
    cdef server_t* server = connection.server
    cdef echo_t* echo = <echo_t*>connection.taker
    cdef uint8_t* data = server.loop.scratch
    cdef Buffer* input
    cdef size_t size
    cdef Py_ssize_t n, used
    cdef int64_t budget = READ_BUDGET_BYTES
    # Who does not take its echoes is not read from; the event that it took some brings us back.
    while connection.stream.n_unsent <= server.limits.high_water and budget > 0:
        size = 0
        input = connection.input
        if input != NULL:               # the beginning of a frame, or what came with the request
            size = input.end - input.start
            memcpy(data, input.data + input.start, size)
            connection_drop_input(connection)
        n = stream_recv(&connection.stream, data + size, SCRATCH_BYTES - size)
        if n > 0:
            size += <size_t>n
            budget -= n
            echo.pinged = False
            server.counts.bytes_received[0] += <size_t>n
        used = echo_all(connection, data, size)
        if used < 0:
            return
        if not connection_keep(connection, data + used, size - used) or (n <= 0 and n != STREAM_NOTHING):
            connection_lost(connection)
            return
        if n == STREAM_NOTHING:
            break
    if stream_flush(&connection.stream) == STREAM_FAILED:
        connection_lost(connection)
        return
    if budget <= 0:
        loop_call(server.loop, &connection.callback)    # after the others; see Server.attend
    if not echo.closing:
        connection_arm(connection, server.limits.send_ms if connection.stream.n_unsent else <int64_t>SILENCE_MS)


cdef void taken(connection_t* connection) noexcept nogil:
    """connection_t.taken."""
    cdef echo_t* echo = <echo_t*>connection.taker
    if connection.stream.source.fd < 0:
        drop(connection)
        return
    if connection.late:
        connection.late = False
        if echo.closing or echo.pinged or connection.stream.n_unsent or not put_frame(connection, FIN | OP_PING, NULL, 0):
            connection_lost(connection)
            return
        echo.pinged = True
    if connection.server.draining and not echo.closing:
        echo.closing = True
        connection_arm(connection, CLOSE_MS)
        if not put_close(connection, CLOSE_GOING_AWAY):
            connection_lost(connection)
            return
    read_all(connection)


cdef class RawEcho(Upgraded):
    """An upgraded connection on its way to C."""

    cdef Exchange exchange
    cdef object config

    cdef int run(self) except -1:
        cdef connection_t* connection = self.exchange.connection
        cdef echo_t* echo = <echo_t*>calloc(1, sizeof(echo_t))
        if echo == NULL:
            raise MemoryError
        echo.receiver.max_message, echo.receiver.max_frame = self.config.max_message, self.config.max_frame
        connection.taker, connection.taken = echo, taken
        self.exchange = None
        return 0


def attach(config, Server server) -> None:
    """Let C answer what is plain in `server`, as the EchoConfig `config` says."""
    def upgrade(Exchange exchange) -> object:
        cdef RawEcho echo
        opening = judge(exchange.request, config.subprotocols, None)
        if not isinstance(opening, Opening):
            return opening
        refusal = exchange.route.gate(exchange.request)
        if refusal is not None:
            return refusal
        echo = RawEcho.__new__(RawEcho)
        echo.exchange, echo.config, echo.lines = exchange, config, opening.lines
        return echo

    if config.ws:
        server.upgrade = upgrade
    else:
        server.c.answer = answer
