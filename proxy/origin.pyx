"""Who is the client? The peer, or whom a trusted peer names.

One answer for logs, limits and balancing: behind trusted proxies the rightmost address of X-Forwarded-For that is not one of
them. Anybody can write the ones further left.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from hotpath.core.net.linux cimport AF_INET, AF_INET6, inet_pton
from hotpath.core.wire.http1 cimport NAME_X_FORWARDED_FOR, Field, Head
from hotpath.proxy.plan cimport plan_trusts


cdef bint parse_address(const uint8_t* text, uint32_t size, uint8_t* address) noexcept nogil:
    """An IPv4 or IPv6 address, as 16 bytes."""
    cdef char terminated[46]
    if size == 0 or size >= sizeof(terminated):
        return False
    memcpy(terminated, text, size)
    terminated[size] = 0
    memset(address, 0, 10)
    address[10] = address[11] = 0xFF
    return inet_pton(AF_INET, terminated, address + 12) == 1 or inet_pton(AF_INET6, terminated, address) == 1

cdef void find_origin(exchange_t* exchange, const uint8_t* data, const Head* head) noexcept nogil:
    cdef uint8_t address[16]
    cdef uint32_t i
    cdef uint32_t start, stop
    cdef const Field* field
    memcpy(exchange.client_ip, exchange.client.ip, exchange.client.ip_size)
    exchange.client_ip_size = exchange.client.ip_size
    if not exchange.client.peer_is_trusted or head.first[NAME_X_FORWARDED_FOR] == 0:
        return
    i = head.n_fields
    while i > 0:
        i -= 1
        field = &head.fields[i]
        if field.known != NAME_X_FORWARDED_FOR:
            continue
        stop = field.value_at + field.value_size
        while stop > field.value_at:
            start = stop
            while start > field.value_at and data[start - 1] != c",":
                start -= 1
            if not take_element(exchange, data, start, stop, address) or not plan_trusts(exchange.relay.plan, address):
                return
            stop = start - 1 if start > field.value_at else start

cdef bint take_element(exchange_t* exchange, const uint8_t* data, uint32_t start, uint32_t stop, uint8_t* address) noexcept nogil:
    """The address between `start` and `stop` becomes the client's. False: it is none, and the one before stays."""
    while start < stop and (data[start] == c" " or data[start] == c"\t"):
        start += 1
    while stop > start and (data[stop - 1] == c" " or data[stop - 1] == c"\t"):
        stop -= 1
    if not parse_address(data + start, stop - start, address):
        return False
    memcpy(exchange.client_ip, data + start, stop - start)
    exchange.client_ip_size = <uint8_t>(stop - start)
    return True
