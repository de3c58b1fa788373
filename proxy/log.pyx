"""The access log: one line per request, as its format says. Bytes that a client chose are escaped: no line can be forged."""
import re

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from hotpath.core.net.lines cimport lines_add, lines_room
from hotpath.core.net.linux cimport gmtime_r, localtime_r, strftime, time_t, tm
from hotpath.core.wire.http1 cimport Span
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.forward cimport put, put_int, write_into, writer_t

cdef enum:
    MAX_TEXT_BYTES = 4096       # of one field: a longer target or referer is cut

FIELDS = {
    "time": LOG_TIME, "client": LOG_CLIENT, "method": LOG_METHOD, "target": LOG_TARGET, "protocol": LOG_PROTOCOL,
    "status": LOG_STATUS, "bytes_sent": LOG_BYTES_SENT, "bytes_received": LOG_BYTES_RECEIVED,
    "duration_ms": LOG_DURATION_MS, "host": LOG_HOST, "route": LOG_ROUTE, "upstream": LOG_UPSTREAM,
    "upstream_status": LOG_UPSTREAM_STATUS, "upstream_ms": LOG_UPSTREAM_MS, "retries": LOG_RETRIES,
    "referer": LOG_REFERER, "user_agent": LOG_USER_AGENT,
}
COMBINED = '{client} - - [{apache_time}] "{apache_request}" {status} {apache_bytes} "{referer}" "{user_agent}"'


def segments_of(str format) -> list:
    """A format as (field, literal) pairs. Literal text stays; `{name}` becomes a field."""
    if format == "json":
        format = "{{" + ",".join(f'"{name}":{{{name}}}' for name in FIELDS) + "}}"
    elif format == "combined":
        format = COMBINED
    known = {**FIELDS, "apache_time": LOG_APACHE_TIME, "apache_bytes": LOG_APACHE_BYTES, "apache_request": LOG_APACHE_REQUEST}
    made = []
    for literal, name in re.findall(r"((?:[^{}]|\{\{|\}\})*)(?:\{(\w+)\})?", format):
        if literal:
            made.append((LOG_LITERAL, literal.replace("{{", "{").replace("}}", "}").encode()))
        if name:
            made.append((known[name], b""))
    made.append((LOG_LITERAL, b"\n"))
    return made


cdef void put_text(log_t* log, writer_t* writer, const uint8_t* text, size_t size) noexcept nogil:
    """A string that somebody else chose, escaped; absent: null or "-"."""
    cdef const char* digits = "0123456789abcdef"
    cdef uint8_t escape[6]
    cdef size_t at = 0, run = 0
    cdef uint8_t byte
    if size == 0:
        put(writer, b"null" if log.json else b"-", 4 if log.json else 1)
        return
    if size > MAX_TEXT_BYTES:
        size = MAX_TEXT_BYTES
    if log.json:
        put(writer, b'"', 1)
    while at < size:
        byte = text[at]
        if byte >= 0x20 and byte < 0x7F and byte != c'"' and byte != c"\\":
            at += 1
            continue
        put(writer, text + run, at - run)
        memcpy(escape, b"\\u00" if log.json else b"\\x", 4 if log.json else 2)
        escape[4 if log.json else 2] = digits[byte >> 4]
        escape[5 if log.json else 3] = digits[byte & 15]
        put(writer, escape, 6 if log.json else 4)
        at += 1
        run = at
    put(writer, text + run, at - run)
    if log.json:
        put(writer, b'"', 1)

cdef void put_span(log_t* log, writer_t* writer, const uint8_t* data, const Span* span) noexcept nogil:
    put_text(log, writer, data + span.at if data != NULL else NULL, span.size if data != NULL else 0)

cdef void put_padded(writer_t* writer, int64_t number, int width) noexcept nogil:
    cdef int64_t bound = 10
    cdef int i
    for i in range(1, width):
        if number < bound:
            put(writer, b"0", 1)
        bound *= 10
    put_int(writer, number)

cdef void put_ms(writer_t* writer, int64_t us) noexcept nogil:
    if us < 0:
        us = 0
    put_int(writer, us // 1000)
    put(writer, b".", 1)
    put_padded(writer, us % 1000, 3)

cdef void tell_time(log_t* log) noexcept nogil:
    """Both texts, made once a second."""
    cdef tm parts
    cdef time_t now = log.loop.unix_us // 1000000
    if now == log.second:
        return
    log.second = now
    localtime_r(&now, &parts)
    log.apache_size = <uint32_t>strftime(<char*>log.apache_time, sizeof(log.apache_time), "%d/%b/%Y:%H:%M:%S %z", &parts)
    gmtime_r(&now, &parts)
    strftime(<char*>log.iso_second, sizeof(log.iso_second), "%Y-%m-%dT%H:%M:%S", &parts)

cdef void put_field(log_t* log, writer_t* writer, int field, exchange_t* exchange, const uint8_t* data) noexcept nogil:
    if field == LOG_CLIENT:
        if exchange.client_ip_size:
            put_text(log, writer, exchange.client_ip, exchange.client_ip_size)
        else:
            put_text(log, writer, exchange.client.ip, exchange.client.ip_size)
    elif field == LOG_APACHE_TIME:
        put(writer, log.apache_time, log.apache_size)
    elif field == LOG_APACHE_REQUEST:
        put_span(log, writer, data, &exchange.method)
        if exchange.head_size:
            put(writer, b" ", 1)
            put_span(log, writer, data, &exchange.target)
            put(writer, b" ", 1)
            put_field(log, writer, LOG_PROTOCOL, exchange, data)
    elif field == LOG_METHOD:
        put_span(log, writer, data, &exchange.method)
    elif field == LOG_TARGET:
        put_span(log, writer, data, &exchange.target)
    elif field == LOG_PROTOCOL:
        put_text(log, writer, b"HTTP/2.0" if exchange.client.http2 else b"HTTP/1.1" if exchange.minor else b"HTTP/1.0",
                 8 if exchange.head_size else 0)
    elif field == LOG_STATUS:
        put_int(writer, exchange.status)
    elif field == LOG_APACHE_BYTES:
        if exchange.body_sent:
            put_int(writer, exchange.body_sent)
        else:
            put(writer, b"-", 1)
    elif field == LOG_REFERER:
        put_span(log, writer, data, &exchange.referer)
    elif field == LOG_USER_AGENT:
        put_span(log, writer, data, &exchange.user_agent)
    elif field == LOG_TIME:
        put(writer, b'"', 1 if log.json else 0)
        put(writer, log.iso_second, 19)
        put(writer, b".", 1)
        put_padded(writer, log.loop.unix_us // 1000 % 1000, 3)
        put(writer, b'Z"', 2 if log.json else 1)
    elif field == LOG_BYTES_SENT:
        put_int(writer, exchange.bytes_sent)
    elif field == LOG_BYTES_RECEIVED:
        put_int(writer, exchange.bytes_received)
    elif field == LOG_DURATION_MS:
        put_ms(writer, log.loop.now_us - exchange.began_us)
    elif field == LOG_HOST:
        put_span(log, writer, data, &exchange.host)
    elif field == LOG_ROUTE:
        put_text(log, writer, exchange.route.name.data if exchange.route != NULL else NULL,
                 exchange.route.name.size if exchange.route != NULL else 0)
    elif field == LOG_UPSTREAM:
        put_text(log, writer, exchange.server.name.data if exchange.server != NULL else NULL,
                 exchange.server.name.size if exchange.server != NULL else 0)
    elif field == LOG_RETRIES:
        put_int(writer, exchange.retries)
    elif exchange.upstream_status == 0:
        put_text(log, writer, NULL, 0)
    elif field == LOG_UPSTREAM_STATUS:
        put_int(writer, exchange.upstream_status)
    else:
        put_ms(writer, exchange.answered_us - exchange.forwarded_us)

cdef void log_exchange(log_t* log, exchange_t* exchange, const uint8_t* data) noexcept nogil:
    cdef writer_t writer
    cdef size_t room
    cdef uint8_t* out = lines_room(log.lines, &room)
    cdef uint32_t i
    tell_time(log)
    write_into(&writer, out, room)
    for i in range(log.n_segments):
        if log.segments[i].field == LOG_LITERAL:
            put(&writer, log.segments[i].literal.data, log.segments[i].literal.size)
        else:
            put_field(log, &writer, log.segments[i].field, exchange, data)
    lines_add(log.lines, NULL if writer.full else out + writer.n)


cdef class AccessLog:
    """The log that `settings` (proxy.config.AccessLog) asks for, opened. The master makes it; each worker attaches its copy."""

    def __init__(self, settings):
        self.kept = []
        self.file = LineFile(settings.path, buffer=settings.buffer, flush_s=settings.flush)
        self.c.lines = &self.file.c
        self.c.json = settings.format == "json"
        made = segments_of(settings.format)
        block = bytearray(sizeof(segment_t) * len(made))
        self.kept.append(block)
        self.c.segments = <segment_t*>PyByteArray_AS_STRING(block)
        self.c.n_segments = len(made)
        for i, (field, literal) in enumerate(made):
            self.kept.append(literal)
            self.c.segments[<size_t>i].field = field
            self.c.segments[<size_t>i].literal.data = <const uint8_t*>(<const char*>literal)
            self.c.segments[<size_t>i].literal.size = len(literal)

    cdef int attach(self, loop_t* loop, uint64_t* dropped) except -1:
        self.file.attach(loop, dropped)
        self.c.loop = loop
        self.c.second = -1
        return 0

    def reopen(self) -> None:
        """Go on in a new file of the same name, after somebody moved the old one away. Raises OSError; the old one stays."""
        self.file.reopen()

    def flush(self) -> None:
        """Write what is buffered."""
        self.file.flush()

    def close(self) -> None:
        """Close our descriptor; the workers have theirs."""
        self.file.close()
