"""What a server counts, where it lies in shared memory, and how it reads in Prometheus' words.

A worker adds to its own row, a plain add per event. Rows are summed when somebody asks.
"""
from libc.stdint cimport int64_t, uint64_t

from hotpath.core.serve.connection cimport N_REJECTIONS

from hotpath.core.telemetry import Exposition

cdef enum:
    N_CLASSES = 6               # of status: 1xx to 5xx at their digit; 0: the client was gone before
    N_BUCKETS = 16

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
REJECTIONS = ("malformed", "too_large", "timeout", "no_route", "method", "slow_reader", "lost")
CLASSES = ("lost", "1xx", "2xx", "3xx", "4xx", "5xx")
GAUGES = ("connections", "active")

cdef int64_t[N_BUCKETS] BOUNDS_US
for _i, _bound in enumerate(BUCKETS_S):
    BOUNDS_US[_i] = round(_bound * 1e6)
BOUNDS_US[N_BUCKETS - 1] = (<int64_t>1) << 62


def counter_names(patterns) -> tuple:
    """The counters of an application with these routes, in the order in which `bind_counts` lays them out.

    Parts are separated by NUL, which no route holds. Routes of one pattern share a name: their counts are summed.
    """
    names = [*(f"rejected\0{reason}" for reason in REJECTIONS), "accepted", "bytes_received", "bytes_sent", "log_dropped"]
    names += [f"seconds\0{bucket}" for bucket in (*range(N_BUCKETS), "sum")]
    return (*names, *(f"requests\0{pattern}\0{kind}" for pattern in (*patterns, "") for kind in CLASSES))


cdef int bind_counts(counts_t* counts, Counters counters, Gauges gauges, int worker, int n_routes) except -1:
    cdef uint64_t* at = counters.row(worker)
    cdef int64_t* gauge = gauges.row(worker)
    if len(counters.names) != N_REJECTIONS + 4 + N_BUCKETS + 1 + (n_routes + 1) * N_CLASSES:
        raise ValueError("these counters are another application's")
    counts.rejected = at
    at += <int>N_REJECTIONS
    counts.accepted, counts.bytes_received, counts.bytes_sent, counts.log_dropped = at, at + 1, at + 2, at + 3
    counts.seconds = at + 4
    counts.requests = at + 4 + N_BUCKETS + 1
    counts.connections, counts.active = gauge, gauge + 1
    return 0


cdef void count_answer(counts_t* counts, int route, int status, int64_t took_us) noexcept nogil:
    cdef int bucket = 0
    while took_us > BOUNDS_US[bucket]:
        bucket += 1
    counts.seconds[bucket] += 1
    counts.seconds[N_BUCKETS] += <uint64_t>max(<int64_t>0, took_us)
    counts.requests[route * N_CLASSES + status // 100] += 1


def expose(totals, gauges, facts) -> str:
    """Prometheus text. `totals` and `gauges` by name; `facts` name plain gauges and counters."""
    page = Exposition()
    split = [(name.split("\0"), value) for name, value in totals.items()]

    def of(kind):
        return [(parts[1:], value) for parts, value in split if parts[0] == kind]

    cells = {parts[0]: value for parts, value in of("seconds")}
    page.counter("hotpath_requests_total", "Requests answered, by route and class of status.",
                 [({"route": route, "status": kind}, n) for (route, kind), n in of("requests") if n])
    page.histogram("hotpath_request_seconds", "From the last byte of a request's head to the last of its answer.", BUCKETS_S,
                   [({}, [cells.get(str(i), 0) for i in range(N_BUCKETS)], cells.get("sum", 0) / 1e6)])
    page.gauge("hotpath_connections", "Client connections by state.", [
        ({"state": "active"}, gauges["active"]),
        ({"state": "idle"}, max(0, gauges["connections"] - gauges["active"]))])
    page.counter("hotpath_accepted_total", "Connections accepted.", [({}, totals.get("accepted", 0))])
    page.counter("hotpath_received_bytes_total", "Bytes received from clients.", [({}, totals.get("bytes_received", 0))])
    page.counter("hotpath_sent_bytes_total", "Bytes given to clients.", [({}, totals.get("bytes_sent", 0))])
    page.counter("hotpath_rejected_total", "Requests and clients that no handler served.",
                 [({"reason": reason}, n) for (reason,), n in of("rejected")])
    page.counter("hotpath_log_dropped_total", "Access log lines that could not be written.", [({}, totals.get("log_dropped", 0))])
    page.counter("hotpath_reloads_total", "Reloads, by whether the new configuration was taken.",
                 [({"ok": "true"}, facts["reloads_ok"]), ({"ok": "false"}, facts["reloads_failed"])])
    page.gauge("hotpath_workers", "Workers that are to run.", [({}, facts["workers"])])
    return page.text()
