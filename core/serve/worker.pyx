"""A worker: one loop, one server, the listening sockets of its generation."""
import logging
import os
import signal

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from hotpath.core.data.shared cimport Counters, Gauges
from hotpath.core.net.accept cimport listener_drain, listener_open, listener_t
from hotpath.core.net.lines cimport LineFile
from hotpath.core.net.loop cimport Loop
from hotpath.core.serve.connection cimport limits_t, server_accept, server_drain, server_start, server_t
from hotpath.core.serve.exchange cimport Server, attend
from hotpath.core.serve.metrics cimport bind_counts
from hotpath.core.serve.table cimport Table

from hotpath.core.serve.websocket import upgrade
from hotpath.core.tasks import Watchdog, spawn

log = logging.getLogger(__name__)

cdef enum:
    GRACE_MS = 2000             # an idle client's last chance: a request that is on the wire already is answered
    FAILED_PAUSE_MS = 1000


cdef int64_t ms(object seconds) except -1:
    return max(1, round(seconds * 1000)) if seconds else 0


cdef int set_limits(limits_t* limits, config) except -1:
    limits.head.line, limits.head.head, limits.head.fields = config.limits.line, config.limits.head, config.limits.fields
    limits.head_ms, limits.idle_ms = ms(config.timeouts.head), ms(config.timeouts.idle)
    limits.body_ms, limits.body_rate, limits.send_ms = ms(config.timeouts.body), config.limits.body_rate, ms(config.timeouts.send)
    limits.max_body = -1 if config.limits.body is None else config.limits.body
    limits.high_water, limits.requests = config.limits.unsent, config.limits.requests
    return 0


cdef void on_failed(listener_t* listener, int error) noexcept nogil:
    cdef server_t* server = <server_t*>listener.owner
    if server.loop.now_ms < server.quiet_until_ms:
        return
    server.quiet_until_ms = server.loop.now_ms + FAILED_PAUSE_MS
    with gil:
        warn(error, listener.n_failed)


cdef int warn(int error, uint64_t n_failed) except -1:
    log.warning("accepting paused: error=%r failures=%d", os.strerror(error), n_failed)
    return 0


cdef class Worker:
    """Serves `sockets` (listening, non-blocking; taken over) with `table` until it is told to drain.

    `shared` is what it shares with the others, `access_log` may be None; `starters` are run in tasks once it serves;
    `attachers` get the Server before that.
    """

    cdef Server server
    cdef listener_t* listeners
    cdef int n_listeners
    cdef Loop loop
    cdef LineFile access_log
    cdef object starters
    cdef object reopeners

    def __dealloc__(self):
        free(self.listeners)

    def __init__(self, config, Table table, shared, int index, sockets, LineFile access_log or None, starters=(), reopeners=(),
                 attachers=()):
        cdef Counters counters = shared.counters
        cdef Gauges gauges = shared.gauges
        cdef Server server = Server.__new__(Server)
        cdef listener_t* listener
        cdef int i
        self.loop = Loop()
        self.server, self.access_log, self.starters, self.reopeners = server, access_log, starters, reopeners
        server.loop, server.table, server.idle, server.kept = self.loop, table, [], shared
        server.upgrade = upgrade
        server.c.loop = &self.loop.c
        server.c.owner = <void*>server
        server.c.attend = attend
        set_limits(&server.c.limits, config)
        bind_counts(&server.c.counts, counters, gauges, index, len(table.routes))
        if access_log is not None:
            access_log.attach(&self.loop.c, server.c.counts.log_dropped)
            server.access.lines = &access_log.c
            server.access.json = config.log.access.format == "json"
            server.access.second = -1
        server_start(&server.c)
        for attach_to in attachers:
            attach_to(server)
        self.listeners = <listener_t*>calloc(max(1, len(sockets)), sizeof(listener_t))
        if self.listeners == NULL:
            raise MemoryError
        for i, sock in enumerate(sockets):
            listener = &self.listeners[i]
            listener.owner = &server.c
            listener.on_accept = server_accept
            listener.on_failed = on_failed
            listener.gauges = gauges.row(0)
            listener.stride = gauges.stride
            listener.n_workers = shared.workers
            listener.worker = index
            listener.limit = config.limits.connections
            listener.nudge.fd = os.dup(shared.nudge)
            failed = listener_open(listener, &self.loop.c, sock.detach())
            if failed < 0:
                raise OSError(-failed, os.strerror(-failed))
            self.n_listeners += 1

    @property
    def draining(self) -> bool:
        """Whether it accepts no more."""
        return self.server.c.draining

    def run(self, context) -> None:
        """Serve until drained; `context` is core.worker's."""
        self.loop.on_signal(signal.SIGTERM, lambda: self.drain(context))
        self.loop.on_signal(signal.SIGQUIT, lambda: self.drain(context))
        self.loop.on_signal(signal.SIGALRM, self.loop.stop)
        self.loop.on_signal(signal.SIGUSR1, self.reopen)
        self.loop.call_soon(self.start)
        context.ready()
        watchdog = Watchdog(self.loop)
        try:
            self.loop.run()
        finally:
            watchdog.stop()
            self.server.c.closed = True
            self.loop.close()
            if self.access_log is not None:
                self.access_log.flush()

    def start(self) -> None:
        for starter in self.starters:
            spawn(starter)

    def drain(self, context) -> None:
        """Accept what has arrived, then nothing more; end when the last client is served, or at the deadline."""
        cdef int i
        if self.server.c.draining:
            return
        context.limit_drain()
        for i in range(self.n_listeners):
            listener_drain(&self.listeners[i])
        server_drain(&self.server.c, GRACE_MS)

    def reopen(self) -> None:
        """USR1."""
        for reopener in (*self.reopeners, *(() if self.access_log is None else (self.access_log.reopen,))):
            try:
                reopener()
            except OSError as error:
                log.error("log not reopened cause=%s", error)
