"""The structs of the relay: a client's connection, a connection to a server, a request between them, a worker."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hotpath.core.net.buffer cimport Buffer
from hotpath.core.net.epoll cimport HEADROOM_BYTES, Deadline, Deferred, Source, loop_t
from hotpath.core.net.stream cimport stream_t
from hotpath.core.wire.http1 cimport Body, Head, Span
from hotpath.proxy.plan cimport limit_t, plan_t, route_t, server_t
from hotpath.proxy.route cimport table_t
from hotpath.core.net.slab cimport slot_t

cdef enum:
    PIECE_BYTES = 72 << 10      # a read: a body of 64 KiB leaves with its head in one send
    BULK_BYTES = 256 << 10      # a read when the far side has room for it
    FRAMING_BYTES = 32          # kept free behind what is read: CRLF and a last chunk are written there

cdef struct relay_t             # below
cdef struct exchange_t          # below

cdef enum Last:
    LAST_NOT = 0
    LAST_THEIRS                 # it asked for Connection: close (or is HTTP/1.0): nothing more will come
    LAST_OURS                   # an error, draining, a limit: more may be on its way already

# What a connection still has to do before HTTP, in this order.
cdef enum Stage:
    STAGE_HTTP = 0              # nothing
    STAGE_PREFACE               # the PROXY protocol's header
    STAGE_SHAKE                 # the TLS handshake

# A listening socket, and what it asks of a connection.
cdef struct entry_t:
    relay_t* relay              # borrowed
    uint8_t index               # its place in relay_t.entries
    uint8_t proxy_protocol
    uint8_t http2               # for clients who ask for it
    void* tls                   # borrowed tls.Terminator; NULL: in the clear

cdef struct client_t:
    stream_t stream             # first: an event's Source is its client
    client_t* next              # of this worker, in no order; once closed, of the gone
    client_t* previous
    relay_t* relay              # borrowed
    exchange_t* exchange        # owned; NULL: between two requests
    Buffer* input               # owned: received, not consumed. A request's head stays in it until the request is over
    int64_t began_us            # when the first byte of this request's head was read
    uint32_t seen               # bytes of the head that parse_request has already called incomplete
    uint32_t n_requests
    uint8_t lingering           # the last byte is sent or queued; what still comes is discarded
    uint8_t last                # Last: no further request is read
    uint8_t proceeding          # client_proceed is on the stack
    uint8_t peer_is_trusted     # the peer, or whom its PROXY header names instead, is one of trusted_proxies
    uint8_t tunnel
    uint8_t ip_size
    uint8_t ip[46]              # the peer's address, or the PROXY header's, as text; "unix:" for a unix socket
    uint8_t address[16]         # the same, IPv4 as ::ffff:a.b.c.d; a unix socket: all ones
    uint8_t counted             # the gauges count it
    uint8_t stage               # Stage
    uint8_t entry               # by which of relay_t.entries it came
    uint8_t secure              # TLS: its requests' scheme is https
    uint8_t http2               # one of the streams of an HTTP/2 client
    void* front                 # owned: front.pyx's, of an HTTP/2 client itself; NULL: it speaks HTTP/1

cdef struct peer_t:
    stream_t stream             # first
    peer_t* next                # idle: the one that rests longer; once closed, of the gone
    peer_t* previous            # idle: the one that rests shorter
    relay_t* relay              # borrowed
    server_t* server            # borrowed from the Plan
    exchange_t* exchange        # borrowed; NULL: idle
    Buffer* kept                # owned: the beginning of a head or of a chunk's size line
    int64_t idle_since_ms
    uint32_t n_requests
    uint32_t moves              # server.moves when it was opened
    uint8_t reused              # this request did not open it

# What gzip makes of a server's final answer: coding.pyx.
cdef enum Coding:
    CODING_PLAIN = 0            # no client gets it otherwise
    CODING_VARIES               # another client gets it encoded
    CODING_HEAD                 # the head says it is encoded (HEAD), or was (304); no body follows
    CODING_GZIP                 # the body leaves through gzip.pyx, in our chunks

# HEAD and ROUTE pass within one callback, before there is an exchange to hold a state.
cdef enum State:
    STATE_ROUTE = 0             # being matched, limited and addressed
    STATE_CONNECT               # the connection is being made; the request waits in its stream
    STATE_SEND                  # the request's body is under way
    STATE_WAIT                  # the request is sent; no byte of the response yet
    STATE_BODY                  # the response's head is sent; its body is under way
    STATE_TUNNEL                # 101: bytes both ways
    STATE_ANSWER                # our own answer
    STATE_DONE
    N_STATES

cdef struct exchange_t:
    exchange_t* next            # the free list's link: first, so that no other member changes when it is given back
    relay_t* relay              # borrowed
    client_t* client            # borrowed: the owner
    peer_t* peer                # borrowed while under way; NULL: none
    route_t* route              # borrowed; NULL: none matched
    server_t* server            # borrowed: the last one tried
    Deadline deadline           # timeouts.request: the whole exchange
    int64_t began_us            # first byte of the head
    int64_t forwarded_us        # the request went to the present server
    int64_t answered_us         # its response's head was whole
    int64_t bytes_sent          # to the client: head and body
    int64_t bytes_received      # from the client: head and body
    int64_t body_received       # payload of the request, for its limit
    int64_t body_sent           # to the client: body alone, for the log
    uint64_t tried              # bit per position of a server that failed this request
    Body request_body
    Body response_body
    uint32_t head_size          # of the request, in client.input from offset 0
    # Spans of client.input.data, for logs and answers.
    Span method
    Span target
    Span host
    Span referer
    Span user_agent
    uint16_t status             # sent, or 0
    uint16_t upstream_status    # 0: none came
    uint8_t state               # State
    uint8_t method_id           # http1.Method
    uint8_t minor               # the client's HTTP/1.minor
    uint8_t is_safe             # GET, HEAD, OPTIONS without a body: may be sent twice
    uint8_t wants_websocket
    uint8_t expects_continue    # the client waits for a 100 before it sends its body
    uint8_t request_sent        # all of it has been handed to the stream
    uint8_t timed_out           # the last try failed by time, not by refusal
    uint8_t response_begun      # a byte of the final response has been sent to the client
    uint8_t chunked_out         # the response's body leaves in our chunks
    uint8_t coding              # Coding
    uint8_t reusable            # the server lets its connection be kept
    uint8_t retried_fresh       # a reused connection proved dead; the second try went on a fresh one
    uint8_t retries             # tries after the first; resends of them went out after bytes had been sent
    uint8_t resends
    uint8_t interims            # 1xx so far
    uint8_t counted_route       # the concurrency gauge of its route counts it
    uint8_t is_probe            # it asks an ejected server whether it is back
    uint8_t counted_server      # the in-flight gauge of its server counts it
    uint8_t limit_shown         # LimitHeaders ALWAYS: the three below are sent
    int64_t limit_remaining
    int64_t limit_reset_us
    limit_t* limit              # borrowed: the tightest one, or the one that refused
    uint8_t client_ip_size      # the client's address as trusted_proxies make it
    uint8_t client_ip[46]
    void* zipper                # owned: gzip.pyx's compressor; NULL outside a body in gzip
    int file_fd                 # static: the file being sent, or -1
    int64_t file_at
    int64_t file_left           # bytes

cdef enum:
    N_CODES = 64                # slots of a status in the counters: metrics.CODES
    N_BUCKETS = 16              # of a latency histogram, then the sum in microseconds: metrics.BUCKETS_MS

# Why a request was refused before any route's upstream was asked: metrics.REJECTIONS.
cdef enum Rejection:
    REJECTED_MALFORMED = 0
    REJECTED_TOO_LARGE
    REJECTED_TIMEOUT
    REJECTED_NO_ROUTE
    REJECTED_METHOD
    REJECTED_CONCURRENCY
    REJECTED_CONNECTIONS
    REJECTED_NO_SERVER
    REJECTED_HANDSHAKE
    N_REJECTIONS

# This worker's rows in shared memory: plain adds, nobody else writes them.
cdef struct counts_t:
    uint64_t* requests          # [route][N_CODES]; one row more than routes: no route
    uint64_t* seconds           # [N_BUCKETS + 1]
    uint64_t* upstream_requests # [server][N_CODES]
    uint64_t* upstream_seconds  # [N_BUCKETS + 1]
    uint64_t* retries           # [upstream]
    uint64_t* limited           # [limit]
    uint64_t* rejected          # [N_REJECTIONS]
    uint64_t* log_dropped
    int64_t* clients            # gauges: open client connections,
    int64_t* active             # requests under way,
    int64_t* tunnels            # upgraded connections,
    int64_t* idle_peers         # idle connections to servers

cdef struct relay_t:
    loop_t* loop                # borrowed
    plan_t* plan                # borrowed
    table_t* table              # borrowed
    void* log                   # borrowed log_t; NULL: off
    counts_t counts
    entry_t* entries            # borrowed
    uint32_t worker
    uint32_t n_workers
    client_t* clients           # open ones
    slot_t* free_clients        # slab.pyx's free lists
    slot_t* free_peers
    slot_t* free_exchanges
    client_t* gone_clients      # closed in this turn: events of this batch may still point at them
    peer_t* gone_peers
    Deferred sweep              # moves the gone to the free lists at the end of the turn
    uint32_t n_clients
    int32_t* addresses          # borrowed shared memory: connections per hashed address, a row per worker; NULL: no such limit
    uint64_t address_seed
    uint8_t draining
    int64_t grace_ms            # while draining: between two requests
    void (*on_peer_events)(Source*, uint32_t) noexcept nogil
    void (*on_peer_due)(Deadline*) noexcept nogil
    void (*proceed)(client_t*) noexcept nogil           # the next request of a client whose exchange is over
    uint64_t dice               # xorshift state: P2C
    uint8_t* inbox              # in `room` below: BULK_BYTES, with HEADROOM_BYTES writable before it; valid within one callback
    Head head                   # of the request being dispatched, then of the response being relayed
    uint8_t codes[1024]         # status -> slot
    uint8_t path[65536]         # of the request being dispatched, normalised
    uint8_t host[256]           # of the request being dispatched, in lower case
    int64_t date_s              # the second that `date` says
    uint8_t date[29]            # IMF-fixdate (RFC 9110 section 5.6.7)
    uint8_t room[HEADROOM_BYTES + BULK_BYTES]

# For both directions of the relay.
cdef enum:
    TURN_BYTES = 1 << 20        # of one stream per turn, so that one download does not starve the others
    FOR_EVER_MS = 1 << 30       # 12 days: of a time-out that is 0

cdef void move(exchange_t* exchange, int state) noexcept nogil                  # the table of states allows it, or we abort
cdef stream_t* stream_of(Deadline* deadline) noexcept nogil                     # the owner of stream_t.deadline
cdef exchange_t* exchange_of(Deadline* deadline) noexcept nogil                 # the owner of exchange_t.deadline
# How much to read for `sink` at once, without FRAMING_BYTES; `full`: the last read brought all that was asked.
cdef size_t piece_bytes(stream_t* sink, bint full) noexcept nogil
cdef void look_again(stream_t* stream) noexcept nogil
cdef void arm(client_t* client, int64_t after_ms) noexcept nogil                # 0: nothing is due
cdef void arm_rest(client_t* client) noexcept nogil                             # it is between two requests
cdef void arm_peer(peer_t* peer, int64_t after_ms) noexcept nogil
