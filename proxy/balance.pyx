"""Balancing: which server takes this request?

Every way of choosing looks only at servers in service: taking requests, not ejected, not down, not full, not tried for this request
already. Backups count when nobody else is left. Health and load live in shared memory: what one worker saw, all know.
"""
import logging

from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.data.murmur cimport murmur3_x64_64
from hotpath.core.data.ring cimport Snapshot
from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t, relay_t
from hotpath.proxy.key cimport key_find
from hotpath.proxy.plan cimport (
    BALANCE_EWMA, BALANCE_IP_HASH, BALANCE_LEAST_CONN, BALANCE_P2C, BALANCE_RING, WARM, server_t, upstream_t)

log = logging.getLogger(__name__)

cdef extern from *:
    """
    #include <string.h>
    static inline int64_t word_load(const int64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static inline void word_store(int64_t *word, int64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
    static inline int64_t word_add(int64_t *word, int64_t n) { return __atomic_add_fetch(word, n, __ATOMIC_SEQ_CST); }
    static inline int word_swap(int64_t *word, int64_t expected, int64_t desired) {
        return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    static inline double double_load(const int64_t *word) {
        int64_t raw = __atomic_load_n(word, __ATOMIC_RELAXED);
        double value;
        memcpy(&value, &raw, sizeof value);
        return value;
    }
    static inline void double_store(int64_t *word, double value) {
        int64_t raw;
        memcpy(&raw, &value, sizeof raw);
        __atomic_store_n(word, raw, __ATOMIC_RELAXED);
    }
    """
    double double_load(const int64_t* word) noexcept nogil
    void double_store(int64_t* word, double value) noexcept nogil
    int64_t word_load(const int64_t* word) noexcept nogil
    void word_store(int64_t* word, int64_t value) noexcept nogil
    int64_t word_add(int64_t* word, int64_t n) noexcept nogil
    bint word_swap(int64_t* word, int64_t expected, int64_t desired) noexcept nogil


cdef int64_t gauge_total(const int64_t* cells, uint32_t stride, uint32_t n_workers) noexcept nogil:
    cdef int64_t total = 0
    cdef uint32_t worker
    for worker in range(n_workers):
        total += word_load(cells + worker * stride)
    return total

cdef int64_t gauge_enter(int64_t* cells, uint32_t stride, uint32_t n_workers, uint32_t worker) noexcept nogil:
    # First in, then look: of two that enter at once, at least one sees both.
    word_add(cells + worker * stride, 1)
    return gauge_total(cells, stride, n_workers)

cdef void gauge_leave(int64_t* cells, uint32_t stride, uint32_t worker) noexcept nogil:
    word_add(cells + worker * stride, -1)

cdef int64_t load_of(const server_t* server, uint32_t n_workers) noexcept nogil:
    """Requests under way on it, over all workers."""
    return gauge_total(server.in_flight, server.in_flight_stride, n_workers)

cdef bint server_is_ejected(const server_t* server, int64_t now_us) noexcept nogil:
    return word_load(&server.health.ejected_until_us) > now_us

cdef enum:
    TAU_US = 10_000_000         # of the moving average: what is so old counts a third
    SAMPLE_US = 100_000         # where nobody balances by it, one sample per that is enough to look at
    UNKNOWN_US = 1_000_000      # a server that has not answered yet gets one request, then waits for its answer

cdef bint in_service(const exchange_t* exchange, const server_t* server) noexcept nogil:
    if not server.accepts or word_load(&server.health.down):
        return False
    if exchange.tried and exchange.tried >> (server.position & 63) & 1:
        return False
    if server_is_ejected(server, exchange.relay.loop.now_us):
        return False
    return server.max_connections == 0 or load_of(server, exchange.relay.n_workers) < server.max_connections


cdef int32_t weight_of(const server_t* server, int64_t now_us) noexcept nogil:
    """In parts of WARM: less for a server that came into service a moment ago."""
    cdef int64_t slow_us = server.upstream.slow_start_us, for_us
    if slow_us == 0:
        return WARM * server.weight
    for_us = now_us - word_load(&server.health.since_us)
    if for_us >= slow_us:
        return WARM * server.weight
    return <int32_t>max(1, WARM * server.weight * max(for_us, 0) // slow_us)


cdef server_t* by_turn(const exchange_t* exchange, upstream_t* upstream, bint backup) noexcept nogil:
    """Smooth weighted round robin: spreads a heavy server's turns instead of bunching them (nginx's method)."""
    cdef server_t* best = NULL
    cdef server_t* server
    cdef int32_t total = 0, weight
    cdef uint32_t i
    for i in range(upstream.n_servers):
        server = &upstream.servers[i]
        if server.backup != backup or not in_service(exchange, server):
            continue
        weight = weight_of(server, exchange.relay.loop.now_us)
        total += weight
        server.current += weight
        if best == NULL or server.current > best.current:
            best = server
    if best != NULL:
        best.current -= total
    return best

cdef bint is_freer(const relay_t* relay, const server_t* a, const server_t* b) noexcept nogil:
    """By load per weight, counting the request to come."""
    return (load_of(a, relay.n_workers) + 1) * weight_of(b, relay.loop.now_us) \
        < (load_of(b, relay.n_workers) + 1) * weight_of(a, relay.loop.now_us)

cdef double cost_of(const relay_t* relay, const server_t* server) noexcept nogil:
    """How long a request is likely to take there: peak EWMA of answers, times what is under way (Finagle's balancer)."""
    cdef int64_t now_us = relay.loop.now_us
    cdef int64_t load = load_of(server, relay.n_workers)
    cdef double took_us = double_load(&server.health.ewma_us)
    if took_us == 0:
        return <double>UNKNOWN_US * load
    took_us *= exp(<double>(word_load(&server.health.ewma_at_us) - now_us) / TAU_US)    # what was slow long ago gets another chance
    return took_us * (load + 1) / weight_of(server, now_us)

cdef void learn(server_t* server, int64_t took_us, int64_t now_us) noexcept nogil:
    """A peak counts at once and is forgotten slowly."""
    cdef int64_t since_us = now_us - word_load(&server.health.ewma_at_us)
    cdef double old_us, share
    if server.upstream.balance != BALANCE_EWMA and since_us < SAMPLE_US:
        return
    old_us = double_load(&server.health.ewma_us)
    share = exp(<double>-since_us / TAU_US) if took_us < old_us else 0.0
    double_store(&server.health.ewma_us, old_us * share + max(took_us, 1) * (1 - share))
    word_store(&server.health.ewma_at_us, now_us)

cdef server_t* by_load(const exchange_t* exchange, upstream_t* upstream, bint backup) noexcept nogil:
    """Least connections; equals take turns."""
    cdef server_t* best = by_turn(exchange, upstream, backup)
    cdef server_t* server
    cdef uint32_t i
    if best == NULL:
        return NULL
    for i in range(upstream.n_servers):
        server = &upstream.servers[i]
        if server.backup == backup and server != best and is_freer(exchange.relay, server, best) \
                and in_service(exchange, server):
            best = server
    return best

cdef uint32_t roll(relay_t* relay, uint32_t n) noexcept nogil:
    """0 … n-1 (xorshift64*, Vigna 2016)."""
    relay.dice ^= relay.dice >> 12
    relay.dice ^= relay.dice << 25
    relay.dice ^= relay.dice >> 27
    return <uint32_t>((relay.dice * <uint64_t>0x2545F4914F6CDD1D) >> 32) % n

cdef server_t* nth_in_service(const exchange_t* exchange, upstream_t* upstream, bint backup, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(upstream.n_servers):
        if upstream.servers[i].backup == backup and in_service(exchange, &upstream.servers[i]):
            if n == 0:
                return &upstream.servers[i]
            n -= 1
    return NULL

cdef server_t* by_two_choices(const exchange_t* exchange, upstream_t* upstream, bint backup) noexcept nogil:
    """Two at random, the freer one (EWMA: the faster one): nearly as even as the best of all, and workers do not herd
    (Mitzenmacher 2001)."""
    cdef uint32_t i, n = 0, first, second
    cdef server_t* a
    cdef server_t* b
    for i in range(upstream.n_servers):
        n += upstream.servers[i].backup == backup and in_service(exchange, &upstream.servers[i])
    if n == 0:
        return NULL
    first = roll(exchange.relay, n)
    a = nth_in_service(exchange, upstream, backup, first)
    if n == 1 or a == NULL:
        return a
    second = roll(exchange.relay, n - 1)
    b = nth_in_service(exchange, upstream, backup, second + (second >= first))
    if b == NULL:
        return a
    if upstream.balance == BALANCE_EWMA:
        return b if cost_of(exchange.relay, b) < cost_of(exchange.relay, a) else a
    return b if is_freer(exchange.relay, b, a) else a

cdef server_t* by_key(const exchange_t* exchange, upstream_t* upstream, const uint8_t* key, uint32_t size) noexcept nogil:
    """The owner on the ring; if it is out of service, the next one on the circle, so that others keep their keys."""
    cdef Snapshot* ring = upstream.ring
    if nth_in_service(exchange, upstream, False, 0) == NULL:
        return NULL                     # not after a walk past all the points, of which a server has 256 or more
    cdef uint64_t place = murmur3_x64_64(key, size, 0)
    cdef uint32_t i = ring.buckets[place >> ring.shift], steps
    cdef server_t* server
    while i < ring.n_points and ring.points[i] < place:
        i += 1
    for steps in range(ring.n_points):
        if i >= ring.n_points:
            i = 0
        server = &upstream.servers[upstream.ring_servers[ring.owners[i]]]
        if in_service(exchange, server):
            return server
        i += 1
    return NULL

cdef server_t* choose(exchange_t* exchange, upstream_t* upstream, const uint8_t* data, const Head* head, const uint8_t* path,
                      uint32_t path_size) noexcept nogil:
    cdef server_t* server = NULL
    cdef const uint8_t* key = exchange.client_ip
    cdef uint32_t size = exchange.client_ip_size
    if upstream.balance == BALANCE_IP_HASH or (upstream.balance == BALANCE_RING and key_find(
            &upstream.key, exchange, data, head, path, path_size, &key, &size)):
        server = by_key(exchange, upstream, key, size)
    elif upstream.balance == BALANCE_LEAST_CONN:
        server = by_load(exchange, upstream, False)
    elif upstream.balance == BALANCE_P2C or upstream.balance == BALANCE_EWMA:
        server = by_two_choices(exchange, upstream, False)
    else:
        server = by_turn(exchange, upstream, False)
    return server if server != NULL else by_turn(exchange, upstream, True)

cdef bint enter(exchange_t* exchange, server_t* server) noexcept nogil:
    """Counts the request in. False: another one was faster to the last place, or to be the probe of an ejected server."""
    cdef const relay_t* relay = exchange.relay
    cdef int64_t until_us = word_load(&server.health.ejected_until_us)
    exchange.is_probe = until_us != 0
    if server.max_connections == 0:         # the usual case does not read the other workers' cache lines
        word_add(server.in_flight + relay.worker * server.in_flight_stride, 1)
    elif gauge_enter(server.in_flight, server.in_flight_stride, relay.n_workers, relay.worker) > server.max_connections:
        gauge_leave(server.in_flight, server.in_flight_stride, relay.worker)
        return False
    # Once its time outside is over, whoever moves the date on is the one probe; the others look elsewhere meanwhile.
    if until_us == 0 or (until_us <= relay.loop.now_us and word_swap(
            &server.health.ejected_until_us, until_us, relay.loop.now_us + server.upstream.passive_eject_us)):
        return True
    gauge_leave(server.in_flight, server.in_flight_stride, relay.worker)
    return False

cdef server_t* server_lease(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path,
                            uint32_t path_size) noexcept nogil:
    cdef upstream_t* upstream = exchange.route.upstream
    cdef server_t* server
    cdef uint64_t tried = exchange.tried
    while True:
        server = choose(exchange, upstream, data, head, path, path_size)
        if server == NULL or enter(exchange, server):
            break
        exchange.tried |= <uint64_t>1 << (server.position & 63)
    exchange.tried = tried
    exchange.counted_server = server != NULL
    return server

cdef void server_release(exchange_t* exchange) noexcept nogil:
    gauge_leave(exchange.server.in_flight, exchange.server.in_flight_stride, exchange.relay.worker)
    exchange.counted_server = False

cdef void tell(const server_t* server, bint ejected) noexcept with gil:
    """One line when a server goes, one when it is back: the worker that changed the word writes it."""
    upstream = server.upstream.name.data[:server.upstream.name.size].decode()
    name = server.name.data[:server.name.size].decode()
    if ejected:
        log.warning("server ejected upstream=%s server=%s", upstream, name)
    else:
        log.warning("server back upstream=%s server=%s", upstream, name)

cdef void server_failed(exchange_t* exchange) noexcept nogil:
    cdef server_t* server = exchange.server
    cdef upstream_t* upstream = server.upstream
    cdef int64_t now_us = exchange.relay.loop.now_us
    word_add(&server.health.all_failures, 1)
    if upstream.passive_failures == 0:
        return
    cdef int64_t until_us = word_load(&server.health.ejected_until_us)
    if exchange.is_probe and until_us:      # a failed probe ejects at once
        exchange.is_probe = False
        word_swap(&server.health.ejected_until_us, until_us, now_us + upstream.passive_eject_us)
        return
    if now_us - word_load(&server.health.window_us) > upstream.passive_window_us:
        word_store(&server.health.window_us, now_us)
        word_store(&server.health.failures, 0)
    if word_add(&server.health.failures, 1) >= upstream.passive_failures and word_swap(
            &server.health.ejected_until_us, 0, now_us + upstream.passive_eject_us):
        tell(server, True)

cdef void server_answered(exchange_t* exchange) noexcept nogil:
    cdef server_t* server = exchange.server
    cdef int64_t until_us
    learn(server, exchange.relay.loop.now_us - exchange.forwarded_us, exchange.relay.loop.now_us)
    if not exchange.is_probe:       # sent before it was ejected: every second answer of a sick server is good
        return
    # Of a server that takes longer than it stays out, a later probe may have moved the date on meanwhile.
    exchange.is_probe = False
    until_us = word_load(&server.health.ejected_until_us)
    if until_us and word_swap(&server.health.ejected_until_us, until_us, 0):
        word_store(&server.health.failures, 0)
        word_store(&server.health.since_us, exchange.relay.loop.now_us)
        tell(server, False)
