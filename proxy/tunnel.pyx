"""Tunnels: after a 101 the relay carries bytes, both ways, until both sides are done."""
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport SCRATCH_BYTES, loop_disarm
from hotpath.core.net.stream cimport STREAM_FAILED, STREAM_NOTHING, stream_recv, stream_send, stream_shut, stream_t
from hotpath.proxy.attempt cimport bad_gateway
from hotpath.proxy.balance cimport server_answered
from hotpath.proxy.ending cimport client_lost, finish
from hotpath.proxy.exchange cimport LAST_OURS, PIECE_BYTES, STATE_TUNNEL, TURN_BYTES, arm, client_t, exchange_t, look_again, move, peer_t
from hotpath.proxy.forward cimport put, write_into, write_response, writer_t


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
    server_answered(exchange)
    exchange.answered_us = exchange.relay.loop.now_us
    exchange.status = exchange.upstream_status = 101
    exchange.response_begun = True
    client.last = LAST_OURS
    client.tunnel = True
    exchange.relay.counts.tunnels[0] += 1
    move(exchange, STATE_TUNNEL)
    write_into(&writer, exchange.relay.loop.scratch, SCRATCH_BYTES)
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
    cdef size_t total = 0
    while total < TURN_BYTES:
        if sink.n_unsent:
            return True
        got = stream_recv(source, inbox, PIECE_BYTES)
        if got == STREAM_NOTHING:
            return True
        if got < 0:
            return False
        if got == 0:
            if not sink.shut:
                stream_shut(sink)
            return True
        count[0] += got
        total += got
        if stream_send(sink, inbox, got, False) == STREAM_FAILED:
            return False
    look_again(source)
    return True

cdef void pump_tunnel(exchange_t* exchange) noexcept nogil:
    cdef stream_t* client = &exchange.client.stream
    cdef stream_t* peer = &exchange.peer.stream
    cdef uint8_t* inbox = exchange.relay.inbox
    cdef int64_t sent = exchange.bytes_sent
    arm(exchange.client, exchange.route.timeouts.tunnel)
    if not pump_one_way(client, peer, inbox, &exchange.bytes_received) or not pump_one_way(peer, client, inbox, &exchange.bytes_sent) \
            or (client.ended and peer.ended and not client.n_unsent and not peer.n_unsent):
        exchange.body_sent += exchange.bytes_sent - sent
        finish(exchange, False)             # what is on its way to the client still arrives
        return
    exchange.body_sent += exchange.bytes_sent - sent

cdef void end_tunnel(exchange_t* exchange) noexcept nogil:
    cdef int64_t sent = exchange.bytes_sent
    pump_one_way(&exchange.peer.stream, &exchange.client.stream, exchange.relay.inbox, &exchange.bytes_sent)
    exchange.body_sent += exchange.bytes_sent - sent
    finish(exchange, False)
