"""The relay: two sockets and a request.

    client ── recv ──> parse, route, limit, choose ── send ──> server
    client <── send ── edit the head, frame the body <── recv ── server

Everything here runs as C callbacks of the loop, without the GIL and without a Python object; a kept-alive request costs two recv,
two send and a share of one epoll_wait. Reading stops while the far side cannot take more: at most one inbox of bytes is under way
in each direction.
"""
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memmove

from hotpath.core.net.buffer cimport Buffer, buffer_give, buffer_take
from hotpath.core.net.epoll cimport HEADROOM_BYTES, Deadline, Source, loop_arm
from hotpath.core.net.linux cimport EPOLLERR, EPOLLHUP
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_flush, stream_note, stream_recv, stream_shut
from hotpath.core.wire.http1 cimport (
    BODY_LENGTH, BODY_NONE, BROKEN, METHOD_CONNECT, METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, NAME_REFERER, NAME_USER_AGENT,
    STRICT, TARGET_ASTERISK, Head, body_start, parse_request)
from hotpath.proxy.attempt cimport forward, pump_request, request_path
from hotpath.proxy.client cimport client_grow, exchange_new, stop_when_empty, sweep
from hotpath.proxy.ending cimport client_end, client_lost, count_rejected
from hotpath.proxy.exchange cimport (
    LAST_OURS, LAST_THEIRS, REJECTED_CONCURRENCY, REJECTED_MALFORMED, REJECTED_METHOD,
    REJECTED_NO_ROUTE, REJECTED_TIMEOUT, REJECTED_TOO_LARGE, STAGE_HTTP, STATE_CONNECT, STATE_SEND, STATE_TUNNEL, arm, arm_rest,
    client_t, exchange_of, exchange_t, look_again, relay_t, stream_of)
from hotpath.proxy.limit cimport concurrency_lease, limits_allow
from hotpath.proxy.origin cimport find_origin
from hotpath.proxy.plan cimport ACTION_REDIRECT, ACTION_RESPOND, ACTION_UPSTREAM, route_t
from hotpath.proxy.reply cimport answer, answer_canned, answer_redirect, answer_static, answer_with, pump_file, refuse
from hotpath.proxy.response cimport on_peer_due, on_peer_events, pump_response
from hotpath.proxy.route cimport match_t, table_match
from hotpath.proxy.tunnel cimport pump_tunnel
from hotpath.proxy.upstream cimport peers_close_idle

cdef enum:
    MAX_PIPELINED = 64          # of one client per turn: one that never stops must not starve the others
    HEAD_BUFFER_BYTES = 4000    # with its own head a 4 KiB block: nearly every request head fits


cdef void on_client_events(Source* source, uint32_t events) noexcept nogil:
    cdef client_t* client = <client_t*>source
    cdef exchange_t* exchange
    cdef bint was_hung = client.stream.hung
    stream_note(&client.stream, events)
    exchange = client.exchange
    if events & (EPOLLHUP | EPOLLERR) and (exchange == NULL or exchange.state != STATE_TUNNEL):
        client_lost(client)                 # a tunnel reads first what was said before the end
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
    elif exchange.peer != NULL and not exchange.request_sent and exchange.state != STATE_CONNECT:
        pump_request(exchange)              # also behind a response's head: a server may answer as it reads
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
            arm_rest(client)
    elif exchange.state == STATE_TUNNEL:
        pump_tunnel(exchange)
    elif exchange.peer != NULL and exchange.state != STATE_CONNECT:
        pump_response(exchange)             # interim answers, too, may have been more than it took

cdef void client_proceed(client_t* client) noexcept nogil:
    """Reads and answers requests until one has to wait. A loop, not a recursion, over what was pipelined."""
    cdef int requests = 0
    if client.proceeding:
        return
    client.proceeding = True
    while client.exchange == NULL and client.stream.source.fd >= 0 and not client.lingering and client.stream.n_unsent == 0:
        if requests == MAX_PIPELINED:
            look_again(&client.stream)
            break
        requests += 1
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
    elif input.start > 0:                   # pipelined: this head has begun already
        memmove(input.data, input.data + input.start, input.end - input.start)
        input.end -= input.start
        input.start = 0
        client.began_us = relay.loop.now_us
        arm(client, relay.plan.timeouts.head)
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
        if n == 0:
            client_leave(client)
            return False
        if n < 0:
            client_lost(client)
            return False
        if size == 0:
            client.began_us = relay.loop.now_us
            if client.n_requests:           # the head's deadline is total: the first one runs since the accept
                arm(client, relay.plan.timeouts.head)
        input.end += <uint32_t>n

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

cdef void client_leave(client_t* client) noexcept nogil:
    """Nothing is under way: neither side misses anything."""
    if client.stream.filter != NULL:
        stream_shut(&client.stream)         # RFC 8446 section 6.1 wants a farewell
    client_lost(client)

cdef void on_client_due(Deadline* deadline) noexcept nogil:
    cdef client_t* client = <client_t*>stream_of(deadline)
    cdef exchange_t* exchange = client.exchange
    if client.stream.n_unsent or client.tunnel or (exchange != NULL and exchange.file_left):
        client_lost(client)                 # too slow a reader, or too long a silence
    elif exchange == NULL:
        if client.input != NULL and client.input.end > client.input.start:
            refuse(client, 408, b"the head took too long", REJECTED_TIMEOUT)
        else:
            client_leave(client)
    elif exchange.state == STATE_SEND and not exchange.request_sent and exchange.peer.stream.n_unsent == 0:
        client.last = LAST_OURS
        count_rejected(client.relay, REJECTED_TIMEOUT)
        answer(exchange, 408, b"the body took too long")
    else:
        arm(client, 0)                      # left over from the head or the body: nothing is due of the client

cdef void on_exchange_due(Deadline* deadline) noexcept nogil:
    cdef exchange_t* exchange = exchange_of(deadline)
    if exchange.response_begun or exchange.file_left:
        client_lost(exchange.client)
    else:
        exchange.client.last = LAST_OURS
        answer(exchange, 504, b"the request took too long")

cdef void relay_start(relay_t* relay) noexcept nogil:
    relay.inbox = relay.room + HEADROOM_BYTES
    relay.on_peer_events = on_peer_events
    relay.on_peer_due = on_peer_due
    relay.proceed = client_proceed
    relay.sweep.run = sweep
    relay.dice = <uint64_t>relay.loop.now_us * 2 + 1

cdef void relay_drain(relay_t* relay, int grace_ms) noexcept nogil:
    cdef client_t* client = relay.clients
    cdef client_t* next
    relay.draining = True
    relay.grace_ms = grace_ms
    peers_close_idle(relay, False)
    while client != NULL:
        next = client.next
        if client.exchange == NULL and not client.lingering and client.stage == STAGE_HTTP and client.input == NULL and client.stream.n_unsent == 0:
            # A request may be on the wire already: answered with Connection: close, not cut.
            arm_rest(client)
        client = next
    stop_when_empty(relay)
