"""Ends: everything that counts or holds an exchange lets go of it, once, on every way out."""
from hotpath.core.net.buffer cimport Buffer, buffer_give
from hotpath.core.net.epoll cimport loop_disarm
from hotpath.core.net.linux cimport close
from hotpath.proxy.balance cimport server_release
from hotpath.proxy.client cimport client_close, client_linger, exchange_free, stop_when_empty
from hotpath.proxy.exchange cimport LAST_OURS, STATE_DONE, STATE_TUNNEL, arm, arm_rest, client_t, exchange_t, move, relay_t
from hotpath.proxy.gzip cimport zipper_free
from hotpath.proxy.limit cimport concurrency_release
from hotpath.proxy.log cimport log_exchange, log_t
from hotpath.proxy.metrics cimport count_exchange
from hotpath.proxy.reply cimport answer
from hotpath.proxy.upstream cimport peer_release


cdef void count_rejected(relay_t* relay, int why) noexcept nogil:
    relay.counts.rejected[why] += 1

cdef void finish(exchange_t* exchange, bint keep_peer) noexcept nogil:
    """The response is complete as far as we are concerned; it may still be leaving."""
    cdef client_t* client = exchange.client
    cdef relay_t* relay = exchange.relay
    cdef Buffer* input = client.input
    end_exchange(exchange, keep_peer)
    if client.stream.n_unsent:
        arm(client, relay.plan.timeouts.send)
    elif not client.last:
        arm_rest(client)
    if input != NULL and input.start == input.end:
        buffer_give(relay.loop, input)
        client.input = NULL
    if client.last:
        client_end(client)
    else:
        relay.proceed(client)

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
    if exchange.zipper != NULL:
        zipper_free(exchange)
    loop_disarm(relay.loop, &exchange.deadline)
    client.exchange = NULL
    exchange_free(exchange)

cdef void client_end(client_t* client) noexcept nogil:
    """Its last answer is given."""
    if client.stream.n_unsent:
        return                        # flush_client comes back here: a lingering close has no patience with a slow reader
    if client.stream.filter != NULL or client.stream.readable or (client.input != NULL and client.input.end > client.input.start) \
            or client.last == LAST_OURS:
        client_linger(client)         # a close with unread input would reset the answer away; TLS has a farewell to say
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
