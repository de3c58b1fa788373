"""A worker's tables without its sockets: requests are matched, limited, addressed and written, and go nowhere. For tests and reading."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hotpath.core.data.shared cimport Gauges
from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.linux cimport AF_INET, AF_INET6, AF_UNIX, inet_pton, sockaddr_in, sockaddr_in6, sockaddr_storage
from hotpath.core.net.loop cimport Loop
from hotpath.core.wire.http1 cimport (
    NAME_REFERER, NAME_USER_AGENT, STRICT, TARGET_ASTERISK, Head, Span, parse_request, parse_response)
from hotpath.proxy.answer cimport write_problem, write_redirect, write_respond_head
from hotpath.proxy.balance cimport server_answered, server_failed, server_is_ejected, server_lease, server_release
from hotpath.proxy.client cimport set_address
from hotpath.proxy.exchange cimport client_t, exchange_t, relay_t
from hotpath.proxy.forward cimport write_into, write_request, write_response, writer_t
from hotpath.proxy.limit cimport concurrency_lease, concurrency_release, limits_allow
from hotpath.proxy.log cimport AccessLog, log_exchange
from hotpath.proxy.metrics cimport bind, count_exchange
from hotpath.proxy.origin cimport find_origin
from hotpath.proxy.plan cimport ACTION_REDIRECT, Plan, text_t
from hotpath.proxy.relay cimport relay_start
from hotpath.proxy.route cimport ABOVE_ROOT, Table, match_t, normalise, table_match


cdef str text_of(const text_t* text):
    return text.data[:text.size].decode()

cdef Span first_value(const Head* head, int name) noexcept:
    cdef Span value
    value.at = value.size = 0
    if head.first[name]:
        value.at = head.fields[head.first[name] - 1].value_at
        value.size = head.fields[head.first[name] - 1].value_size
    return value

def normalise_path(bytes path) -> bytes | None:
    """The path without dot segments and idle escapes, as routes see it and servers get it; None: it leads above the root."""
    out = bytearray(len(path) + 1)
    cdef uint8_t* room = out
    cdef int n = normalise(path, <uint32_t>len(path), room)
    return None if n == ABOVE_ROOT else bytes(out[:n])


cdef class Probe:
    """Worker `worker` of the generation whose shared memory is `state`; its clock stands until it is set."""

    cdef relay_t* relay
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

    def __init__(self, config, state, int worker=0, AccessLog access_log or None=None):
        cdef Gauges gauges = state.gauges
        self.state = state
        self.loop = Loop()
        self.plan = Plan(config, state, worker)
        self.table = Table(self.plan)
        self.access_log = access_log
        self.relay.loop = &self.loop.c
        self.relay.plan = &self.plan.c
        self.relay.table = &self.table.c
        self.relay.worker = worker
        self.relay.n_workers = state.workers
        bind(self.relay, state.counters, gauges, config, state.roster.n_slots)
        if access_log is not None:
            access_log.attach(&self.loop.c, self.relay.counts.log_dropped)
            self.relay.log = &access_log.c
        relay_start(self.relay)

    @property
    def now_us(self):
        """The monotonic clock of limits, health and durations."""
        return self.loop.c.now_us

    @now_us.setter
    def now_us(self, int64_t now_us):
        self.loop.c.now_us = now_us
        self.loop.c.now_ms = now_us // 1000

    @property
    def unix_us(self):
        """The calendar's clock: of logs and Date."""
        return self.loop.c.unix_us

    @unix_us.setter
    def unix_us(self, int64_t unix_us):
        self.loop.c.unix_us = unix_us

    def request(self, bytes head, *, str peer="127.0.0.1") -> Request:
        """A request whose head came from `peer` (an address, or "unix:"). ValueError: the head is malformed or not whole."""
        return Request(self, head, peer)

    def refresh(self) -> None:
        """As a worker that was told of a change in the roster."""
        self.plan.refresh()

    def ejected(self) -> list:
        """The servers that are out of service, by address."""
        cdef uint32_t i, k
        found = []
        for i in range(self.plan.c.n_upstreams):
            for k in range(self.plan.c.upstreams[i].n_servers):
                if server_is_ejected(&self.plan.c.upstreams[i].servers[k], self.loop.c.now_us):
                    found.append(text_of(&self.plan.c.upstreams[i].servers[k].name))
        return found


cdef int fill_address(sockaddr_storage* address, str peer) except -1:
    cdef sockaddr_in* v4 = <sockaddr_in*>address
    cdef sockaddr_in6* v6 = <sockaddr_in6*>address
    text = peer.encode()
    memset(address, 0, sizeof(sockaddr_storage))
    if peer == "unix:":
        address.ss_family = AF_UNIX
    elif inet_pton(AF_INET, text, &v4.sin_addr) == 1:
        address.ss_family = AF_INET
    elif inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
        address.ss_family = AF_INET6
    else:
        raise ValueError(f"peer {peer!r}: should be an IP address or unix:")
    return 0


cdef class Request:
    """A request of a Probe's: matched at once; what else becomes of it is asked for."""

    cdef Probe probe
    cdef bytes data
    cdef readonly bytes path            # normalised, without query
    cdef Head head
    cdef client_t client
    cdef exchange_t exchange
    cdef match_t found

    def __init__(self, Probe probe, bytes head, str peer):
        cdef sockaddr_storage address
        cdef exchange_t* exchange = &self.exchange
        cdef Py_ssize_t used = parse_request(head, <size_t>len(head), 0, &probe.plan.c.head_limits, STRICT, &self.head)
        if used != len(head):
            raise ValueError(f"no whole head: {self.head.error.decode() if used == -1 else used}")
        fill_address(&address, peer)
        self.probe = probe
        self.data = head
        self.client.relay = probe.relay
        self.client.input = <Buffer*>calloc(1, sizeof(Buffer) + <size_t>len(head))
        if self.client.input == NULL:
            raise MemoryError
        memcpy(self.client.input.data, <const char*>head, <size_t>len(head))
        set_address(&self.client, &address)
        exchange.relay = probe.relay
        exchange.client = &self.client
        exchange.file_fd = -1
        exchange.began_us = probe.loop.c.now_us
        exchange.head_size = <uint32_t>used
        exchange.bytes_received = used
        exchange.method = self.head.method
        exchange.target = self.head.target
        exchange.host = self.head.host
        exchange.referer = first_value(&self.head, NAME_REFERER)
        exchange.user_agent = first_value(&self.head, NAME_USER_AGENT)
        exchange.method_id = self.head.method_id
        exchange.minor = self.head.minor
        exchange.expects_continue = self.head.expects_continue
        exchange.wants_websocket = self.head.upgrades_websocket
        asked = normalise_path(head[self.head.path.at:self.head.path.at + self.head.path.size])
        if self.head.form == TARGET_ASTERISK:
            asked = b"/"
        if asked is None:
            raise ValueError("the path leads above the root")
        self.path = b"*" if self.head.form == TARGET_ASTERISK else asked
        find_origin(exchange, self.raw(), &self.head)
        table_match(probe.relay.table, self.raw(), &self.head, asked, <uint32_t>len(asked), &self.found)
        exchange.route = self.found.route

    def __dealloc__(self):
        free(self.client.input)

    cdef const uint8_t* raw(self) noexcept:
        return <const uint8_t*><const char*>self.data

    @property
    def route(self):
        """The name of the route that takes it; None: none does."""
        return None if self.exchange.route == NULL else text_of(&self.exchange.route.name)

    @property
    def refused(self):
        """The names of the routes that only its method kept away, best first."""
        return [text_of(&self.found.refused[i].name) for i in range(self.found.n_refused)]

    @property
    def client_ip(self):
        """Whom logs, limits and balancing take for the client."""
        return self.exchange.client_ip[:self.exchange.client_ip_size].decode()

    def take(self) -> float | None:
        """Asks the rate limits of its route: None, or the seconds after which to try again."""
        cdef long long retry_after_us = 0
        if limits_allow(&self.exchange, self.raw(), &self.head, self.path, <uint32_t>len(self.path), &retry_after_us):
            return None
        return retry_after_us / 1e6

    def enter(self) -> bool:
        """Whether the concurrency of its route lets it in; then it counts until `leave`."""
        return concurrency_lease(&self.exchange)

    def leave(self) -> None:
        """Undo `enter`."""
        concurrency_release(&self.exchange)

    def lease(self) -> str | None:
        """The address of the server that takes it and now counts it; None: no server is in service for it."""
        self.exchange.server = server_lease(
            &self.exchange, self.raw(), &self.head, self.path, <uint32_t>len(self.path))
        self.exchange.forwarded_us = self.probe.loop.c.now_us
        return None if self.exchange.server == NULL else text_of(&self.exchange.server.name)

    def release(self) -> None:
        """The server counts it no more."""
        server_release(&self.exchange)

    def fail(self) -> None:
        """Its server failed it: counted against the server, which will not be chosen for it again. Releases."""
        server_failed(&self.exchange)
        self.exchange.tried |= 1ULL << (self.exchange.server.position & 63)
        server_release(&self.exchange)

    def answered(self) -> None:
        """Its server answered. Releases."""
        server_answered(&self.exchange)
        server_release(&self.exchange)

    def forwarded(self) -> bytes:
        """Its head as the leased server gets it."""
        cdef writer_t writer
        self.start(&writer)
        write_request(&self.exchange, self.raw(), &self.head, self.path, <uint32_t>len(self.path), &writer)
        return self.written(&writer)

    def returned(self, bytes head) -> bytes:
        """The head of the leased server's response as the client gets it. ValueError: it is malformed or not whole."""
        cdef Head response
        cdef writer_t writer
        cdef Py_ssize_t used = parse_response(
            head, <size_t>len(head), 0, &self.probe.plan.c.head_limits, STRICT, self.head.method_id, &response)
        if used != len(head):
            raise ValueError(f"no whole head: {response.error.decode() if used == -1 else used}")
        self.exchange.status = self.exchange.upstream_status = response.status
        self.exchange.answered_us = self.probe.loop.c.now_us
        self.start(&writer)
        write_response(&self.exchange, <const uint8_t*><const char*>head, &response, <size_t>used, &writer)
        return self.written(&writer)

    def problem(self, int status, bytes detail=b"", *, int64_t retry_after_us=0) -> bytes:
        """The whole answer that refuses it."""
        cdef writer_t writer
        self.exchange.status = <unsigned short>status
        self.start(&writer)
        write_problem(&self.exchange, status, detail, &self.found if status == 405 else NULL, retry_after_us, &writer)
        return self.written(&writer)

    def reply(self) -> bytes:
        """The head of its route's own answer: `respond` or `redirect`."""
        cdef writer_t writer
        self.start(&writer)
        if self.exchange.route.action == ACTION_REDIRECT:
            write_redirect(&self.exchange, self.raw(), &self.head, self.path, <uint32_t>len(self.path), &writer)
        else:
            write_respond_head(&self.exchange, &writer)
        return self.written(&writer)

    def end(self, int status, *, int64_t body_sent=0) -> None:
        """It is over: counted, and logged if the Probe has a log."""
        self.exchange.status = <unsigned short>status
        self.exchange.body_sent = body_sent
        count_exchange(&self.exchange)
        if self.probe.access_log is not None:
            log_exchange(&self.probe.access_log.c, &self.exchange, self.raw())

    cdef void start(self, writer_t* writer) noexcept:
        write_into(writer, self.probe.loop.c.scratch, 65536)

    cdef bytes written(self, writer_t* writer):
        return writer.out[:writer.n]
