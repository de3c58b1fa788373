"""The server's side: its events, its answer on the way to the client, its deadlines."""
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport buffer_give
from hotpath.core.net.epoll cimport HEADROOM_BYTES, SCRATCH_BYTES, Deadline, Source
from hotpath.core.net.linux cimport EPOLLERR, EPOLLHUP
from hotpath.core.net.stream cimport (
    STREAM_FAILED, STREAM_NOTHING, stream_error, stream_flush, stream_note, stream_recv, stream_send)
from hotpath.core.wire.http1 cimport (
    BODY_CHUNKED, BODY_DONE, BODY_UNTIL_CLOSE, BROKEN, NEED_MORE, STRICT, Head, body_start, parse_response)
from hotpath.core.wire.payload cimport take_payload
from hotpath.proxy.attempt cimport bad_gateway, forward_again, frame_chunk, peer_failed, pump_request, reparse, send_request
from hotpath.proxy.balance cimport server_answered, server_failed, server_has_other
from hotpath.proxy.coding cimport coding_of
from hotpath.proxy.ending cimport client_lost, finish
from hotpath.proxy.exchange cimport (
    CODING_GZIP, LAST_OURS, STATE_BODY, STATE_CONNECT, STATE_SEND, STATE_TUNNEL, TURN_BYTES, arm, arm_peer, client_t,
    exchange_t, look_again, move, peer_t, piece_bytes,
    relay_t, stream_of)
from hotpath.proxy.forward cimport write_into, write_response, writer_t
from hotpath.proxy.gzip cimport put_zipped
from hotpath.proxy.plan cimport upstream_t
from hotpath.proxy.reply cimport answer
from hotpath.proxy.tunnel cimport end_tunnel, pump_tunnel, start_tunnel
from hotpath.proxy.upstream cimport peer_close, peer_keep

cdef enum:
    MAX_INTERIMS = 16           # 1xx before a final response


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
        elif peer.stream.readable:
            peer_failed(exchange)           # it hung up, or answers what nobody has asked yet
        elif peer.stream.opened:
            path = reparse(exchange, &path_size)
            send_request(exchange, path, path_size)
        return
    if peer.stream.n_unsent and peer.stream.writable:
        left = stream_flush(&peer.stream)
        if left == STREAM_FAILED:
            # It may have answered before it stopped reading: what it said counts.
            if exchange.state == STATE_TUNNEL:
                end_tunnel(exchange)
                return
        elif left == 0:
            if exchange.state == STATE_TUNNEL:
                pump_tunnel(exchange)
                return
            if not exchange.request_sent:
                if exchange.state == STATE_SEND:
                    arm(exchange.client, exchange.route.timeouts.body)  # it runs for the client again
                pump_request(exchange)
            else:
                arm_peer(peer, exchange.route.timeouts.response)
            if peer.exchange != exchange:
                return
        elif exchange.state != STATE_TUNNEL:
            arm_peer(peer, exchange.route.timeouts.send)
    if exchange.state == STATE_TUNNEL:
        pump_tunnel(exchange)
    elif peer.stream.readable:
        pump_response(exchange)

cdef void pump_response(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef client_t* client = exchange.client
    cdef peer_t* peer = exchange.peer
    cdef uint8_t* inbox = relay.inbox
    cdef size_t kept, asked, total = 0
    cdef Py_ssize_t got
    cdef bint full = False
    while total < TURN_BYTES:
        if client.stream.n_unsent:
            return                          # a slow client: goes on in flush_client
        kept = 0
        if peer.kept != NULL:
            kept = peer.kept.end
            memcpy(inbox, peer.kept.data, kept)
        asked = piece_bytes(&client.stream, full) - kept
        got = stream_recv(&peer.stream, inbox + kept, asked)
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
        if exchange.coding == CODING_GZIP:
            break                           # zlib takes a millisecond for what one read brings: the others come in between
        full = <size_t>got == asked
        total += got
    look_again(&peer.stream)

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
    cdef Py_ssize_t left
    if exchange.minor == 0 or (exchange.relay.head.status == 100 and not exchange.expects_continue):
        return True
    if exchange.relay.head.status == 100:
        exchange.expects_continue = False
        arm_peer(exchange.peer, exchange.route.timeouts.response)
    write_into(&writer, exchange.relay.loop.scratch, SCRATCH_BYTES)
    write_response(exchange, data, &exchange.relay.head, size, &writer)
    exchange.bytes_sent += writer.n
    left = stream_send(&exchange.client.stream, writer.out, writer.n, False)
    if left == STREAM_FAILED:
        client_lost(exchange.client)
        return False
    if left:
        arm(exchange.client, exchange.route.timeouts.send)
    return True

cdef bint may_retry_status(exchange_t* exchange, int status) noexcept nogil:
    cdef upstream_t* upstream = exchange.route.upstream
    return upstream.retry_statuses[status >> 6] >> (status & 63) & 1 and exchange.is_safe \
        and exchange.resends < upstream.retry_attempts \
        and (upstream.retry_ms == 0 or exchange.relay.loop.now_us - exchange.began_us < upstream.retry_ms * 1000) \
        and server_has_other(exchange)

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
        server_failed(exchange)
        exchange.tried |= <uint64_t>1 << (exchange.server.position & 63)
        exchange.resends += 1
        peer_close(exchange.peer)
        forward_again(exchange)
        return
    server_answered(exchange)
    exchange.answered_us = relay.loop.now_us
    exchange.upstream_status = exchange.status = head.status
    exchange.reusable = head.keep_alive and head.framing != BODY_UNTIL_CLOSE
    if not exchange.request_sent or relay.draining:
        client.last = LAST_OURS             # the rest of its body is not worth reading
    if head.framing == BODY_CHUNKED or head.framing == BODY_UNTIL_CLOSE:
        exchange.chunked_out = exchange.minor == 1
        if exchange.minor == 0:
            client.last = LAST_OURS              # the end of the connection is the end of the body
    if exchange.route.gzip != NULL:
        exchange.coding = <uint8_t>coding_of(exchange, data, head)
        if exchange.coding == CODING_GZIP:
            exchange.chunked_out = True
    body_start(&exchange.response_body, head.framing, head.content_length, STRICT, relay.plan.head_limits.head)
    write_into(&writer, relay.loop.scratch, SCRATCH_BYTES)
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
    if exchange.coding == CODING_GZIP:
        send_zipped(exchange, payload, n, &writer)
        return
    exchange.body_sent = n
    if exchange.chunked_out:
        frame_chunk(&payload, &n, exchange.response_body.phase == BODY_DONE)
    if payload - (relay.inbox - HEADROOM_BYTES) >= <Py_ssize_t>writer.n:
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
    cdef writer_t writer
    cdef uint8_t* payload
    cdef size_t n
    cdef Py_ssize_t used = take_payload(&exchange.response_body, data, size, &payload, &n)
    if used < 0:
        bad_gateway(exchange, b"the server's body is malformed")
        return
    if not after_payload(exchange, data, <size_t>used, size):
        return
    if exchange.coding == CODING_GZIP:
        write_into(&writer, exchange.relay.loop.scratch, SCRATCH_BYTES)
        send_zipped(exchange, payload, n, &writer)
        return
    exchange.body_sent += n
    if exchange.chunked_out:
        frame_chunk(&payload, &n, exchange.response_body.phase == BODY_DONE)
    send_response(exchange, payload, n)

cdef void send_zipped(exchange_t* exchange, const uint8_t* payload, size_t n, writer_t* writer) noexcept nogil:
    """As send_response, through zlib and behind what `writer` holds."""
    if put_zipped(exchange, payload, n, exchange.response_body.phase == BODY_DONE, writer):
        send_response(exchange, writer.out, writer.n)
    else:
        client_lost(exchange.client)

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
    if exchange.state != STATE_BODY or exchange.response_body.framing != BODY_UNTIL_CLOSE:
        peer_failed(exchange)
        return
    exchange.response_body.phase = BODY_DONE
    exchange.reusable = False
    relay_body(exchange, exchange.relay.inbox, 0)

cdef void on_peer_due(Deadline* deadline) noexcept nogil:
    cdef peer_t* peer = <peer_t*>stream_of(deadline)
    cdef exchange_t* exchange = peer.exchange
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
    elif exchange.state == STATE_BODY and not exchange.request_sent and peer.stream.n_unsent == 0:
        client_lost(exchange.client)                            # it answers as it reads, and its client has stopped
    else:
        exchange.timed_out = True
        peer_failed(exchange)
