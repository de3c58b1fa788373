"""One client of the server, as C structs: memory, reading a head, flushing, deadlines, the end.

All of it runs without the GIL and without a Python object. A silent client is one struct from a slab: a buffer comes with its
first byte and goes with the last, and only a whole head, or what a parked task waits for, calls Python (`server_t.attend`).
"""
from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcpy, memmove, memset

from hotpath.core.net.buffer cimport buffer_give, buffer_take
from hotpath.core.net.epoll cimport RANK_CLIENT, Deadline, Source, loop_arm, loop_call, loop_defer, loop_disarm
from hotpath.core.net.linux cimport AF_INET, AF_INET6, EPOLLERR, EPOLLHUP, EPOLLOUT, close, sockaddr_in, sockaddr_in6
from hotpath.core.net.slab cimport slot_give, slot_take
from hotpath.core.net.stream cimport (
    STREAM_FAILED, STREAM_NOTHING, stream_close, stream_flush, stream_linger, stream_note, stream_open, stream_recv,
    stream_send)
from hotpath.core.serve.answer cimport put_problem
from hotpath.core.wire.http1 cimport NEED_MORE, STRICT, parse_request

cdef extern from "<string.h>" nogil:
    void* memmem(const void* data, size_t size, const void* what, size_t what_size)

cdef extern from "<arpa/inet.h>" nogil:
    unsigned short ntohs(unsigned short port)

cdef enum:
    HEAD_BUFFER_BYTES = 4000    # with its own head a 4 KiB block: nearly every request head fits
    FOR_EVER_MS = 1 << 30       # 12 days: of a time-out that is 0


cdef void server_start(server_t* server) noexcept nogil:
    server.sweep.run = sweep


cdef void set_address(connection_t* connection, const sockaddr_storage* peer) noexcept nogil:
    cdef const sockaddr_in* v4 = <const sockaddr_in*>peer
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>peer
    if peer.ss_family == AF_INET:
        connection.address[10] = connection.address[11] = 0xFF
        memcpy(connection.address + 12, &v4.sin_addr, 4)
        connection.port = ntohs(v4.sin_port)
    elif peer.ss_family == AF_INET6:
        memcpy(connection.address, &v6.sin6_addr, 16)
        connection.port = ntohs((<const sockaddr_in*>peer).sin_port)        # both begin with family and port
    else:
        memset(connection.address, 0xFF, 16)


cdef void server_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil:
    cdef server_t* server = <server_t*>listener.owner
    cdef connection_t* made = <connection_t*>slot_take(&server.free_connections, sizeof(connection_t))
    if made == NULL:
        close(fd)
        return
    made.server = server
    made.callback.run = server.attend
    made.callback.owner = made
    made.flushing.run = flush_queued
    made.stream.loop = server.loop
    made.stream.deadline.on_due = on_due
    if stream_open(&made.stream, server.loop, fd, RANK_CLIENT, True, on_events) < 0:
        close(fd)
        slot_give(&server.free_connections, made)
        return
    set_address(made, peer)
    made.next = server.connections
    if made.next != NULL:
        made.next.previous = made
    server.connections = made
    server.n_connections += 1
    server.counts.connections[0] += 1
    server.counts.accepted[0] += 1
    connection_arm(made, server.limits.head_ms)


cdef void connection_free(connection_t* connection) noexcept nogil:
    cdef server_t* server = connection.server
    if connection.taker != NULL:
        connection.taken(connection)
    connection_drop_input(connection)
    loop_disarm(server.loop, &connection.stream.deadline)       # an Upgraded may have armed it behind the close
    if connection.previous != NULL:
        connection.previous.next = connection.next
    else:
        server.connections = connection.next
    if connection.next != NULL:
        connection.next.previous = connection.previous
    server.n_connections -= 1
    server.counts.connections[0] -= 1
    connection.next = server.gone
    server.gone = connection
    loop_defer(server.loop, &server.sweep)
    stop_when_empty(server)


# The turn is over: no event points at what was closed in it. A callback may: then attend defers us again.
cdef void sweep(Deferred* deferred) noexcept nogil:
    cdef server_t* server = <server_t*>(<char*>deferred - (<size_t>&(<server_t*><size_t>4096).sweep - 4096))
    cdef connection_t* connection = server.gone
    cdef connection_t* next
    server.gone = NULL
    while connection != NULL:
        next = connection.next
        if connection.callback.queued or connection.flushing.queued:
            connection.next = server.gone
            server.gone = connection
        else:
            slot_give(&server.free_connections, connection)
        connection = next


cdef void stop_when_empty(server_t* server) noexcept nogil:
    if server.draining and server.n_connections == 0:
        server.loop.stopping = True


cdef void connection_drop_input(connection_t* connection) noexcept nogil:
    buffer_give(connection.server.loop, connection.input)
    connection.input = NULL


cdef void connection_arm(connection_t* connection, int64_t after_ms) noexcept nogil:
    cdef loop_t* loop = connection.server.loop
    loop_arm(loop, &connection.stream.deadline, loop.now_ms + (after_ms if after_ms else FOR_EVER_MS))


cdef void connection_rest(connection_t* connection) noexcept nogil:
    cdef server_t* server = connection.server
    connection_drop_input(connection)
    connection_arm(connection, server.grace_ms if server.draining else server.limits.idle_ms)


cdef void on_events(Source* source, uint32_t events) noexcept nogil:
    cdef connection_t* connection = <connection_t*>source
    cdef bint was_hung = connection.stream.hung
    stream_note(&connection.stream, events)
    if events & (EPOLLHUP | EPOLLERR) and connection.upgraded == NULL and connection.taker == NULL:
        connection_lost(connection)
        return
    if connection.stream.n_unsent and connection.stream.writable and not connection_flush(connection):
        return
    if connection.upgraded != NULL:         # it reads first what was said before an end
        loop_call(connection.server.loop, &connection.callback)
    elif connection.taker != NULL:
        connection.taken(connection)
    elif connection.exchange == NULL:
        if connection.last:
            if connection.stream.n_unsent == 0:
                connection_end(connection)
        elif connection_gather(connection):
            if connection.server.answer == NULL or not connection.server.answer(connection):
                loop_call(connection.server.loop, &connection.callback)
    elif connection.waits == WAITS_BODY:
        if connection.stream.readable:
            loop_call(connection.server.loop, &connection.callback)
    elif connection.stream.hung and not was_hung and connection.waits == WAITS_NOT:
        # Gone while it waited. (A client that had shut its side before its request was read wants its answer, and one that is
        # taking it shows by a failed send when it is gone.)
        connection_lost(connection)
    elif events & EPOLLOUT and connection.waits == WAITS_ROOM \
            and connection.stream.n_unsent <= connection.server.limits.high_water // 4:
        loop_call(connection.server.loop, &connection.callback)


cdef void flush_queued(Deferred* deferred) noexcept nogil:
    cdef connection_t* connection = <connection_t*>(<char*>deferred - (<size_t>&(<connection_t*><size_t>4096).flushing - 4096))
    if connection.stream.source.fd >= 0:
        if not connection.lingering and connection_flush(connection) and connection.stream.n_unsent and connection.upgraded != NULL:
            loop_call(connection.server.loop, &connection.callback)     # it has times of its own for who takes too little
    elif connection.exchange == NULL:
        loop_defer(connection.server.loop, &connection.server.sweep)    # which passed us over: we were queued


cdef bint connection_flush(connection_t* connection) noexcept nogil:
    cdef Py_ssize_t left = stream_flush(&connection.stream)
    if left == STREAM_FAILED:
        connection_lost(connection)
        return False
    if left:                                # asked for when the kernel takes bytes again, so there was progress
        connection_arm(connection, connection.server.limits.send_ms)
    elif (connection.exchange == NULL and connection.upgraded == NULL and connection.taker == NULL and not connection.last
            and connection.input == NULL):
        connection_rest(connection)
    return True


cdef bint connection_gather(connection_t* connection) noexcept nogil:
    cdef server_t* server = connection.server
    cdef Buffer* input = connection.input
    cdef uint8_t* data
    cdef Py_ssize_t n
    cdef uint32_t size, from_
    if connection.lingering or connection.stream.source.fd < 0:
        return False
    if input == NULL:
        if not connection.stream.readable:
            return False
        input = connection.input = buffer_take(server.loop, HEAD_BUFFER_BYTES)
        if input == NULL:
            connection_lost(connection)
            return False
    while True:
        data = input.data + input.start
        size = input.end - input.start
        if size > connection.seen:
            from_ = connection.seen - 3 if connection.seen > 3 else 0
            if memmem(data + from_, size - from_, b"\r\n\r\n", 4) != NULL or parse_request(
                    data, size, connection.seen, &server.limits.head, STRICT, &server.head) != NEED_MORE:
                connection.seen = 0
                return True
            if connection.seen == 0 and connection.n_requests:      # the first one's runs since the accept
                connection_arm(connection, server.limits.head_ms)
            connection.seen = size
        if input.end == input.capacity and not make_room(connection):
            connection_lost(connection)
            return False
        input = connection.input
        n = stream_recv(&connection.stream, input.data + input.end, input.capacity - input.end)
        if n == STREAM_NOTHING:
            if size == 0:                   # an idle connection owns no buffer
                connection_drop_input(connection)
            return False
        if n <= 0:
            if n == 0 and connection.stream.n_unsent:
                connection.last = LAST_THEIRS       # it has said all; our last answer is still leaving
                connection_drop_input(connection)
            else:
                connection_lost(connection)
            return False
        server.counts.bytes_received[0] += <uint64_t>n
        input.end += <uint32_t>n


cdef bint make_room(connection_t* connection) noexcept nogil:
    cdef Buffer* input = connection.input
    cdef Buffer* larger
    cdef uint32_t size = input.end - input.start
    if input.start > 0:
        memmove(input.data, input.data + input.start, size)
        input.start = 0
        input.end = size
        return True
    larger = buffer_take(connection.server.loop, 4 * <size_t>input.capacity)
    if larger == NULL:
        return False
    memcpy(larger.data, input.data, size)
    larger.end = size
    connection_drop_input(connection)
    connection.input = larger
    return True


cdef bint connection_keep(connection_t* connection, const uint8_t* data, size_t size) noexcept nogil:
    cdef Buffer* kept
    if size == 0:
        return True
    kept = buffer_take(connection.server.loop, max(size, <size_t>HEAD_BUFFER_BYTES))
    if kept == NULL:
        return False
    memcpy(kept.data, data, size)
    kept.end = <uint32_t>size
    connection_drop_input(connection)
    connection.input = kept
    return True


cdef void on_due(Deadline* deadline) noexcept nogil:
    cdef connection_t* connection = <connection_t*>(
        <char*>deadline - (<size_t>&(<connection_t*><size_t>4096).stream.deadline - 4096))
    if connection.taker != NULL:
        connection.late = True
        connection.taken(connection)
    elif connection.upgraded == NULL and (connection.stream.n_unsent or connection.waits == WAITS_ROOM):
        connection.server.counts.rejected[<int>REJECTED_SLOW_READER] += 1
        connection_lost(connection)
    elif connection.upgraded != NULL or connection.waits == WAITS_BODY:
        connection.late = True
        loop_call(connection.server.loop, &connection.callback)
    elif connection.exchange == NULL:
        if connection.input != NULL and connection.input.end > connection.input.start:
            connection_refuse(connection, 408, b"the head took too long", REJECTED_TIMEOUT)
        else:
            connection_lost(connection)


cdef void connection_refuse(connection_t* connection, int status, const char* detail, int reason) noexcept nogil:
    cdef server_t* server = connection.server
    cdef uint8_t* out = server.loop.scratch
    cdef size_t size = <size_t>(put_problem(server, status, detail, False, out) - out)
    server.counts.rejected[reason] += 1
    server.counts.bytes_sent[0] += size
    connection.last = LAST_OURS
    if stream_send(&connection.stream, out, size, False) == STREAM_FAILED:
        connection_lost(connection)
        return
    connection_arm(connection, server.limits.send_ms)
    if connection.stream.n_unsent == 0:
        connection_end(connection)


cdef void on_gone(stream_t* stream) noexcept nogil:
    connection_free(<connection_t*>stream)


cdef void connection_end(connection_t* connection) noexcept nogil:
    if connection.last == LAST_THEIRS and not connection.stream.readable \
            and (connection.input == NULL or connection.input.end == connection.input.start):
        connection_lost(connection)
        return
    connection.lingering = True             # a close with unread input would reset the answer away
    connection_drop_input(connection)
    stream_linger(&connection.stream, on_gone)


cdef void connection_lost(connection_t* connection) noexcept nogil:
    if connection.stream.source.fd < 0:
        return
    stream_close(&connection.stream)
    connection_drop_input(connection)
    if connection.exchange != NULL:
        loop_call(connection.server.loop, &connection.callback)
    else:
        connection_free(connection)


cdef void server_drain(server_t* server, int64_t grace_ms) noexcept nogil:
    cdef connection_t* connection = server.connections
    cdef connection_t* next
    server.draining = True
    server.grace_ms = grace_ms
    while connection != NULL:
        next = connection.next
        if connection.upgraded != NULL:
            loop_call(server.loop, &connection.callback)    # it says goodbye in its own protocol
        elif connection.taker != NULL:
            connection.taken(connection)
        elif connection.exchange == NULL and not connection.lingering and connection.input == NULL and connection.stream.n_unsent == 0:
            # A request may be on the wire already: answered with Connection: close, not cut.
            connection_arm(connection, grace_ms)
        connection = next
    stop_when_empty(server)
