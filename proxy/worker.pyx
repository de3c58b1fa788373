"""A worker: one loop, one relay, the listening sockets of its generation."""
import logging
import os
import resource
import select
import signal
from contextlib import suppress

from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from hotpath.core.data.shared cimport Block, Gauges
from hotpath.core.net.accept cimport listener_drain, listener_open, listener_t
from hotpath.core.net.loop cimport Loop
from hotpath.proxy.entry cimport entry_accept
from hotpath.proxy.exchange cimport entry_t, relay_t
from hotpath.proxy.log cimport AccessLog
from hotpath.proxy.metrics cimport bind
from hotpath.proxy.plan cimport Plan
from hotpath.proxy.relay cimport relay_drain, relay_start
from hotpath.proxy.route cimport Table
from hotpath.proxy.tls cimport Terminator
from hotpath.proxy.upstream cimport peers_close_idle
from hotpath.proxy.warden import reopen_error_log

log = logging.getLogger(__name__)

cdef enum:
    GRACE_MS = 2000             # an idle client's last chance: a request that is on the wire already is answered


cdef int places() except -1:
    """How many descriptors clients may take: an eighth is left for servers, logs and files."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(allowed - allowed // 8, 1 << 30) if allowed != resource.RLIM_INFINITY else 1 << 30


cdef class Worker:
    """Serves `doors` by `config` until it is told to drain.

    A door is (a listening, non-blocking socket, which is taken over; config's Listen of it; its ssl.SSLContext, or None).
    `state` is what it shares with the others, `access_log` may be None.
    """

    cdef relay_t* relay
    cdef listener_t* listeners
    cdef entry_t* entries
    cdef list terminators
    cdef int n_listeners
    cdef Loop loop
    cdef Plan plan
    cdef Table table
    cdef AccessLog access_log
    cdef object state

    def __cinit__(self):
        self.relay = <relay_t*>calloc(1, sizeof(relay_t))
        if self.relay == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.relay)
        free(self.listeners)
        free(self.entries)

    def __init__(self, config, state, int index, doors, AccessLog access_log or None):
        cdef Gauges gauges = state.gauges
        cdef Gauges accepting = state.accepting
        cdef Block addresses = state.by_address if state.by_address is not None else Block(1)
        cdef listener_t* listener
        cdef entry_t* entry
        cdef int i
        self.state = state
        self.loop = Loop()
        self.loop.c.never_forks = True
        self.plan = Plan(config, state, index)
        self.table = Table(self.plan)
        self.access_log = access_log
        self.relay.loop = &self.loop.c
        self.relay.plan = &self.plan.c
        self.relay.table = &self.table.c
        self.relay.worker = index
        self.relay.n_workers = state.workers
        if state.by_address is not None:
            self.relay.addresses = <int32_t*>addresses.data
            self.relay.address_seed = state.seed
        bind(self.relay, state.counters, gauges, config, state.roster.n_slots)
        if access_log is not None:
            access_log.attach(&self.loop.c, self.relay.counts.log_dropped)
            self.relay.log = &access_log.c
        relay_start(self.relay)
        self.listeners = <listener_t*>calloc(max(1, len(doors)), sizeof(listener_t))
        self.entries = self.relay.entries = <entry_t*>calloc(max(1, len(doors)), sizeof(entry_t))
        self.terminators = []
        for i, (sock, listen, context) in enumerate(doors):
            entry = &self.entries[i]
            entry.relay = self.relay
            entry.index = i
            entry.proxy_protocol = listen.proxy_protocol
            entry.http2 = listen.http2
            if context is not None:
                terminator = Terminator(context)
                self.terminators.append(terminator)
                entry.tls = <void*>terminator
            listener = &self.listeners[i]
            listener.owner = entry
            listener.on_accept = entry_accept
            listener.gauges = gauges.row(0)
            listener.stride = gauges.stride
            listener.accepting = accepting.row(0) + i
            listener.accepting_stride = accepting.stride
            listener.n_workers = state.workers
            listener.worker = index
            listener.limit = min(self.plan.c.max_connections, places())
            listener.nudge.fd = os.dup(state.nudge)
            failed = listener_open(listener, &self.loop.c, sock.detach())
            if failed < 0:
                raise OSError(-failed, os.strerror(-failed))
            self.n_listeners += 1

    def run(self, context) -> None:
        """Serve until drained; `context` is core.worker's."""
        self.loop.on_signal(signal.SIGTERM, lambda: self.drain(context))
        self.loop.on_signal(signal.SIGQUIT, lambda: self.drain(context))
        self.loop.on_signal(signal.SIGALRM, self.loop.stop)
        self.loop.on_signal(signal.SIGUSR1, self.reopen)
        self.loop.watch(self.state.roster.wakes[self.relay.worker], select.EPOLLIN, self.refresh)
        context.ready()
        self.loop.run()
        if self.access_log is not None:
            self.access_log.flush()

    def refresh(self, events) -> None:
        """The warden has changed the roster."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.state.roster.wakes[self.relay.worker])
        self.plan.refresh()
        peers_close_idle(self.relay, True)

    def drain(self, context) -> None:
        """Accept what has arrived, then nothing more; end when the last client is served, or at the deadline."""
        cdef int i
        if self.relay.draining:
            return
        context.limit_drain()
        for i in range(self.n_listeners):
            listener_drain(&self.listeners[i])
        relay_drain(self.relay, GRACE_MS)

    def reopen(self) -> None:
        """USR1."""
        reopen_error_log()
        if self.access_log is None:
            return
        try:
            self.access_log.reopen()
        except OSError as error:
            log.error("access log not reopened cause=%s", error)
