"""The configuration as flat C tables: all that the relay reads per request."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.data.ring cimport Snapshot
from hotpath.core.data.shared cimport Cells
from hotpath.core.net.linux cimport sockaddr_storage
from hotpath.core.wire.http1 cimport Limits
from hotpath.proxy.records cimport health_t, record_t

cdef struct text_t:             # borrowed: the Plan keeps the bytes object
    const uint8_t* data
    uint32_t size

cdef struct edits_t:            # what a route does to the fields of one direction
    text_t* dropped             # owned by the Plan: names in lower case, of the removed and of the replaced ones
    uint32_t n_dropped
    text_t lines                # "Name: value\r\n" of those set and added

cdef struct timeouts_t:         # ms; 0: none
    int64_t head
    int64_t body
    int64_t send
    int64_t idle
    int64_t connect
    int64_t response
    int64_t read
    int64_t tunnel
    int64_t request

cdef enum KeyKind:
    KEY_CLIENT_IP = 0
    KEY_HOST
    KEY_PATH
    KEY_URI
    KEY_ROUTE
    KEY_HEADER
    KEY_COOKIE
    KEY_QUERY

cdef struct key_t:              # what of a request a limit counts by, or a ring hashes
    uint8_t kind                # KeyKind
    text_t name                 # header (lower case), cookie or query parameter

cdef struct upstream_t          # below

cdef struct server_t:
    text_t name                 # as in the file: logs, metrics
    text_t host                 # Host for `host: server`
    sockaddr_storage address
    uint32_t address_size
    uint32_t index              # over all upstreams: its slot in the roster, its column in shared memory
    uint32_t position           # within its upstream
    int32_t weight
    int32_t current             # smooth weighted round robin (this worker's)
    uint32_t max_connections    # 0: none; over all workers
    uint32_t moves              # facts_t.moves: a connection from before is to another server
    uint8_t backup
    uint8_t accepts             # a server stands here, and takes new requests
    health_t* health            # borrowed shared memory
    record_t* record            # borrowed shared memory
    int64_t* in_flight          # borrowed shared memory: worker 0's cell; worker w's lies w * in_flight_stride further
    uint32_t in_flight_stride   # in int64_t
    void* idle                  # this worker's idle connections (peer_t), newest first
    uint32_t n_idle
    int64_t* idle_gauge         # borrowed shared memory: this worker's cell, which shows n_idle
    upstream_t* upstream

cdef enum:
    WARM = 64                   # weights are counted in parts of this, so that a server can warm up

cdef enum Balance:
    BALANCE_ROUND_ROBIN = 0
    BALANCE_LEAST_CONN
    BALANCE_P2C
    BALANCE_EWMA
    BALANCE_IP_HASH
    BALANCE_RING

cdef enum HostMode:
    HOST_PRESERVE = 0
    HOST_SERVER
    HOST_FIXED

cdef struct upstream_t:
    text_t name
    server_t* servers           # owned by the Plan; some stand empty
    uint32_t n_servers
    uint8_t balance             # Balance
    uint8_t host_mode           # HostMode
    text_t host                 # HOST_FIXED
    key_t key                   # BALANCE_RING
    Snapshot* ring              # borrowed: the Plan keeps the Ring. BALANCE_IP_HASH and BALANCE_RING
    uint16_t* ring_servers      # position of the server that each of the ring's names stands for
    uint32_t keep_idle          # connections kept per server by this worker
    int64_t keep_ms
    uint32_t keep_requests      # 0: no bound
    int64_t passive_failures    # 0: off
    int64_t passive_window_us
    int64_t passive_eject_us
    int64_t slow_start_us       # 0: off
    uint32_t retry_attempts     # after the first
    int64_t retry_ms            # since the request came; 0: no bound
    uint64_t retry_statuses[16] # bit per status, 0..1023

cdef enum LimitHeaders:
    LIMIT_HEADERS_REJECTED = 0
    LIMIT_HEADERS_ALWAYS
    LIMIT_HEADERS_NEVER

cdef struct limit_t:            # one entry of rate_limits
    text_t name
    uint32_t index
    Cells* cells                # borrowed from the RateLimiter, which outlives reloads
    int64_t period_us           # between two requests at the sustained rate
    int64_t burst_us
    key_t* keys
    uint32_t n_keys
    uint16_t status
    uint8_t headers             # LimitHeaders
    uint8_t dry_run
    text_t policy               # RateLimit-Policy's value

cdef enum FieldMatchKind:
    FIELD_EQUALS = 0
    FIELD_MATCHES
    FIELD_PRESENT

cdef struct field_match_t:
    uint8_t kind                # FieldMatchKind
    text_t name                 # lower case
    text_t value                # FIELD_EQUALS
    void* regex                 # borrowed: FIELD_MATCHES, a compiled pattern of the Plan's

cdef struct gzip_t:             # a route's gzip
    text_t* types               # owned by the Plan: media types in lower case
    uint32_t n_types
    int64_t min                 # bytes
    int level
    edits_t edits               # the route's, and the fields that no longer hold of an encoded answer

cdef enum Action:
    ACTION_UPSTREAM = 0
    ACTION_RESPOND
    ACTION_REDIRECT
    ACTION_STATIC

cdef struct route_t:
    text_t name
    uint32_t index              # its row in the counters
    uint8_t action              # Action
    uint8_t any_method
    uint32_t methods            # bit per http1.Method that is named
    text_t* other_methods       # tokens http1.Method does not know
    uint32_t n_other_methods
    text_t allow                # its methods, as in Allow
    field_match_t* fields
    uint32_t n_fields
    upstream_t* upstream
    text_t strip_prefix
    text_t add_prefix
    limit_t** limits
    uint32_t n_limits
    uint32_t concurrency        # 0: none; over all workers
    int64_t* in_flight          # borrowed shared memory, as in server_t
    uint32_t in_flight_stride
    edits_t request_edits
    edits_t response_edits
    gzip_t* gzip                # owned by the Plan; NULL: answers leave as they came
    timeouts_t timeouts
    int64_t max_body            # bytes; 0: none
    uint16_t status             # ACTION_RESPOND, ACTION_REDIRECT
    text_t answer_lines         # ACTION_RESPOND: its fields as "Name: value\r\n"
    text_t answer_body          # ACTION_RESPOND: the body; ACTION_REDIRECT: the target with {path} and the like
    void* site                  # borrowed: ACTION_STATIC, the static.Site of the Plan

cdef enum ForwardedMode:
    FORWARDED_OFF = 0
    FORWARDED_X = 1
    FORWARDED_RFC7239 = 2
    FORWARDED_BOTH = 3

cdef struct network_t:          # of trusted_proxies; IPv4 as ::ffff:a.b.c.d
    uint8_t address[16]
    uint8_t bits

cdef struct plan_t:
    route_t* routes
    uint32_t n_routes
    upstream_t* upstreams
    uint32_t n_upstreams
    limit_t* limits
    uint32_t n_limits
    network_t* trusted
    uint32_t n_trusted
    Limits head_limits
    timeouts_t timeouts
    uint32_t max_connections    # of this worker; 0: none
    uint32_t connections_per_ip
    uint32_t requests_per_connection
    uint8_t forwarded           # ForwardedMode
    text_t via                  # the whole field line with CRLF; size 0: off

cdef bint plan_trusts(const plan_t* plan, const uint8_t* address) noexcept nogil    # 16 bytes

cdef class Plan:
    cdef plan_t c               # its arrays are freed with the Plan
    cdef list kept              # whatever the tables borrow from
    cdef readonly object config # ProxyConfig
    cdef object roster
    cdef int worker
    cdef dict names             # server -> what its name and host borrow from
    cdef dict rings             # upstream -> what its ring borrows from

    cdef void* reserve(self, size_t size) except NULL       # zeroed; freed with the Plan
    cdef text_t text(self, value)                           # of a str (UTF-8) or bytes; keeps it
    cdef int refresh(self) except -1                        # servers as the roster has them now
