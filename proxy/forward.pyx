"""Heads as they leave: what a server and a client get to see of each other.

Fields that pass are copied in runs, in order and spelling; the lines in between are ours: Host, framing, forwarding, Connection
(RFC 9110 section 7.6). Nothing here allocates or fails but for room.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, strlen

from hotpath.core.net.linux cimport gmtime_r, strftime, time_t, tm
from hotpath.core.wire.http1 cimport (
    BODY_CHUNKED, CONNECTION_NOMINATES, FIELD_UNDERSCORE, NAME_CONNECTION,
    NAME_CONTENT_LENGTH, NAME_DATE, NAME_EXPECT, NAME_FORWARDED, NAME_HOST, NAME_KEEP_ALIVE, NAME_PROXY_CONNECTION,
    NAME_AUTHORIZATION, NAME_COOKIE, NAME_TE, NAME_TRAILER, NAME_TRANSFER_ENCODING, NAME_UPGRADE, NAME_X_FORWARDED_FOR,
    NAME_X_FORWARDED_HOST, NAME_X_FORWARDED_PROTO, Field)
from hotpath.proxy.coding cimport put_coding
from hotpath.proxy.exchange cimport CODING_VARIES, STATE_TUNNEL, client_t, relay_t
from hotpath.proxy.location cimport moved_location, put_location
from hotpath.proxy.plan cimport (
    FORWARDED_OFF, FORWARDED_RFC7239, FORWARDED_X, HOST_FIXED, HOST_PRESERVE, edits_t, limit_t, plan_t, upstream_t)

cdef extern from *:
    """
    static inline uint8_t lower_of(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }
    #define NAME_BIT(name) (1u << (name))
    """
    uint8_t lower_of(uint8_t byte) noexcept nogil
    uint32_t NAME_BIT(int name) noexcept nogil


cdef void write_into(writer_t* writer, uint8_t* out, size_t room) noexcept nogil:
    writer.out = out
    writer.room = room
    writer.n = 0
    writer.full = False

cdef void put(writer_t* writer, const void* data, size_t size) noexcept nogil:
    if size > writer.room - writer.n:
        writer.full = True
        return
    if size == 0:
        return                              # `data` may be NULL then, which memcpy must not see
    memcpy(writer.out + writer.n, data, size)
    writer.n += size

cdef void put_str(writer_t* writer, const char* text) noexcept nogil:
    put(writer, text, strlen(text))

cdef void put_text(writer_t* writer, const text_t* text) noexcept nogil:
    put(writer, text.data, text.size)

cdef void put_int(writer_t* writer, int64_t number) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int at = 20
    cdef uint64_t rest = <uint64_t>number
    if number < 0:
        put(writer, b"-", 1)
        rest = -rest
    while True:
        at -= 1
        digits[at] = <uint8_t>(c"0" + rest % 10)
        rest //= 10
        if rest == 0:
            break
    put(writer, digits + at, 20 - at)


cdef void put_date(relay_t* relay, writer_t* writer) noexcept nogil:
    """IMF-fixdate, made once a second. The C library's names: the locale of a server is "C"."""
    cdef char text[40]
    cdef tm parts
    cdef time_t now = relay.loop.unix_us // 1000000
    if now != relay.date_s:
        gmtime_r(&now, &parts)
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts)
        memcpy(relay.date, text, sizeof(relay.date))
        relay.date_s = now
    put(writer, b"Date: ", 6)
    put(writer, relay.date, sizeof(relay.date))
    put(writer, b"\r\n", 2)


cdef bint spells(const uint8_t* name, uint32_t size, const uint8_t* lower, uint32_t lower_size) noexcept nogil:
    cdef uint32_t i
    if size != lower_size:
        return False
    for i in range(size):
        if lower_of(name[i]) != lower[i]:
            return False
    return True

cdef bint is_edited(const uint8_t* data, const Field* field, const edits_t* edits) noexcept nogil:
    cdef uint32_t i
    for i in range(edits.n_dropped):
        if spells(data + field.name_at, field.name_size, edits.dropped[i].data, edits.dropped[i].size):
            return True
    return False

cdef bint same_name(const uint8_t* a, const uint8_t* b, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if lower_of(a[i]) != lower_of(b[i]):
            return False
    return True

cdef bint is_nominated(const uint8_t* data, const Head* head, const Field* field) noexcept nogil:
    """Whether a Connection field names it. What frames, routes or authorises a request cannot be nominated away."""
    cdef uint32_t i, at, stop, end
    if NAME_BIT(field.known) & (NAME_BIT(NAME_HOST) | NAME_BIT(NAME_CONTENT_LENGTH) | NAME_BIT(NAME_TRANSFER_ENCODING)
                                | NAME_BIT(NAME_AUTHORIZATION) | NAME_BIT(NAME_COOKIE) | NAME_BIT(NAME_FORWARDED)
                                | NAME_BIT(NAME_X_FORWARDED_FOR) | NAME_BIT(NAME_X_FORWARDED_PROTO)
                                | NAME_BIT(NAME_X_FORWARDED_HOST)):
        return False
    for i in range(head.n_fields):
        if head.fields[i].known != NAME_CONNECTION:
            continue
        at = head.fields[i].value_at
        end = at + head.fields[i].value_size
        while at < end:
            while at < end and (data[at] == c"," or data[at] == c" " or data[at] == c"\t"):
                at += 1
            stop = at
            while stop < end and data[stop] != c"," and data[stop] != c" " and data[stop] != c"\t":
                stop += 1
            if stop - at == field.name_size and same_name(data + at, data + field.name_at, field.name_size):
                return True
            at = stop
    return False


cdef bint is_dropped(const uint8_t* data, const Head* head, const Field* field, const edits_t* edits) noexcept nogil:
    return (edits.n_dropped and is_edited(data, field, edits)) \
        or (head.connection & CONNECTION_NOMINATES and is_nominated(data, head, field))

cdef void put_fields(const uint8_t* data, const Head* head, size_t end, uint32_t dropped, const Field* ours, bint drops_underscores,
                     const edits_t* edits, writer_t* writer) noexcept nogil:
    """All fields but those whose Name bit is in `dropped`, the nominated, the edited and the one that we write (NULL: none).

    `end` is where the last line ends.
    """
    cdef uint32_t i
    cdef size_t run
    cdef bint passes
    cdef const Field* field
    if head.n_fields == 0:
        return
    run = head.fields[0].name_at
    for i in range(head.n_fields):
        field = &head.fields[i]
        passes = not (NAME_BIT(field.known) & dropped
                      or field == ours
                      or (drops_underscores and field.flags & FIELD_UNDERSCORE)
                      or is_dropped(data, head, field, edits))
        if passes and data[field.name_at + field.name_size] == c":":
            continue
        if field.name_at > run:
            put(writer, data + run, field.name_at - run)
        if passes:                          # a server's "Name : value": no client gets to see the space
            put(writer, data + field.name_at, field.name_size)
            put(writer, b": ", 2)
            put(writer, data + field.value_at, field.value_size)
            put(writer, b"\r\n", 2)
        run = head.fields[i + 1].name_at if i + 1 < head.n_fields else end
    if end > run:
        put(writer, data + run, end - run)


cdef void put_element(writer_t* writer, const char* name, const uint8_t* value, size_t size, bint quoted) noexcept nogil:
    """One pair of a Forwarded element (RFC 7239 section 4)."""
    put_str(writer, name)
    if quoted:
        put(writer, b'"', 1)
    put(writer, value, size)
    if quoted:
        put(writer, b'"', 1)

cdef bint has_colon(const uint8_t* text, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        if text[i] == c":":
            return True
    return False

cdef void put_values(const uint8_t* data, const Head* head, int known, writer_t* writer) noexcept nogil:
    """The values of all fields of one name, each followed by ", "."""
    cdef uint32_t i
    for i in range(head.n_fields):
        if head.fields[i].known == known and head.fields[i].value_size:
            put(writer, data + head.fields[i].value_at, head.fields[i].value_size)
            put(writer, b", ", 2)

cdef bint is_ours(const edits_t* edits, const char* lower) noexcept nogil:
    cdef uint32_t i
    for i in range(edits.n_dropped):
        if spells(<const uint8_t*>lower, <uint32_t>strlen(lower), edits.dropped[i].data, edits.dropped[i].size):
            return False
    return True

cdef void put_forwarding(client_t* client, int mode, const edits_t* edits, const uint8_t* data, const Head* head,
                         writer_t* writer) noexcept nogil:
    """X-Forwarded-* and Forwarded: what a trusted peer said is kept and added to, what another said was dropped."""
    cdef bint trusted = client.peer_is_trusted
    cdef bint bracketed
    if mode & FORWARDED_X:
        if is_ours(edits, b"x-forwarded-for"):
            put(writer, b"X-Forwarded-For: ", 17)
            if trusted:
                put_values(data, head, NAME_X_FORWARDED_FOR, writer)
            put(writer, client.ip, client.ip_size)
            put(writer, b"\r\n", 2)
        if (not trusted or head.first[NAME_X_FORWARDED_PROTO] == 0) and is_ours(edits, b"x-forwarded-proto"):
            put_str(writer, b"X-Forwarded-Proto: https\r\n" if client.secure else b"X-Forwarded-Proto: http\r\n")
        if head.host.size and (not trusted or head.first[NAME_X_FORWARDED_HOST] == 0) and is_ours(edits, b"x-forwarded-host"):
            put(writer, b"X-Forwarded-Host: ", 18)
            put(writer, data + head.host.at, head.host.size)
            put(writer, b"\r\n", 2)
    if mode & FORWARDED_RFC7239 and is_ours(edits, b"forwarded"):
        put(writer, b"Forwarded: ", 11)
        if trusted:
            put_values(data, head, NAME_FORWARDED, writer)
        bracketed = has_colon(client.ip, client.ip_size)
        if client.address[0] == 0xFF and client.address[1] == 0xFF:             # a unix socket has no address
            put(writer, b"for=unknown", 11)
        else:
            put(writer, b'for="[' if bracketed else b"for=", 6 if bracketed else 4)
            put(writer, client.ip, client.ip_size)
            put(writer, b']"', 2 if bracketed else 0)
        if head.host.size:
            put_element(writer, b";host=", data + head.host.at, head.host.size, has_colon(data + head.host.at, head.host.size))
        put_str(writer, b";proto=https\r\n" if client.secure else b";proto=http\r\n")


cdef void write_request(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                        writer_t* writer) noexcept nogil:
    cdef client_t* client = exchange.client
    cdef const plan_t* plan = exchange.relay.plan
    cdef upstream_t* upstream = exchange.route.upstream
    cdef const text_t* strip = &exchange.route.strip_prefix
    cdef const edits_t* edits = &exchange.route.request_edits
    cdef uint32_t dropped = NAME_BIT(NAME_HOST) | NAME_BIT(NAME_CONNECTION) | NAME_BIT(NAME_CONTENT_LENGTH) \
        | NAME_BIT(NAME_TRANSFER_ENCODING) | NAME_BIT(NAME_KEEP_ALIVE) | NAME_BIT(NAME_PROXY_CONNECTION) | NAME_BIT(NAME_TE) \
        | NAME_BIT(NAME_TRAILER) | NAME_BIT(NAME_UPGRADE)
    put(writer, data + head.method.at, head.method.size)
    put(writer, b" ", 1)
    if path_size == 1 and path[0] == c"*":
        put(writer, b"*", 1)
    else:
        put_text(writer, &exchange.route.add_prefix)
        if strip.size and path_size >= strip.size and memcmp(path, strip.data, strip.size) == 0 \
                and (path_size == strip.size or path[strip.size] == c"/"):
            path += strip.size
            path_size -= strip.size
        if path_size == 0:
            put(writer, b"/", 1)
        else:
            put(writer, path, path_size)
        if head.has_query:
            put(writer, b"?", 1)
            put(writer, data + head.query.at, head.query.size)
    put(writer, b" HTTP/1.1\r\nHost: ", 17)
    if upstream.host_mode == HOST_PRESERVE and head.host.size:
        put(writer, data + head.host.at, head.host.size)
    elif upstream.host_mode == HOST_FIXED:
        put_text(writer, &upstream.host)
    else:
        put_text(writer, &exchange.server.host)
    put(writer, b"\r\n", 2)

    if not exchange.expects_continue:
        dropped |= NAME_BIT(NAME_EXPECT)
    # What a stranger says of itself reaches no server, whether or not we say it better: the server trusts us.
    dropped |= NAME_BIT(NAME_X_FORWARDED_FOR) if plan.forwarded & FORWARDED_X or not client.peer_is_trusted else 0
    dropped |= NAME_BIT(NAME_FORWARDED) if plan.forwarded & FORWARDED_RFC7239 or not client.peer_is_trusted else 0
    if not client.peer_is_trusted:
        dropped |= NAME_BIT(NAME_X_FORWARDED_PROTO) | NAME_BIT(NAME_X_FORWARDED_HOST)
    put_fields(data, head, exchange.head_size - 2, dropped, NULL, True, edits, writer)

    if head.framing == BODY_CHUNKED:
        put(writer, b"Transfer-Encoding: chunked\r\n", 28)
    elif head.first[NAME_CONTENT_LENGTH]:
        put(writer, b"Content-Length: ", 16)
        put_int(writer, head.content_length if head.content_length > 0 else 0)
        put(writer, b"\r\n", 2)
    if plan.forwarded != FORWARDED_OFF:
        put_forwarding(client, plan.forwarded, edits, data, head, writer)
    if is_ours(edits, b"via"):
        put_text(writer, &plan.via)
    put_text(writer, &edits.lines)
    if exchange.wants_websocket:
        put(writer, b"Connection: upgrade\r\nUpgrade: websocket\r\n", 41)
    elif upstream.keep_idle == 0:
        put(writer, b"Connection: close\r\n", 19)
    put(writer, b"\r\n", 2)


cdef void write_response(exchange_t* exchange, const uint8_t* data, const Head* head, size_t head_size, writer_t* writer) noexcept nogil:
    cdef uint8_t status[3]
    cdef uint32_t dropped = NAME_BIT(NAME_CONNECTION) | NAME_BIT(NAME_KEEP_ALIVE) | NAME_BIT(NAME_PROXY_CONNECTION) \
        | NAME_BIT(NAME_TRANSFER_ENCODING) | NAME_BIT(NAME_UPGRADE) | NAME_BIT(NAME_TRAILER)
    cdef uint32_t zeros = 0
    cdef const Field* length = NULL
    cdef const Field* location
    cdef const edits_t* edits = &exchange.route.response_edits
    if head.first[NAME_CONTENT_LENGTH]:
        # 1xx and 204 have no length (RFC 9110 section 8.6); leading zeros are normalised.
        length = &head.fields[head.first[NAME_CONTENT_LENGTH] - 1]
        while zeros + 1 < length.value_size and data[length.value_at + zeros] == c"0":
            zeros += 1
        if zeros or head.status < 200 or head.status == 204:
            dropped |= NAME_BIT(NAME_CONTENT_LENGTH)
    status[0] = <uint8_t>(c"0" + head.status // 100)
    status[1] = <uint8_t>(c"0" + head.status // 10 % 10)
    status[2] = <uint8_t>(c"0" + head.status % 10)
    put(writer, b"HTTP/1.1 ", 9)
    put(writer, status, 3)
    put(writer, b" ", 1)
    put(writer, data + head.reason.at, head.reason.size)
    put(writer, b"\r\n", 2)
    if exchange.coding:
        put_coding(exchange, data, head, writer)
        if exchange.coding != CODING_VARIES:
            edits = &exchange.route.gzip.edits
            dropped |= NAME_BIT(NAME_CONTENT_LENGTH)
            zeros = 0
    location = moved_location(exchange, data, head)
    put_fields(data, head, head_size - 2, dropped, location, False, edits, writer)
    if location != NULL:
        put_location(exchange, data, location, writer)
    if zeros and head.status >= 200 and head.status != 204:     # also of a HEAD or a 304, whose length frames nothing
        put(writer, b"Content-Length: ", 16)
        put(writer, data + length.value_at + zeros, length.value_size - zeros)
        put(writer, b"\r\n", 2)
    if head.first[NAME_DATE] == 0 and head.status >= 200 and is_ours(edits, b"date"):   # RFC 9110 6.6.1: whoever forwards it MUST
        put_date(exchange.relay, writer)
    put_text(writer, &exchange.route.response_edits.lines)
    if exchange.state == STATE_TUNNEL:
        put(writer, b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 43)
    elif head.status < 200:
        put(writer, b"\r\n", 2)
    else:
        if exchange.chunked_out:
            put(writer, b"Transfer-Encoding: chunked\r\n", 28)
        write_end(exchange, writer)


cdef void write_end(exchange_t* exchange, writer_t* writer) noexcept nogil:
    cdef limit_t* limit = exchange.limit
    if exchange.limit_shown and limit != NULL:
        if is_ours(&exchange.route.response_edits, b"ratelimit-policy"):
            put(writer, b"RateLimit-Policy: ", 18)
            put_text(writer, &limit.policy)
            put(writer, b"\r\n", 2)
        if is_ours(&exchange.route.response_edits, b"ratelimit"):
            put(writer, b'RateLimit: "', 12)
            put_text(writer, &limit.name)
            put(writer, b'";r=', 4)
            put_int(writer, exchange.limit_remaining)
            put(writer, b";t=", 3)
            put_int(writer, (exchange.limit_reset_us + 999999) // 1000000)
            put(writer, b"\r\n", 2)
    if exchange.client.last:
        put(writer, b"Connection: close\r\n\r\n", 21)
    elif exchange.minor == 0:
        put(writer, b"Connection: keep-alive\r\n\r\n", 26)
    else:
        put(writer, b"\r\n", 2)


cdef size_t put_chunk_line(uint8_t* payload, size_t n) noexcept nogil:
    cdef const char* digits = "0123456789abcdef"
    cdef size_t size = 2
    payload[-1] = c"\n"
    payload[-2] = c"\r"
    while True:
        size += 1
        payload[-<Py_ssize_t>size] = <uint8_t>digits[n & 15]
        n >>= 4
        if n == 0:
            return size
