"""What is counted, where it lies in shared memory, and how it reads in Prometheus' words.

A worker adds to its own row, a plain add per event. Rows are summed when somebody asks.
"""
import os

from libc.stdint cimport int64_t, uint64_t

from hotpath.core.data.shared cimport Counters, Gauges
from hotpath.core.telemetry import Exposition
from hotpath.proxy.exchange cimport N_BUCKETS, N_CODES, N_REJECTIONS, counts_t, exchange_t, relay_t

# The statuses of RFC 9110 and the registry, and 499: the client was gone. Whatever else a server says counts as "other".
CODES = (
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426,
    428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511,
)
OTHER = N_CODES - 1
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
REJECTIONS = ("malformed", "too_large", "timeout", "no_route", "method", "concurrency", "connections", "no_server",
              "handshake")
GAUGES = ("clients", "active", "tunnels", "idle_peers", "pid")

cdef int64_t[N_BUCKETS] BOUNDS_US
for _i, _bound in enumerate(BUCKETS_S):
    BOUNDS_US[_i] = round(_bound * 1e6)
BOUNDS_US[N_BUCKETS - 1] = (<int64_t>1) << 62


def counter_names(config, n_slots) -> tuple:
    """The counters of one configuration, in the order in which `bind` lays them out; what labels a name is part of it.
    Those of a server bear the number of its slot, which ByServer turns into a name.

    Parts are separated by NUL: no address, and no name, holds one.
    """
    codes = [*map(str, CODES), *["other"] * (N_CODES - len(CODES))]
    codes = [code if code != "other" or slot == OTHER else f"unused{slot}" for slot, code in enumerate(codes)]
    routes = [*(route.name for route in config.routes), ""]
    buckets = [*map(str, range(N_BUCKETS)), "sum"]
    return (
        *(f"requests\0{route}\0{code}" for route in routes for code in codes),
        *(f"seconds\0{bucket}" for bucket in buckets),
        *(f"upstream_requests\0{slot}\0{code}" for slot in range(n_slots) for code in codes),
        *(f"upstream_requests\0{upstream}\0removed\0{code}" for upstream in config.upstreams for code in codes),
        *(f"upstream_seconds\0{bucket}" for bucket in buckets),
        *(f"retries\0{upstream}" for upstream in config.upstreams),
        *(f"limited\0{limit}" for limit in config.rate_limits),
        *(f"rejected\0{reason}" for reason in REJECTIONS),
        "log_dropped",
    )


class ByServer:
    """The counters with the names that the servers of `roster` have now: a slot's server may be another one tomorrow."""

    def __init__(self, counters, config, roster):
        self.counters = counters
        self.roster = roster
        self.first = (len(config.routes) + 1) * N_CODES + N_BUCKETS + 1     # of slot 0
        self.upstream_of = {slot: (i, name) for i, name in enumerate(config.upstreams) for slot in roster.slots_of(name)}

    @property
    def names(self) -> tuple:
        named = list(self.counters.names)
        for slot, (_, upstream) in self.upstream_of.items():
            server = self.roster.name_of(slot)
            for i in range(self.first + slot * N_CODES, self.first + (slot + 1) * N_CODES):
                named[i] = f"upstream_requests\0{upstream}\0{server}\0{named[i].rpartition(chr(0))[2]}"
        return tuple(named)

    def total(self, i) -> int:
        return self.counters.total(i)

    def requests_of(self, slot) -> int:
        """Answers of the server in this slot."""
        return sum(self.total(i) for i in range(self.first + slot * N_CODES, self.first + (slot + 1) * N_CODES))

    def retire(self, int slot) -> None:
        """Its server is gone for good, and nobody counts for it: what it answered counts as a removed server's."""
        cdef Counters counters = self.counters
        cdef size_t at = self.first + slot * N_CODES
        cdef size_t to = self.first + (len(self.upstream_of) + self.upstream_of[slot][0]) * N_CODES
        cdef uint64_t* removed = counters.row(0)        # where no worker writes
        cdef uint64_t* row
        cdef size_t code
        cdef int worker
        for worker in range(counters.workers):
            row = counters.row(worker)
            for code in range(N_CODES):
                removed[to + code] += row[at + code]
                row[at + code] = 0


def by_worker(Gauges gauges) -> list:
    """What the gauges say of each worker."""
    cdef int worker
    return [{name: gauges.row(worker)[<size_t>i] for i, name in enumerate(gauges.names)} for worker in range(gauges.workers)]


cdef int bind(relay_t* relay, Counters counters, Gauges gauges, config, size_t n_slots) except -1:
    """Points relay.counts at this worker's rows."""
    cdef uint64_t* at = counters.row(relay.worker)
    cdef int64_t* gauge = gauges.row(relay.worker)
    cdef int i
    cdef counts_t* counts = &relay.counts
    counts.requests = at
    at += (len(config.routes) + 1) * N_CODES
    counts.seconds = at
    at += N_BUCKETS + 1
    counts.upstream_requests = at
    at += (n_slots + len(config.upstreams)) * N_CODES
    counts.upstream_seconds = at
    at += N_BUCKETS + 1
    counts.retries = at
    at += len(config.upstreams)
    counts.limited = at
    at += len(config.rate_limits)
    counts.rejected = at
    at += N_REJECTIONS
    counts.log_dropped = at
    if <size_t>(at + 1 - counters.row(relay.worker)) != <size_t>len(counters.names):
        raise RuntimeError(f"{len(counters.names)} counters are named, {at + 1 - counters.row(relay.worker)} laid out")
    counts.clients = gauge
    counts.active = gauge + 1
    counts.tunnels = gauge + 2
    counts.idle_peers = gauge + 3
    gauge[4] = os.getpid()
    for i in range(1024):
        relay.codes[i] = OTHER
    for i, code in enumerate(CODES):
        relay.codes[<int>code] = i
    return 0


cdef void count_time(uint64_t* row, int64_t us) noexcept nogil:
    cdef int i = 0
    if us < 0:
        us = 0
    while us > BOUNDS_US[i]:
        i += 1
    row[i] += 1
    row[N_BUCKETS] += us

cdef void count_exchange(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    cdef counts_t* counts = &relay.counts
    cdef size_t route = exchange.route.index if exchange.route != NULL else relay.plan.n_routes
    counts.requests[route * N_CODES + relay.codes[exchange.status & 1023]] += 1
    count_time(counts.seconds, relay.loop.now_us - exchange.began_us)
    if exchange.upstream_status:
        counts.upstream_requests[exchange.server.index * N_CODES + relay.codes[exchange.upstream_status & 1023]] += 1
        count_time(counts.upstream_seconds, exchange.answered_us - exchange.forwarded_us)


def expose(totals, gauges, *, servers, facts) -> str:
    """Prometheus text. `totals` and `gauges` by name; `servers` lists (upstream, server, up); `facts` name plain gauges."""
    page = Exposition()
    split = [(name.split("\0"), value) for name, value in totals.items()]

    def of(kind):
        return [(parts[1:], value) for parts, value in split if parts[0] == kind]

    def seconds(kind):
        cells = {parts[0]: value for parts, value in of(kind)}
        return [({}, [cells.get(str(i), 0) for i in range(N_BUCKETS)], cells.get("sum", 0) / 1e6)]

    page.counter("hotpath_proxy_requests_total", "Requests answered, by route and status.",
                 [({"route": route, "code": code}, n) for (route, code), n in of("requests") if n])
    page.histogram("hotpath_proxy_request_seconds", "From the first byte of a request to the last of its answer.", BUCKETS_S,
                   seconds("seconds"))
    page.gauge("hotpath_proxy_connections", "Client connections by state.", [
        ({"state": "active"}, gauges["active"] - gauges["tunnels"]),
        ({"state": "idle"}, max(0, gauges["clients"] - gauges["active"])),
        ({"state": "tunnel"}, gauges["tunnels"])])
    page.gauge("hotpath_proxy_upstream_idle_connections", "Connections to servers that wait for a request.",
               [({}, gauges["idle_peers"])])
    page.counter("hotpath_proxy_upstream_requests_total", "Answers of servers, by status.",
                 [({"upstream": upstream, "server": server, "code": code}, n)
                  for (upstream, server, code), n in of("upstream_requests") if n])
    page.gauge("hotpath_proxy_upstream_up", "1: in service; 0: ejected after failures, or down by active checks.",
               [({"upstream": upstream, "server": server}, int(up)) for upstream, server, up in servers])
    page.histogram("hotpath_proxy_upstream_seconds", "From sending a request to the head of its answer.", BUCKETS_S,
                   seconds("upstream_seconds"))
    page.counter("hotpath_proxy_retries_total", "Requests sent to another server after a failure.",
                 [({"upstream": upstream}, n) for (upstream,), n in of("retries")])
    page.counter("hotpath_proxy_limited_total", "Requests over a rate limit (also in dry runs).",
                 [({"limit": limit}, n) for (limit,), n in of("limited")])
    page.counter("hotpath_proxy_rejected_total", "Requests refused before any server was asked.",
                 [({"reason": reason}, n) for (reason,), n in of("rejected")])
    page.counter("hotpath_proxy_log_dropped_total", "Access log lines that could not be written.",
                 [({}, totals.get("log_dropped", 0))])
    page.counter("hotpath_proxy_reloads_total", "Reloads, by whether the new configuration was taken.",
                 [({"ok": "true"}, facts["reloads_ok"]), ({"ok": "false"}, facts["reloads_failed"])])
    page.gauge("hotpath_proxy_workers", "Workers that are to run.", [({}, facts["workers"])])
    page.gauge("hotpath_proxy_config_generation", "Counts configurations taken, from 1.", [({}, facts["generation"])])
    return page.text()
