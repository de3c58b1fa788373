"""Clients and their exchanges: memory, addresses, the end of a connection.

Connection structs come from slabs and are small; buffers attach with the first byte and leave with the last.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen

from hotpath.core.data.murmur cimport murmur3_x64_64
from hotpath.core.net.buffer cimport buffer_give, buffer_take
from hotpath.core.net.epoll cimport loop_defer
from hotpath.core.net.linux cimport AF_INET, AF_INET6, inet_ntop, sockaddr_in, sockaddr_in6
from hotpath.core.net.stream cimport stream_close, stream_linger, stream_t
from hotpath.proxy.exchange cimport peer_t
from hotpath.proxy.plan cimport plan_trusts
from hotpath.core.net.slab cimport slot_give, slot_take

cdef extern from *:
    void full_fence "__sync_synchronize" () nogil


cdef client_t* client_new(relay_t* relay) noexcept nogil:
    cdef client_t* made = <client_t*>slot_take(&relay.free_clients, sizeof(client_t))
    if made == NULL:
        return NULL
    made.relay = relay
    made.stream.source.fd = -1
    made.stream.loop = relay.loop
    made.next = relay.clients
    if made.next != NULL:
        made.next.previous = made
    relay.clients = made
    relay.n_clients += 1
    relay.counts.clients[0] += 1
    return made

cdef void client_free(client_t* client) noexcept nogil:
    """Not before the end of the turn: events of this batch may still point at it."""
    cdef relay_t* relay = client.relay
    cdef uint32_t first, second
    buffer_give(relay.loop, client.input)
    client.input = NULL
    if client.counted:
        address_cells(client, &first, &second)
        relay.addresses[relay.worker * ADDRESS_CELLS + first] -= 1
        relay.addresses[relay.worker * ADDRESS_CELLS + second] -= 1
    if client.previous != NULL:
        client.previous.next = client.next
    else:
        relay.clients = client.next
    if client.next != NULL:
        client.next.previous = client.previous
    relay.n_clients -= 1
    relay.counts.clients[0] -= 1
    client.next = relay.gone_clients
    relay.gone_clients = client
    loop_defer(relay.loop, &relay.sweep)

cdef void client_close(client_t* client) noexcept nogil:
    stream_close(&client.stream)
    client_free(client)

cdef void on_gone(stream_t* stream) noexcept nogil:
    cdef client_t* client = <client_t*>stream
    client_free(client)
    stop_when_empty(client.relay)

cdef void client_linger(client_t* client) noexcept nogil:
    client.lingering = True
    buffer_give(client.relay.loop, client.input)
    client.input = NULL
    stream_linger(&client.stream, on_gone)

cdef void stop_when_empty(relay_t* relay) noexcept nogil:
    if relay.draining and relay.n_clients == 0:
        relay.loop.stopping = True

cdef Buffer* client_grow(client_t* client) noexcept nogil:
    cdef Buffer* larger = buffer_take(client.relay.loop, 4 * <size_t>client.input.capacity)
    if larger == NULL:
        return NULL
    memcpy(larger.data, client.input.data, client.input.end)
    larger.start = client.input.start
    larger.end = client.input.end
    buffer_give(client.relay.loop, client.input)
    client.input = larger
    return larger

cdef bint client_store(client_t* client, uint32_t head_size, const uint8_t* data, size_t size) noexcept nogil:
    cdef Buffer* input = client.input
    cdef Buffer* larger
    if head_size + size > input.capacity:
        larger = buffer_take(client.relay.loop, head_size + size)
        if larger == NULL:
            return False
        memcpy(larger.data, input.data, head_size)
        buffer_give(client.relay.loop, input)
        client.input = input = larger
    memcpy(input.data + head_size, data, size)
    input.start = head_size
    input.end = head_size + <uint32_t>size
    return True


cdef void set_address(client_t* client, const sockaddr_storage* peer) noexcept nogil:
    cdef const sockaddr_in* v4 = <const sockaddr_in*>peer
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>peer
    cdef uint8_t address[16]
    if peer.ss_family == AF_INET:
        memset(address, 0, 10)
        address[10] = address[11] = 0xFF
        memcpy(address + 12, &v4.sin_addr, 4)
        set_ip(client, address)
    elif peer.ss_family == AF_INET6:
        set_ip(client, <const uint8_t*>&v6.sin6_addr)
    else:
        set_unix(client)

cdef void set_unix(client_t* client) noexcept nogil:
    memset(client.address, 0xFF, 16)
    memcpy(client.ip, b"unix:", 5)
    client.ip_size = 5
    client.peer_is_trusted = plan_trusts(client.relay.plan, client.address)

cdef void set_ip(client_t* client, const uint8_t* raw) noexcept nogil:
    memcpy(client.address, raw, 16)
    # ::ffff:0:0/96 is IPv4, whichever way it came
    if memcmp_zero(raw, 10) and raw[10] == 0xFF and raw[11] == 0xFF:
        inet_ntop(AF_INET, raw + 12, <char*>client.ip, sizeof(client.ip))
    else:
        inet_ntop(AF_INET6, raw, <char*>client.ip, sizeof(client.ip))
    client.ip_size = <uint8_t>strlen(<char*>client.ip)
    client.peer_is_trusted = plan_trusts(client.relay.plan, raw)

cdef bint memcmp_zero(const uint8_t* data, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        if data[i]:
            return False
    return True

cdef void address_cells(client_t* client, uint32_t* first, uint32_t* second) noexcept nogil:
    cdef uint64_t hash = murmur3_x64_64(client.address, 16, <uint32_t>client.relay.address_seed)
    first[0] = <uint32_t>hash & (ADDRESS_CELLS - 1)
    second[0] = <uint32_t>(hash >> 32) & (ADDRESS_CELLS - 1)
    if second[0] == first[0]:
        second[0] = (first[0] + 1) & (ADDRESS_CELLS - 1)

cdef bint count_address(client_t* client) noexcept nogil:
    """Counts it by two hashes of its address; the smaller count bounds the true one from above (a count-min sketch)."""
    cdef relay_t* relay = client.relay
    cdef uint32_t first, second, worker
    cdef int64_t a = 0, b = 0
    if relay.addresses == NULL:
        return True
    address_cells(client, &first, &second)
    # First in, then look: of two workers that count the last one at once, at least one sees both.
    relay.addresses[relay.worker * ADDRESS_CELLS + first] += 1
    relay.addresses[relay.worker * ADDRESS_CELLS + second] += 1
    full_fence()
    for worker in range(relay.n_workers):
        a += relay.addresses[worker * ADDRESS_CELLS + first]
        b += relay.addresses[worker * ADDRESS_CELLS + second]
    client.counted = min(a, b) <= relay.plan.connections_per_ip
    if not client.counted:
        relay.addresses[relay.worker * ADDRESS_CELLS + first] -= 1
        relay.addresses[relay.worker * ADDRESS_CELLS + second] -= 1
    return client.counted


cdef exchange_t* exchange_new(client_t* client) noexcept nogil:
    cdef relay_t* relay = client.relay
    cdef exchange_t* made = <exchange_t*>slot_take(&relay.free_exchanges, sizeof(exchange_t))
    if made == NULL:
        return NULL
    made.relay = relay
    made.client = client
    made.file_fd = -1
    made.began_us = client.began_us if client.began_us else relay.loop.now_us
    client.exchange = made
    relay.counts.active[0] += 1
    return made

cdef void exchange_free(exchange_t* exchange) noexcept nogil:
    cdef relay_t* relay = exchange.relay
    relay.counts.active[0] -= 1
    slot_give(&relay.free_exchanges, exchange)


cdef void sweep(Deferred* deferred) noexcept nogil:
    """The turn is over: no event points at what was closed in it."""
    cdef relay_t* relay = <relay_t*>(<char*>deferred - (<size_t>&(<relay_t*><size_t>4096).sweep - 4096))
    cdef client_t* client
    cdef peer_t* peer
    while relay.gone_clients != NULL:
        client = relay.gone_clients
        relay.gone_clients = client.next
        slot_give(&relay.free_clients, client)
    while relay.gone_peers != NULL:
        peer = relay.gone_peers
        relay.gone_peers = peer.next
        slot_give(&relay.free_peers, peer)
