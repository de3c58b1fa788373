"""Attempts: a server is chosen, the request goes to it, and on to another one where that is safe.

A request is tried again only before the first byte of a response: any method while nothing was sent, GET, HEAD and OPTIONS without a
body also later. A POST is never sent twice.
"""
import logging

from libc.errno cimport EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_recv, stream_send
from hotpath.core.wire.http1 cimport BODY_CHUNKED, BODY_DONE, BODY_LENGTH, STRICT, Head, parse_request
from hotpath.core.wire.payload cimport take_payload
from hotpath.proxy.balance cimport server_failed, server_lease, server_release
from hotpath.proxy.client cimport client_store
from hotpath.proxy.ending cimport client_lost, count_rejected
from hotpath.proxy.exchange cimport (
    BULK_BYTES, LAST_OURS, REJECTED_CONNECTIONS, REJECTED_MALFORMED, REJECTED_NO_SERVER, REJECTED_TOO_LARGE, STATE_CONNECT,
    STATE_SEND, STATE_WAIT, TURN_BYTES, arm, arm_peer, client_t, exchange_t, look_again, move, peer_t, piece_bytes, relay_t)
from hotpath.proxy.forward cimport put, put_chunk_line, write_into, write_request, writer_t
from hotpath.proxy.plan cimport server_t, upstream_t
from hotpath.proxy.reply cimport answer, answer_with
from hotpath.proxy.route cimport ABOVE_ROOT, normalise
from hotpath.proxy.upstream cimport peer_close, peer_lease, peers_close_idle

log = logging.getLogger(__name__)

cdef enum:
    CONTINUE_MS = 1000          # RFC 9110 10.1.1: a client waits for its 100 no longer than it likes; a silent server gets this long


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
        exchange.timed_out = False
        if peer_lease(exchange, exchange.retried_fresh) != NULL:
            break
        if we_lack_means():
            peers_close_idle(relay, False)          # their descriptors and ports are what we need
            if peer_lease(exchange, True) != NULL:
                break
            server_release(exchange)
            count_rejected(relay, REJECTED_CONNECTIONS)
            answer_with(exchange, 503, b"there is no room for a connection to a server", NULL, 1000000)
            return
        server_failed(exchange)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        server_release(exchange)
    if exchange.peer.stream.opened:
        send_request(exchange, path, path_size)
    else:
        move(exchange, STATE_CONNECT)
        arm_peer(exchange.peer, exchange.route.timeouts.connect)

cdef bint we_lack_means() noexcept nogil:
    """Why no connection could be made just now: for want of ours, which no server must be blamed for."""
    return errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM or errno == EADDRNOTAVAIL

cdef void forward_again(exchange_t* exchange) noexcept nogil:
    """Another try: relay.head has been overwritten since, so the kept head is parsed anew."""
    cdef uint32_t path_size = 0
    cdef const uint8_t* path = reparse(exchange, &path_size)
    if exchange.counted_server:
        server_release(exchange)
    forward(exchange, path, path_size)

cdef const uint8_t* request_path(relay_t* relay, const uint8_t* data, const Head* head, uint32_t* size) noexcept nogil:
    """The path normalised; NULL: it leads above the root. Of "*" it is "*"."""
    cdef int n
    if head.path_is_plain and head.path.size:
        size[0] = head.path.size
        return data + head.path.at
    n = normalise(data + head.path.at, head.path.size, relay.path)
    if n == ABOVE_ROOT:
        return NULL
    size[0] = <uint32_t>n
    return relay.path

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
    write_into(&writer, relay.loop.scratch, SCRATCH_BYTES)
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
    cdef uint8_t* inbox = relay.inbox
    cdef uint8_t* payload
    cdef size_t kept, asked, n, total = 0
    cdef Py_ssize_t got, used
    cdef bint full = False
    while total < TURN_BYTES:
        if exchange.request_sent or peer.stream.n_unsent:
            return
        kept = client.input.end - client.input.start
        asked = piece_bytes(&peer.stream, full) - kept
        got = stream_recv(&client.stream, inbox + kept, asked)
        if got == STREAM_NOTHING:
            return
        if got <= 0:
            client_lost(client)
            return
        # What lies behind this body is kept with its client: nothing large is read past the end.
        full = <size_t>got == asked and exchange.request_body.framing == BODY_LENGTH and exchange.request_body.left - got >= BULK_BYTES
        total += got
        memcpy(inbox, client.input.data + client.input.start, kept)
        client.input.start = client.input.end = exchange.head_size
        if exchange.state == STATE_SEND:
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
        look_again(&exchange.peer.stream)   # it may have answered before it stopped reading: what it said counts
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
        break_off(exchange, b"the server took too long" if exchange.timed_out else b"the server closed the connection")
        return
    peer_close(peer)
    if reused and silent and exchange.is_safe and not exchange.retried_fresh and not exchange.timed_out:
        # The server closed it while it was idle, as it may: nobody's fault.
        exchange.retried_fresh = True
        move(exchange, STATE_CONNECT)
        again_fresh(exchange)
        return
    server_failed(exchange)
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
        if not we_lack_means():
            server_failed(exchange)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        forward_again(exchange)
    elif exchange.peer.stream.opened:
        path = reparse(exchange, &path_size)
        send_request(exchange, path, path_size)
    else:
        arm_peer(exchange.peer, exchange.route.timeouts.connect)

cdef void bad_gateway(exchange_t* exchange, const char* why) noexcept nogil:
    if exchange.response_begun:
        break_off(exchange, why)
    else:
        server_failed(exchange)
        answer(exchange, 502, why)

cdef void break_off(exchange_t* exchange, const char* why) noexcept nogil:
    """The server failed behind the head of its answer: after what was sent there is no honest end but none."""
    server_failed(exchange)
    tell(exchange, why)
    client_lost(exchange.client)

cdef void tell(const exchange_t* exchange, const char* why) noexcept with gil:
    """The access log shows the status that was sent, which looks well."""
    cdef const upstream_t* upstream = exchange.route.upstream
    log.warning("answer broken off upstream=%s server=%s route=%s status=%d body_sent=%d cause=%s",
                upstream.name.data[:upstream.name.size].decode(), exchange.server.name.data[:exchange.server.name.size].decode(),
                exchange.route.name.data[:exchange.route.name.size].decode(), exchange.status, exchange.body_sent, why.decode())
