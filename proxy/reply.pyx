"""Replies of our own: sending what answer.pyx writes, canned bodies, files."""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint8_t
from libc.string cimport memcmp

from hotpath.core.net.epoll cimport SCRATCH_BYTES
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_send, stream_sendfile
from hotpath.core.wire.http1 cimport BODY_DONE, METHOD_HEAD, Head
from hotpath.core.wire.payload cimport take_payload
from hotpath.proxy.answer cimport write_problem, write_redirect, write_respond_head
from hotpath.proxy.client cimport exchange_new
from hotpath.proxy.ending cimport client_lost, count_rejected, finish
from hotpath.proxy.exchange cimport LAST_NOT, LAST_OURS, STATE_ANSWER, arm, client_t, exchange_t, look_again, move
from hotpath.proxy.forward cimport put, write_into, writer_t
from hotpath.proxy.route cimport match_t
from hotpath.proxy.static cimport site_answer
from hotpath.proxy.upstream cimport peer_close

cdef enum:
    FILE_BYTES = 1 << 20        # of a file per call, and MAX_FILE_CALLS per turn: a fast reader must not starve the others
    MAX_FILE_CALLS = 4


cdef void answer(exchange_t* exchange, int status, const char* detail) noexcept nogil:
    answer_with(exchange, status, detail, NULL, 0)

cdef void answer_with(exchange_t* exchange, int status, const char* detail, const match_t* refused, int64_t retry_after_us) noexcept nogil:
    cdef writer_t writer
    start_answer(exchange, &writer)
    exchange.status = <uint16_t>status
    write_problem(exchange, status, detail, refused, retry_after_us, &writer)
    send_answer(exchange, &writer, NULL, 0)

cdef void answer_canned(exchange_t* exchange) noexcept nogil:
    cdef writer_t writer
    start_answer(exchange, &writer)
    exchange.status = exchange.route.status
    write_respond_head(exchange, &writer)
    if exchange.method_id == METHOD_HEAD:
        send_answer(exchange, &writer, NULL, 0)
    else:
        send_answer(exchange, &writer, exchange.route.answer_body.data, exchange.route.answer_body.size)

cdef void answer_redirect(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size) noexcept nogil:
    cdef writer_t writer
    start_answer(exchange, &writer)
    exchange.status = exchange.route.status
    write_redirect(exchange, data, head, path, path_size, &writer)
    send_answer(exchange, &writer, NULL, 0)

cdef void start_answer(exchange_t* exchange, writer_t* writer) noexcept nogil:
    """The request's body is read if it is here already; else the connection ends with the answer, since what follows is body."""
    cdef client_t* client = exchange.client
    cdef uint8_t* payload
    cdef size_t n
    cdef Py_ssize_t used
    if exchange.peer != NULL:
        peer_close(exchange.peer)
    if exchange.relay.draining and client.last == LAST_NOT:
        client.last = LAST_OURS
    if exchange.head_size and exchange.request_body.phase != BODY_DONE:
        used = take_payload(&exchange.request_body, client.input.data + client.input.start,
                            client.input.end - client.input.start, &payload, &n)
        if used > 0:
            client.input.start += <uint32_t>used
            exchange.bytes_received += used
        if exchange.request_body.phase != BODY_DONE:
            client.last = LAST_OURS
    move(exchange, STATE_ANSWER)
    write_into(writer, exchange.relay.loop.scratch, SCRATCH_BYTES)

cdef void send_answer(exchange_t* exchange, writer_t* writer, const uint8_t* body, size_t body_size) noexcept nogil:
    cdef client_t* client = exchange.client
    cdef Py_ssize_t left
    if body_size and body_size <= writer.room - writer.n:       # one send
        put(writer, body, body_size)
        exchange.body_sent += body_size
        body_size = 0
    exchange.bytes_sent += writer.n + body_size
    exchange.body_sent += body_size
    left = stream_send(&client.stream, writer.out, writer.n, body_size > 0)
    if left != STREAM_FAILED and body_size:
        left = stream_send(&client.stream, body, body_size, False)
    if left == STREAM_FAILED:
        client_lost(client)
        return
    finish(exchange, False)

cdef void answer_static(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size) noexcept nogil:
    cdef writer_t writer
    cdef client_t* client = exchange.client
    cdef int status
    start_answer(exchange, &writer)
    status = site_answer(exchange, data, head, path, path_size, &writer)
    if status:                              # no file to send: an error in our own words
        exchange.status = <uint16_t>status
        writer.n = 0
        write_problem(exchange, status, b"no such file" if status == 404 else b"this file cannot be sent", NULL, 0, &writer)
        send_answer(exchange, &writer, NULL, 0)
        return
    exchange.bytes_sent += writer.n
    exchange.body_sent = 0
    if stream_send(&client.stream, writer.out, writer.n, exchange.file_left > 0) == STREAM_FAILED:
        client_lost(client)
    else:
        pump_file(exchange)

cdef void pump_file(exchange_t* exchange) noexcept nogil:
    cdef client_t* client = exchange.client
    cdef Py_ssize_t n
    cdef int calls = 0
    while exchange.file_left:
        if client.stream.n_unsent:
            break
        if calls == MAX_FILE_CALLS:
            look_again(&client.stream)
            break
        calls += 1
        n = stream_sendfile(&client.stream, exchange.file_fd, &exchange.file_at, <size_t>min(exchange.file_left, <int64_t>FILE_BYTES))
        if n == STREAM_NOTHING:
            break
        if n <= 0:                          # it broke, or the file shrank: the client must see that something is missing
            client_lost(client)
            return
        exchange.file_left -= n
        exchange.bytes_sent += n
        exchange.body_sent += n
    if exchange.file_left:
        arm(client, exchange.route.timeouts.send)
    else:
        finish(exchange, False)

cdef void refuse(client_t* client, int status, const char* why, int reason) noexcept nogil:
    """There is no request to answer: say why, half-close, discard, close."""
    cdef exchange_t* exchange = exchange_new(client)
    if exchange == NULL:
        client_lost(client)
        return
    exchange.minor = 1
    if client.input != NULL and asks_for_head(client.input.data + client.input.start, client.input.end - client.input.start):
        exchange.method_id = METHOD_HEAD
    if client.input != NULL:
        exchange.bytes_received = client.input.end - client.input.start
    client.last = LAST_OURS
    count_rejected(client.relay, reason)
    # A 429 says when to come back; of an address with too many connections nobody knows more than "soon".
    answer_with(exchange, status, why, NULL, 1000000 if status == 429 else 0)

cdef bint asks_for_head(const uint8_t* data, uint32_t size) noexcept nogil:
    """Whatever else is wrong with it: who asks by HEAD reads no body."""
    if size >= 2 and memcmp(data, b"\r\n", 2) == 0:
        data += 2
        size -= 2
    return size >= 5 and memcmp(data, b"HEAD ", 5) == 0
