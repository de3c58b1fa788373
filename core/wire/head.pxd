"""The head of an HTTP/1.1 message (RFC 9112): pure functions from bytes to spans. They allocate nothing and keep nothing."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    NEED_MORE = -2              # not whole yet: keep the bytes, call again with more
    BROKEN = -1                 # the peer broke RFC 9112 or a limit; the result says why
    MAX_FIELDS = 256            # capacity of a head; Limits.fields may be lower

# STRICT: our servers and the relay. H11: exactly h11's leniencies (bare LF, obs-fold, CL with TE, list-form CL, free chunk extensions).
cdef enum Rules:
    STRICT = 0
    H11 = 1

# Offsets into the parsed bytes, not pointers: buffers move.
cdef struct Span:
    uint32_t at
    uint32_t size

cdef enum Method:
    METHOD_OTHER = 0
    METHOD_GET
    METHOD_HEAD
    METHOD_POST
    METHOD_PUT
    METHOD_DELETE
    METHOD_OPTIONS
    METHOD_PATCH
    METHOD_CONNECT
    METHOD_TRACE

cdef enum TargetForm:           # RFC 9112 section 3.2
    TARGET_ORIGIN = 0
    TARGET_ABSOLUTE
    TARGET_AUTHORITY
    TARGET_ASTERISK

# How the end of a body is known: RFC 9112 section 6.3.
cdef enum Framing:
    BODY_NONE = 0
    BODY_LENGTH
    BODY_CHUNKED
    BODY_UNTIL_CLOSE

# Names known by length and first byte; the rest stay spans. Not a named enum, for Cython takes none as an index: head.first[NAME_HOST].
cdef enum:
    NAME_OTHER = 0
    NAME_HOST
    NAME_CONNECTION
    NAME_CONTENT_LENGTH
    NAME_TRANSFER_ENCODING
    NAME_KEEP_ALIVE
    NAME_PROXY_CONNECTION
    NAME_TE
    NAME_TRAILER
    NAME_UPGRADE
    NAME_EXPECT
    NAME_USER_AGENT
    NAME_REFERER
    NAME_COOKIE
    NAME_AUTHORIZATION
    NAME_PROXY_AUTHORIZATION
    NAME_X_FORWARDED_FOR
    NAME_X_FORWARDED_PROTO
    NAME_X_FORWARDED_HOST
    NAME_FORWARDED
    NAME_VIA
    NAME_DATE
    NAME_SERVER
    N_NAMES

cdef enum:                      # Field.flags
    FIELD_UNDERSCORE = 1        # the name holds a "_"
    FIELD_FOLDED = 2            # H11 rules only: a line fold (CRLF and blanks) lies inside the value and stands for one space

cdef struct Field:
    uint32_t name_at
    uint16_t name_size
    uint8_t known               # NAME_
    uint8_t flags
    uint32_t value_at           # without surrounding white space
    uint32_t value_size

cdef enum:                      # Head.connection: what the Connection fields hold, all of them together
    CONNECTION_CLOSE = 1
    CONNECTION_KEEP_ALIVE = 2
    CONNECTION_UPGRADE = 4
    CONNECTION_NOMINATES = 8    # some other token: fields are nominated hop-by-hop

cdef struct Limits:
    uint32_t line               # bytes of a request or status line, without CRLF: 414 beyond
    uint32_t head               # bytes of the whole head: 431 beyond
    uint32_t fields             # 431 beyond; at most MAX_FIELDS

# One message head. Which members count for requests, which for responses, is said beside them.
cdef struct Head:
    Span method                 # request
    Span target                 # request: as sent
    Span path                   # request: of the target, without query; absolute-form with an empty path: size 0; "*": size 1
    Span query                  # request: behind the "?", size 0 also when there is none
    Span host                   # request: host[:port] of absolute-form, else the Host field's value; size 0: none (1.0 only)
    Span reason                 # response
    uint16_t status             # response: 100..999
    uint8_t method_id           # request: Method
    uint8_t form                # request: TargetForm
    uint8_t has_query           # request: there is a "?"
    uint8_t path_is_plain       # request: no "%", no "//", no "/." in the path: it needs no normalising
    uint8_t major               # 1; H11 rules: any digit
    uint8_t minor               # HTTP/major.minor
    uint8_t framing             # Framing
    uint8_t connection          # CONNECTION_ bits
    uint8_t keep_alive          # by version and Connection (RFC 9112 section 9.3), before the framing of a response is looked at
    uint8_t expects_continue    # request: Expect: 100-continue, HTTP/1.1
    uint8_t expects_other       # request: any other expectation: 417
    uint8_t upgrades_websocket  # Upgrade is exactly "websocket" and Connection has "upgrade"
    int64_t content_length      # BODY_LENGTH only; else -1
    uint16_t n_fields
    uint16_t first[N_NAMES]     # index + 1 of the first field of that name; 0: absent
    uint16_t error_status       # BROKEN: 400, 414, 431, 501 or 505; of a response under STRICT: 502
    const char* error           # BROKEN: static text, what is wrong
    Field fields[MAX_FIELDS]    # n_fields are set

# Bytes consumed (> 0, the whole head with its empty line), NEED_MORE or BROKEN. `seen`: the size given at the last NEED_MORE for
# this head (0 at first), so that a dripped head costs linear time. `head` is written only up to what was parsed.
cdef Py_ssize_t parse_request(const uint8_t* data, size_t size, size_t seen, const Limits* limits, int rules, Head* head) noexcept nogil
# `method_id`: of the request it answers (HEAD and CONNECT change the framing). An interim 1xx has BODY_NONE.
cdef Py_ssize_t parse_response(const uint8_t* data, size_t size, size_t seen, const Limits* limits, int rules, int method_id,
                               Head* head) noexcept nogil

# The trailer fields of a chunked body with the empty line behind them, as H11 rules read fields: n_fields and fields are set, the
# framing too where they speak of it, for h11 refuses there what it refuses in a head. Limits.line is not looked at.
cdef Py_ssize_t parse_trailers(const uint8_t* data, size_t size, size_t seen, const Limits* limits, Head* head) noexcept nogil

cdef const char* reason_phrase(int status) noexcept nogil       # RFC 9110 section 15; "" when unknown
