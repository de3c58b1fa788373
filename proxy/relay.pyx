"""The relay: two sockets and a request.

    client ── recv ──> parse, route, limit, choose ── send ──> server
    client <── send ── edit the head, frame the body <── recv ── server

Everything here runs as C callbacks of the loop, without the GIL and without a Python object; a kept-alive request costs two recv,
two send and a share of one epoll_wait. Reading stops while the far side cannot take more: at most one inbox of bytes is under way
in each direction.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from hotpath.core.net.buffer cimport Buffer, buffer_give, buffer_take
from hotpath.core.net.epoll cimport (
    HEADROOM_BYTES, INBOX_BYTES, RANK_CLIENT, SCRATCH_BYTES, Deadline, Source, loop_arm, loop_disarm, loop_modify)
from hotpath.core.net.linux cimport EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, close
from hotpath.core.net.stream cimport (
    STREAM_FAILED, STREAM_NOTHING, stream_close, stream_error, stream_flush, stream_linger, stream_note, stream_open,
    stream_recv, stream_send, stream_sendfile, stream_shut, stream_t)
from hotpath.core.wire.http1 cimport (
    BODY_CHUNKED, BODY_DATA, BODY_DONE, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE, BROKEN, METHOD_CONNECT, METHOD_GET,
    METHOD_HEAD, METHOD_OPTIONS, NAME_REFERER, NAME_USER_AGENT, NEED_MORE, STRICT, TARGET_ASTERISK, Head, Limits, Span,
    body_start, parse_request, parse_response)
from hotpath.proxy.answer cimport write_problem, write_redirect, write_respond_head
from hotpath.proxy.balance cimport server_answered, server_failed, server_lease, server_release
from hotpath.proxy.client cimport (
    client_close, client_grow, client_linger, client_new, client_store, count_address, exchange_free, exchange_new, set_address,
    stop_when_empty, sweep)
from hotpath.proxy.exchange cimport (
    LAST_NOT, LAST_OURS, LAST_THEIRS, N_STATES, REJECTED_CONCURRENCY, REJECTED_CONNECTIONS, REJECTED_MALFORMED, REJECTED_METHOD, REJECTED_NO_ROUTE,
    REJECTED_NO_SERVER, REJECTED_TIMEOUT, REJECTED_TOO_LARGE, STATE_ANSWER, STATE_BODY, STATE_CONNECT, STATE_DONE,
    STATE_ROUTE, STATE_SEND, STATE_TUNNEL, STATE_WAIT, client_t, exchange_t, peer_t, relay_t)
from hotpath.proxy.forward cimport put, put_chunk_line, put_text, take_payload, write_request, write_response, writer_t
from hotpath.proxy.limit cimport concurrency_lease, concurrency_release, limits_allow
from hotpath.proxy.log cimport log_exchange, log_t
from hotpath.proxy.metrics cimport count_exchange
from hotpath.proxy.origin cimport find_origin
from hotpath.proxy.plan cimport (
    ACTION_REDIRECT, ACTION_RESPOND, ACTION_STATIC, ACTION_UPSTREAM, route_t, server_t, upstream_t)
from hotpath.proxy.route cimport ABOVE_ROOT, match_t, normalise, table_match
from hotpath.proxy.static cimport site_answer
from hotpath.proxy.upstream cimport peer_close, peer_keep, peer_lease, peer_release, peers_close_idle

cdef enum:
    HEAD_BUFFER_BYTES = 4000    # with its own head a 4 KiB block: nearly every request head fits
    FRAMING_BYTES = 32          # kept free behind what is read: CRLF and a last chunk are written there
    MAX_READS = 16              # of one stream per turn (1 MiB), so that one download does not starve the others
    MAX_INTERIMS = 16           # 1xx before a final response
    CONTINUE_MS = 1000          # RFC 9110 10.1.1: a client waits for its 100 no longer than it likes; a silent server gets this long
    FOR_NOW_MS = 3600000        # a deadline that fired without anything being due looks again then

# state -> the states it may go on to, one bit each.
cdef uint16_t[N_STATES] MOVES
MOVES[<int>STATE_ROUTE] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_CONNECT] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_SEND] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_BODY | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_WAIT] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_BODY | 1 << STATE_TUNNEL \
    | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_BODY] = 1 << STATE_DONE
MOVES[<int>STATE_TUNNEL] = 1 << STATE_DONE
MOVES[<int>STATE_ANSWER] = 1 << STATE_DONE
MOVES[<int>STATE_DONE] = 0

cdef extern from "<assert.h>" nogil:
    void assert_that "assert" (bint truth)

cdef void move(exchange_t* exchange, int state) noexcept nogil:
    assert_that(MOVES[exchange.state] >> state & 1)
    exchange.state = <uint8_t>state

cdef stream_t* stream_of(Deadline* deadline) noexcept nogil:
    # offsetof, spelled so that no null pointer is dereferenced
    return <stream_t*>(<char*>deadline - (<size_t>&(<stream_t*><size_t>4096).deadline - 4096))

cdef exchange_t* exchange_of(Deadline* deadline) noexcept nogil:
    return <exchange_t*>(<char*>deadline - (<size_t>&(<exchange_t*><size_t>4096).deadline - 4096))

cdef void look_again(stream_t* stream) noexcept nogil:
    """It had its share of this turn: a fresh edge for what still waits."""
    loop_modify(stream.loop, &stream.source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | <uint32_t>EPOLLET)

cdef void arm(client_t* client, int64_t after_ms) noexcept nogil:
    loop_arm(client.relay.loop, &client.stream.deadline, client.relay.loop.now_ms + (after_ms if after_ms else FOR_NOW_MS))

cdef void arm_peer(peer_t* peer, int64_t after_ms) noexcept nogil:
    loop_arm(peer.relay.loop, &peer.stream.deadline, peer.relay.loop.now_ms + (after_ms if after_ms else FOR_NOW_MS))


# -- The client's side: a head arrives and is dispatched. --

cdef void relay_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil:
    cdef relay_t* relay = <relay_t*>listener.owner
    cdef client_t* client = client_new(relay)
    if client == NULL or stream_open(&client.stream, relay.loop, fd, RANK_CLIENT, True, on_client_events) < 0:
        close(fd)
        if client != NULL:
            client_close(client)
        return
    client.stream.deadline.on_due = on_client_due
    set_address(client, peer)
    arm(client, relay.plan.timeouts.head)
    if not count_address(client):
        refuse(client, 429, b"too many connections from this address", REJECTED_CONNECTIONS)

cdef void on_client_events(Source* source, uint32_t events) noexcept nogil:
    cdef client_t* client = <client_t*>source
    cdef exchange_t* exchange
    cdef bint was_hung = client.stream.hung
    stream_note(&client.stream, events)
    if events & (EPOLLHUP | EPOLLERR):
        client_lost(client)
        return
    if client.stream.n_unsent and client.stream.writable:
        flush_client(client)
        if client.stream.source.fd < 0 or client.lingering:
            return
    exchange = client.exchange
    if exchange == NULL:
        client_proceed(client)
    elif exchange.state == STATE_TUNNEL:
        pump_tunnel(exchange)
    elif exchange.file_left and client.stream.writable:
        pump_file(exchange)
    elif exchange.state == STATE_SEND and not exchange.request_sent:
        pump_request(exchange)
    elif client.stream.hung and not was_hung and exchange.peer != NULL:
        # Gone while it waited. (A client that had shut its side before its request was read wants its answer.)
        client_lost(client)

cdef void flush_client(client_t* client) noexcept nogil:
    cdef exchange_t* exchange = client.exchange
    cdef Py_ssize_t left = stream_flush(&client.stream)
    if left == STREAM_FAILED:
        client_lost(client)
    elif left > 0:
        arm(client, exchange.route.timeouts.send if exchange != NULL and exchange.route != NULL else client.relay.plan.timeouts.send)
    elif exchange == NULL:
        if client.last:
            client_end(client)
        else:
            arm(client, client.relay.plan.timeouts.idle)
    elif exchange.state == STATE_TUNNEL:
        pump_tunnel(exchange)
    elif exchange.peer != NULL and exchange.state == STATE_BODY:
        pump_response(exchange)

cdef void client_proceed(client_t* client) noexcept nogil:
    """Reads and answers requests until one has to wait. A loop, not a recursion, over what was pipelined."""
    if client.proceeding:
        return
    client.proceeding = True
    while client.exchange == NULL and client.stream.source.fd >= 0 and not client.lingering and client.stream.n_unsent == 0:
        if not read_head(client):
            break
    client.proceeding = False

cdef bint read_head(client_t* client) noexcept nogil:
    """True when a whole head was dispatched; False: wait, or the client is gone."""
    cdef relay_t* relay = client.relay
    cdef Buffer* input = client.input
    cdef Py_ssize_t used, n
    cdef uint32_t size
    if input == NULL:
        if not client.stream.readable:
            return False
        input = client.input = buffer_take(relay.loop, HEAD_BUFFER_BYTES)
        if input == NULL:
            client_lost(client)
            return False
    elif input.start > 0:
        memmove(input.data, input.data + input.start, input.end - input.start)
        input.end -= input.start
        input.start = 0
    while True:
        size = input.end
        if size > client.seen:
            used = parse_request(input.data, size, client.seen, &relay.plan.head_limits, STRICT, &relay.head)
            if used > 0:
                begin(client, <uint32_t>used)
                return True
            if used == BROKEN:
                refuse(client, relay.head.error_status, relay.head.error,
                       REJECTED_TOO_LARGE if relay.head.error_status in (414, 431) else REJECTED_MALFORMED)
                return False
            client.seen = size
            if size == input.capacity:
                input = client_grow(client)
                if input == NULL:
                    client_lost(client)
                    return False
        n = stream_recv(&client.stream, input.data + input.end, input.capacity - input.end)
        if n == STREAM_NOTHING:
            if size == 0:                   # an idle connection owns no buffer
                buffer_give(relay.loop, input)
                client.input = NULL
            return False
        if n <= 0:
            client_lost(client)
            return False
        if size == 0:
            client.began_us = relay.loop.now_us
            if client.n_requests:           # the head's deadline is total: the first one runs since the accept
                arm(client, relay.plan.timeouts.head)
        input.end += <uint32_t>n

cdef void refuse(client_t* client, int status, const char* why, int reason) noexcept nogil:
    """There is no request to answer: say why, half-close, discard, close."""
    cdef exchange_t* exchange = exchange_new(client)
    if exchange == NULL:
        client_lost(client)
        return
    exchange.minor = 1
    client.last = LAST_OURS
    count_rejected(client.relay, reason)
    answer(exchange, status, why)

cdef void count_rejected(relay_t* relay, int why) noexcept nogil:
    relay.counts.rejected[why] += 1

cdef void begin(client_t* client, uint32_t used) noexcept nogil:
    """A whole head lies at the start of client.input; relay.head describes it."""
    cdef relay_t* relay = client.relay
    cdef Head* head = &relay.head
    cdef exchange_t* exchange = exchange_new(client)
    cdef uint32_t path_size = 0
    cdef const uint8_t* path
    if exchange == NULL:
        client_lost(client)
        return
    client.input.start = used
    client.seen = 0
    client.n_requests += 1
    exchange.head_size = used
    exchange.method = head.method
    exchange.target = head.target
    exchange.host = head.host
    if head.first[NAME_REFERER]:
        exchange.referer.at = head.fields[head.first[NAME_REFERER] - 1].value_at
        exchange.referer.size = head.fields[head.first[NAME_REFERER] - 1].value_size
    if head.first[NAME_USER_AGENT]:
        exchange.user_agent.at = head.fields[head.first[NAME_USER_AGENT] - 1].value_at
        exchange.user_agent.size = head.fields[head.first[NAME_USER_AGENT] - 1].value_size
    exchange.method_id = head.method_id
    exchange.minor = head.minor
    exchange.bytes_received = used
    exchange.expects_continue = head.expects_continue
    exchange.is_safe = head.framing == BODY_NONE and (
        head.method_id == METHOD_GET or head.method_id == METHOD_HEAD or head.method_id == METHOD_OPTIONS)
    exchange.wants_websocket = head.upgrades_websocket and head.method_id == METHOD_GET and head.framing == BODY_NONE and head.minor == 1
    find_origin(exchange, client.input.data, head)
    body_start(&exchange.request_body, head.framing, head.content_length, STRICT, relay.plan.head_limits.head)
    if not head.keep_alive:
        client.last = LAST_THEIRS
    elif relay.draining or (relay.plan.requests_per_connection and client.n_requests >= relay.plan.requests_per_connection):
        client.last = LAST_OURS
    path = request_path(relay, client.input.data, head, &path_size)
    if path == NULL:
        client.last = LAST_OURS
        count_rejected(relay, REJECTED_MALFORMED)
        answer(exchange, 400, b"the path leads above the root")
        return
    dispatch(exchange, path, path_size)

cdef const uint8_t* request_path(relay_t* relay, const uint8_t* data, const Head* head, uint32_t* size) noexcept nogil:
    """The path without dot segments; NULL: it leads above the root. Of "*" it is "*"."""
    cdef int n
    if head.path_is_plain and head.path.size:
        size[0] = head.path.size
        return data + head.path.at
    n = normalise(data + head.path.at, head.path.size, relay.path)
    if n == ABOVE_ROOT:
        return NULL
    size[0] = <uint32_t>n
    return relay.path

cdef void dispatch(exchange_t* exchange, const uint8_t* path, uint32_t path_size) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef Head* head = &relay.head
    cdef const uint8_t* data = client.input.data
    cdef route_t* route
    cdef match_t found
    cdef long long retry_after_us = 0
    if head.expects_other and head.minor == 1:
        answer(exchange, 417, b"the only expectation known is 100-continue")
        return
    if head.method_id == METHOD_CONNECT:
        found.route = NULL
        found.n_refused = 0
        count_rejected(relay, REJECTED_METHOD)
        answer_with(exchange, 405, b"this is no forward proxy", &found, 0)
        return
    if head.form == TARGET_ASTERISK:
        table_match(relay.table, data, head, b"/", 1, &found)
    else:
        table_match(relay.table, data, head, path, path_size, &found)
    route = found.route
    if route == NULL:
        count_rejected(relay, REJECTED_METHOD if found.n_refused else REJECTED_NO_ROUTE)
        if found.n_refused:
            answer_with(exchange, 405, b"the path exists, the method does not", &found, 0)
        else:
            answer(exchange, 404, b"no route matches")
        return
    exchange.route = route
    if route.max_body and head.framing == BODY_LENGTH and head.content_length > route.max_body:
        count_rejected(relay, REJECTED_TOO_LARGE)
        answer(exchange, 413, b"the body is larger than this route takes")
        return
    if route.n_limits and not limits_allow(exchange, data, head, path, path_size, &retry_after_us):
        answer_with(exchange, exchange.limit.status, b"too many requests", NULL, retry_after_us)
        return
    if route.concurrency and not concurrency_lease(exchange):
        count_rejected(relay, REJECTED_CONCURRENCY)
        answer_with(exchange, 503, b"too many requests at once on this route", NULL, 1000000)
        return
    if route.timeouts.request:
        exchange.deadline.on_due = on_exchange_due
        loop_arm(relay.loop, &exchange.deadline, relay.loop.now_ms + route.timeouts.request)
    if route.action == ACTION_UPSTREAM:
        forward(exchange, path, path_size)
    elif route.action == ACTION_RESPOND:
        answer_canned(exchange)
    elif route.action == ACTION_REDIRECT:
        answer_redirect(exchange, data, head, path, path_size)
    else:
        answer_static(exchange, data, head, path, path_size)


# -- Answers of our own. --

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
    writer.out = exchange.relay.loop.scratch
    writer.room = SCRATCH_BYTES
    writer.n = 0
    writer.full = False

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
    while exchange.file_left:
        if client.stream.n_unsent:
            break
        n = stream_sendfile(&client.stream, exchange.file_fd, &exchange.file_at, <size_t>exchange.file_left)
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


# -- The server's side: choosing, sending, trying again. --

cdef void forward(exchange_t* exchange, const uint8_t* path, uint32_t path_size) noexcept nogil:
    """relay.head holds the request. Tries servers until one is at least being connected to."""
    cdef relay_t* relay = exchange.relay
    cdef server_t* tried = exchange.server
    while True:
        exchange.server = server_lease(exchange, exchange.client.input.data, &relay.head, path, path_size)
        if exchange.server == NULL:
            exchange.server = tried
            give_up(exchange)
            return
        if exchange.tried:
            exchange.retries += 1
            relay.counts.retries[exchange.route.upstream - relay.plan.upstreams] += 1
        tried = exchange.server
        if peer_lease(exchange, exchange.retried_fresh) != NULL:
            break
        server_failed(exchange.server, relay.loop.now_us)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        server_release(exchange)
    if exchange.peer.stream.opened:
        send_request(exchange, path, path_size)
    else:
        move(exchange, STATE_CONNECT)
        arm_peer(exchange.peer, exchange.route.timeouts.connect)

cdef void forward_again(exchange_t* exchange) noexcept nogil:
    """Another try: relay.head has been overwritten since, so the kept head is parsed anew."""
    cdef uint32_t path_size = 0
    cdef const uint8_t* path = reparse(exchange, &path_size)
    if exchange.counted_server:
        server_release(exchange)
    forward(exchange, path, path_size)

cdef const uint8_t* reparse(exchange_t* exchange, uint32_t* path_size) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    parse_request(exchange.client.input.data, exchange.head_size, 0, &relay.plan.head_limits, STRICT, &relay.head)
    return request_path(relay, exchange.client.input.data, &relay.head, path_size)

cdef void give_up(exchange_t* exchange) noexcept nogil:
    if exchange.tried == 0:
        count_rejected(exchange.relay, REJECTED_NO_SERVER)
        answer_with(exchange, 503, b"no server is in service", NULL, 1000000)
    elif exchange.timed_out:
        answer(exchange, 504, b"the server took too long")
    else:
        answer(exchange, 502, b"the server cannot be reached")

cdef void send_request(exchange_t* exchange, const uint8_t* path, uint32_t path_size) noexcept nogil:
    """The head and what of the body is here already leave in one send. relay.head holds the request."""
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef Buffer* input = client.input
    cdef writer_t writer
    cdef uint8_t* payload
    cdef size_t n
    cdef Py_ssize_t used
    writer.out = relay.loop.scratch
    writer.room = SCRATCH_BYTES
    writer.n = 0
    writer.full = False
    write_request(exchange, input.data, &relay.head, path, path_size, &writer)
    if exchange.request_body.phase != BODY_DONE:
        used = take_payload(&exchange.request_body, input.data + input.start, input.end - input.start, &payload, &n)
        if used < 0:
            body_broken(exchange)
            return
        input.start += <uint32_t>used
        exchange.bytes_received += used
        if not body_fits(exchange, n):
            return
        put_body(exchange, payload, n, &writer)
        if exchange.request_body.phase != BODY_DONE and input.start == input.end:
            input.start = input.end = exchange.head_size
    if writer.full:
        answer(exchange, 431, b"the head does not fit once edited")
        return
    exchange.request_sent = exchange.request_body.phase == BODY_DONE
    exchange.forwarded_us = relay.loop.now_us
    move(exchange, STATE_WAIT if exchange.request_sent else STATE_SEND)
    arm_peer(exchange.peer, CONTINUE_MS if exchange.expects_continue and not exchange.request_sent else exchange.route.timeouts.response)
    if stream_send(&exchange.peer.stream, writer.out, writer.n, False) == STREAM_FAILED:
        peer_failed(exchange)
    elif not exchange.request_sent:
        arm(client, exchange.route.timeouts.body)
        pump_request(exchange)

cdef void put_body(exchange_t* exchange, const uint8_t* payload, size_t n, writer_t* writer) noexcept nogil:
    """Payload of a request in its framing, behind a head."""
    cdef uint8_t line[20]
    cdef size_t size
    if exchange.request_body.framing != BODY_CHUNKED:
        put(writer, payload, n)
        return
    if n:
        size = put_chunk_line(line + 20, n)
        put(writer, line + 20 - size, size)
        put(writer, payload, n)
        put(writer, b"\r\n", 2)
    if exchange.request_body.phase == BODY_DONE:
        put(writer, b"0\r\n\r\n", 5)

cdef bint body_fits(exchange_t* exchange, size_t n) noexcept nogil:
    """Counts `n` bytes of a chunked request against its limit. False: it is refused."""
    exchange.body_received += n
    if exchange.route.max_body == 0 or exchange.body_received <= exchange.route.max_body:
        return True
    count_rejected(exchange.relay, REJECTED_TOO_LARGE)
    exchange.client.last = LAST_OURS
    if exchange.response_begun:
        client_lost(exchange.client)
    else:
        answer(exchange, 413, b"the body is larger than this route takes")
    return False

cdef void body_broken(exchange_t* exchange) noexcept nogil:
    """The request's body breaks the protocol: the server's connection is cut, so that it sees an incomplete request."""
    exchange.client.last = LAST_OURS
    count_rejected(exchange.relay, REJECTED_MALFORMED)
    if exchange.response_begun:
        client_lost(exchange.client)
    else:
        answer(exchange, 400, exchange.request_body.error)

cdef void pump_request(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef peer_t* peer = exchange.peer
    cdef uint8_t* inbox = relay.loop.inbox
    cdef uint8_t* payload
    cdef size_t kept, n
    cdef Py_ssize_t got, used
    cdef int reads
    for reads in range(MAX_READS):
        if exchange.request_sent or peer.stream.n_unsent:
            return
        kept = client.input.end - client.input.start
        got = stream_recv(&client.stream, inbox + kept, INBOX_BYTES - FRAMING_BYTES - kept)
        if got == STREAM_NOTHING:
            return
        if got <= 0:
            client_lost(client)
            return
        memcpy(inbox, client.input.data + client.input.start, kept)
        client.input.start = client.input.end = exchange.head_size
        arm(client, exchange.route.timeouts.body)
        got += kept
        used = take_payload(&exchange.request_body, inbox, got, &payload, &n)
        if used < 0:
            body_broken(exchange)
            return
        exchange.bytes_received += used
        if not body_fits(exchange, n):
            return
        if used < got and not client_store(client, exchange.head_size, inbox + used, got - used):
            client_lost(client)
            return
        if not send_body(exchange, payload, n):
            return
    look_again(&client.stream)

cdef bint send_body(exchange_t* exchange, uint8_t* payload, size_t n) noexcept nogil:
    """A piece of the request's body, in place: our framing is written around it. False: the server is gone."""
    cdef size_t size
    if exchange.request_body.framing == BODY_CHUNKED:
        frame_chunk(&payload, &n, exchange.request_body.phase == BODY_DONE)
    if exchange.request_body.phase == BODY_DONE:
        exchange.request_sent = True
        if exchange.state == STATE_SEND:
            move(exchange, STATE_WAIT)
            arm_peer(exchange.peer, exchange.route.timeouts.response)
    if n and stream_send(&exchange.peer.stream, payload, n, False) == STREAM_FAILED:
        peer_failed(exchange)
        return False
    if exchange.peer.stream.n_unsent:
        arm_peer(exchange.peer, exchange.route.timeouts.send)
    return True

cdef void frame_chunk(uint8_t** payload, size_t* n, bint last) noexcept nogil:
    """Writes the size line before and the CRLF (and the last chunk) behind; there is room on both sides."""
    cdef uint8_t* data = payload[0]
    cdef size_t size = n[0], line
    if size:
        line = put_chunk_line(data, size)
        memcpy(data + size, b"\r\n", 2)
        payload[0] = data - line
        size += line + 2
    if last:
        memcpy(payload[0] + size, b"0\r\n\r\n", 5)
        size += 5
    n[0] = size

cdef void peer_failed(exchange_t* exchange) noexcept nogil:
    """The server's connection broke, or its time is up."""
    cdef peer_t* peer = exchange.peer
    cdef bint reused = peer.reused, silent = peer.kept == NULL and exchange.interims == 0
    cdef bint connecting = exchange.state == STATE_CONNECT
    cdef upstream_t* upstream = exchange.route.upstream
    cdef int64_t now_us = exchange.relay.loop.now_us
    cdef bint in_time = upstream.retry_ms == 0 or now_us - exchange.began_us < upstream.retry_ms * 1000
    if exchange.response_begun:
        server_failed(exchange.server, now_us)
        client_lost(exchange.client)        # after what was sent there is no honest end but to break off
        return
    peer_close(peer)
    if reused and silent and exchange.is_safe and not exchange.retried_fresh and not exchange.timed_out:
        # The server closed it while it was idle, as it may: nobody's fault.
        exchange.retried_fresh = True
        move(exchange, STATE_CONNECT)
        again_fresh(exchange)
        return
    server_failed(exchange.server, now_us)
    exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
    if connecting and in_time:
        forward_again(exchange)             # nothing was sent: any method may go on
    elif silent and exchange.is_safe and exchange.resends < upstream.retry_attempts and in_time:
        exchange.resends += 1
        forward_again(exchange)
    elif exchange.timed_out:
        answer(exchange, 504, b"the server took too long")
    else:
        answer(exchange, 502, b"the server closed the connection before it answered" if silent
               else b"the server broke off its answer")

cdef void again_fresh(exchange_t* exchange) noexcept nogil:
    """The same server once more, on a connection of its own."""
    cdef uint32_t path_size = 0
    cdef const uint8_t* path
    if peer_lease(exchange, True) == NULL:
        server_failed(exchange.server, exchange.relay.loop.now_us)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        forward_again(exchange)
    elif exchange.peer.stream.opened:
        path = reparse(exchange, &path_size)
        send_request(exchange, path, path_size)
    else:
        arm_peer(exchange.peer, exchange.route.timeouts.connect)


# -- The server's side: its answer. --

cdef void on_peer_events(Source* source, uint32_t events) noexcept nogil:
    cdef peer_t* peer = <peer_t*>source
    cdef exchange_t* exchange = peer.exchange
    cdef uint32_t path_size = 0
    cdef const uint8_t* path
    cdef Py_ssize_t left
    stream_note(&peer.stream, events)
    if exchange == NULL:
        # A server has nothing to say to nobody: bytes or EOF on an idle connection end it.
        if peer.stream.readable or peer.stream.hung:
            peer_close(peer)
        return
    if exchange.state == STATE_CONNECT:
        if events & (EPOLLERR | EPOLLHUP) and stream_error(&peer.stream):
            peer_failed(exchange)
        elif peer.stream.opened:
            path = reparse(exchange, &path_size)
            send_request(exchange, path, path_size)
        return
    if peer.stream.n_unsent and peer.stream.writable:
        left = stream_flush(&peer.stream)
        if left == STREAM_FAILED:
            # It may have answered before it stopped reading: what it said counts.
            if not peer.stream.readable:
                peer_failed(exchange)
                return
        elif left == 0:
            if exchange.state == STATE_TUNNEL:
                pump_tunnel(exchange)
                return
            if not exchange.request_sent:
                pump_request(exchange)
            else:
                arm_peer(peer, exchange.route.timeouts.response)
            if peer.exchange != exchange:
                return
    if exchange.state == STATE_TUNNEL:
        pump_tunnel(exchange)
    elif peer.stream.readable:
        pump_response(exchange)

cdef void pump_response(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef peer_t* peer = exchange.peer
    cdef uint8_t* inbox = relay.loop.inbox
    cdef size_t kept
    cdef Py_ssize_t got
    cdef int reads
    for reads in range(MAX_READS):
        if client.stream.n_unsent:
            return                          # a slow client: goes on in flush_client
        kept = 0
        if peer.kept != NULL:
            kept = peer.kept.end
            memcpy(inbox, peer.kept.data, kept)
        got = stream_recv(&peer.stream, inbox + kept, INBOX_BYTES - FRAMING_BYTES - kept)
        if got == STREAM_NOTHING:
            return
        if got < 0:
            peer_failed(exchange)
            return
        if got == 0:
            peer_ended(exchange)
            return
        if peer.kept != NULL:
            buffer_give(relay.loop, peer.kept)
            peer.kept = NULL
        if exchange.state == STATE_BODY:
            arm_peer(peer, exchange.route.timeouts.read)
            relay_body(exchange, inbox, kept + got)
        else:
            relay_head(exchange, inbox, kept + got)
        if peer.exchange != exchange or exchange.state == STATE_TUNNEL:
            return                          # it is over, or something else now
    look_again(&peer.stream)

cdef void bad_gateway(exchange_t* exchange, const char* why) noexcept nogil:
    server_failed(exchange.server, exchange.relay.loop.now_us)
    if exchange.response_begun:
        client_lost(exchange.client)
    else:
        answer(exchange, 502, why)

cdef void relay_head(exchange_t* exchange, uint8_t* data, size_t size) noexcept nogil:
    """`size` bytes of the inbox begin with the head of a response, or of an interim one."""
    cdef relay_t* relay = exchange.relay
    cdef Head* head = &relay.head
    cdef size_t at = 0
    cdef Py_ssize_t used
    while True:
        used = parse_response(data + at, size - at, 0, &relay.plan.head_limits, STRICT, exchange.method_id, head)
        if used == NEED_MORE:
            if not peer_keep(exchange.peer, data + at, size - at):
                peer_failed(exchange)
            return
        if used == BROKEN:
            bad_gateway(exchange, b"the server's answer is malformed")
            return
        if head.status >= 200:
            break
        if head.status == 101:
            start_tunnel(exchange, data + at, <size_t>used, size - at - used)
            return
        exchange.interims += 1
        if exchange.interims > MAX_INTERIMS:
            bad_gateway(exchange, b"the server sends interim answers without end")
            return
        if not relay_interim(exchange, data + at, <size_t>used):
            return
        at += used
        if at == size:
            return
    relay_final(exchange, data + at, <size_t>used, size - at - used)

cdef bint relay_interim(exchange_t* exchange, const uint8_t* data, size_t size) noexcept nogil:
    """A 1xx: a 1.0 client knows none; a 100 goes to whoever waits for it. False: the client is gone."""
    cdef writer_t writer
    if exchange.minor == 0 or (exchange.relay.head.status == 100 and not exchange.expects_continue):
        return True
    if exchange.relay.head.status == 100:
        exchange.expects_continue = False
        arm_peer(exchange.peer, exchange.route.timeouts.response)
    writer.out = exchange.relay.loop.scratch
    writer.room = SCRATCH_BYTES
    writer.n = 0
    writer.full = False
    write_response(exchange, data, &exchange.relay.head, size, &writer)
    exchange.bytes_sent += writer.n
    if stream_send(&exchange.client.stream, writer.out, writer.n, False) == STREAM_FAILED:
        client_lost(exchange.client)
        return False
    return True

cdef bint may_retry_status(exchange_t* exchange, int status) noexcept nogil:
    cdef upstream_t* upstream = exchange.route.upstream
    return upstream.retry_statuses[status >> 6] >> (status & 63) & 1 and exchange.is_safe \
        and exchange.resends < upstream.retry_attempts \
        and (upstream.retry_ms == 0 or exchange.relay.loop.now_us - exchange.began_us < upstream.retry_ms * 1000) \
        and exchange.resends + 1 < upstream.n_servers

cdef void relay_final(exchange_t* exchange, uint8_t* data, size_t head_size, size_t size) noexcept nogil:
    """The head of the final response, `head_size` bytes at `data`, and `size` bytes behind it."""
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef Head* head = &relay.head
    cdef writer_t writer
    cdef uint8_t* payload
    cdef size_t n
    cdef Py_ssize_t used
    if may_retry_status(exchange, head.status):
        server_failed(exchange.server, relay.loop.now_us)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        exchange.resends += 1
        peer_close(exchange.peer)
        forward_again(exchange)
        return
    server_answered(exchange.server)
    exchange.answered_us = relay.loop.now_us
    exchange.upstream_status = exchange.status = head.status
    exchange.reusable = head.keep_alive and head.framing != BODY_UNTIL_CLOSE
    if not exchange.request_sent or relay.draining:
        client.last = LAST_OURS             # the rest of its body is not worth reading
    if head.framing == BODY_CHUNKED or head.framing == BODY_UNTIL_CLOSE:
        exchange.chunked_out = exchange.minor == 1
        if exchange.minor == 0:
            client.last = LAST_OURS              # the end of the connection is the end of the body
    body_start(&exchange.response_body, head.framing, head.content_length, STRICT, relay.plan.head_limits.head)
    writer.out = relay.loop.scratch
    writer.room = SCRATCH_BYTES
    writer.n = 0
    writer.full = False
    write_response(exchange, data, head, head_size, &writer)
    if writer.full:
        bad_gateway(exchange, b"the server's head does not fit once edited")
        return
    used = take_payload(&exchange.response_body, data + head_size, size, &payload, &n)
    if used < 0:
        bad_gateway(exchange, b"the server's body is malformed")
        return
    if not after_payload(exchange, data + head_size, <size_t>used, size):
        return
    move(exchange, STATE_BODY)
    exchange.response_begun = True
    exchange.body_sent = n
    if exchange.chunked_out:
        frame_chunk(&payload, &n, exchange.response_body.phase == BODY_DONE)
    if payload - (relay.loop.inbox - HEADROOM_BYTES) >= <Py_ssize_t>writer.n:
        memcpy(payload - writer.n, writer.out, writer.n)        # right before its body: they leave in one send
        send_response(exchange, payload - writer.n, writer.n + n)
    elif stream_send(&client.stream, writer.out, writer.n, n > 0) == STREAM_FAILED:
        client_lost(client)
    else:
        exchange.bytes_sent += writer.n
        send_response(exchange, payload, n)

cdef bint after_payload(exchange_t* exchange, const uint8_t* data, size_t used, size_t size) noexcept nogil:
    """What of `size` bytes was not `used`: part of a size line, or bytes behind the end, which no client ever gets."""
    if used == size:
        return True
    if exchange.response_body.phase == BODY_DONE:
        exchange.reusable = False
        return True
    if peer_keep(exchange.peer, data + used, size - used):
        return True
    peer_failed(exchange)
    return False

cdef void relay_body(exchange_t* exchange, uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t* payload
    cdef size_t n
    cdef Py_ssize_t used = take_payload(&exchange.response_body, data, size, &payload, &n)
    if used < 0:
        bad_gateway(exchange, b"")
        return
    if not after_payload(exchange, data, <size_t>used, size):
        return
    exchange.body_sent += n
    if exchange.chunked_out:
        frame_chunk(&payload, &n, exchange.response_body.phase == BODY_DONE)
    send_response(exchange, payload, n)

cdef void send_response(exchange_t* exchange, const uint8_t* data, size_t size) noexcept nogil:
    cdef client_t* client = exchange.client
    cdef Py_ssize_t left = 0
    exchange.bytes_sent += size
    if size:
        left = stream_send(&client.stream, data, size, False)
        if left == STREAM_FAILED:
            client_lost(client)
            return
    if exchange.response_body.phase == BODY_DONE:
        finish(exchange, True)
        return
    if left:
        arm(client, exchange.route.timeouts.send)
    arm_peer(exchange.peer, exchange.route.timeouts.read)

cdef void peer_ended(exchange_t* exchange) noexcept nogil:
    """The server's FIN: the end of a body that lasts until then, else a failure."""
    cdef uint8_t* tail
    cdef size_t n = 0
    if exchange.state != STATE_BODY or exchange.response_body.framing != BODY_UNTIL_CLOSE:
        peer_failed(exchange)
        return
    exchange.response_body.phase = BODY_DONE
    exchange.reusable = False
    tail = exchange.relay.loop.inbox
    if exchange.chunked_out:
        frame_chunk(&tail, &n, True)
    send_response(exchange, tail, n)


# -- Tunnels. --

cdef void start_tunnel(exchange_t* exchange, uint8_t* data, size_t head_size, size_t size) noexcept nogil:
    """101: only as asked for, and only to WebSocket. Then bytes, both ways."""
    cdef client_t* client = exchange.client
    cdef peer_t* peer = exchange.peer
    cdef Buffer* input = client.input
    cdef writer_t writer
    if not (exchange.wants_websocket and exchange.relay.head.upgrades_websocket):
        exchange.client.last = LAST_OURS    # whatever protocol the client speaks now, it is not HTTP/1.1 for sure
        bad_gateway(exchange, b"the server switches protocols unasked")
        return
    server_answered(exchange.server)
    exchange.answered_us = exchange.relay.loop.now_us
    exchange.status = exchange.upstream_status = 101
    exchange.response_begun = True
    client.last = LAST_OURS
    client.tunnel = True
    exchange.relay.counts.tunnels[0] += 1
    move(exchange, STATE_TUNNEL)
    writer.out = exchange.relay.loop.scratch
    writer.room = SCRATCH_BYTES
    writer.n = 0
    writer.full = False
    write_response(exchange, data, &exchange.relay.head, head_size, &writer)
    put(&writer, data + head_size, size)    # frames that came with the 101
    exchange.bytes_sent += writer.n
    loop_disarm(exchange.relay.loop, &peer.stream.deadline)
    loop_disarm(exchange.relay.loop, &exchange.deadline)        # timeouts.request ends with the handshake
    if stream_send(&client.stream, writer.out, writer.n, False) == STREAM_FAILED:
        client_lost(client)
        return
    if input.end > input.start:             # frames that came with the request: held until now
        exchange.bytes_received += input.end - input.start
        if stream_send(&peer.stream, input.data + input.start, input.end - input.start, False) == STREAM_FAILED:
            client_lost(client)
            return
        input.start = input.end = exchange.head_size
    pump_tunnel(exchange)

cdef bint pump_one_way(stream_t* source, stream_t* sink, uint8_t* inbox, int64_t* count) noexcept nogil:
    """False: one of the two broke."""
    cdef Py_ssize_t got
    cdef int reads
    for reads in range(MAX_READS):
        if sink.n_unsent:
            return True
        got = stream_recv(source, inbox, INBOX_BYTES)
        if got == STREAM_NOTHING:
            return True
        if got < 0:
            return False
        if got == 0:
            if not sink.shut:
                stream_shut(sink)
            return True
        count[0] += got
        if stream_send(sink, inbox, got, False) == STREAM_FAILED:
            return False
    look_again(source)
    return True

cdef void pump_tunnel(exchange_t* exchange) noexcept nogil:
    cdef stream_t* client = &exchange.client.stream
    cdef stream_t* peer = &exchange.peer.stream
    cdef uint8_t* inbox = exchange.relay.loop.inbox
    cdef int64_t sent = exchange.bytes_sent
    arm(exchange.client, exchange.route.timeouts.tunnel)
    if not pump_one_way(client, peer, inbox, &exchange.bytes_received) or not pump_one_way(peer, client, inbox, &exchange.bytes_sent) \
            or (client.ended and peer.ended and not client.n_unsent and not peer.n_unsent):
        exchange.body_sent += exchange.bytes_sent - sent
        client_lost(exchange.client)
        return
    exchange.body_sent += exchange.bytes_sent - sent


# -- Ends. --

cdef void finish(exchange_t* exchange, bint keep_peer) noexcept nogil:
    """The response is complete as far as we are concerned; it may still be leaving."""
    cdef client_t* client = exchange.client
    cdef relay_t* relay = exchange.relay
    cdef Buffer* input = client.input
    end_exchange(exchange, keep_peer)
    if client.stream.n_unsent:
        arm(client, relay.plan.timeouts.send)
    elif not client.last:
        arm(client, relay.plan.timeouts.idle)
    if input != NULL and input.start == input.end:
        buffer_give(relay.loop, input)
        client.input = NULL
    if client.last:
        client_end(client)
    else:
        client_proceed(client)

cdef void end_exchange(exchange_t* exchange, bint keep_peer) noexcept nogil:
    """Everything that counts or holds the exchange lets go of it: once, on every way out."""
    cdef client_t* client = exchange.client
    cdef relay_t* relay = exchange.relay
    if exchange.state == STATE_TUNNEL:
        relay.counts.tunnels[0] -= 1
    move(exchange, STATE_DONE)
    count_exchange(exchange)
    if relay.log != NULL:
        log_exchange(<log_t*>relay.log, exchange, client.input.data if client.input != NULL else NULL)
    if exchange.peer != NULL:
        peer_release(exchange.peer, keep_peer and exchange.reusable and exchange.request_sent)
    if exchange.counted_server:
        server_release(exchange)
    if exchange.counted_route:
        concurrency_release(exchange)
    if exchange.file_fd >= 0:
        close(exchange.file_fd)
    loop_disarm(relay.loop, &exchange.deadline)
    client.exchange = NULL
    exchange_free(exchange)

cdef void client_end(client_t* client) noexcept nogil:
    """Its last answer is given."""
    if client.stream.n_unsent or client.stream.readable or (client.input != NULL and client.input.end > client.input.start) \
            or client.last == LAST_OURS:
        client_linger(client)         # a close with unread input would reset the answer away
    else:
        client_close(client)
    stop_when_empty(client.relay)

cdef void client_lost(client_t* client) noexcept nogil:
    """It is gone, or can be told nothing more that is true: the connection breaks off, and with it the server's."""
    if client.exchange != NULL:
        if client.exchange.response_begun == False and client.exchange.status == 0:
            client.exchange.status = 499    # nobody read it: only the log shows it
        end_exchange(client.exchange, False)
    client_close(client)
    stop_when_empty(client.relay)


# -- Time. --

cdef void on_client_due(Deadline* deadline) noexcept nogil:
    cdef client_t* client = <client_t*>stream_of(deadline)
    cdef exchange_t* exchange = client.exchange
    if client.stream.n_unsent or client.tunnel or (exchange != NULL and exchange.file_left):
        client_lost(client)                 # too slow a reader, or too long a silence
    elif exchange == NULL:
        if client.input != NULL and client.input.end > client.input.start:
            refuse(client, 408, b"the head took too long", REJECTED_TIMEOUT)
        else:
            client_lost(client)
    elif exchange.state == STATE_SEND and not exchange.request_sent and exchange.peer.stream.n_unsent == 0:
        client.last = LAST_OURS
        count_rejected(client.relay, REJECTED_TIMEOUT)
        answer(exchange, 408, b"the body took too long")
    else:
        arm(client, FOR_NOW_MS)             # left over from the head or the body: nothing is due of the client

cdef void on_peer_due(Deadline* deadline) noexcept nogil:
    cdef peer_t* peer = <peer_t*>stream_of(deadline)
    cdef exchange_t* exchange = peer.exchange
    cdef writer_t writer
    if exchange == NULL:
        peer_close(peer)
    elif exchange.client.stream.n_unsent:
        arm_peer(peer, exchange.route.timeouts.read)            # its client is slow, not it
    elif exchange.state == STATE_SEND and exchange.expects_continue and peer.stream.n_unsent == 0:
        exchange.expects_continue = False                       # a server that does not know the expectation: go on without it
        arm_peer(peer, exchange.route.timeouts.response)
        if stream_send(&exchange.client.stream, b"HTTP/1.1 100 Continue\r\n\r\n", 25, False) == STREAM_FAILED:
            client_lost(exchange.client)
    elif exchange.state == STATE_SEND and peer.stream.n_unsent == 0:
        arm_peer(peer, exchange.route.timeouts.response)        # the client still sends; its own deadline runs
    else:
        exchange.timed_out = True
        peer_failed(exchange)

cdef void on_exchange_due(Deadline* deadline) noexcept nogil:
    cdef exchange_t* exchange = exchange_of(deadline)
    if exchange.response_begun or exchange.file_left:
        client_lost(exchange.client)
    else:
        exchange.client.last = LAST_OURS
        answer(exchange, 504, b"the request took too long")


# -- A worker. --

cdef void relay_start(relay_t* relay) noexcept nogil:
    relay.on_peer_events = on_peer_events
    relay.on_peer_due = on_peer_due
    relay.sweep.run = sweep
    relay.dice = <uint64_t>relay.loop.now_us * 2 + 1

cdef void relay_drain(relay_t* relay, int grace_ms) noexcept nogil:
    cdef client_t* client = relay.clients
    cdef client_t* next
    relay.draining = True
    peers_close_idle(relay)
    while client != NULL:
        next = client.next
        if client.exchange == NULL and not client.lingering and client.input == NULL:
            # A request may be on the wire already: answered with Connection: close, not cut.
            loop_disarm(relay.loop, &client.stream.deadline)
            arm(client, grace_ms)
        client = next
    stop_when_empty(relay)
