"""The access log's lines: combined, or JSON. Bytes that a client chose are escaped, so no line can be forged."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, strlen

from hotpath.core.net.lines cimport lines_add, lines_room
from hotpath.core.net.linux cimport AF_INET, AF_INET6, gmtime_r, inet_ntop, localtime_r, strftime, time_t, tm
from hotpath.core.serve.answer cimport put, put_int

cdef enum:
    MAX_TEXT_BYTES = 4096       # of one field: a longer target or referer is cut
    # Four texts, each byte escaped to six, and all that is fixed.
    MAX_ENTRY_BYTES = 4 * 6 * MAX_TEXT_BYTES + 1024


cdef uint8_t* put_text(uint8_t* out, const uint8_t* head, const Span* span, bint json) noexcept nogil:
    """A text somebody else chose; absent: null or "-"."""
    cdef const char* digits = "0123456789abcdef"
    cdef const uint8_t* at = head + span.at
    cdef uint32_t size = min(span.size, <uint32_t>MAX_TEXT_BYTES), i
    if size == 0:
        return put(out, b"null" if json else b"-", 4 if json else 1)
    if json:
        out = put(out, b'"', 1)
    for i in range(size):
        if at[i] >= 0x20 and at[i] < 0x7F and at[i] != c'"' and at[i] != c"\\":
            out[0] = at[i]
            out += 1
            continue
        out = put(out, b"\\u00" if json else b"\\x", 4 if json else 2)
        out[0] = digits[at[i] >> 4]
        out[1] = digits[at[i] & 15]
        out += 2
    return put(out, b'"', 1) if json else out


cdef uint8_t* put_address(uint8_t* out, const uint8_t* address) noexcept nogil:
    cdef char text[64]
    if address[0] == 0xFF and address[1] == 0xFF and address[15] == 0xFF and address[2] == 0xFF:
        return put(out, b"unix:", 5)
    if memcmp(address, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0:
        inet_ntop(AF_INET, address + 12, text, sizeof(text))
    else:
        inet_ntop(AF_INET6, address, text, sizeof(text))
    return put(out, text, strlen(text))


# Both texts, made once a second.
cdef void tell_time(access_t* log) noexcept nogil:
    cdef tm parts
    cdef time_t now = log.lines.loop.unix_us // 1000000
    if now == log.second:
        return
    log.second = now
    localtime_r(&now, &parts)
    log.apache_size = <uint32_t>strftime(<char*>log.apache_time, sizeof(log.apache_time), "%d/%b/%Y:%H:%M:%S %z", &parts)
    gmtime_r(&now, &parts)
    strftime(<char*>log.iso_second, sizeof(log.iso_second), "%Y-%m-%dT%H:%M:%S", &parts)


cdef uint8_t* put_thousandths(uint8_t* out, int64_t number) noexcept nogil:
    out[0] = <uint8_t>(c"0" + number // 100 % 10)
    out[1] = <uint8_t>(c"0" + number // 10 % 10)
    out[2] = <uint8_t>(c"0" + number % 10)
    return out + 3


cdef void log_entry(access_t* log, const entry_t* entry) noexcept nogil:
    cdef size_t room
    cdef uint8_t* out = lines_room(log.lines, &room)
    cdef int64_t took_us = max(<int64_t>0, entry.took_us)
    if room < MAX_ENTRY_BYTES:
        lines_add(log.lines, NULL)
        return
    tell_time(log)
    if log.json:
        out = put(out, b'{"time":"', 9)
        out = put(out, log.iso_second, 19)
        out = put(out, b".", 1)
        out = put_thousandths(out, log.lines.loop.unix_us // 1000 % 1000)
        out = put(out, b'Z","client":"', 13)
    out = put_address(out, entry.address)
    if log.json:
        out = put(out, b'","method":', 11)
    else:
        out = put(out, b" - - [", 6)
        out = put(out, log.apache_time, log.apache_size)
        out = put(out, b'] "', 3)
    out = put_text(out, entry.head, &entry.method, log.json)
    out = put(out, b',"target":' if log.json else b" ", 10 if log.json else 1)
    out = put_text(out, entry.head, &entry.target, log.json)
    out = put(out, b',"protocol":"' if log.json else b" ", 13 if log.json else 1)
    out = put(out, b"HTTP/1.1" if entry.minor else b"HTTP/1.0", 8)
    out = put(out, b'","status":' if log.json else b'" ', 11 if log.json else 2)
    out = put_int(out, entry.status if entry.status else 499)
    if log.json:
        out = put(out, b',"body_sent":', 13)
        out = put_int(out, entry.body_sent)
        out = put(out, b',"duration_ms":', 15)
        out = put_int(out, took_us // 1000)
        out = put(out, b".", 1)
        out = put_thousandths(out, took_us % 1000)
    else:
        out = put(out, b" ", 1)
        out = put_int(out, entry.body_sent)
    out = put(out, b',"referer":' if log.json else b' "', 11 if log.json else 2)
    out = put_text(out, entry.head, &entry.referer, log.json)
    out = put(out, b',"user_agent":' if log.json else b'" "', 14 if log.json else 3)
    out = put_text(out, entry.head, &entry.user_agent, log.json)
    out = put(out, b"}\n" if log.json else b'"\n', 2)
    lines_add(log.lines, out)
