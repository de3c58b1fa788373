"""Heads as they leave, and problems said from C: the client that sent no request costs no Python object."""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, strlen

from hotpath.core.net.linux cimport gmtime_r, strftime, time_t, tm
from hotpath.core.wire.http1 cimport reason_phrase


cdef uint8_t* put(uint8_t* out, const void* data, size_t size) noexcept nogil:
    memcpy(out, data, size)
    return out + size


cdef uint8_t* put_text(uint8_t* out, const char* text) noexcept nogil:
    return put(out, text, strlen(text))


cdef uint8_t* put_int(uint8_t* out, int64_t number) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int n = 0, i
    while True:
        digits[n] = <uint8_t>(c"0" + number % 10)
        n += 1
        number //= 10
        if number == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return out + n


# IMF-fixdate (RFC 9110 section 5.6.7), made once a second. The C library's names: the locale of a server is "C".
cdef void tell_date(server_t* server) noexcept nogil:
    cdef tm parts
    cdef time_t now = server.loop.unix_us // 1000000
    if now != server.date_s:
        server.date_s = now
        gmtime_r(&now, &parts)
        strftime(<char*>server.date, sizeof(server.date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts)


cdef uint8_t* put_start(server_t* server, int status, uint8_t* out) noexcept nogil:
    tell_date(server)
    out = put(out, b"HTTP/1.1 ", 9)
    out[0] = <uint8_t>(c"0" + status // 100)
    out[1] = <uint8_t>(c"0" + status // 10 % 10)
    out[2] = <uint8_t>(c"0" + status % 10)
    out[3] = c" "
    out = put_text(out + 4, reason_phrase(status))
    out = put(out, b"\r\n", 2)
    return put(out, server.date, DATE_BYTES)


cdef uint8_t* put_problem(server_t* server, int status, const char* detail, bint head_only, uint8_t* out) noexcept nogil:
    cdef const char* title = reason_phrase(status)
    out = put_start(server, status, out)
    out = put_text(out, b"Content-Type: application/problem+json\r\nContent-Length: ")
    out = put_int(out, <int64_t>(58 + strlen(title) + strlen(detail)))      # the literals below, and three digits
    out = put_text(out, b"\r\nConnection: close\r\n\r\n")
    if head_only:
        return out
    out = put_text(out, b'{"type":"about:blank","title":"')
    out = put_text(out, title)
    out = put_text(out, b'","status":')
    out = put_int(out, status)
    out = put_text(out, b',"detail":"')
    out = put_text(out, detail)
    return put_text(out, b'"}')
