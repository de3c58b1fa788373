"""Connections to servers: kept, taken newest first, opened, closed.

The newest idle connection is the one least likely to have been closed by the server, and the fewest stay open. A server counts
its requests under way in shared memory, so that all workers see them.
"""
from libc.errno cimport EINPROGRESS, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport buffer_give, buffer_take
from hotpath.core.net.linux cimport (
    AF_UNIX, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, TCP_NODELAY, close, connect, setsockopt, sockaddr, socket)
from hotpath.core.net.epoll cimport RANK_UPSTREAM, loop_arm, loop_defer
from hotpath.core.net.stream cimport stream_close, stream_is_quiet, stream_open
from hotpath.proxy.plan cimport server_t, upstream_t
from hotpath.core.net.slab cimport slot_take

cdef enum:
    FOR_EVER_MS = 1 << 30
    TRUSTED_REST_MS = 1000      # a request that may not be sent twice takes an older idle connection only after a look at it


cdef peer_t* peer_new(relay_t* relay) noexcept nogil:
    cdef peer_t* made = <peer_t*>slot_take(&relay.free_peers, sizeof(peer_t))
    if made == NULL:
        return NULL
    made.relay = relay
    made.stream.source.fd = -1
    return made

cdef void peer_free(peer_t* peer) noexcept nogil:
    """Not before the end of the turn: events of this batch may still point at it."""
    cdef relay_t* relay = peer.relay
    peer.next = relay.gone_peers
    relay.gone_peers = peer
    loop_defer(relay.loop, &relay.sweep)

cdef void unlink_idle(peer_t* peer) noexcept nogil:
    cdef server_t* server = peer.server
    if peer.previous != NULL:
        peer.previous.next = peer.next
    else:
        server.idle = peer.next
    if peer.next != NULL:
        peer.next.previous = peer.previous
    peer.next = NULL
    peer.previous = NULL
    server.n_idle -= 1
    server.idle_gauge[0] = server.n_idle
    peer.relay.counts.idle_peers[0] -= 1

cdef void attach(peer_t* peer, exchange_t* exchange) noexcept nogil:
    peer.exchange = exchange
    exchange.peer = peer
    peer.n_requests += 1

cdef peer_t* connect_new(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef server_t* server = exchange.server
    cdef int one = 1, family = server.address.ss_family
    cdef bint connected
    cdef peer_t* peer
    cdef int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        return NULL
    if family != AF_UNIX:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    connected = connect(fd, <sockaddr*>&server.address, server.address_size) == 0
    peer = NULL if not connected and errno != EINPROGRESS else peer_new(relay)
    if peer == NULL:
        close(fd)
        return NULL
    peer.server = server
    peer.moves = server.moves
    if stream_open(&peer.stream, relay.loop, fd, RANK_UPSTREAM, connected, relay.on_peer_events) < 0:
        close(fd)
        peer_free(peer)
        return NULL
    peer.stream.deadline.on_due = relay.on_peer_due
    return peer

cdef peer_t* peer_lease(exchange_t* exchange, bint fresh) noexcept nogil:
    cdef server_t* server = exchange.server
    cdef peer_t* peer
    while not fresh and server.idle != NULL:
        peer = <peer_t*>server.idle
        unlink_idle(peer)
        if exchange.is_safe or exchange.relay.loop.now_ms - peer.idle_since_ms < TRUSTED_REST_MS or stream_is_quiet(&peer.stream):
            peer.reused = True
            attach(peer, exchange)
            return peer
        peer_close(peer)
    peer = connect_new(exchange)
    if peer != NULL:
        attach(peer, exchange)
    return peer

cdef bint is_stale(const peer_t* peer) noexcept nogil:
    """Its server takes no more requests, or stands at another address."""
    return not peer.server.accepts or peer.moves != peer.server.moves

cdef void peer_release(peer_t* peer, bint keep) noexcept nogil:
    cdef server_t* server = peer.server
    cdef upstream_t* upstream = server.upstream
    if peer.exchange != NULL:
        peer.exchange.peer = NULL
        peer.exchange = NULL
    if not keep or server.n_idle >= upstream.keep_idle or peer.relay.draining or is_stale(peer) or peer.stream.hung or peer.stream.readable \
            or peer.stream.n_unsent or peer.kept != NULL or (upstream.keep_requests and peer.n_requests >= upstream.keep_requests):
        peer_close(peer)
        return
    peer.idle_since_ms = peer.relay.loop.now_ms
    peer.previous = NULL
    peer.next = <peer_t*>server.idle
    if peer.next != NULL:
        peer.next.previous = peer
    server.idle = peer
    server.n_idle += 1
    server.idle_gauge[0] = server.n_idle
    peer.relay.counts.idle_peers[0] += 1
    loop_arm(peer.relay.loop, &peer.stream.deadline, peer.relay.loop.now_ms + (upstream.keep_ms if upstream.keep_ms else FOR_EVER_MS))

cdef void peer_close(peer_t* peer) noexcept nogil:
    if peer.exchange != NULL:
        peer.exchange.peer = NULL
        peer.exchange = NULL
    elif peer.previous != NULL or peer.server.idle == peer:
        unlink_idle(peer)
    buffer_give(peer.relay.loop, peer.kept)
    peer.kept = NULL
    stream_close(&peer.stream)
    peer_free(peer)

cdef void peers_close_idle(relay_t* relay, bint stale_ones) noexcept nogil:
    cdef uint32_t i, k
    cdef peer_t* peer
    cdef peer_t* next
    for i in range(relay.plan.n_upstreams):
        for k in range(relay.plan.upstreams[i].n_servers):
            peer = <peer_t*>relay.plan.upstreams[i].servers[k].idle
            while peer != NULL:
                next = peer.next
                if not stale_ones or is_stale(peer):
                    peer_close(peer)
                peer = next

cdef bint peer_keep(peer_t* peer, const uint8_t* data, size_t size) noexcept nogil:
    if size == 0:
        return True
    peer.kept = buffer_take(peer.relay.loop, size)
    if peer.kept == NULL:
        return False
    memcpy(peer.kept.data, data, size)
    peer.kept.end = <uint32_t>size
    return True
