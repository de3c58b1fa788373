"""An HTTP/2 client's connection: its bytes go to a session, and each of the session's streams is a client of the relay.

    client ── TLS ── client_t ── Front ── http2.Session ── Stream ══ socket pair ══ client_t ── relay, as ever

The client_t on the left never has an exchange. One on the right has the left one's address, lives for one request, and is told
from others by nothing but its protocol in the log.
"""
import logging
import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcpy

from hotpath.core.net.epoll cimport INBOX_BYTES, RANK_CLIENT, Deadline, Source
from hotpath.core.net.linux cimport EPOLLERR, EPOLLHUP
from hotpath.core.net.loop cimport Loop
from hotpath.core.net.stream cimport (
    STREAM_FAILED, STREAM_NOTHING, Stream, stream_flush, stream_note, stream_open, stream_recv, stream_send)
from hotpath.proxy.client cimport client_close, client_linger, client_new
from hotpath.proxy.ending cimport client_lost
from hotpath.proxy.exchange cimport REJECTED_MALFORMED, arm, arm_rest, client_t, look_again, relay_t, stream_of
from hotpath.proxy.relay cimport on_client_due, on_client_events
from hotpath.proxy.reply cimport refuse
from hotpath.proxy.tls cimport tls_session

log = logging.getLogger(__name__)

cdef enum:
    HIGH_BYTES = 131072         # unsent, above which answers wait and the client is read no further
    LOW_BYTES = 32768           # where they go on
    SOON_MS = 1

# What a connection waits for, and since when: only what moves the waiting on may put its deadline off, or one byte now and then
# would keep it for ever.
cdef enum Wait:
    WAIT_REQUEST = 0            # timeouts.head for the first one, counted from the accept; timeouts.idle for others
    WAIT_READER                 # timeouts.send
    WAIT_ANSWER                 # the relay's affair
    WAIT_ANEW                   # the deadline has passed

# How far a draining connection is: RFC 9113 section 6.8.
cdef enum Farewell:
    FAREWELL_NOT = 0
    FAREWELL_ANNOUNCED          # what is on the wire still counts; the deadline runs for it
    FAREWELL_SAID               # no new stream does


cdef bint speaks_http2(client_t* client) noexcept nogil:
    with gil:
        return tls_session(&client.stream).ssl.selected_alpn_protocol() == "h2"

cdef void front_begin(client_t* client) noexcept nogil:
    client.stream.source.on_events = on_front_events
    client.stream.deadline.on_due = on_front_due
    with gil:
        try:
            begin(client)
        except Exception:
            log.exception("HTTP/2 session failed")
            lose(client)

cdef int begin(client_t* client) except -1:
    # Not before it is asked for: the library is an extra.
    from hotpath.proxy.http2 import Session
    cdef Front front = Front()
    front.client = client
    Py_INCREF(front)
    client.front = <void*>front
    front.session = Session(
        front, max_head=client.relay.plan.head_limits.head, send_s=client.relay.plan.timeouts.send / 1000,
        max_requests=client.relay.plan.requests_per_connection)
    return front.turn()             # the first bytes came with the end of the handshake, perhaps

cdef void on_front_events(Source* source, uint32_t events) noexcept nogil:
    cdef client_t* client = <client_t*>source
    cdef uint32_t before = client.stream.n_unsent
    stream_note(&client.stream, events)
    with gil:
        if events & (EPOLLHUP | EPOLLERR) \
                or (client.stream.n_unsent and client.stream.writable and stream_flush(&client.stream) == STREAM_FAILED):
            lose(client)
            return
        try:
            if client.stream.n_unsent < before and (<Front>client.front).waits == WAIT_READER:
                (<Front>client.front).waits = WAIT_ANEW
            (<Front>client.front).turn()
        except Exception:
            log.exception("HTTP/2 session failed")
            lose(client)

cdef void on_front_due(Deadline* deadline) noexcept nogil:
    cdef client_t* client = <client_t*>stream_of(deadline)
    with gil:
        try:
            (<Front>client.front).due()
        except Exception:
            log.exception("HTTP/2 session failed")
            lose(client)

cdef int lose(client_t* client) except -1:
    """It is gone, and with it all that it asked."""
    cdef Front front
    if client.front != NULL:
        front = <Front>client.front
        front.let_go()
        if front.session is not None:
            front.session.lost()
            front.session = None        # each knows the other
    client_lost(client)
    return 0

cdef client_t* attach(client_t* front, int fd) except NULL:
    """A client of the relay on `fd`, which it takes over, with the address and the standing of `front`."""
    cdef relay_t* relay = front.relay
    cdef client_t* made = client_new(relay)
    if made == NULL:
        raise MemoryError
    if stream_open(&made.stream, relay.loop, fd, RANK_CLIENT, True, on_client_events) < 0:
        client_close(made)
        raise MemoryError
    made.stream.deadline.on_due = on_client_due
    made.ip_size = front.ip_size
    memcpy(made.ip, front.ip, sizeof(made.ip))
    memcpy(made.address, front.address, sizeof(made.address))
    made.peer_is_trusted = front.peer_is_trusted
    made.secure = front.secure
    made.entry = front.entry
    made.http2 = True
    arm(made, relay.plan.timeouts.head)
    return made


cdef class Front:
    """The session's Carrier."""

    cdef client_t* client       # borrowed; NULL once it is gone
    cdef object session         # http2.Session
    cdef bint clogged           # the session waits for `drained`
    cdef bint broken            # a send failed
    cdef uint8_t farewell       # Farewell
    cdef uint8_t waits          # Wait

    # To its client.

    def write(self, bytes data) -> bool:
        cdef Py_ssize_t left
        if self.client == NULL or self.broken:
            return False
        left = stream_send(&self.client.stream, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), False)
        if left == STREAM_FAILED:
            self.broken = True
            arm(self.client, SOON_MS)       # whoever called has still to return
            return False
        if left > HIGH_BYTES:
            self.clogged = True         # until the session is told `drained`, whatever little is written in between
        if self.session is not None:
            self.rest()
        return not self.clogged

    def end(self) -> None:
        cdef client_t* client = self.client
        if client != NULL:
            self.let_go()
            self.session = None
            client_linger(client)

    # To the relay.

    def open(self) -> Stream:
        near, far = self.pair()
        try:
            stream = Stream(<Loop>self.client.relay.loop.owner, near)
        except BaseException:
            near.close()
            far.close()
            raise
        attach(self.client, far.detach())
        return stream

    def refuse(self) -> None:
        near, far = self.pair()
        with near:
            refuse(attach(self.client, far.detach()), 400, b"malformed in HTTP/2", REJECTED_MALFORMED)

    cdef object pair(self):
        if self.client == NULL:
            raise OSError("the client is gone")
        if self.client.relay.plan.max_connections and self.client.relay.n_clients >= self.client.relay.plan.max_connections:
            raise OSError("limits.connections is reached")
        return socket.socketpair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    # From the loop.

    cdef int turn(self) except -1:
        """The client sent something, or takes more."""
        cdef client_t* client = self.client
        cdef Py_ssize_t n
        session = self.session          # which may end in between; as long as it lives we do, its carrier
        if self.clogged and client.stream.n_unsent <= LOW_BYTES:
            self.clogged = False
            session.drained()
        # One read a turn: a record of tiny frames is tens of milliseconds of Python.
        if self.client != NULL and not self.broken and client.stream.n_unsent <= HIGH_BYTES:    # else a writable edge comes
            n = stream_recv(&client.stream, client.relay.loop.inbox, INBOX_BYTES)
            if n > 0:
                session.receive(PyBytes_FromStringAndSize(<char*>client.relay.loop.inbox, n))
                if self.client != NULL and client.stream.readable:
                    look_again(&client.stream)
            elif n != STREAM_NOTHING:
                return lose(client)
        if self.client != NULL and not self.broken:
            self.rest()
        return 0

    cdef int rest(self) except -1:
        """What is due next: bytes that have to leave, a request that has to come; of streams under way the relay takes care."""
        cdef client_t* client = self.client
        if client.relay.draining and self.farewell == FAREWELL_NOT:
            self.farewell = FAREWELL_ANNOUNCED
            arm_rest(client)
            self.session.drain()
        elif self.farewell == FAREWELL_ANNOUNCED:
            pass
        elif client.stream.n_unsent:
            if self.waits != WAIT_READER:
                arm(client, client.relay.plan.timeouts.send)
                self.waits = WAIT_READER
        elif self.session.n_exchanges:
            arm(client, 0)
            self.waits = WAIT_ANSWER
        elif self.waits != WAIT_REQUEST:
            arm_rest(client)
            self.waits = WAIT_REQUEST
        return 0

    cdef int due(self) except -1:
        cdef client_t* client = self.client
        session = self.session          # which may end in between
        if self.broken or (client.stream.n_unsent and self.farewell != FAREWELL_ANNOUNCED):
            return lose(client)             # too slow a reader
        if self.farewell == FAREWELL_ANNOUNCED or (self.session.n_exchanges == 0 and not client.relay.draining):
            self.farewell = FAREWELL_SAID
            session.drain()
            session.drain()
        if self.client != NULL:
            self.waits = WAIT_ANEW
            self.rest()
        return 0

    cdef int let_go(self) except -1:
        self.client.front = NULL
        self.client = NULL
        Py_DECREF(self)
        return 0
