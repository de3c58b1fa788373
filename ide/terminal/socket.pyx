"""A client's websocket `hotpath.term.v1`: frames to and from its seat at a terminal, as C callbacks.

Binary messages, one byte of kind, numbers big-endian; `KINDS` has their sizes. What is owed, the head of an output frame, its bytes
out of the ring and a close leave in one call; only what the kernel does not take of them is copied. A client that breaks the protocol
is told so and is not heard any more.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strlen

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES, Callback, Deferred, loop_call, loop_defer
from hotpath.core.net.linux cimport iovec
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_flush, stream_put, stream_recv, stream_try_parts
from hotpath.core.serve.connection cimport (
    LAST_OURS, connection_arm, connection_drop_input, connection_end, connection_keep, connection_lost, connection_t)
from hotpath.core.serve.exchange cimport Exchange, Upgraded
from hotpath.core.serve.table cimport Route
from hotpath.core.wire.ws.frame cimport (
    BROKEN, CLOSE_GOING_AWAY, CLOSE_INTERNAL_ERROR, CLOSE_NO_STATUS, CLOSE_NORMAL, CLOSE_UNSUPPORTED, FIN, MAX_CONTROL, MAX_FRAME_HEAD, NEED_MORE,
    OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, PIECE_CLOSE, PIECE_DATA, PIECE_PING, Piece, Receiver, receive, take_piece,
    write_frame_head)
from hotpath.ide.terminal.relay cimport (
    OWES_LEAD, OWES_SIZE, OWES_START, Relay, relay_ack, relay_attach, relay_input, relay_is_over, relay_leave, relay_resize, relay_sit,
    relay_start, relay_t, seat_t)
from hotpath.ide.terminal.ring cimport ring_parts, view_next, view_send

from hotpath.core.serve.handshake import Opening, judge
from hotpath.core.serve.options import Options
from hotpath.core.serve.problem import problem
from hotpath.core.serve.response import Response

SUBPROTOCOL = "hotpath.term.v1"

cdef enum Kind:
    NO_KIND = 0
    ATTACH = 1                  # u64 offset, u16 cols, u16 rows
    INPUT = 2                   # bytes
    RESIZE = 3                  # u16 cols, u16 rows
    ACK = 4                     # u64 offset
    PING = 5                    # u64
    START = 129                 # u64 from, u64 live, u16 cols, u16 rows, u8 flags
    OUTPUT = 130                # u64 offset, bytes
    EXIT = 131                  # i32
    GAP = 132                   # u64 offset
    PONG = 133                  # u64
    SIZE = 134                  # u16 cols, u16 rows
    LEAD = 135                  # u8

# Bytes behind the kind; INPUT has any number.
cdef size_t[6] KINDS = [0, 12, 0, 4, 8, 8]

cdef enum:
    CLOSE_BAD_FRAME = 4400      # malformed, or where it may not be
    CLOSE_NOT_ATTACHED = 4408   # ATTACH did not come
    CLOSE_GONE = 4410           # the terminal is
    FLAG_RESET = 1

cdef enum:
    MESSAGE_BYTES = 1 << 20     # of a client; as much as a terminal's input queue
    OUTPUT_BYTES = 65535 - 9    # of one frame: with what is before them, its length still needs but two bytes
    UNSENT_BYTES = 131072       # the rest of a frame and more: who does not take it is not heard, so pongs cannot pile up
    READ_BUDGET_BYTES = 262144  # of one client in one turn
    ATTACH_MS = 10000
    PING_MS = 25000             # of silence before we ask, and for any sign of life behind that
    CLOSE_MS = 5000             # for the client's close

cdef enum Phase:
    WAITING = 0                 # for ATTACH
    ATTACHED = 1
    CLOSE_SENT = 2              # what still comes is for nobody
    FAILED = 3                  # it is gone, or will be at the end of this turn

cdef struct client_t:
    seat_t seat                 # first
    connection_t* connection    # borrowed: it owns us; NULL: it is over, and we are freed when nothing points at us
    Receiver receiver
    Callback callback           # to read on, after the others
    Deferred failing            # its connection ends, once nobody is at work with its seat
    void* ending                # an Ending, ours; NULL: there is none, or it was told
    int64_t heard_ms            # the last sign of life
    int64_t end_ms              # of patience: for ATTACH, or the client's close
    uint64_t ping               # to be answered
    uint8_t phase               # Phase
    uint8_t pinged              # we asked, nothing came since
    uint8_t owes_pong
    uint8_t kind                # of the message under way; NO_KIND: its first byte has not come
    uint8_t n_small             # bytes of it behind the kind, except INPUT's
    uint8_t small[12]


# ----------------------------------------------------------------------------------------------------------- numbers

cdef uint64_t get(const uint8_t* data, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value = value << 8 | data[i]
    return value


cdef uint8_t* put(uint8_t* to, uint64_t value, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        to[i] = <uint8_t>(value >> 8 * (size - 1 - i))
    return to + size


cdef uint8_t* put_head(uint8_t* to, uint8_t kind, size_t size) noexcept nogil:
    """Of a message with `size` bytes behind its kind."""
    to += write_frame_head(to, FIN | OP_BINARY, size + 1, NULL)
    to[0] = kind
    return to + 1


# ----------------------------------------------------------------------------------------------------------- to the client

cdef uint8_t* put_owed(client_t* client, uint8_t* to) noexcept nogil:
    cdef seat_t* seat = &client.seat
    cdef relay_t* relay = seat.relay
    if seat.owed & OWES_START:
        relay_start(seat)
        to = put_head(to, START, 21)
        to = put(put(to, seat.view.sent, 8), relay.ring.end, 8)
        to = put(put(to, relay.cols, 2), relay.rows, 2)
        to = put(to, FLAG_RESET if seat.reset else 0, 1)
        seat.owed &= ~OWES_SIZE
    if seat.owed & OWES_LEAD:
        to = put(put_head(to, LEAD, 1), relay.leader == seat, 1)
    if seat.owed & OWES_SIZE:
        to = put(put(put_head(to, SIZE, 4), relay.cols, 2), relay.rows, 2)
    seat.owed = 0
    if client.owes_pong:
        to = put(put_head(to, PONG, 8), client.ping, 8)
        client.owes_pong = False
    return to


cdef uint8_t* put_end(client_t* client, uint8_t* to) noexcept nogil:
    to = put(put_head(to, EXIT, 4), <uint64_t>client.seat.relay.status, 4)
    to += write_frame_head(to, FIN | OP_CLOSE, 2, NULL)
    return put(to, CLOSE_NORMAL, 2)


cdef bint send_parts(client_t* client, iovec* parts, int n_parts) noexcept nogil:
    """All of them: now, or what is left of them with the next edge. False: it failed."""
    cdef connection_t* connection = client.connection
    cdef size_t size = 0
    cdef Py_ssize_t n
    cdef int i
    for i in range(n_parts):
        size += parts[i].iov_len
    n = stream_try_parts(&connection.stream, parts, n_parts, size)
    if n == STREAM_FAILED:
        fail(client)
        return False
    connection.server.counts.bytes_sent[0] += size
    for i in range(n_parts):
        if <size_t>n >= parts[i].iov_len:
            n -= <Py_ssize_t>parts[i].iov_len
            continue
        if stream_put(&connection.stream, <uint8_t*>parts[i].iov_base + n, parts[i].iov_len - <size_t>n) == STREAM_FAILED:
            fail(client)
            return False
        n = 0
    return True


cdef bint may_send(client_t* client) noexcept nogil:
    """Nothing is left of what was sent before, and the kernel takes more."""
    cdef Py_ssize_t left
    if client.connection == NULL or client.phase == FAILED or client.connection.stream.source.fd < 0:
        return False
    if client.connection.stream.n_unsent:
        left = stream_flush(&client.connection.stream)
        if left == STREAM_FAILED:
            fail(client)
        return left == 0
    return client.connection.stream.writable


cdef void flush(client_t* client) noexcept nogil:
    """Send what there is for it, as far as it takes it."""
    cdef uint8_t head[128]      # START, LEAD, PONG, GAP and the head of OUTPUT: 66 bytes
    cdef uint8_t tail[16]
    cdef iovec parts[4]
    cdef seat_t* seat = &client.seat
    cdef uint8_t* out
    cdef size_t size
    cdef int n
    cdef bint over
    while may_send(client) and client.phase == ATTACHED:
        out = put_owed(client, head)
        size = view_next(&seat.view, &seat.relay.ring, OUTPUT_BYTES)
        if seat.view.fell:
            seat.view.fell = False
            out = put(put_head(out, GAP, 8), seat.view.sent, 8)
        n = 1
        if size:
            out = put(put_head(out, OUTPUT, size + 8), seat.view.sent, 8)
            n += ring_parts(&seat.relay.ring, seat.view.sent, size, parts + 1)
            view_send(&seat.view, size)
        parts[0].iov_base, parts[0].iov_len = head, <size_t>(out - head)
        over = relay_is_over(seat)
        if over:
            parts[n].iov_base, parts[n].iov_len = tail, <size_t>(put_end(client, tail) - tail)
            n += 1
        elif out == head:
            return
        if not send_parts(client, parts, n):
            return
        if over:
            await_close(client)


cdef void await_close(client_t* client) noexcept nogil:
    client.phase = CLOSE_SENT
    client.end_ms = client.connection.server.loop.now_ms + CLOSE_MS
    arm(client)


cdef void put_control(client_t* client, uint8_t opcode, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t frame[MAX_FRAME_HEAD + MAX_CONTROL]
    cdef size_t n = <size_t>write_frame_head(frame, FIN | opcode, size, NULL)
    if client.connection.stream.source.fd < 0:
        return
    if size:
        memcpy(frame + n, data, size)
    if (stream_put(&client.connection.stream, frame, n + size) == STREAM_FAILED
            or stream_flush(&client.connection.stream) == STREAM_FAILED):
        fail(client)
    else:
        client.connection.server.counts.bytes_sent[0] += n + size


cdef void put_close(client_t* client, uint16_t code, const char* reason) noexcept nogil:
    cdef uint8_t payload[MAX_CONTROL]
    cdef size_t size = min(strlen(reason), <size_t>MAX_CONTROL - 2)
    put(payload, code, 2)
    memcpy(payload + 2, reason, size)
    put_control(client, OP_CLOSE, payload, 0 if code == CLOSE_NO_STATUS else size + 2)


cdef void begin_close(client_t* client, uint16_t code, const char* reason) noexcept nogil:
    if client.phase < CLOSE_SENT:
        await_close(client)
        put_close(client, code, reason)


# ----------------------------------------------------------------------------------------------------------- its end

cdef void fail(client_t* client) noexcept nogil:
    """It is gone. Not at once: its relay may be going through the seats."""
    client.phase = FAILED
    loop_defer(client.connection.server.loop, &client.failing)


cdef void on_failing(Deferred* deferred) noexcept nogil:
    cdef client_t* client = <client_t*>(<char*>deferred - (<size_t>&(<client_t*><size_t>4096).failing - 4096))
    if client.connection == NULL:
        drop(client)
    else:
        connection_lost(client.connection)


cdef void drop(client_t* client) noexcept nogil:
    """Its connection is not ours any more."""
    client.connection = NULL
    relay_leave(&client.seat)
    if client.ending != NULL:
        with gil:
            tell_ending(client)
    if not client.failing.queued and not client.callback.queued:
        free(client)


cdef void end(client_t* client) noexcept nogil:
    """Everything is said: what is unsent leaves, then FIN. Never from within `tell`."""
    cdef connection_t* connection = client.connection
    if client.phase == FAILED:
        return
    connection.taker = NULL
    drop(client)
    connection.last = LAST_OURS
    connection_drop_input(connection)
    if connection.stream.n_unsent == 0:
        connection_end(connection)
    else:
        connection_arm(connection, connection.server.limits.send_ms)


cdef void refuse(client_t* client, uint16_t code, const char* reason) noexcept nogil:
    """They broke the protocol: that is said, and nothing more is read."""
    if client.phase < CLOSE_SENT:
        put_close(client, code, reason)
    end(client)


cdef int tell_ending(client_t* client) except -1:
    cdef Ending ending = <Ending>client.ending
    client.ending = NULL
    ending.client = NULL
    Py_DECREF(ending)
    if ending.over is not None:
        ending.over()
    return 0


cdef class Ending:
    """How somebody else than its two ends closes a client's socket."""

    cdef client_t* client       # borrowed; NULL: it is over
    cdef object over            # called then; None: nobody asked

    def close(self, int code, str reason) -> None:
        """Say why, and hear and tell nothing more; nothing if it is over."""
        if self.client != NULL and self.client.phase < CLOSE_SENT:
            begin_close(self.client, <uint16_t>code, reason.encode())
            relay_leave(&self.client.seat)      # who has left holds nobody up


# ----------------------------------------------------------------------------------------------------------- time

cdef void arm(client_t* client) noexcept nogil:
    cdef connection_t* connection = client.connection
    cdef int64_t due_ms = client.end_ms
    if client.phase == ATTACHED:
        due_ms = client.heard_ms + (2 * PING_MS if client.pinged else PING_MS)
    connection.late = False
    connection_arm(connection, max(<int64_t>1, due_ms - connection.server.loop.now_ms))


cdef void on_late(client_t* client) noexcept nogil:
    cdef int64_t now_ms = client.connection.server.loop.now_ms
    if client.phase == WAITING and now_ms >= client.end_ms:
        begin_close(client, CLOSE_NOT_ATTACHED, b"ATTACH did not come")
    elif client.phase == CLOSE_SENT and now_ms >= client.end_ms:
        fail(client)
    elif client.phase == ATTACHED and now_ms - client.heard_ms >= PING_MS:
        if client.seat.stalled:         # its pongs are not read; to send to one who is gone fails in the end
            client.heard_ms = now_ms
            client.pinged = False
            put_control(client, OP_PING, NULL, 0)
        elif client.pinged and now_ms - client.heard_ms >= 2 * PING_MS:
            fail(client)
        elif not client.pinged:
            client.pinged = True
            put_control(client, OP_PING, NULL, 0)
    if client.phase != FAILED:
        arm(client)


# ----------------------------------------------------------------------------------------------------------- from the client

# The following answer False once the client is over: then it may not be touched any more.

cdef bint act(client_t* client) noexcept nogil:
    """A whole message other than INPUT."""
    cdef const uint8_t* data = client.small
    if client.kind == ATTACH:
        client.phase = ATTACHED
        relay_attach(&client.seat, get(data, 8), <uint16_t>get(data + 8, 2), <uint16_t>get(data + 10, 2))
    elif client.kind == RESIZE:
        relay_resize(&client.seat, <uint16_t>get(data, 2), <uint16_t>get(data + 2, 2))
    elif client.kind == ACK:
        if not relay_ack(&client.seat, get(data, 8)):
            refuse(client, CLOSE_BAD_FRAME, b"ACK of what was never sent")
            return False
    elif client.kind == PING:
        client.ping, client.owes_pong = get(data, 8), True      # who asks again before it listens wants the last answer
        flush(client)
    return True


cdef bint take_message(client_t* client, const uint8_t* data, size_t size, bint ends) noexcept nogil:
    """Some bytes of a message, as they come."""
    if client.kind == NO_KIND and size:
        client.kind, client.n_small = data[0], 0
        data += 1
        size -= 1
        if not ATTACH <= client.kind <= PING:
            refuse(client, CLOSE_BAD_FRAME, b"no such message")
            return False
        if (client.kind == ATTACH) != (client.phase == WAITING):
            refuse(client, CLOSE_BAD_FRAME, b"ATTACH comes once, before anything else")
            return False
    if client.kind == INPUT:
        if size and not relay_input(&client.seat, data, size):
            refuse(client, CLOSE_INTERNAL_ERROR, b"no memory")
            return False
        if ends:
            client.kind = NO_KIND
        return True
    if client.kind == NO_KIND or client.n_small + size > KINDS[client.kind] or (
            ends and client.n_small + size < KINDS[client.kind]):
        if client.kind == NO_KIND and not ends:
            return True         # an empty first fragment
        refuse(client, CLOSE_BAD_FRAME, b"a message of the wrong length")
        return False
    memcpy(client.small + client.n_small, data, size)
    client.n_small += <uint8_t>size
    if ends:
        if not act(client):
            return False
        client.kind = NO_KIND
    return True


cdef bint take(client_t* client, Piece* piece) noexcept nogil:
    cdef uint8_t* payload = <uint8_t*>piece.data        # ours to change: scratch
    if piece.kind == PIECE_CLOSE:
        if not take_piece(&client.receiver, piece, payload):
            refuse(client, client.receiver.close_code, client.receiver.error)
            return False
        if client.phase < CLOSE_SENT:
            put_close(client, piece.close_code, b"")
        end(client)
        return False
    if client.phase >= CLOSE_SENT:
        return True
    if piece.kind == PIECE_PING:
        take_piece(&client.receiver, piece, payload)
        put_control(client, OP_PONG, payload, piece.size)
    elif piece.kind == PIECE_DATA:
        if piece.opcode == OP_TEXT:
            refuse(client, CLOSE_UNSUPPORTED, b"binary messages only")
            return False
        take_piece(&client.receiver, piece, payload)
        return take_message(client, payload, piece.size, piece.ends)
    return True


cdef Py_ssize_t parse(client_t* client, uint8_t* data, size_t size) noexcept nogil:
    """Bytes used up; -1: the client is over."""
    cdef Piece piece
    cdef size_t at = 0
    cdef Py_ssize_t used
    while at < size and not client.seat.stalled and client.phase != FAILED:
        used = receive(&client.receiver, data + at, size - at, &piece)
        if used == NEED_MORE:
            break
        if used == 0:
            return size                 # behind their close frame nothing counts
        if used == BROKEN:
            refuse(client, client.receiver.close_code, client.receiver.error)
            return -1
        at += <size_t>used
        if not take(client, &piece):
            return -1
    return at


cdef void listen(client_t* client) noexcept nogil:
    """Read what came, unless there is no room for it; called between events only, because it may end the client."""
    cdef connection_t* connection = client.connection
    cdef uint8_t* data = connection.server.loop.scratch
    cdef int64_t budget = READ_BUDGET_BYTES
    cdef Buffer* input
    cdef size_t size
    cdef Py_ssize_t n, used
    while client.phase != FAILED and not client.seat.stalled and connection.stream.n_unsent <= UNSENT_BYTES:
        if budget <= 0:
            loop_call(connection.server.loop, &client.callback)
            return
        size = 0
        input = connection.input
        if input != NULL:           # the beginning of a frame, what came with the request, or what had to wait
            size = input.end - input.start
            memcpy(data, input.data + input.start, size)
            connection_drop_input(connection)
        n = 1
        if size <= SCRATCH_BYTES // 2:
            n = stream_recv(&connection.stream, data + size, SCRATCH_BYTES - size)
            if n > 0:
                size += <size_t>n
                budget -= n
                client.pinged = False
                client.heard_ms = connection.server.loop.now_ms
                connection.server.counts.bytes_received[0] += <uint64_t>n
        used = parse(client, data, size)
        if used < 0:
            return
        if not connection_keep(connection, data + used, size - <size_t>used) or n == 0 or n == STREAM_FAILED:
            fail(client)
        if n == STREAM_NOTHING:
            return


# ----------------------------------------------------------------------------------------------------------- callbacks

cdef void tell(seat_t* seat) noexcept nogil:
    """seat_t.tell."""
    cdef client_t* client = <client_t*>seat
    if client.phase == ATTACHED:
        flush(client)
    elif client.phase == WAITING and seat.relay.gone:
        begin_close(client, CLOSE_GONE, b"the terminal is gone")


cdef void go_on(seat_t* seat) noexcept nogil:
    """seat_t.go_on."""
    cdef client_t* client = <client_t*>seat
    if client.connection != NULL:
        loop_call(client.connection.server.loop, &client.callback)


cdef int attend(Callback* callback) except -1:
    cdef client_t* client = <client_t*>callback.owner
    if client.connection == NULL:
        drop(client)
    elif client.connection.stream.source.fd >= 0:
        listen(client)
    return 0


cdef void taken(connection_t* connection) noexcept nogil:
    """connection_t.taken."""
    cdef client_t* client = <client_t*>connection.taker
    if connection.stream.source.fd < 0:
        connection.taker = NULL
        drop(client)
        return
    if connection.late:
        on_late(client)
    if connection.server.draining:
        begin_close(client, CLOSE_GOING_AWAY, b"stopping")
    if client.seat.relay == NULL:
        begin_close(client, CLOSE_GONE, b"the terminal is gone")
    if connection.stream.writable and client.phase != FAILED:
        if client.phase == ATTACHED:
            flush(client)
        else:
            may_send(client)
    if connection.stream.readable or connection.input != NULL:
        listen(client)


cdef class TerminalSocket(Upgraded):
    """An upgraded connection on its way to C."""

    cdef Exchange exchange
    cdef Relay relay
    cdef object opened          # of add_socket_route

    cdef int run(self) except -1:
        cdef connection_t* connection = self.exchange.connection
        cdef client_t* client = <client_t*>calloc(1, sizeof(client_t))
        cdef Ending ending
        if client == NULL:
            raise MemoryError
        client.connection = connection
        client.seat.tell, client.seat.go_on = tell, go_on
        client.callback.run, client.callback.owner = attend, client
        client.failing.run = on_failing
        client.receiver.max_message = client.receiver.max_frame = MESSAGE_BYTES
        client.heard_ms = connection.server.loop.now_ms
        client.end_ms = client.heard_ms + ATTACH_MS
        connection.taker, connection.taken = client, taken
        if self.opened is not None:
            ending = Ending.__new__(Ending)
            ending.client = client
            ending.over = self.opened(self.exchange.request, ending.close)
            Py_INCREF(ending)
            client.ending = <void*>ending
        self.exchange = None
        if not self.relay.c.gone:
            relay_sit(&self.relay.c, &client.seat)
        if connection.stream.source.fd >= 0:
            arm(client)
        return 0


def add_socket_route(app, str path, find, opened=None) -> None:
    """Let terminals be seen at `path`, which names {id} and {terminal}.

    `find(request, id=…, terminal=…)`, in the request's task, answers a Terminal, or a Response that refuses.
    `opened(request, close)` is called behind the 101: `close(code, reason)` ends the socket; what it answers is called when the
    socket is over, or None. Neither may wait.
    """
    def upgrade(Exchange exchange) -> object:
        cdef Route route = exchange.route
        cdef TerminalSocket socket
        found = find(exchange.request, **dict(zip(route.names, exchange.values or ())))
        if isinstance(found, Response):
            return found
        opening = judge(exchange.request, (SUBPROTOCOL,), None)
        if not isinstance(opening, Opening):
            return opening
        if opening.subprotocol is None:
            return problem(400, detail=f"the subprotocol {SUBPROTOCOL} must be offered", code="bad-request")
        socket = TerminalSocket.__new__(TerminalSocket)
        socket.exchange, socket.relay, socket.lines, socket.opened = exchange, found.relay, opening.lines, opened
        return socket

    app.websocket(path, options=Options(subprotocols=(SUBPROTOCOL,)), upgrade=upgrade)(nobody)


def nobody(request, socket, id, terminal) -> None:
    """The route's handler, which is never called: C code has taken the socket."""
