"""A websocket without a task: what comes is told to its owner in the hub, what goes is queued by reference.

For servers that hold many sockets which mostly listen. Such a socket costs no greenlet, no request and no buffer while nothing
happens; a frame for a thousand of them is made once, and one send per socket and turn carries all that was queued.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES, loop_call, loop_t
from hotpath.core.net.linux cimport MSG_DONTWAIT, MSG_PEEK, SO_SNDBUF, SOL_SOCKET, recv, setsockopt
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_error, stream_flush, stream_recv
from hotpath.core.serve.assembly cimport assembly_add, assembly_free
from hotpath.core.serve.connection cimport (
    LAST_OURS, REJECTED_SLOW_READER, connection_arm, connection_drop_input, connection_end, connection_keep, connection_lost)
from hotpath.core.serve.exchange cimport Server
from hotpath.core.serve.outbox cimport (
    PACKED_WINDOW_BITS, block_drop, block_make, block_packed, outbox_age_ms, outbox_clear, outbox_flush, outbox_hand_over,
    outbox_put, outbox_trim, spool_close, spool_open)
from hotpath.core.serve.table cimport Route
from hotpath.core.wire.ws.frame cimport (
    BROKEN, CLOSE_ABNORMAL, CLOSE_GOING_AWAY, CLOSE_INTERNAL_ERROR, CLOSE_NO_STATUS, CLOSE_NORMAL, CLOSE_UNSUPPORTED, FIN,
    MAX_CONTROL, NEED_MORE, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, PIECE_CLOSE, PIECE_DATA, PIECE_PING, is_close_code,
    receive, take_piece)

import logging

from hotpath.core.serve.handshake import Opening, judge
from hotpath.core.wire.ws.upgrade import DeflateParameters

log = logging.getLogger(__name__)

cdef enum:
    CLOSE_TOO_SLOW = 4008       # of the codes that are an application's own
    READ_BUDGET_BYTES = 65536   # of one client in one turn
    FOR_EVER_MS = 1 << 30       # 12 days: of a time-out that is 0


# ----------------------------------------------------------------------------------------------------- queue and close

cdef push_t* push_of(outbox_t* outbox) noexcept nogil:
    return <push_t*>(<char*>outbox - (<size_t>&(<push_t*><size_t>4096).out - 4096))


cdef void arm(push_t* push) noexcept nogil:
    """The next moment at which silence, ours or theirs, means something."""
    cdef loop_t* loop = push.out.spool.loop
    cdef int64_t due_ms = push.heard_ms + push.limits.ping_ms if push.limits.ping_ms else 0
    if push.pinged:
        due_ms += push.limits.ping_ms
    if push.out.n and push.limits.age_ms:
        due_ms = min(due_ms or <int64_t>1 << 62, loop.now_ms - outbox_age_ms(&push.out) + push.limits.age_ms)
    if push.phase == PUSH_CLOSE_SENT:
        due_ms = push.end_ms
    push.connection.late = False
    connection_arm(push.connection, max(<int64_t>1, due_ms - loop.now_ms) if due_ms else 0)


cdef bint put_now(push_t* push, uint8_t first, const uint8_t* payload, size_t size) noexcept nogil:
    """Whatever its phase. False: no memory."""
    cdef block_t* block = block_make(first, payload, size)
    cdef bint done
    if block == NULL:
        return False
    done = outbox_put(&push.out, block)
    block_drop(block)
    return done


cdef bint put_close(push_t* push, uint16_t code, const uint8_t* reason, size_t size) noexcept nogil:
    cdef uint8_t payload[MAX_CONTROL]
    payload[0], payload[1] = <uint8_t>(code >> 8), <uint8_t>code
    if size:
        memcpy(payload + 2, reason, size)
    return put_now(push, FIN | OP_CLOSE, payload, 0 if code == CLOSE_NO_STATUS else size + 2)


cdef void begin_close(push_t* push, uint16_t code, const uint8_t* reason, size_t size) noexcept nogil:
    """Our close is out; its owner is told in its turn."""
    cdef connection_t* connection = push.connection
    push.close_code = code
    push.phase = PUSH_CLOSE_SENT
    push.end_ms = push.out.spool.loop.now_ms + (push.limits.close_ms or <int64_t>FOR_EVER_MS)
    loop_call(push.out.spool.loop, &push.callback)
    if put_close(push, code, reason, size):
        arm(push)
    else:
        connection_lost(connection)


cdef bint too_slow(push_t* push) noexcept nogil:
    """What is queued is not what it should see next. False."""
    push.limits.n_slow += 1
    push.connection.server.counts.rejected[<int>REJECTED_SLOW_READER] += 1
    outbox_trim(&push.out)
    begin_close(push, CLOSE_TOO_SLOW, b"too slow", 8)
    return False


cdef bint is_slow(push_t* push, uint32_t more) noexcept nogil:
    return (push.out.n_unsent + more > push.limits.hard
            or (push.limits.age_ms and outbox_age_ms(&push.out) > push.limits.age_ms))


cdef bint push_put(push_t* push, block_t* block) noexcept nogil:
    if push.phase != PUSH_OPEN or push.connection == NULL:
        return False
    if push.deflates:
        block = block_packed(block)
    if push.out.n_unsent and is_slow(push, block.size):
        # What this very turn queued is no sign of a slow client.
        flush(push)
        if push.phase != PUSH_OPEN or push.connection == NULL:
            return False
        if push.out.n_unsent and is_slow(push, block.size):
            return too_slow(push)
    if not outbox_put(&push.out, block):
        connection_lost(push.connection)
        return False
    return True


cdef bint push_put_transient(push_t* push, block_t* block) noexcept nogil:
    if push.out.n_unsent > push.limits.soft:
        push.limits.n_dropped += 1
        return False
    return push_put(push, block)


cdef void flush(push_t* push) noexcept nogil:
    on_flushed(&push.out, outbox_flush(&push.out))


cdef void on_flushed(outbox_t* outbox, Py_ssize_t left) noexcept nogil:
    """spool_t.on_flushed."""
    cdef push_t* push = push_of(outbox)
    if outbox.stream == NULL:
        loop_call(outbox.spool.loop, &push.callback)        # which left it to us to be the last
    elif left == STREAM_FAILED:
        connection_lost(push.connection)
    elif left:
        arm(push)


cdef void let_go(push_t* push) noexcept nogil:
    """The connection is not ours any more."""
    push.connection.taker = NULL
    push.connection = NULL
    push.out.stream = NULL
    push.phase = PUSH_ENDED
    outbox_clear(&push.out)
    loop_call(push.out.spool.loop, &push.callback)


cdef void end(push_t* push) noexcept nogil:
    """Everything is said: what has begun to leave, and our close, then FIN."""
    cdef connection_t* connection = push.connection
    if not outbox_hand_over(&push.out) or stream_flush(&connection.stream) == STREAM_FAILED:
        connection_lost(connection)
        return
    let_go(push)
    connection.last = LAST_OURS
    connection_drop_input(connection)
    if connection.stream.n_unsent == 0:
        connection_end(connection)
    else:
        connection_arm(connection, connection.server.limits.send_ms)


cdef void refuse(push_t* push, uint16_t code, const char* reason) noexcept nogil:
    """They broke the protocol or a limit: that is said, and nothing more is read."""
    cdef size_t size = 0
    while reason[size] and size < MAX_CONTROL - 2:
        size += 1
    if push.phase == PUSH_OPEN:
        push.close_code = code
        outbox_trim(&push.out)
        put_close(push, code, <const uint8_t*>reason, size)
    end(push)


# -------------------------------------------------------------------------------------------------------- the loop's side

cdef bint has_input(int fd) noexcept nogil:
    cdef uint8_t byte
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0


cdef void on_late(push_t* push) noexcept nogil:
    cdef int64_t now_ms = push.out.spool.loop.now_ms
    cdef connection_t* connection = push.connection
    if push.phase == PUSH_CLOSE_SENT:
        if now_ms >= push.end_ms:
            connection_lost(connection)
            return
    elif push.out.n and is_slow(push, 0):
        flush(push)
        if push.connection == NULL:
            return
        if push.out.n and is_slow(push, 0):
            too_slow(push)
            return
    elif push.limits.ping_ms and now_ms - push.heard_ms >= push.limits.ping_ms:
        # Something may lie there that the loop has not told us of yet: perhaps it was we who stood still, not the client.
        if (push.pinged and now_ms - push.heard_ms >= 2 * push.limits.ping_ms
                and not (connection.exchange == NULL and has_input(connection.stream.source.fd))):
            push.close_code = CLOSE_ABNORMAL
            connection_lost(connection)
            return
        if not push.pinged:
            push.pinged = True
            put_now(push, FIN | OP_PING, NULL, 0)
    arm(push)


cdef void taken(connection_t* connection) noexcept nogil:
    """connection_t.taken."""
    cdef push_t* push = <push_t*>connection.taker
    if connection.stream.source.fd < 0:
        let_go(push)
        return
    if connection.late:
        on_late(push)
        if push.connection == NULL:
            return
    if connection.server.draining and push.phase == PUSH_OPEN:
        begin_close(push, CLOSE_GOING_AWAY, b"stopping", 8)
        if push.connection == NULL:
            return
    if push.out.n and connection.stream.writable:
        flush(push)
        if push.connection == NULL:
            return
    if connection.stream.readable or connection.input != NULL:
        loop_call(connection.server.loop, &push.callback)


cdef int attend(Callback* callback) except -1:
    cdef PushSocket self = <PushSocket>callback.owner
    try:
        self.look()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:       # no memory for a message, say: one client's trouble, and nothing else's
        log.exception("websocket failed")
        if self.c.connection != NULL:
            connection_lost(self.c.connection)
        else:
            loop_call(self.c.out.spool.loop, &self.c.callback)      # `look` lets go of us at its end, and did not get there
    return 0


# ---------------------------------------------------------------------------------------------------------- Python's side

cdef int64_t ms(double seconds) noexcept:
    return max(<int64_t>1, <int64_t>(seconds * 1000)) if seconds else 0


cdef class PushOptions:
    """What the sockets of a server may do; times in seconds, 0: for ever.

    frame: bytes of a message from a client. queue_soft: bytes unsent above which transient frames are dropped; queue_hard,
    queue_age_s: beyond which a socket is closed with 4008. ping_s: of silence before a ping, and for an answer. close_s: for the
    client's close. send_buffer: bytes that the kernel may hold, 0: as many as it likes. deflate: compress for who wants it, each
    message by itself, and once for all of them.
    """

    def __init__(self, int64_t frame=16384, *, uint32_t queue_soft=65536, uint32_t queue_hard=1 << 20, double queue_age_s=10.0,
                 double ping_s=25.0, double close_s=5.0, int send_buffer=262144, bint deflate=False):
        if frame < 1 or min(queue_age_s, ping_s, close_s) < 0 or send_buffer < 0:
            raise ValueError("a limit is 0, for none, or more; a frame has at least one byte")
        self.c.max_message = frame
        self.c.soft, self.c.hard, self.c.age_ms = queue_soft, queue_hard, ms(queue_age_s)
        self.c.ping_ms, self.c.close_ms, self.c.send_buffer = ms(ping_s), ms(close_s), send_buffer
        self.deflate = DeflateParameters(True, True, PACKED_WINDOW_BITS) if deflate else None


cdef class Pusher:
    """The push sockets of one server, and what was counted of them."""

    def __dealloc__(self):
        spool_close(&self.spool)

    @property
    def by_ring(self) -> bool:
        """Whether one system call does all sends of a pass."""
        return self.spool.ring.is_open

    @property
    def sends(self) -> int:
        """Times that something was sent to a socket."""
        return self.spool.n_sends

    @property
    def frames(self) -> int:
        """Frames that were queued, each once for each socket."""
        return self.spool.n_frames

    @property
    def dropped(self) -> int:
        """Transient frames that slow clients did not get."""
        return self.options.c.n_dropped

    @property
    def slow(self) -> int:
        """Sockets closed with 4008."""
        return self.options.c.n_slow


def attach(Server server, kind, PushOptions options, *, double spacing_s=0.002, bint by_ring=True) -> Pusher:
    """From now on each websocket of `server` is a `kind`, a subclass of PushSocket, and lives without a task.

    The handler of its route is called once, with the request and the new socket (made without __init__), behind the 101; when
    it returns the socket lives on, and only then is it read. `spacing_s`: what a busy server waits between two passes over its sockets. `by_ring`: let one
    system call do all sends of a pass, where the kernel can.
    """
    cdef Pusher pusher = Pusher.__new__(Pusher)
    cdef int failed = spool_open(&pusher.spool, server.c.loop, <int64_t>(spacing_s * 1_000_000), by_ring)
    if failed < 0:
        raise OSError(-failed, "no timer")
    if not issubclass(kind, PushSocket):
        raise TypeError(f"{kind!r} is no PushSocket")
    pusher.spool.on_flushed = on_flushed
    pusher.options, pusher.loop = options, server.loop

    def upgrade(Exchange exchange) -> object:
        cdef Route route = exchange.route
        cdef PushSocket socket
        opening = judge(exchange.request, route.gate.options.subprotocols, options.deflate)
        if not isinstance(opening, Opening):
            return opening
        refusal = route.gate(exchange.request)
        if refusal is not None:
            return refusal
        socket = kind.__new__(kind)
        socket.pusher, socket.exchange, socket.lines = pusher, exchange, opening.lines
        if opening.deflate is not None:
            socket.c.deflates = socket.c.receiver.deflate = True
            socket.c.window_bits = opening.deflate.client_max_window_bits
        return socket

    server.upgrade = upgrade
    return pusher


cdef class PushSocket(Upgraded):
    """One client's websocket; subclass it, and give it to `attach`.

    `on_message` and `on_close` are called in the hub: what they do must not wait, or be spawned.
    """

    def __dealloc__(self):
        if self.c.assembly != NULL:
            assembly_free(self.c.assembly)
            free(self.c.assembly)
        if self.c.out.spool != NULL:
            outbox_clear(&self.c.out)

    def on_message(self, str text) -> None:
        """A text message came."""

    def on_close(self, int code) -> None:
        """Nothing can be sent any more: the client's code, ours, or 1006. Called once."""

    def send(self, message) -> bool:
        """Queue a text message, a str or bytes that are UTF-8; never waits. False: it is closed."""
        cdef Block block = Block(message, text=True)
        return push_put(&self.c, block.c)

    def send_shared(self, Block block) -> bool:
        """As `send`, of a message that was made before."""
        return push_put(&self.c, block.c)

    def send_transient(self, Block block) -> bool:
        """As `send_shared`; dropped when the client is slow."""
        return push_put_transient(&self.c, block.c)

    def close(self, int code=CLOSE_NORMAL, str reason="") -> None:
        """Say the end; nothing can be sent behind it. Closing again does nothing."""
        encoded = reason.encode()
        if not is_close_code(code) or len(encoded) > MAX_CONTROL - 2:
            raise ValueError(f"code {code} with {len(encoded)} bytes: allowed are codes of RFC 6455 section 7.4 and 123 bytes")
        if self.c.phase == PUSH_OPEN and self.c.connection != NULL:
            begin_close(&self.c, <uint16_t>code, encoded, len(encoded))

    @property
    def closed(self) -> bool:
        """Nothing can be sent any more."""
        return self.c.phase != PUSH_OPEN or self.c.connection == NULL

    @property
    def n_unsent(self) -> int:
        """Bytes that wait for the client."""
        return self.c.out.n_unsent

    cdef int run(self) except -1:
        cdef Exchange exchange = self.exchange
        cdef connection_t* connection = exchange.connection
        cdef Route route = exchange.route
        cdef push_limits_t* limits = &self.pusher.options.c
        self.c.connection, self.c.limits = connection, limits
        self.c.receiver.max_message = self.c.receiver.max_frame = limits.max_message
        self.c.out.stream, self.c.out.spool = &connection.stream, &self.pusher.spool
        self.c.callback.run, self.c.callback.owner = attend, <void*>self
        self.c.heard_ms = connection.server.loop.now_ms
        connection.taker, connection.taken = &self.c, taken
        Py_INCREF(self)
        self.c.held = True
        if limits.send_buffer and connection.stream.source.fd >= 0:
            setsockopt(connection.stream.source.fd, SOL_SOCKET, SO_SNDBUF, &limits.send_buffer, sizeof(int))
        arm(&self.c)
        try:
            if exchange.values is None:
                route.handler(exchange.request, self)
            else:
                route.handler(exchange.request, self, **dict(zip(route.names, exchange.values)))
        except Exception:
            log.exception("websocket handler failed path=%s", exchange.request.path)
            self.close(CLOSE_INTERNAL_ERROR)
        finally:
            self.exchange = None
        return 0

    cdef int attend(self) except -1:
        """Something happened while the handler waits for something of its own."""
        cdef connection_t* connection = self.c.connection
        if self.exchange is None:
            return 0
        if connection.stream.source.fd < 0:
            self.exchange.cancel()
        elif connection.stream.hung and stream_error(&connection.stream):   # no read tells of a reset: we do none yet
            connection_lost(connection)
        else:
            taken(connection)
        return 0

    cdef int look(self) except -1:
        self.read()
        if self.c.phase != PUSH_OPEN and not self.c.told:
            self.c.told = True
            self.on_close(self.c.close_code or CLOSE_ABNORMAL)
        # Neither the spool nor the loop may point into us any more: else we are called again, by whichever does.
        if self.c.connection == NULL and self.c.held and not self.c.out.spooled and not self.c.callback.queued:
            self.c.held = False
            Py_DECREF(self)             # whoever called us holds another
        return 0

    cdef int read(self) except -1:
        cdef connection_t* connection
        cdef Buffer* input
        cdef uint8_t* data = self.pusher.spool.loop.scratch
        cdef int64_t budget = READ_BUDGET_BYTES
        cdef size_t size
        cdef Py_ssize_t n, used
        if self.exchange is not None:
            return 0                    # first the handler, to whose task the connection belongs until then
        while self.c.connection != NULL:
            connection = self.c.connection
            if budget <= 0:
                loop_call(connection.server.loop, &self.c.callback)     # after the others
                return 0
            size = 0
            input = connection.input
            if input != NULL:           # the beginning of a frame, or what came with the request
                size = input.end - input.start
                memcpy(data, input.data + input.start, size)
                connection_drop_input(connection)
            n = stream_recv(&connection.stream, data + size, SCRATCH_BYTES - size)
            if n > 0:
                size += <size_t>n
                budget -= n
                self.c.pinged = False
                self.c.heard_ms = connection.server.loop.now_ms
                connection.server.counts.bytes_received[0] += <uint64_t>n
            used = self.parse(data, size)
            if self.c.connection == NULL:
                return 0
            if not connection_keep(connection, data + used, size - used) or (n <= 0 and n != STREAM_NOTHING):
                connection_lost(connection)
                return 0
            if n == STREAM_NOTHING:
                return 0
        return 0

    cdef Py_ssize_t parse(self, uint8_t* data, size_t size) except -1:
        """Bytes used up; what they said may have ended the connection."""
        cdef Piece piece
        cdef size_t at = 0
        cdef Py_ssize_t used
        while at < size and self.c.connection != NULL:
            used = receive(&self.c.receiver, data + at, size - at, &piece)
            if used == NEED_MORE:
                break
            if used == BROKEN:
                refuse(&self.c, self.c.receiver.close_code, self.c.receiver.error)
                return size
            if used == 0:
                return size             # behind their close frame nothing counts
            at += <size_t>used
            self.take(&piece)
        return at

    cdef int take(self, Piece* piece) except -1:
        cdef uint8_t* payload = <uint8_t*>piece.data        # ours to change: scratch
        if piece.kind == PIECE_CLOSE:
            if not take_piece(&self.c.receiver, piece, payload):
                refuse(&self.c, self.c.receiver.close_code, self.c.receiver.error)
                return 0
            if self.c.phase == PUSH_OPEN:
                self.c.close_code = piece.close_code
                outbox_trim(&self.c.out)
                put_close(&self.c, piece.close_code, NULL, 0)
            end(&self.c)
        elif self.c.phase != PUSH_OPEN:
            return 0
        elif piece.kind == PIECE_PING:
            take_piece(&self.c.receiver, piece, payload)
            # Who asks and does not listen gets no answer: RFC 6455 section 5.5.3 wants one to the last ping only.
            if self.c.out.n_unsent <= self.c.limits.soft and not put_now(&self.c, FIN | OP_PONG, payload, piece.size):
                connection_lost(self.c.connection)
        elif piece.kind == PIECE_DATA:
            self.take_data(piece)
        return 0

    cdef int take_data(self, Piece* piece) except -1:
        cdef uint8_t* payload = <uint8_t*>piece.data
        if piece.opcode == OP_BINARY:
            refuse(&self.c, CLOSE_UNSUPPORTED, b"text messages only")
            return 0
        if piece.starts and piece.ends and not piece.compressed:
            if not take_piece(&self.c.receiver, piece, payload):
                refuse(&self.c, self.c.receiver.close_code, self.c.receiver.error)
                return 0
            self.on_message(PyUnicode_DecodeUTF8(<char*>payload, <Py_ssize_t>piece.size, NULL))
            return 0
        if self.c.assembly == NULL:
            self.c.assembly = <assembly_t*>calloc(1, sizeof(assembly_t))
            if self.c.assembly == NULL:
                raise MemoryError
            self.c.assembly.inflate.window_bits = self.c.window_bits
        if not assembly_add(self.c.assembly, &self.c.receiver, piece, self.pusher.spool.loop.inbox):
            refuse(&self.c, self.c.receiver.close_code, self.c.receiver.error)
            return 0
        if piece.ends:
            message = PyUnicode_DecodeUTF8(<char*>self.c.assembly.data, <Py_ssize_t>self.c.assembly.size, NULL)
            assembly_free(self.c.assembly)
            free(self.c.assembly)
            self.c.assembly = NULL
            self.on_message(message)
        return 0
