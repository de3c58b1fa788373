"""The configuration compiled: flat C tables that the relay reads per request, without the GIL.

A Plan belongs to one worker of one generation. What workers share (health, gauges, counters, rate cells) was made by the master
before the fork and is pointed at from here.
"""
import re

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from hotpath.core.data.ring cimport Ring
from hotpath.core.data.shared cimport Gauges, RateLimiter
from hotpath.core.net.linux cimport AF_UNIX
from hotpath.core.wire.http1 cimport (
    METHOD_CONNECT, METHOD_DELETE, METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_PATCH, METHOD_POST, METHOD_PUT,
    METHOD_TRACE)
from hotpath.proxy.records cimport Records, facts_t, record_read

METHODS = {
    "GET": METHOD_GET, "HEAD": METHOD_HEAD, "POST": METHOD_POST, "PUT": METHOD_PUT, "DELETE": METHOD_DELETE,
    "OPTIONS": METHOD_OPTIONS, "PATCH": METHOD_PATCH, "CONNECT": METHOD_CONNECT, "TRACE": METHOD_TRACE,
}
BALANCES = {
    "round_robin": BALANCE_ROUND_ROBIN, "least_conn": BALANCE_LEAST_CONN, "p2c": BALANCE_P2C, "ewma": BALANCE_EWMA,
    "ip_hash": BALANCE_IP_HASH, "hash": BALANCE_RING,
}
KEYS = {
    "client_ip": KEY_CLIENT_IP, "host": KEY_HOST, "path": KEY_PATH, "uri": KEY_URI, "route": KEY_ROUTE,
    "header": KEY_HEADER, "cookie": KEY_COOKIE, "query": KEY_QUERY,
}
FORWARDED = {"off": FORWARDED_OFF, "x-forwarded": FORWARDED_X, "rfc7239": FORWARDED_RFC7239, "both": FORWARDED_BOTH}
# Of a route to files, whatever it says: a file is read, not written; any other method answers 405.
FILE_METHODS = ("GET", "HEAD")
# What a server said of the bytes that we encode (RFC 9110, 9530, 3230, 1864). coding.pyx writes ETag anew.
ENCODED_OTHERWISE = ("accept-ranges", "content-digest", "content-md5", "digest", "etag", "repr-digest")
HEADERS = {"rejected": LIMIT_HEADERS_REJECTED, "always": LIMIT_HEADERS_ALWAYS, "never": LIMIT_HEADERS_NEVER}


cdef int64_t ms(double seconds) noexcept:
    """Whole milliseconds; a positive time never becomes 0, which would mean none."""
    return 0 if seconds <= 0 else max(1, <int64_t>(seconds * 1000))


cdef bint plan_trusts(const plan_t* plan, const uint8_t* address) noexcept nogil:
    cdef uint32_t i, whole, rest
    for i in range(plan.n_trusted):
        whole = plan.trusted[i].bits >> 3
        rest = plan.trusted[i].bits & 7
        if memcmp(plan.trusted[i].address, address, whole) != 0:
            continue
        if rest == 0 or (plan.trusted[i].address[whole] ^ address[whole]) >> (8 - rest) == 0:
            return True
    return False


cdef void stagger(upstream_t* upstream, int worker) noexcept:
    """Starts each worker's round robin at another server, so that W workers do not all begin with the first."""
    cdef uint32_t i
    cdef int32_t total
    cdef int turn
    cdef server_t* best
    cdef server_t* server
    for turn in range(worker):
        total = 0
        best = NULL
        for i in range(upstream.n_servers):
            server = &upstream.servers[i]
            if server.backup or not server.accepts:     # backups take turns among themselves
                continue
            total += WARM * server.weight
            server.current += WARM * server.weight
            if best == NULL or server.current > best.current:
                best = server
        if best != NULL:
            best.current -= total


cdef text_t borrowed(bytes raw) noexcept:
    """For as long as somebody keeps `raw`."""
    cdef text_t made
    made.data = <const uint8_t*>(<const char*>raw)
    made.size = <uint32_t>len(raw)
    return made

cdef text_t* make_texts(Plan plan, values) except NULL:
    cdef text_t* made = <text_t*>plan.reserve(sizeof(text_t) * len(values))
    cdef size_t i
    for i in range(<size_t>len(values)):
        made[i] = plan.text(values[i])
    return made

cdef timeouts_t make_timeouts(given) except *:
    cdef timeouts_t made
    made.head = ms(given.head)
    made.body = ms(given.body)
    made.send = ms(given.send)
    made.idle = ms(given.idle)
    made.connect = ms(given.connect)
    made.response = ms(given.response)
    made.read = ms(given.read)
    made.tunnel = ms(given.tunnel)
    made.request = ms(given.request)
    return made

cdef key_t make_key(Plan plan, str spelled) except *:
    kind, _, name = spelled.partition(":")
    cdef key_t made
    made.kind = KEYS[kind]
    made.name = plan.text(name.lower() if kind == "header" else name)
    return made

cdef edits_t make_edits(Plan plan, given, also_dropped=()) except *:
    names = sorted(edited(given) | set(also_dropped))
    cdef edits_t made
    made.n_dropped = len(names)
    made.dropped = make_texts(plan, names)
    made.lines = plan.text("".join(f"{name}: {value}\r\n" for name, value in (*given.set.items(), *given.add.items())))
    return made

cdef gzip_t* make_gzip(Plan plan, given, response_headers) except NULL:
    cdef gzip_t* made = <gzip_t*>plan.reserve(sizeof(gzip_t))
    types = sorted({one.lower() for one in given.types})
    made.n_types = len(types)
    made.types = make_texts(plan, types)
    made.min = given.min
    made.level = given.level
    made.edits = make_edits(plan, response_headers, also_dropped=ENCODED_OTHERWISE)
    return made

cdef add_networks(Plan plan, networks):
    plan.c.n_trusted = len(networks)
    plan.c.trusted = <network_t*>plan.reserve(sizeof(network_t) * plan.c.n_trusted)
    cdef const uint8_t* raw
    for i, network in enumerate(networks):
        packed = network.packed
        mapped = packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed
        raw = <const uint8_t*>(<const char*>mapped)
        memcpy(plan.c.trusted[<size_t>i].address, raw, 16)
        plan.c.trusted[<size_t>i].bits = network.prefix + (0 if len(packed) == 16 else 96)

cdef add_limits(Plan plan, config, state):
    plan.c.n_limits = len(config.rate_limits)
    plan.c.limits = <limit_t*>plan.reserve(sizeof(limit_t) * plan.c.n_limits)
    cdef limit_t* limit
    cdef RateLimiter limiter
    cdef size_t k
    for i, (name, given) in enumerate(config.rate_limits.items()):
        limiter = state.limiters[name]
        limit = &plan.c.limits[<size_t>i]
        limit.name = plan.text(name)
        limit.index = i
        limit.cells = &limiter.cells
        limit.period_us = max(1, round(given.rate.period_s * 1e6))
        limit.burst_us = limit.period_us * given.burst
        limit.n_keys = len(given.key)
        limit.keys = <key_t*>plan.reserve(sizeof(key_t) * limit.n_keys)
        for k in range(limit.n_keys):
            limit.keys[k] = make_key(plan, given.key[k])
        limit.status = given.status
        limit.headers = HEADERS[given.headers]
        limit.dry_run = given.dry_run
        # The window is how long a whole burst takes to come back: `q` requests per `w` seconds is then the sustained rate.
        window_s = max(1, round((given.burst + 1) * given.rate.period_s))
        limit.policy = plan.text(f'"{name}";q={given.burst + 1};w={window_s}')

cdef add_servers(Plan plan, upstream_t* upstream, slots, roster):
    """A place for each of the roster's slots; `Plan.refresh` fills them."""
    cdef Records records = roster.records
    cdef Gauges in_flight = roster.in_flight
    cdef Gauges idle = roster.idle
    cdef server_t* server
    upstream.n_servers = len(slots)
    upstream.servers = <server_t*>plan.reserve(sizeof(server_t) * upstream.n_servers)
    for position, slot in enumerate(slots):
        server = &upstream.servers[<size_t>position]
        server.index = slot
        server.position = position
        server.record = records.at(slot)
        server.health = &server.record.health
        server.in_flight = in_flight.row(0) + server.index
        server.in_flight_stride = in_flight.stride
        server.idle_gauge = idle.row(plan.worker) + server.index
        server.upstream = upstream

cdef int read_server(Plan plan, server_t* server) except -1:
    """As its record has it now."""
    cdef facts_t facts
    cdef bint used = record_read(server.record, &facts)
    server.accepts = used and not facts.draining
    if not used:
        return 0
    name = facts.name[:facts.name_size]
    if plan.names.get(server.index, (None,))[0] != name:
        host = b"localhost" if facts.address.ss_family == AF_UNIX else name
        plan.names[server.index] = name, host
        server.name = borrowed(name)
        server.host = borrowed(host)
        server.current = 0
    server.address = facts.address
    server.address_size = facts.address_size
    server.weight = facts.weight
    server.max_connections = facts.max_connections
    server.moves = facts.moves
    server.backup = facts.backup
    return 0

cdef int draw_ring(Plan plan, upstream_t* upstream) except -1:
    """Of the servers that take requests. By address, not by position: a key keeps its server when others come and go."""
    cdef Ring ring
    cdef uint32_t i
    cdef server_t* server
    weights, positions = {}, {}
    for i in range(upstream.n_servers):
        server = &upstream.servers[i]
        if server.accepts and not server.backup:
            weights[plan.names[server.index][0].decode()] = server.weight
            positions[plan.names[server.index][0].decode()] = i
    drawn, _, _ = plan.rings.get(<size_t>upstream, (None, None, None))
    if drawn == (weights, positions) or not weights:     # of none at all: nobody looks at it
        return 0
    ring = Ring(weights)
    of_nodes = bytearray(max(1, sizeof(uint16_t) * len(positions)))
    upstream.ring = ring.now
    upstream.ring_servers = <uint16_t*>PyByteArray_AS_STRING(of_nodes)
    for k, node in enumerate(ring.names):
        upstream.ring_servers[<size_t>k] = positions[node]
    plan.rings[<size_t>upstream] = (weights, positions), ring, of_nodes
    return 0

cdef add_upstreams(Plan plan, config, roster):
    plan.c.n_upstreams = len(config.upstreams)
    plan.c.upstreams = <upstream_t*>plan.reserve(sizeof(upstream_t) * plan.c.n_upstreams)
    cdef upstream_t* upstream
    for i, (name, given) in enumerate(config.upstreams.items()):
        upstream = &plan.c.upstreams[<size_t>i]
        upstream.name = plan.text(name)
        kind, _, key = given.balance.partition(":")
        upstream.balance = BALANCES[kind]
        if kind == "hash":
            upstream.key = make_key(plan, key)
        upstream.host_mode = {"preserve": HOST_PRESERVE, "server": HOST_SERVER}.get(given.host, HOST_FIXED)
        upstream.host = plan.text(given.host)
        upstream.keep_idle = given.keepalive.idle
        upstream.keep_ms = ms(given.keepalive.timeout)
        upstream.keep_requests = given.keepalive.requests
        upstream.passive_failures = given.passive.failures
        upstream.passive_window_us = ms(given.passive.window) * 1000
        upstream.passive_eject_us = ms(given.passive.eject) * 1000
        upstream.retry_attempts = given.retry.attempts
        upstream.retry_ms = ms(given.retry.timeout)
        for status in given.retry.statuses:
            upstream.retry_statuses[<size_t>(status >> 6)] |= <uint64_t>1 << (status & 63)
        upstream.slow_start_us = ms(given.slow_start) * 1000
        add_servers(plan, upstream, roster.slots_of(name), roster)

cdef set edited(headers):
    """The fields that a route sets or removes: what else says them is silent."""
    return {name.lower() for name in (*headers.remove, *headers.set)}

cdef str respond_lines(respond, set silent):
    """The fields of a canned answer; a body without a type is plain text."""
    fields = dict(respond.headers)
    if respond.body and not any(name.lower() == "content-type" for name in fields):
        fields["Content-Type"] = "text/plain; charset=utf-8"
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items() if name.lower() not in silent)

cdef set_methods(Plan plan, route_t* route, methods):
    others = [method for method in methods if method not in METHODS]
    for method in methods:
        if method in METHODS:
            route.methods |= <uint32_t>1 << <uint32_t>METHODS[method]
    route.any_method = not methods
    route.other_methods = make_texts(plan, others)
    route.n_other_methods = len(others)
    shown = list(methods) if methods else [name for name in METHODS if name not in ("CONNECT", "TRACE")]
    if "GET" in shown and "HEAD" not in shown:
        shown.insert(shown.index("GET") + 1, "HEAD")
    route.allow = plan.text(", ".join(shown))

cdef set_field(Plan plan, field_match_t* field, str name, wanted):
    field.name = plan.text(name.lower())
    if wanted.regex is not None:
        compiled = re.compile(wanted.regex)
        plan.kept.append(compiled)
        field.kind = FIELD_MATCHES
        field.regex = <void*>compiled
    elif wanted.present:
        field.kind = FIELD_PRESENT
    else:
        field.kind = FIELD_EQUALS
        field.value = plan.text(wanted.value)

cdef add_routes(Plan plan, config, state):
    cdef Gauges in_flight = state.route_in_flight
    cdef route_t* route
    cdef size_t k
    by_name = {name: i for i, name in enumerate(config.upstreams)}
    limit_of = {name: i for i, name in enumerate(config.rate_limits)}
    plan.c.n_routes = len(config.routes)
    plan.c.routes = <route_t*>plan.reserve(sizeof(route_t) * plan.c.n_routes)
    for i, given in enumerate(config.routes):
        route = &plan.c.routes[<size_t>i]
        route.name = plan.text(given.name)
        route.index = i
        set_methods(plan, route, given.match.methods if given.static is None else FILE_METHODS)
        route.n_fields = len(given.match.headers)
        route.fields = <field_match_t*>plan.reserve(sizeof(field_match_t) * route.n_fields)
        for k, (name, wanted) in enumerate(given.match.headers.items()):
            set_field(plan, &route.fields[k], name, wanted)
        if given.strip_prefix is not None:
            route.strip_prefix = plan.text(given.strip_prefix.rstrip("/"))
        if given.add_prefix is not None:
            route.add_prefix = plan.text(given.add_prefix.rstrip("/"))
        route.n_limits = len(given.rate_limit)
        route.limits = <limit_t**>plan.reserve(sizeof(limit_t*) * route.n_limits)
        for k in range(route.n_limits):
            route.limits[k] = &plan.c.limits[<size_t>limit_of[given.rate_limit[k]]]
        route.concurrency = given.concurrency
        route.in_flight = in_flight.row(0) + <size_t>i
        route.in_flight_stride = in_flight.stride
        route.request_edits = make_edits(plan, given.request_headers)
        route.response_edits = make_edits(plan, given.response_headers)
        if given.gzip is not None:
            route.gzip = make_gzip(plan, given.gzip, given.response_headers)
        route.timeouts = make_timeouts(config.timeouts_of(given))
        route.max_body = config.body_limit_of(given)
        if given.upstream is not None:
            route.action = ACTION_UPSTREAM
            route.upstream = &plan.c.upstreams[<size_t>by_name[given.upstream]]
        elif given.respond is not None:
            route.action = ACTION_RESPOND
            route.status = given.respond.status
            route.answer_body = plan.text(given.respond.body)
            route.answer_lines = plan.text(respond_lines(given.respond, edited(given.response_headers)))
        elif given.redirect is not None:
            route.action = ACTION_REDIRECT
            route.status = given.redirect.status
            route.answer_body = plan.text(given.redirect.to)
        else:
            route.action = ACTION_STATIC
            site = state.sites[given.name]
            plan.kept.append(site)
            route.site = <void*>site


cdef class Plan:
    """`config` as tables; `state` (proxy.state.State) is what the generation's workers share."""

    def __init__(self, config, state, int worker):
        self.kept = [state]
        self.config = config
        limits = config.limits
        self.c.head_limits.line = limits.request_line
        self.c.head_limits.head = limits.head
        self.c.head_limits.fields = limits.fields
        self.c.max_connections = limits.connections
        self.c.connections_per_ip = limits.connections_per_ip
        self.c.requests_per_connection = limits.requests_per_connection
        self.c.forwarded = FORWARDED[config.forwarded]
        self.c.via = self.text(b"" if config.via is None else f"Via: 1.1 {config.via}\r\n")
        self.c.timeouts = make_timeouts(config.timeouts)
        add_networks(self, config.trusted_proxies)
        add_limits(self, config, state)
        self.roster = state.roster
        self.worker = worker
        self.names = {}
        self.rings = {}
        add_upstreams(self, config, state.roster)
        self.refresh()
        for i in range(self.c.n_upstreams):
            stagger(&self.c.upstreams[i], worker)
        add_routes(self, config, state)

    cdef int refresh(self) except -1:
        cdef Records records = self.roster.records
        cdef upstream_t* upstream
        cdef uint32_t i, k
        generation = records.now        # before the copies: what is written meanwhile is copied again
        for i in range(self.c.n_upstreams):
            upstream = &self.c.upstreams[i]
            for k in range(upstream.n_servers):
                read_server(self, &upstream.servers[k])
            if upstream.balance == BALANCE_RING or upstream.balance == BALANCE_IP_HASH:
                draw_ring(self, upstream)
        records.saw(self.worker, generation)
        return 0

    cdef void* reserve(self, size_t size) except NULL:
        block = bytearray(max(size, <size_t>1))
        self.kept.append(block)
        return <void*>PyByteArray_AS_STRING(block)

    cdef text_t text(self, value):
        raw = value.encode() if isinstance(value, str) else bytes(value)
        self.kept.append(raw)
        return borrowed(raw)
