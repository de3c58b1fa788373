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


def nothing(number, frame) -> None:
    """The handler of a signal that comes once the loop is closed: the end is near anyway."""


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

    `shared` is what it shares with the others, `hooks` the application's, `access_log` may be None. `early`: take connections
    while the application opens, and answer 503.
    """

    cdef Server server
    cdef listener_t* listeners
    cdef int n_listeners
    cdef readonly Loop loop
    cdef LineFile access_log
    cdef object shared
    cdef int index
    cdef list sockets           # not listened on yet
    cdef object limit           # of connections
    cdef object hooks
    cdef object reopeners
    cdef bint early
    cdef bint opened            # the application is open, and will be closed
    cdef object failure         # why it could not be opened; None: it could

    def __dealloc__(self):
        free(self.listeners)

    def __init__(self, config, Table table, shared, int index, sockets, LineFile access_log or None, hooks, reopeners=(), *,
                 bint early=False):
        cdef Counters counters = shared.counters
        cdef Gauges gauges = shared.gauges
        cdef Server server = Server.__new__(Server)
        self.loop = Loop()
        self.server, self.access_log, self.hooks, self.reopeners, self.early = server, access_log, hooks, reopeners, early
        self.shared, self.index, self.sockets, self.limit = shared, index, list(sockets), config.limits.connections
        server.loop, server.table, server.idle, server.kept = self.loop, table, [], shared
        server.upgrade = upgrade
        server.gate, server.finish = hooks.gate, hooks.finish
        server.opening = bool(hooks.openers)
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
        for attach_to in hooks.attachers:
            attach_to(server)
        self.listeners = <listener_t*>calloc(max(1, len(sockets)), sizeof(listener_t))
        if self.listeners == NULL:
            raise MemoryError
        if early or not server.opening:
            self.listen()

    cdef int listen(self) except -1:
        cdef Gauges gauges = self.shared.gauges
        cdef Gauges accepting = self.shared.accepting
        cdef listener_t* listener
        while self.sockets:
            listener = &self.listeners[self.n_listeners]
            listener.owner = &self.server.c
            listener.on_accept = server_accept
            listener.on_failed = on_failed
            listener.gauges = gauges.row(0)
            listener.stride = gauges.stride
            if self.n_listeners < len(accepting.names):
                listener.accepting = accepting.row(0) + self.n_listeners
                listener.accepting_stride = accepting.stride
            listener.n_workers = self.shared.workers
            listener.worker = self.index
            listener.limit = self.limit
            listener.nudge.fd = os.dup(self.shared.nudge)
            failed = listener_open(listener, &self.loop.c, self.sockets.pop(0).detach())
            if failed < 0:
                raise OSError(-failed, os.strerror(-failed))
            self.n_listeners += 1
        return 0

    @property
    def draining(self) -> bool:
        """Whether it accepts no more."""
        return self.server.c.draining

    def run(self, context, more=None) -> None:
        """Serve until drained; `context` is core.worker's. `more`: what to call for other signals, or for these instead.

        Raises what kept the application from opening.
        """
        acts = {signal.SIGTERM: lambda: self.drain(context), signal.SIGQUIT: lambda: self.drain(context),
                signal.SIGALRM: self.expire, signal.SIGUSR1: self.reopen}
        for number in acts.keys() - (more or {}).keys():
            signal.signal(number, nothing)      # what the loop gives back at its close
        for number, act in {**acts, **(more or {})}.items():
            self.loop.on_signal(number, act)
        self.loop.call_soon(spawn, self.open, context)
        if not self.server.opening:
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
            self.close()
        if self.failure is not None:
            raise self.failure

    def open(self, context) -> None:
        """In a task: open the application, then serve."""
        cdef bint was_opening = self.server.opening
        try:
            for opener in self.hooks.openers:
                opener()
            self.opened = True
            self.server.opening = False
            if not self.draining:
                self.listen()
        except Exception as error:
            self.failure = error
            self.loop.stop()
            return
        if was_opening:
            context.ready()
        for starter in self.hooks.starters:
            spawn(starter)

    def close(self) -> None:
        """Behind the last request."""
        if self.opened:
            for stopper in reversed(self.hooks.stoppers):
                try:
                    stopper()
                except Exception as error:
                    log.exception("closing failed")
                    self.failure = self.failure or error

    def limits(self, config) -> None:
        """Go on with the limits and timeouts of `config`."""
        cdef int i
        set_limits(&self.server.c.limits, config)
        self.limit = config.limits.connections
        for i in range(self.n_listeners):
            self.listeners[i].limit = self.limit

    def drain(self, context) -> None:
        """Accept what has arrived, then nothing more; end when the last client is served, or at the deadline."""
        cdef int i
        if self.server.c.draining:
            return
        context.limit_drain()
        for i in range(self.n_listeners):
            listener_drain(&self.listeners[i])
        while self.sockets:
            self.sockets.pop().close()
        server_drain(&self.server.c, GRACE_MS)
        for drainer in self.hooks.drainers:
            drainer()

    def expire(self) -> None:
        """Time is up."""
        if self.server.opening:
            log.error("the application did not open in time")
        self.loop.stop()

    def reopen(self) -> None:
        """USR1."""
        for reopener in (*self.reopeners, *(() if self.access_log is None else (self.access_log.reopen,))):
            try:
                reopener()
            except OSError as error:
                log.error("log not reopened cause=%s", error)
