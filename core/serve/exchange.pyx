"""One request and its answer: the task that serves it, between the connection's bytes and the handler.

`attend` is the Python side of a connection. It runs in the hub, starts a task for each whole head, and wakes the task when what it
waits for has come. A handler that never waits has its answer sent before `start_now` returns, so pipelined requests are
answered in one go, in order, and leave in one send.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport INBOX_BYTES, SCRATCH_BYTES, loop_call, loop_defer
from hotpath.core.net.linux cimport SOL_SOCKET, setsockopt
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_flush, stream_put, stream_recv, stream_send
from hotpath.core.serve.access cimport entry_t, log_entry
from hotpath.core.serve.answer cimport put, put_int, put_start
from hotpath.core.serve.connection cimport (
    LAST_NOT, LAST_OURS, LAST_THEIRS, REJECTED_LOST, REJECTED_MALFORMED, REJECTED_METHOD, REJECTED_NO_ROUTE,
    REJECTED_TIMEOUT, REJECTED_TOO_LARGE, WAITS_BODY, WAITS_NOT, WAITS_ROOM, connection_arm, connection_drop_input,
    connection_end, connection_flush, connection_free, connection_gather, connection_keep, connection_lost, connection_refuse,
    connection_rest)
from hotpath.core.serve.metrics cimport count_answer
from hotpath.core.wire.payload cimport take_payload
from hotpath.core.serve.sending cimport send_content, send_file, send_pieces
from hotpath.core.tasks.task cimport DONE, park, resume, start_now
from hotpath.core.wire.http1 cimport (
    BODY_DONE, BODY_LENGTH, METHOD_CONNECT, METHOD_HEAD, METHOD_OPTIONS, METHOD_OTHER, NAME_REFERER, NAME_USER_AGENT,
    NEED_MORE, STRICT, TARGET_ASTERISK, Head, Span, body_start, parse_request)

import logging
import secrets

from hotpath.core.errors import Cancelled
from hotpath.core.serve.problem import RequestError, problem

log = logging.getLogger(__name__)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        SO_LINGER

cdef enum:
    MAX_PIPELINED = 64          # of one client per turn: one that never stops must not starve the others
    DISCARD_BYTES = 262144      # of a body that nobody asked for: cheaper to read than to open a new connection
    MAX_IDLE = 64               # Exchanges kept


cdef int attend(Callback* callback) except -1:
    cdef connection_t* connection = <connection_t*>callback.owner
    cdef Exchange exchange
    cdef Upgraded upgraded
    if connection.server.closed:
        return 0
    if connection.exchange != NULL:
        exchange = <Exchange>connection.exchange
        if connection.upgraded != NULL:
            upgraded = <Upgraded>connection.upgraded    # ours while it runs: what it wakes may end the exchange, and so it
            return upgraded.attend()
        if connection.stream.source.fd < 0:
            exchange.cancel()
            return 0
        if connection.waits == WAITS_BODY or connection.waits == WAITS_ROOM:
            connection.waits = WAITS_NOT
            resume(exchange, None)
        exchange = None
    if connection.exchange != NULL:
        return 0
    if connection.taker != NULL:
        connection.taken(connection)
        return 0
    if connection.stream.source.fd < 0:
        loop_defer(connection.server.loop, &connection.server.sweep)    # which passed us over: we were queued
        return 0
    return proceed(connection)


cdef int proceed(connection_t* connection) except -1:
    """Answers requests until one has to wait. A loop, not a recursion, over what was pipelined."""
    cdef Server server = <Server>connection.server.owner
    cdef int n = 0
    if connection.proceeding:
        return 0
    connection.proceeding = True
    while (connection.exchange == NULL and connection.taker == NULL and connection.stream.source.fd >= 0 and not connection.lingering and not connection.last
           and connection.stream.n_unsent <= server.c.limits.high_water):
        if n == MAX_PIPELINED:
            loop_call(server.c.loop, &connection.callback)
            break
        n += 1
        if not server.begin(connection):
            break
    connection.proceeding = False
    if connection.held and connection.stream.source.fd >= 0:
        connection.held = False
        if connection_flush(connection):
            if connection.exchange == NULL and connection.last:
                if connection.stream.n_unsent == 0:
                    connection_end(connection)
            elif connection.stream.n_unsent <= server.c.limits.high_water // 4 and (
                    connection.waits == WAITS_ROOM or (connection.exchange == NULL and connection.input != NULL)):
                loop_call(server.c.loop, &connection.callback)  # all was taken: no event of the kernel's goes on with it
    return 0


cdef class Upgraded:
    """What took a connection over after a 101."""

    cdef int run(self) except -1:
        return 0

    cdef int attend(self) except -1:
        return 0


cdef class Server:
    """The server of one worker: its connections, its routes."""

    cdef bint begin(self, connection_t* connection) except -1:
        """True: a request was begun (and may be over); False: wait, or the client is gone."""
        cdef Head* head = &self.c.head
        cdef Buffer* input
        cdef Exchange exchange
        cdef Py_ssize_t used
        if not connection_gather(connection):
            return False
        input = connection.input
        used = parse_request(input.data + input.start, input.end - input.start, 0, &self.c.limits.head, STRICT, head)
        if used <= 0:
            if used == NEED_MORE:           # an empty line, and no head before it
                head.error_status, head.error = 400, b"an empty line instead of a request"
            connection_refuse(connection, head.error_status, head.error,
                              REJECTED_TOO_LARGE if head.error_status in (414, 431) else REJECTED_MALFORMED)
            return False
        exchange = <Exchange>self.idle.pop() if self.idle else Exchange.__new__(Exchange)
        exchange.open(self, connection, input.data + input.start, used)
        input.start += <uint32_t>used
        if input.start == input.end:
            connection_drop_input(connection)
        start_now(exchange)
        # Whoever still refers to the task that is over must not find another client's request under way in it.
        if exchange.state == DONE and len(self.idle) < MAX_IDLE and Py_REFCNT(exchange) == 1:
            self.idle.append(exchange)
        return True


cdef Span value_of(const Head* head, int name) noexcept nogil:
    cdef Span span
    span.at = span.size = 0
    if head.first[name]:
        span.at = head.fields[head.first[name] - 1].value_at
        span.size = head.fields[head.first[name] - 1].value_size
    return span


# Whether a close sends RST instead of FIN. For TCP; a unix socket knows no reset.
cdef void reset_on_close(connection_t* connection, bint on) noexcept nogil:
    cdef int[2] linger
    linger[0], linger[1] = on, 0
    setsockopt(connection.stream.source.fd, SOL_SOCKET, SO_LINGER, linger, sizeof(linger))


cdef class Exchange(Incoming):
    """The task of one request."""

    @property
    def name(self) -> str:
        """For the watchdog and the log: the method and the path as sent, and so without a control character."""
        cdef Request request = self.request
        return "request" if request is None else f"{request.method} {request.raw_path}"

    cdef int open(self, Server server, connection_t* connection, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Head* head = &server.c.head
        cdef Request request = Request.__new__(Request)
        request.head = PyBytes_FromStringAndSize(<const char*>data, size)
        request.method_span, request.target_span = head.method, head.target
        request.path_span, request.query_span = head.path, head.query
        request.has_query = head.has_query
        request.method_id = self.method_id = head.method_id
        request.minor = self.minor = head.minor
        request.content_length = self.content_length = head.content_length
        memcpy(request.address, connection.address, 16)
        request.port = connection.port
        request.incoming = self
        self.server, self.connection, self.request = server, connection, request
        self.route = None
        self.values = None
        self.allowed = None
        self.expects_continue, self.expects_other = head.expects_continue, head.expects_other and head.minor == 1
        self.is_asterisk = head.form == TARGET_ASTERISK
        self.is_upgrade = head.upgrades_websocket and head.minor == 1
        body_start(&self.body, head.framing, head.content_length, STRICT, server.c.limits.head.head)
        self.began_us = server.c.loop.now_us
        self.answered_us = 0
        self.body_waited_ms = self.body_received = self.body_sent = 0
        self.given = self.status = 0
        self.referer = value_of(head, NAME_REFERER)
        self.user_agent = value_of(head, NAME_USER_AGENT)
        self.find(data, head)
        connection.n_requests += 1
        if not head.keep_alive:
            connection.last = LAST_THEIRS
        elif server.c.draining or (server.c.limits.requests and connection.n_requests >= server.c.limits.requests):
            connection.last = LAST_OURS
        connection.exchange = <void*>self
        Py_INCREF(self)
        server.c.counts.active[0] += 1
        return 0

    cdef int find(self, const uint8_t* data, const Head* head) except -1:
        cdef list values = []
        cdef set allowed = set()
        cdef str method = None
        if head.method_id == METHOD_CONNECT or self.is_asterisk:
            return 0
        if head.method_id == METHOD_OTHER:
            method = self.request.text(head.method)
        path = (<const char*>data)[head.path.at:head.path.at + head.path.size] if head.path.size else b"/"
        self.route = self.server.table.find(head.method_id, method, path, head.path_is_plain, self.is_upgrade, values, allowed)
        if values:
            self.values = values
        self.request.route = self.route.pattern if self.route is not None else ""
        if self.route is None:
            self.allowed = allowed
            self.max_body = self.server.c.limits.max_body
        else:
            self.max_body = self.route.max_body if self.route.max_body != -2 else self.server.c.limits.max_body
        return 0

    cdef object work(self):
        cdef Response response
        try:
            response = self.respond()
            if response is not None:
                if self.server.finish is not None:
                    response = self.server.finish(self.request, response)
                self.answer(response)
            else:
                self.switch()
                self.taken.run()
        except Cancelled:
            if self.connection.stream.source.fd >= 0:
                connection_lost(self.connection)    # somebody else cancelled it: nothing true can be said any more
            raise
        except RequestError as error:               # the head is out, and the body that it passes on is the client's fault
            log.info("answer cut path=%s cause=%s", self.request.path, error)
            connection_lost(self.connection)
        except BaseException as error:
            log.error("answer failed path=%s", self.request.path, exc_info=error)
            connection_lost(self.connection)
            if not isinstance(error, Exception):
                raise
        finally:
            self.end()

    cdef Response respond(self):
        cdef Response response
        try:
            response = self.refusal()
            if response is None:
                if self.is_upgrade and self.route.gate is not None:
                    return self.upgraded()
                if self.values is None:
                    answer = self.route.handler(self.request)
                else:
                    answer = self.route.handler(self.request, **dict(zip(self.route.names, self.values)))
                if not isinstance(answer, Response):
                    raise TypeError(f"the handler of {self.route.pattern} answered {type(answer).__name__}, not a Response")
                response = <Response>answer
            return response
        except RequestError as error:
            return problem(error.error_status_hint, detail=str(error))
        except Exception:
            instance = f"urn:uuid:{secrets.token_hex(16)}"
            log.exception("handler failed instance=%s method=%s path=%s", instance, self.request.method, self.request.path)
            return problem(500, detail="the server failed; its log knows more by this instance", instance=instance)

    cdef Response upgraded(self):
        """A refusal; None: self.taken is what comes behind the 101."""
        if self.body.phase != BODY_DONE:
            return problem(400, detail="an upgrade has no body")
        if self.server.c.draining:
            return problem(503, detail="draining", headers=(("Retry-After", "1"),))
        upgrade = self.route.gate.upgrade or self.server.upgrade
        if upgrade is None:
            return problem(501, detail="no websockets here")
        answer = upgrade(self)
        if isinstance(answer, Response):
            return answer
        self.taken = <Upgraded>answer
        return None

    cdef int switch(self) except -1:
        """Sends the 101; what follows on this connection is not HTTP."""
        cdef uint8_t* start = self.server.c.loop.scratch
        cdef uint8_t* out
        if self.connection.stream.source.fd < 0:
            raise Cancelled
        self.status = 101
        self.connection.last = LAST_NOT
        out = put_start(self.connection.server, 101, start)
        out = put(out, PyBytes_AS_STRING(self.taken.lines), PyBytes_GET_SIZE(self.taken.lines))
        out = put(out, b"\r\n", 2)
        self.leave(start, out - start)
        self.answered_us = self.server.c.loop.now_us
        self.connection.upgraded = <void*>self.taken
        return 0

    cdef Response refusal(self):
        """What is answered before any handler is asked; None: a handler is."""
        cdef uint64_t* rejected = self.server.c.counts.rejected
        if self.server.opening:
            return problem(503, detail="starting", headers=(("Retry-After", "1"),))
        if self.server.gate is not None:
            response = self.server.gate(self.request)
            if response is not None:
                return response
        if self.expects_other:
            return problem(417, detail="the only expectation known is 100-continue")
        if self.is_asterisk:
            return Response(b"", 204, (("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),))
        if self.route is not None:
            if self.max_body >= 0 and self.content_length > self.max_body:
                rejected[<int>REJECTED_TOO_LARGE] += 1
                return problem(413, detail=f"the body is larger than {self.max_body} bytes")
            return None
        if self.method_id == METHOD_CONNECT:
            rejected[<int>REJECTED_METHOD] += 1
            return problem(501, detail="this is no forward proxy")
        if not self.allowed:
            rejected[<int>REJECTED_NO_ROUTE] += 1
            return problem(404, detail="nothing is here")
        if self.allowed == {""}:
            return problem(426, detail="a websocket is here", headers=(("Upgrade", "websocket"),))
        allow = ", ".join(sorted((self.allowed | {"OPTIONS"}) - {""}))
        if self.method_id == METHOD_OPTIONS:
            return Response(b"", 204, (("Allow", allow),))
        rejected[<int>REJECTED_METHOD] += 1
        if self.method_id == METHOD_OTHER:
            return problem(501, detail="a method that is not known here", headers=(("Allow", allow),))
        return problem(405, detail="the path exists, the method does not", headers=(("Allow", allow),))

    # The request's body

    cdef object next_piece(self):
        cdef connection_t* connection = self.connection
        cdef Buffer* input
        cdef uint8_t* payload
        cdef size_t n_payload = 0
        cdef Py_ssize_t n, used
        while self.body.phase != BODY_DONE:
            input = connection.input
            if input != NULL and input.end > input.start:
                used = take_payload(&self.body, input.data + input.start, input.end - input.start, &payload, &n_payload)
                if used < 0:
                    raise self.broken()
                input.start += <uint32_t>used
                piece = (<char*>payload)[:n_payload]
                if input.start == input.end:
                    connection_drop_input(connection)
            else:
                if self.expects_continue:
                    self.go_on()
                n = stream_recv(&connection.stream, connection.server.loop.inbox, INBOX_BYTES)
                if n == STREAM_NOTHING:
                    self.await_body()
                    continue
                if n <= 0:
                    connection_lost(connection)
                    raise Cancelled
                connection.server.counts.bytes_received[0] += <uint64_t>n
                used = take_payload(&self.body, connection.server.loop.inbox, n, &payload, &n_payload)
                if used < 0:
                    raise self.broken()
                if not connection_keep(connection, connection.server.loop.inbox + used, n - used):
                    raise MemoryError
                piece = (<char*>payload)[:n_payload]
            if n_payload:
                self.expects_continue = False
                self.body_received += <int64_t>n_payload
                if 0 <= self.max_body < self.body_received:
                    connection.last = LAST_OURS
                    connection.server.counts.rejected[<int>REJECTED_TOO_LARGE] += 1
                    raise RequestError(f"the body is larger than {self.max_body} bytes", 413)
                return piece
        return None

    cdef object broken(self):
        self.connection.last = LAST_OURS
        self.connection.server.counts.rejected[<int>REJECTED_MALFORMED] += 1
        return RequestError(self.body.error.decode())

    cdef int go_on(self) except -1:
        self.expects_continue = False
        if stream_send(&self.connection.stream, b"HTTP/1.1 100 Continue\r\n\r\n", 25, False) == STREAM_FAILED:
            connection_lost(self.connection)
            raise Cancelled
        return 0

    cdef int await_body(self) except -1:
        cdef connection_t* connection = self.connection
        cdef server_t* server = connection.server
        cdef int64_t began_ms = server.loop.now_ms
        cdef int64_t allowed_ms = server.limits.body_ms
        if allowed_ms and server.limits.body_rate:
            allowed_ms = max(<int64_t>1, allowed_ms + self.body_received * 1000 // server.limits.body_rate - self.body_waited_ms)
        connection.waits = WAITS_BODY
        connection.late = False
        connection_arm(connection, allowed_ms)
        try:
            park(NULL)
        finally:
            connection.waits = WAITS_NOT
        self.body_waited_ms += server.loop.now_ms - began_ms
        if connection.stream.n_unsent and connection.stream.source.fd >= 0:
            connection_arm(connection, server.limits.send_ms)       # the body's time took its place
        if connection.late:
            connection.late = False
            connection.last = LAST_OURS
            server.counts.rejected[<int>REJECTED_TIMEOUT] += 1
            raise RequestError("the body took too long", 408)
        return 0

    # The answer

    cdef int settle(self) except -1:
        """Decides, before the head leaves, what a body that nobody asked for means for the connection."""
        cdef Buffer* input = self.connection.input
        cdef uint8_t* payload
        cdef size_t n
        cdef Py_ssize_t used
        if self.body.phase == BODY_DONE or self.connection.last:
            return 0
        if input != NULL:
            used = take_payload(&self.body, input.data + input.start, input.end - input.start, &payload, &n)
            if used < 0:
                self.connection.last = LAST_OURS
                return 0
            input.start += <uint32_t>used
            if input.start == input.end:
                connection_drop_input(self.connection)
        if self.body.phase != BODY_DONE and (
                self.expects_continue or (self.body.framing == BODY_LENGTH and self.body.left > DISCARD_BYTES)):
            self.connection.last = LAST_OURS
        return 0

    cdef int discard(self) except -1:
        if self.expects_continue or (self.body.framing == BODY_LENGTH and self.body.left > DISCARD_BYTES):
            self.connection.last = LAST_OURS
            return 0
        self.max_body = self.body_received + DISCARD_BYTES
        try:
            while self.next_piece() is not None:
                pass
        except RequestError:
            self.connection.last = LAST_OURS
        return 0

    cdef int answer(self, Response response) except -1:
        try:
            self.send(response)
        finally:                            # on every way out, sent or not: it may hold files
            if response.content is None and hasattr(response.body, "close"):
                response.body.close()
        if self.body.phase != BODY_DONE and not self.connection.last:
            self.discard()
        return 0

    cdef int send(self, Response response) except -1:
        cdef connection_t* connection = self.connection
        cdef uint8_t* start = connection.server.loop.scratch
        cdef uint8_t* out
        cdef bint chunked = False
        cdef bint bodiless = response.bodiless or self.method_id == METHOD_HEAD
        cdef int64_t length = -1
        if connection.stream.source.fd < 0:
            raise Cancelled
        if response.content is not None:
            self.settle()
        elif self.expects_continue:         # its producer may read the request, and behind our head it is too late to ask
            self.go_on()
        if connection.last == LAST_NOT and (response.closes or connection.server.draining):
            connection.last = LAST_OURS
        if response.content is not None:
            length = (<FileResponse>response).size if type(response) is FileResponse else PyBytes_GET_SIZE(response.content)
        else:
            length = response.length
            chunked = length < 0 and self.minor == 1 and not response.bodiless
            if length < 0 and not chunked and not bodiless:
                connection.last = LAST_OURS
        self.status = response.status
        out = put_start(connection.server, response.status, start)
        out = put(out, PyBytes_AS_STRING(response.lines), PyBytes_GET_SIZE(response.lines))
        if chunked:
            out = put(out, b"Transfer-Encoding: chunked\r\n", 28)
        elif length >= 0 and not response.bodiless:
            out = put(out, b"Content-Length: ", 16)
            out = put_int(out, length)
            out = put(out, b"\r\n", 2)
        if response.status == 426:          # RFC 9110 section 7.8: Upgrade is a hop's
            out = put(out, b"Connection: Upgrade\r\n", 21)
        if connection.last:
            out = put(out, b"Connection: close\r\n", 19)
        elif self.minor == 0:
            out = put(out, b"Connection: keep-alive\r\n", 24)
        out = put(out, b"\r\n", 2)
        if bodiless:
            self.leave(start, out - start)
        elif response.content is not None and type(response) is not FileResponse and length <= SCRATCH_BYTES - (out - start):
            out = put(out, PyBytes_AS_STRING(response.content), length)
            self.body_sent = length
            self.leave(start, out - start)
        else:
            self.leave(start, out - start)
            if type(response) is FileResponse:
                send_file(self, <FileResponse>response)
            elif response.content is not None:
                send_content(self, response.content)
            else:
                if not chunked and length < 0:      # its end is the connection's: until all is sent, only a reset may look like one
                    reset_on_close(connection, True)
                send_pieces(self, response, chunked)
                if not chunked and length < 0:
                    reset_on_close(connection, False)
        return 0

    cdef int leave(self, const uint8_t* data, size_t size) except -1:
        """Sends, or keeps it for the send of all that was pipelined."""
        cdef connection_t* connection = self.connection
        cdef Py_ssize_t left
        cdef size_t before = connection.stream.n_unsent
        connection.server.counts.bytes_sent[0] += size
        if connection.held or (connection.proceeding and connection.input != NULL and not connection.last):
            left = stream_put(&connection.stream, data, size)
            if left != STREAM_FAILED and connection.proceeding:
                connection.held = True
                return 0
            if left != STREAM_FAILED:
                connection.held = False
                left = stream_flush(&connection.stream)
        else:
            left = stream_send(&connection.stream, data, size, False)
        if left == STREAM_FAILED:
            connection_lost(connection)
            raise Cancelled
        if left and (before == 0 or <size_t>left < before + size):      # else nothing was taken, and its time runs on
            connection_arm(connection, connection.server.limits.send_ms)
        return 0

    cdef int await_room(self) except -1:
        """Waits until the client has taken what is unsent."""
        cdef connection_t* connection = self.connection
        connection.waits = WAITS_ROOM
        connection_arm(connection, connection.server.limits.send_ms)
        try:
            park(NULL)
        finally:
            connection.waits = WAITS_NOT
        return 0

    cdef int note(self) except -1:
        cdef server_t* server = self.connection.server
        cdef entry_t entry
        cdef int64_t took_us = server.loop.now_us - self.began_us
        server.counts.active[0] -= 1
        count_answer(&server.counts, self.route.index if self.route is not None else len(self.server.table.routes), self.status,
                     self.answered_us - self.began_us if self.answered_us else took_us)
        if self.status == 0:
            server.counts.rejected[<int>REJECTED_LOST] += 1
        if self.server.access.lines != NULL:
            entry.head = <const uint8_t*>PyBytes_AS_STRING(self.request.head)
            entry.method, entry.target = self.request.method_span, self.request.target_span
            entry.referer, entry.user_agent = self.referer, self.user_agent
            entry.address = self.request.address
            entry.minor, entry.status, entry.body_sent, entry.took_us = self.minor, self.status, self.body_sent, took_us
            log_entry(&self.server.access, &entry)
        return 0

    cdef int end(self) except -1:
        """Everything that counts or holds it lets go of it: once, on every way out."""
        cdef connection_t* connection = self.connection
        cdef server_t* server = connection.server
        self.note()
        self.connection = NULL
        self.request.incoming = None
        self.request = None
        self.taken = None
        connection.exchange = NULL
        if connection.upgraded != NULL:
            connection.upgraded = NULL
            connection.last = LAST_OURS if connection.taker == NULL else LAST_NOT
        elif connection.last == LAST_THEIRS and self.body.phase != BODY_DONE:
            connection.last = LAST_OURS     # its body still comes: a close at once would reset our answer away
        Py_DECREF(self)
        if connection.stream.source.fd < 0:
            connection_free(connection)
        elif connection.taker != NULL:
            connection.taken(connection)        # frames may have come with the request
        elif connection.last:
            if connection.stream.n_unsent == 0:
                connection_end(connection)
        elif connection.proceeding:
            if connection.input == NULL and connection.stream.n_unsent == 0:
                connection_rest(connection)
        elif connection.input != NULL or connection.stream.readable:
            if connection.input == NULL and connection.stream.n_unsent == 0:
                connection_rest(connection)         # what made it readable may have been read already
            loop_call(server.loop, &connection.callback)
        elif connection.stream.n_unsent == 0:
            connection_rest(connection)
        return 0
