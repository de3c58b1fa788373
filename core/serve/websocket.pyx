"""A websocket between a connection's frames and a handler's messages.

`attend` reads in the hub: frames are judged in C, control frames answered at once, a whole message goes straight to the handler
that waits for it. What the handler does not ask for is queued up to a bound; then nothing more is read, and the client has to
wait. Frames that are sent leave at the end of the turn, together.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES, loop_call
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_recv, stream_shut
from hotpath.core.serve.assembly cimport assembly_add, assembly_drop, assembly_free
from hotpath.core.serve.connection cimport (
    connection_arm, connection_drop_input, connection_flush, connection_keep, connection_lost, connection_t)
from hotpath.core.serve.frames cimport CLOSE_RECEIVED, CLOSE_SENT, ENDED, OPEN, socket_cut_off, socket_is_stale, socket_put_frame
from hotpath.core.serve.table cimport Route
from hotpath.core.tasks.line cimport link_init, link_is_empty
from hotpath.core.tasks.task cimport PARKED, give_way, park, resume, running, wake, wake_all
from hotpath.core.wire.ws.deflate cimport deflate_bound, deflate_close, deflate_some
from hotpath.core.wire.ws.frame cimport (
    BROKEN, CLOSE_ABNORMAL, CLOSE_GOING_AWAY, CLOSE_INTERNAL_ERROR, CLOSE_NO_STATUS, CLOSE_NORMAL, FIN, MAX_CONTROL, NEED_MORE,
    OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, PIECE_CLOSE, PIECE_DATA, PIECE_PING, RSV1, is_close_code, receive,
    take_piece)

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

import logging
import secrets
from collections import deque

from hotpath.core.errors import Cancelled, ConnectionClosed
from hotpath.core.serve.handshake import Opening, judge
from hotpath.core.serve.response import Response

log = logging.getLogger(__name__)

cdef enum:
    READ_BUDGET_BYTES = 262144  # of one client in one turn
    BATCH_BYTES = 16384         # from here on other threads may run meanwhile
    TURN_BYTES = 262144         # sent to a client that takes all at once, then others have their turn

cdef object GONE = object()     # what wakes a reader: no message comes any more


cdef size_t cost_of(object message) except? 0:
    """What it counts for in the queue; an empty one is something too."""
    return <size_t>len(message) + 1


def upgrade(Exchange exchange) -> object:
    """Server.upgrade: a Response that refuses, or a WebSocket that waits for its 101 to leave."""
    cdef Route route = exchange.route
    cdef Options options = route.gate.options
    cdef WebSocket socket
    opening = judge(exchange.request, options.subprotocols, options.deflate)
    if isinstance(opening, Opening):
        refusal = route.gate(exchange.request)
        if refusal is not None:
            return refusal
        exchange.request.fields = None  # parsed again if asked for: an idle socket keeps only the head's bytes
        socket = WebSocket.__new__(WebSocket)
        socket.open(exchange, options, opening)
        return socket
    return opening


cdef class WebSocket(Upgraded):
    """One client's websocket, for the handler of its route. Iterating gives its messages until it is closed.

    A text message is a str, a binary one bytes. When the handler returns, the socket is closed with 1000, when it raises, with
    1011. A handler that does not end `close_s` behind the end of its socket is cancelled.
    """

    def __cinit__(self):
        link_init(&self.writers)

    def __dealloc__(self):
        assembly_free(&self.assembly)
        deflate_close(&self.deflate)

    cdef int open(self, Exchange exchange, Options options, opening) except -1:
        self.exchange, self.options = exchange, options
        self.c.connection, self.c.options = exchange.connection, &options.c
        self.c.receiver.max_frame, self.c.receiver.max_message = options.c.max_frame, options.c.max_message
        self.subprotocol = opening.subprotocol
        self.lines = opening.lines
        agreed = opening.deflate
        if agreed is not None:
            self.deflates = self.c.receiver.deflate = True
            self.assembly.inflate.window_bits, self.deflate.window_bits = agreed.client_max_window_bits, agreed.server_max_window_bits
            self.assembly.inflate.keeps_context = not agreed.client_no_context_takeover
            self.deflate.keeps_context = not agreed.server_no_context_takeover
            self.deflate.level, self.deflate.mem_level = 6, 8
        return 0

    # The handler's side

    def receive(self) -> object:
        """The next message, waiting for it. Raises ConnectionClosed when none comes any more."""
        cdef Task task
        if self.queue:
            message = self.queue.popleft()
            self.n_queued -= cost_of(message)
            if self.c.blocked and self.n_queued <= self.c.options.max_queued // 2:
                self.c.blocked = False
                loop_call(self.c.connection.server.loop, &self.c.connection.callback)
            return message
        task = running()
        if self.reader is not None:
            raise RuntimeError("another task receives from this websocket")
        if self.c.phase == CLOSE_RECEIVED:
            self.answer_close()
        if self.c.phase != OPEN or self.c.connection == NULL:
            raise self.closed_error()
        self.reader = task
        if self.c.blocked:
            self.c.blocked = False
            loop_call(self.c.connection.server.loop, &self.c.connection.callback)
        try:
            message = park(NULL)
        finally:
            if self.reader is task:
                self.reader = None
        if message is GONE:
            raise self.closed_error()
        return message

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.receive()
        except ConnectionClosed:
            raise StopIteration from None

    def send(self, message) -> None:
        """Send a str as a text message, anything else that has bytes as a binary one; waits while the client is slow.

        Raises ConnectionClosed.
        """
        cdef Py_buffer view
        cdef Py_ssize_t size
        cdef const char* text
        self.check_open()
        if isinstance(message, str):
            text = PyUnicode_AsUTF8AndSize(message, &size)
            self.put(FIN | OP_TEXT, <const uint8_t*>text, size)
        else:
            PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
            try:
                self.put(FIN | OP_BINARY, <const uint8_t*>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
        if self.c.connection.stream.n_unsent > self.c.options.max_unsent // 2:
            self.wait_for_room()
        elif self.c.total_put - self.turn_at > TURN_BYTES:
            self.turn_at = self.c.total_put
            give_way()

    def send_shared(self, Block block) -> bool:
        """Queue a message that was encoded before; never waits. False: it is closed, or was cut off for being too slow."""
        return socket_put(&self.c, block.c.data, block.c.size)

    def ping(self, bytes data=b"") -> None:
        """Ask for a sign of life; the answer is not told. At most 125 bytes. Raises ConnectionClosed."""
        if len(data) > MAX_CONTROL:
            raise ValueError(f"a ping carries at most {<int>MAX_CONTROL} bytes")
        self.check_open()
        self.put(FIN | OP_PING, <const uint8_t*>PyBytes_AS_STRING(data), len(data))

    def close(self, int code=CLOSE_NORMAL, str reason="") -> None:
        """Say the end; nothing can be sent behind it. Closing again does nothing."""
        encoded = reason.encode()
        if not is_close_code(code) or len(encoded) > MAX_CONTROL - 2:
            raise ValueError(f"code {code} with {len(encoded)} bytes: allowed are codes of RFC 6455 section 7.4 and 123 bytes")
        if self.c.phase == CLOSE_RECEIVED:
            self.answer_close()
        elif self.c.phase == OPEN and self.c.connection != NULL:
            self.say_close(code, encoded)
            self.c.phase = CLOSE_SENT
            self.expect_end()
            loop_call(self.c.connection.server.loop, &self.c.connection.callback)       # whoever receives is told

    @property
    def closed(self) -> bool:
        """Nothing can be sent any more."""
        return self.c.phase >= CLOSE_SENT or self.c.connection == NULL or self.c.connection.stream.source.fd < 0

    cdef int check_open(self) except -1:
        if self.c.phase >= CLOSE_SENT or self.c.connection == NULL:
            raise self.closed_error()
        if self.c.connection.stream.source.fd < 0:
            self.end(CLOSE_ABNORMAL, "")        # the hub would say so, but a handler that only sends does not let it
            raise self.closed_error()
        return 0

    cdef object closed_error(self):
        return ConnectionClosed(CLOSE_NO_STATUS if self.close_code is None else self.close_code, self.close_reason or "")

    cdef int wait_for_room(self) except -1:
        connection_flush(self.c.connection)
        self.keep_time()
        while (self.c.phase < CLOSE_SENT and self.c.connection.stream.source.fd >= 0
               and self.c.connection.stream.n_unsent > self.c.options.max_unsent // 2):
            park(&self.writers)
        return 0

    # The task: from the 101 to the end

    cdef int run(self) except -1:
        self.arm(self.c.options.ping_ms)
        loop_call(self.c.connection.server.loop, &self.c.connection.callback)      # frames may have come with the request
        try:
            self.serve()
        finally:
            self.exchange.body_sent = self.c.total_put
            self.c.phase = ENDED
            self.c.blocked = False
            self.c.connection = NULL
            self.exchange = None
            self.queue = None
            self.dismiss()
        return 0

    cdef int dismiss(self) except -1:
        """Other tasks of the handler's that still wait on its socket."""
        cdef Task task = self.reader
        self.reader = None
        if task is not None:
            wake(task, GONE)
        return wake_all(&self.writers, None)

    cdef int serve(self) except -1:
        cdef Exchange exchange = self.exchange
        cdef Route route = exchange.route
        cdef int code = CLOSE_NORMAL
        try:
            if exchange.values is None:
                route.handler(exchange.request, self)
            else:
                route.handler(exchange.request, self, **dict(zip(route.names, exchange.values)))
        except ConnectionClosed:
            pass                        # nobody is left to be told
        except Cancelled:
            if self.c.phase < CLOSE_SENT and self.c.connection.stream.source.fd >= 0:
                self.say_close(CLOSE_GOING_AWAY, b"")
                connection_flush(self.c.connection)
            raise
        except Exception:
            instance = f"urn:uuid:{secrets.token_hex(16)}"
            log.exception("websocket handler failed instance=%s path=%s", instance, exchange.request.path)
            code = CLOSE_INTERNAL_ERROR
        self.finish(code)
        return 0

    cdef int finish(self, int code) except -1:
        self.c.blocked = False
        self.queue = None
        self.n_queued = 0
        self.finishing = True
        if self.c.phase == CLOSE_RECEIVED and code == CLOSE_NORMAL:
            self.answer_close()
        elif self.c.phase < CLOSE_SENT:
            self.say_close(code, b"")
            self.c.phase = ENDED if self.c.phase == CLOSE_RECEIVED else CLOSE_SENT
        self.dismiss()
        if self.c.phase == CLOSE_SENT and self.c.connection.stream.source.fd >= 0:
            self.expect_end()
            loop_call(self.c.connection.server.loop, &self.c.connection.callback)
            self.reader = running()
            try:
                park(NULL)
            finally:
                self.reader = None
        if self.c.connection.stream.source.fd >= 0:
            connection_flush(self.c.connection)
        return 0

    # The hub: what comes

    cdef int attend(self) except -1:
        try:
            self.look()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:           # no memory for a message, say: one client's trouble, and nothing else's
            log.exception("websocket failed")
            if self.c.connection != NULL:
                connection_lost(self.c.connection)
        return 0

    cdef int look(self) except -1:
        cdef connection_t* connection = self.c.connection
        if connection == NULL:
            return 0
        if connection.stream.source.fd < 0:
            self.end(CLOSE_ABNORMAL, "")
        elif connection.stream.n_unsent and socket_is_stale(&self.c):
            self.cut_off()
        if connection.server.draining and not self.c.said_goodbye:
            self.c.said_goodbye = True
            if self.c.phase == OPEN:
                self.say_close(CLOSE_GOING_AWAY, b"")
                self.c.phase = CLOSE_SENT
                self.close_code = <int>CLOSE_GOING_AWAY
                self.expect_end()
        self.read()
        if self.c.connection == NULL:
            return 0
        # Behind the reading: a sign of life that came while others were at work is one.
        if connection.late or (self.end_ms and connection.server.loop.now_ms >= self.end_ms):
            connection.late = False
            self.on_due()
            self.deliver()
        if self.c.connection == NULL:
            return 0
        if not link_is_empty(&self.writers):
            if connection.stream.n_unsent and connection.stream.source.fd >= 0:
                connection_flush(connection)    # of this turn, as in read_some
            if self.c.phase >= CLOSE_SENT or connection.stream.n_unsent <= self.c.options.max_unsent // 4:
                wake_all(&self.writers, None)
        self.keep_time()
        return 0

    cdef int read(self) except -1:
        cdef int64_t budget = READ_BUDGET_BYTES
        cdef uint64_t before
        cdef bint more = True
        while more and self.c.connection != NULL:
            before = self.c.connection.server.counts.bytes_received[0]
            more = self.c.phase < ENDED and self.read_some()
            if self.deliver():
                more = True
            if self.c.connection == NULL:
                break
            budget -= <int64_t>(self.c.connection.server.counts.bytes_received[0] - before) + 1
            if more and budget <= 0:
                loop_call(self.c.connection.server.loop, &self.c.connection.callback)
                break
        return 0

    cdef bint read_some(self) except -1:
        """Uses up some of what has come. False: nothing has, or nothing may be read now."""
        cdef connection_t* connection = self.c.connection
        cdef Buffer* input = connection.input
        cdef uint8_t* data = connection.server.loop.scratch     # larger than the inbox: a frame of 64 KiB comes whole
        cdef size_t kept = 0
        cdef Py_ssize_t n, used
        if connection.stream.source.fd < 0:
            return False
        if connection.stream.n_unsent > self.c.options.max_unsent // 2:
            # What this turn queued may leave at once, and then no event of the kernel's would set us going again.
            if not connection_flush(connection):
                return False
        if self.n_queued > self.c.options.max_queued or connection.stream.n_unsent > self.c.options.max_unsent // 2:
            self.c.blocked = True
            return False
        self.c.blocked = False          # also if it was what we send that blocked it, and that has left
        if input != NULL:
            kept = input.end - input.start
            used = self.parse(input.data + input.start, kept)
            if used:
                if <size_t>used == kept or connection.input == NULL:
                    connection_drop_input(connection)
                else:
                    input.start += <uint32_t>used
                return True
            if kept > SCRATCH_BYTES // 2:
                return False            # whole frames, and the queue is full
            memcpy(data, input.data + input.start, kept)
        n = stream_recv(&connection.stream, data + kept, SCRATCH_BYTES - kept)
        if n == STREAM_NOTHING:
            return False
        if n <= 0:
            if n == STREAM_FAILED:
                connection_lost(connection)
            self.end(CLOSE_ABNORMAL, "")
            return False
        connection.server.counts.bytes_received[0] += <uint64_t>n
        self.c.pinged = False
        if self.c.phase == OPEN and connection.stream.n_unsent == 0:
            self.arm(self.c.options.ping_ms)
        n += <Py_ssize_t>kept
        connection_drop_input(connection)
        used = self.parse(data, n)
        if used < n and self.c.phase < ENDED and not connection_keep(connection, data + used, n - used):
            connection_lost(connection)
            self.end(CLOSE_ABNORMAL, "")
        return True

    cdef Py_ssize_t parse(self, uint8_t* data, size_t size) except -1:
        """Bytes used up."""
        cdef Piece piece
        cdef size_t at = 0
        cdef Py_ssize_t used
        if self.c.failed:
            return size
        while at < size and self.c.phase < ENDED and self.n_queued <= self.c.options.max_queued:
            used = receive(&self.c.receiver, data + at, size - at, &piece)
            if used == NEED_MORE:
                break
            if used == BROKEN:
                self.refuse()
                return size
            if used == 0:
                return size             # behind their close frame nothing counts
            at += used
            self.take(&piece)
            if self.c.failed or self.c.connection.stream.source.fd < 0:
                return size             # a pong could not leave, and the input is gone with the connection
        return at

    cdef int take(self, Piece* piece) except -1:
        cdef uint8_t* payload = <uint8_t*>piece.data        # ours to change: the loop's scratch, or a buffer
        if piece.kind == PIECE_DATA:
            if self.c.phase < CLOSE_SENT:
                self.take_data(piece)
        elif piece.kind == PIECE_PING:
            if self.c.phase < CLOSE_SENT:
                take_piece(&self.c.receiver, piece, payload)
                self.put(FIN | OP_PONG, payload, piece.size)
        elif piece.kind == PIECE_CLOSE:
            self.take_close(piece)
        return 0

    cdef int take_close(self, Piece* piece) except -1:
        cdef uint8_t* payload = <uint8_t*>piece.data
        if not take_piece(&self.c.receiver, piece, payload):
            return self.refuse()
        if self.close_code is None:
            self.close_code = piece.close_code
            self.close_reason = PyUnicode_DecodeUTF8(<char*>payload, piece.size, NULL)
        if self.c.phase == CLOSE_SENT:
            self.end(piece.close_code, "")
        else:
            self.c.phase = CLOSE_RECEIVED
            self.expect_end()
        return 0

    cdef int take_data(self, Piece* piece) except -1:
        cdef uint8_t* payload = <uint8_t*>piece.data
        cdef uint8_t* inbox = self.c.connection.server.loop.inbox
        cdef bint valid
        if piece.starts and piece.ends and not piece.compressed:
            if piece.opcode == OP_BINARY:
                message = PyBytes_FromStringAndSize(NULL, piece.size)
                take_piece(&self.c.receiver, piece, <uint8_t*>PyBytes_AS_STRING(message))
            else:
                if not take_piece(&self.c.receiver, piece, payload):
                    return self.refuse()
                message = PyUnicode_DecodeUTF8(<char*>payload, piece.size, NULL)
            return self.enqueue(message)
        if piece.size > BATCH_BYTES:
            with nogil:
                valid = assembly_add(&self.assembly, &self.c.receiver, piece, inbox)
        else:
            valid = assembly_add(&self.assembly, &self.c.receiver, piece, inbox)
        if not valid:
            return self.refuse()
        if piece.ends:
            if piece.opcode == OP_BINARY:
                message = PyBytes_FromStringAndSize(<char*>self.assembly.data, self.assembly.size)
            else:
                message = PyUnicode_DecodeUTF8(<char*>self.assembly.data, self.assembly.size, NULL)
            self.enqueue(message)
            assembly_drop(&self.assembly)       # an idle socket owns no buffer
        return 0

    cdef int enqueue(self, object message) except -1:
        if self.queue is None:
            self.queue = deque()
        self.queue.append(message)
        self.n_queued += cost_of(message)
        return 0

    cdef bint deliver(self) except -1:
        """Runs the handler, if it waits, with what came. True: it took something."""
        cdef Task task
        cdef bint took = False
        while self.reader is not None and self.reader.state == PARKED and self.queue:     # else a timeout came first
            message = self.queue.popleft()
            self.n_queued -= cost_of(message)
            task, self.reader = self.reader, None
            took = resume(task, message) or took
        if self.n_queued == 0 and self.c.connection != NULL and self.reader is not None:
            if self.c.phase == CLOSE_RECEIVED:
                self.answer_close()
            if self.c.phase == ENDED or (self.c.phase == CLOSE_SENT and not self.finishing):
                task, self.reader = self.reader, None
                resume(task, GONE)
        return took

    cdef int on_due(self) except -1:
        cdef connection_t* connection = self.c.connection
        if self.c.phase == ENDED:
            self.end_ms = 0
            self.exchange.cancel()
        elif self.c.phase == CLOSE_RECEIVED:
            self.answer_close()         # whatever the handler is at
        elif self.c.phase == CLOSE_SENT:
            self.end(CLOSE_ABNORMAL, "the close was not answered")
        elif connection.stream.n_unsent and connection.stream.writable:
            # Queued in this very turn: no sign of a slow client.
            if connection_flush(connection) and connection.stream.n_unsent == 0:
                return self.on_due()
        elif connection.stream.n_unsent:
            self.cut_off()
        elif self.c.blocked:
            # We do not listen, so its silence says nothing; but sending to who is gone fails in the end.
            self.put(FIN | OP_PING, NULL, 0)
            self.arm(self.c.options.ping_ms)
        elif self.c.pinged:
            connection_lost(connection)
            self.end(CLOSE_ABNORMAL, "no sign of life")
        else:
            self.c.pinged = True
            self.put(FIN | OP_PING, NULL, 0)
            self.arm(self.c.options.pong_ms)
        return 0

    cdef void arm(self, int64_t after_ms) noexcept:
        self.c.connection.late = False
        connection_arm(self.c.connection, after_ms)

    cdef void keep_time(self) noexcept:
        """Sets the deadline that counts: what sends arms it for all connections alike, and a close disarms it.

        Until the end has come, a client that takes nothing has the shorter of two times, and is asked anew once it has caught up.
        """
        cdef connection_t* connection = self.c.connection
        cdef int64_t age_ms = self.c.options.age_ms, send_ms = connection.server.limits.send_ms
        if self.end_ms:
            self.arm(max(<int64_t>1, self.end_ms - connection.server.loop.now_ms))
        elif self.c.phase != OPEN or connection.stream.source.fd < 0:
            return
        elif connection.stream.n_unsent == 0:
            if self.slow:
                self.slow = False
                self.arm(self.c.options.pong_ms if self.c.pinged else self.c.options.ping_ms)
        elif not connection.stream.writable:
            self.slow = True
            if age_ms and (age_ms < send_ms or send_ms == 0):
                self.arm(age_ms)

    cdef void expect_end(self) noexcept:
        self.arm(self.c.options.close_ms)
        self.end_ms = self.c.connection.server.loop.now_ms + self.c.options.close_ms if self.c.options.close_ms else 0

    # The end

    cdef int refuse(self) except -1:
        return self.fail(self.c.receiver.close_code, self.c.receiver.error.decode())

    cdef int fail(self, int code, str reason) except -1:
        """Their fault: nothing more is read, and that is said once the handler has answered what came before."""
        self.c.failed = True
        if self.c.phase != OPEN:
            return self.end(code, reason)
        self.c.phase = CLOSE_RECEIVED
        self.close_code, self.close_reason = code, reason
        self.expect_end()
        return 0

    cdef int cut_off(self) except -1:
        socket_cut_off(&self.c)
        return self.end(CLOSE_ABNORMAL, "too slow")

    cdef int end(self, int code, str reason) except -1:
        cdef connection_t* connection = self.c.connection
        if self.c.phase == ENDED:
            return 0
        self.c.phase = ENDED
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        if connection.stream.source.fd >= 0:
            stream_shut(&connection.stream)     # behind what is unsent
        self.expect_end()
        return 0

    cdef int answer_close(self) except -1:
        """Their code back, or what they did wrong."""
        if self.close_code == CLOSE_NO_STATUS:
            self.put(FIN | OP_CLOSE, NULL, 0)
        else:
            self.say_close(self.close_code, self.close_reason.encode()[:MAX_CONTROL - 2] if self.c.failed else b"")
        return self.end(self.close_code, "")

    cdef int say_close(self, int code, bytes reason) except -1:
        cdef uint8_t payload[MAX_CONTROL]
        payload[0], payload[1] = <uint8_t>(code >> 8), <uint8_t>code
        memcpy(payload + 2, PyBytes_AS_STRING(reason), len(reason))
        return self.put(FIN | OP_CLOSE, payload, len(reason) + 2)

    # Frames as they leave

    cdef int put(self, uint8_t first, const uint8_t* data, size_t size) except -1:
        if self.deflates and size >= self.c.options.min_deflate and first & 0x0F in (OP_TEXT, OP_BINARY):
            return self.put_deflated(first, data, size)
        socket_put_frame(&self.c, first, data, size)
        return 0

    cdef int put_deflated(self, uint8_t first, const uint8_t* data, size_t size) except -1:
        cdef size_t room = deflate_bound(size)
        cdef uint8_t* to = <uint8_t*>malloc(room)
        cdef Py_ssize_t n
        if to == NULL:
            raise MemoryError
        try:
            if size > BATCH_BYTES:
                with nogil:
                    n = deflate_some(&self.deflate, data, size, True, to, room)
            else:
                n = deflate_some(&self.deflate, data, size, True, to, room)
            if n < 0:
                raise MemoryError
            socket_put_frame(&self.c, first | RSV1, to, n)
        finally:
            free(to)
        return 0
