"""Keys: the part of a request that a limit counts by, or a ring hashes."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from hotpath.core.wire.http1 cimport NAME_COOKIE, Field, Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.plan cimport (
    KEY_CLIENT_IP, KEY_COOKIE, KEY_HEADER, KEY_HOST, KEY_PATH, KEY_QUERY, KEY_ROUTE, KEY_URI, key_t, text_t)
from hotpath.proxy.route cimport host_size


cdef bint name_is(const uint8_t* data, const Field* field, const text_t* lower) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t byte
    if field.name_size != lower.size:
        return False
    for i in range(lower.size):
        byte = data[field.name_at + i]
        if (byte | 0x20 if c"A" <= byte <= c"Z" else byte) != lower.data[i]:
            return False
    return True

cdef bint find_pair(const uint8_t* data, uint32_t size, uint8_t separator, const text_t* name, const uint8_t** value,
                    uint32_t* value_size) noexcept nogil:
    """The value of `name=value` in a list of pairs: a Cookie field, a query. Spaces before a pair do not count."""
    cdef uint32_t at = 0, stop
    while at < size:
        while at < size and data[at] == c" ":
            at += 1
        stop = at
        while stop < size and data[stop] != separator:
            stop += 1
        if stop - at > name.size and data[at + name.size] == c"=" and memcmp(data + at, name.data, name.size) == 0:
            value[0] = data + at + name.size + 1
            value_size[0] = stop - at - name.size - 1
            return True
        at = stop + 1
    return False

cdef bint find_host(exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t** value, uint32_t* size) noexcept nogil:
    """The host as routes see it, in lower case and without its port: one name is one key, however it is spelled."""
    cdef uint8_t* lowered = exchange.relay.host
    cdef uint8_t byte
    cdef uint32_t i, n = host_size(data + head.host.at, head.host.size)
    if n > sizeof(exchange.relay.host):
        return False
    for i in range(n):
        byte = data[head.host.at + i]
        lowered[i] = byte | 0x20 if c"A" <= byte <= c"Z" else byte
    value[0] = lowered
    size[0] = n
    return n > 0

cdef bint key_find(const key_t* key, exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path,
                   uint32_t path_size, const uint8_t** value, uint32_t* size) noexcept nogil:
    cdef uint32_t i
    if key.kind == KEY_CLIENT_IP:
        value[0] = exchange.client_ip
        size[0] = exchange.client_ip_size
        return True
    if key.kind == KEY_HOST:
        return find_host(exchange, data, head, value, size)
    if key.kind == KEY_PATH:
        value[0] = path
        size[0] = path_size
        return True
    if key.kind == KEY_URI:
        value[0] = data + head.target.at
        size[0] = head.target.size
        return True
    if key.kind == KEY_ROUTE:
        value[0] = exchange.route.name.data
        size[0] = exchange.route.name.size
        return True
    if key.kind == KEY_QUERY:
        return find_pair(data + head.query.at, head.query.size, c"&", &key.name, value, size)
    for i in range(head.n_fields):
        if key.kind == KEY_HEADER and name_is(data, &head.fields[i], &key.name):
            value[0] = data + head.fields[i].value_at
            size[0] = head.fields[i].value_size
            return True
        if key.kind == KEY_COOKIE and head.fields[i].known == NAME_COOKIE and find_pair(
                data + head.fields[i].value_at, head.fields[i].value_size, c";", &key.name, value, size):
            return True
    return False
