"""Where a server leads its client to (RFC 9110 section 10.2.2): its own path, or the one that the client has to ask us for?

A route that changes the path on the way up (strip_prefix, add_prefix) changes it back in Location: a server below /shard/ that
made /items/5 says so, and its client has to ask for /shard/items/5. nginx (proxy_redirect) and Apache (ProxyPassReverse) do the
same. Left alone are other sites, relative references, which are right wherever they are read, and paths that begin with the
prefix already: whoever writes those knows where it stands.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from hotpath.core.wire.http1 cimport Span
from hotpath.proxy.answer cimport put_local
from hotpath.proxy.forward cimport is_dropped, put, put_text, spells
from hotpath.proxy.plan cimport route_t, text_t


cdef bint is_below(const uint8_t* path, uint32_t size, const text_t* prefix) noexcept nogil:
    """Whether the path is the prefix, or goes on behind it with / ? or #."""
    return size >= prefix.size and memcmp(path, prefix.data, prefix.size) == 0 \
        and (size == prefix.size or path[prefix.size] in (c"/", c"?", c"#"))

cdef uint32_t origin_size(exchange_t* exchange, const uint8_t* value, uint32_t size) noexcept nogil:
    """How much of the value names the site that the client asked for: 0 of a path, else http://HOST; `size` of all others."""
    cdef const Span* host = &exchange.host
    cdef uint32_t at
    if size and value[0] == c"/":
        return 0 if size == 1 or value[1] != c"/" else size     # "//x" names the host x (RFC 3986 section 4.2)
    at = 7 if size >= 7 and spells(value, 7, <const uint8_t*>b"http://", 7) else \
        8 if size >= 8 and spells(value, 8, <const uint8_t*>b"https://", 8) else 0
    if at == 0:
        return size
    if host.size == 0 or size - at <= host.size or value[at + host.size] != c"/" \
            or memcmp(value + at, exchange.client.input.data + host.at, host.size) != 0:
        return size
    return at + host.size

cdef const Field* moved_location(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil:
    cdef const route_t* route = exchange.route
    cdef const Field* field
    cdef uint32_t i, at
    if route.strip_prefix.size + route.add_prefix.size == 0:
        return NULL
    for i in range(head.n_fields):
        field = &head.fields[i]
        if not spells(data + field.name_at, field.name_size, <const uint8_t*>b"location", 8):
            continue
        at = origin_size(exchange, data + field.value_at, field.value_size)
        if at == field.value_size or is_dropped(data, head, field, &route.response_edits):
            return NULL
        if not is_below(data + field.value_at + at, field.value_size - at, &route.add_prefix):
            return NULL
        if route.strip_prefix.size and is_below(data + field.value_at + at, field.value_size - at, &route.strip_prefix):
            return NULL
        return field
    return NULL

cdef void put_location(exchange_t* exchange, const uint8_t* data, const Field* field, writer_t* writer) noexcept nogil:
    cdef const route_t* route = exchange.route
    cdef const uint8_t* value = data + field.value_at
    cdef uint32_t at = origin_size(exchange, value, field.value_size)
    cdef uint32_t rest = at + route.add_prefix.size
    put(writer, data + field.name_at, field.name_size)
    put(writer, b": ", 2)
    put(writer, value, at)
    if route.strip_prefix.size or rest == field.value_size or value[rest] != c"/":
        put_text(writer, &route.strip_prefix)
        if route.strip_prefix.size == 0:
            put(writer, b"/", 1)            # it was add_prefix alone
        put(writer, value + rest, field.value_size - rest)
    else:
        put_local(value + rest, field.value_size - rest, writer)
    put(writer, b"\r\n", 2)
