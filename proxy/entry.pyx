"""A connection's first steps: accepted, then perhaps a PROXY header, then perhaps a TLS handshake, then HTTP.

All of it together has timeouts.head, the first request's head included.
"""
import logging

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.net.accept cimport listener_t
from hotpath.core.net.epoll cimport RANK_CLIENT, Source
from hotpath.core.net.linux cimport AF_UNIX, EPOLLERR, EPOLLHUP, MSG_DONTWAIT, MSG_PEEK, close, recv, sockaddr_storage
from hotpath.core.net.stream cimport STREAM_FAILED, stream_flush, stream_note, stream_open
from hotpath.proxy.client cimport client_close, client_linger, client_new, count_address, set_address, set_ip, set_unix
from hotpath.proxy.ending cimport client_lost, count_rejected
from hotpath.proxy.exchange cimport (
    REJECTED_CONNECTIONS, REJECTED_HANDSHAKE, REJECTED_MALFORMED, STAGE_HTTP, STAGE_PREFACE, STAGE_SHAKE, arm, client_t, entry_t,
    relay_t)
from hotpath.proxy.front cimport front_begin, speaks_http2
from hotpath.proxy.preface cimport (
    ORIGIN_IP, ORIGIN_UNIX, ORIGIN_UNKNOWN, PREFACE_BYTES, PREFACE_NEED_MORE, parse_preface, preface_t)
from hotpath.proxy.relay cimport client_proceed, on_client_due, on_client_events
from hotpath.proxy.reply cimport refuse
from hotpath.proxy.tls cimport SHAKE_DONE, SHAKE_FAILED, SHAKE_PLAIN, SHAKE_WAITS, Shake, tls_begin, tls_session, tls_shake

log = logging.getLogger(__name__)


cdef void entry_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil:
    cdef entry_t* entry = <entry_t*>listener.owner
    cdef relay_t* relay = entry.relay
    cdef client_t* client = client_new(relay)
    if client == NULL or stream_open(&client.stream, relay.loop, fd, RANK_CLIENT, True, on_client_events) < 0:
        if client == NULL:
            close(fd)
        else:
            client_close(client)
        return
    client.stream.deadline.on_due = on_client_due
    set_address(client, peer)
    arm(client, relay.plan.timeouts.head)
    if entry.tls != NULL or entry.proxy_protocol:
        begin(client, entry, peer)
    else:
        count(client, entry)

cdef void begin(client_t* client, entry_t* entry, const sockaddr_storage* peer) noexcept nogil:
    client.stream.source.on_events = on_entry_events
    client.entry = entry.index
    client.stage = STAGE_PREFACE if entry.proxy_protocol else STAGE_SHAKE
    if not entry.proxy_protocol:
        count(client, entry)
    elif not client.peer_is_trusted and peer.ss_family != AF_UNIX:
        # Who may connect to a unix socket is what its file's mode says: no address, no network to trust.
        count_rejected(client.relay, REJECTED_MALFORMED)
        client_lost(client)

cdef bint count(client_t* client, entry_t* entry) noexcept nogil:
    """False: its address has enough. Only in the clear it is told so: a handshake would cost more than the limit saves."""
    if count_address(client):
        return True
    if entry.tls == NULL:
        client.stage = STAGE_HTTP
        client.stream.source.on_events = on_client_events
        refuse(client, 429, b"too many connections from this address", REJECTED_CONNECTIONS)
    else:
        count_rejected(client.relay, REJECTED_CONNECTIONS)
        client_lost(client)
    return False

cdef void on_entry_events(Source* source, uint32_t events) noexcept nogil:
    cdef client_t* client = <client_t*>source
    cdef entry_t* entry = &client.relay.entries[client.entry]
    stream_note(&client.stream, events)
    if events & (EPOLLHUP | EPOLLERR) or (client.stream.n_unsent and stream_flush(&client.stream) == STREAM_FAILED):
        client_lost(client)
        return
    if client.stage == STAGE_PREFACE and not take_preface(client, entry):
        return
    if client.stage == STAGE_SHAKE and not shake_hands(client, entry):
        return
    client.stream.source.on_events = on_client_events
    client_proceed(client)

cdef bint take_preface(client_t* client, entry_t* entry) noexcept nogil:
    """True when the header was whole, and is consumed. Peeked at until then: what follows it is TLS's, or HTTP's."""
    cdef preface_t preface
    cdef uint8_t* data = client.relay.loop.inbox
    cdef Py_ssize_t used, n = recv(client.stream.source.fd, data, PREFACE_BYTES, MSG_PEEK | MSG_DONTWAIT)
    if n < 0 and (errno == EAGAIN or errno == EINTR):
        return False
    if n <= 0:
        client_lost(client)                 # it came and left: a balancer looks whether we live
        return False
    used = parse_preface(data, <size_t>n, &preface)
    if used == PREFACE_NEED_MORE and not client.stream.hung:
        return False                        # each arrival is an edge, also behind what is not read yet
    if used < 0:
        count_rejected(client.relay, REJECTED_MALFORMED)
        client_lost(client)
        return False
    recv(client.stream.source.fd, data, <size_t>used, MSG_DONTWAIT)
    if preface.origin == ORIGIN_IP:
        set_ip(client, preface.address)
    elif preface.origin == ORIGIN_UNIX:
        set_unix(client)
    elif preface.origin == ORIGIN_UNKNOWN:
        client.peer_is_trusted = False      # the peer does not know whose words these are
    client.stage = STAGE_HTTP if entry.tls == NULL else STAGE_SHAKE
    return count(client, entry)

cdef bint shake_hands(client_t* client, entry_t* entry) noexcept nogil:
    """True when the handshake is done. A session is made with the first byte: merely to connect costs us none."""
    cdef Shake shake
    if client.stream.filter == NULL:
        if not client.stream.readable:
            return False
        if not tls_begin(&client.stream, entry.tls):
            client_lost(client)
            return False
    shake = tls_shake(&client.stream)
    if shake == SHAKE_WAITS:
        return False
    client.stage = STAGE_HTTP
    if shake == SHAKE_DONE:
        client.secure = True
        if entry.http2 and speaks_http2(client):
            front_begin(client)
            return False
        return True
    if shake == SHAKE_PLAIN:
        client.stream.source.on_events = on_client_events
        refuse(client, 400, b"plain HTTP request sent to TLS port", REJECTED_MALFORMED)
        return False
    if shake == SHAKE_FAILED:
        count_rejected(client.relay, REJECTED_HANDSHAKE)
        tell_failed(client)
        client_linger(client)               # the alert shall arrive
        return False
    client_lost(client)                     # SHAKE_ENDED
    return False

cdef void tell_failed(client_t* client) noexcept nogil:
    with gil:
        log.debug("TLS handshake failed client=%s cause=%s",
                  client.ip[:client.ip_size].decode(), tls_session(&client.stream).why)
