"""Frames by reference on their way to many sockets: made once, queued by each, one send per socket and turn.

What a turn queued leaves at its end. On a busy server that costs more than all else, and the costs are per send, not per byte: so
after a pass over many sockets the next one waits `spacing_us`, and what further turns queue meanwhile shares its sends. Where nothing
comes meanwhile, that is not done. A pass over many is one system call, where the kernel has io_uring: a fifth less CPU per send than
one call each.
"""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC

from hotpath.core.net.epoll cimport RANK_CLIENT, SCRATCH_BYTES, Deferred, Source, loop_add, loop_defer, loop_read_clocks
from hotpath.core.net.linux cimport EPOLLIN, TFD_CLOEXEC, TFD_NONBLOCK, close, iovec, itimerspec, read, timerfd_create, timerfd_settime
from hotpath.core.net.stream cimport STREAM_FAILED, stream_flush, stream_put, stream_try, stream_try_parts
from hotpath.core.net.uring cimport uring_add, uring_close, uring_next, uring_open, uring_run
from hotpath.core.wire.ws.deflate cimport Deflate, deflate_bound, deflate_close, deflate_some
from hotpath.core.wire.ws.frame cimport FIN, MAX_FRAME_HEAD, OP_BINARY, OP_TEXT, RSV1, write_frame_head

cdef enum:
    GATHER_BYTES = 16384        # up to here copying blocks together is cheaper than to list them for the kernel
    MAX_PARTS = 64              # of one call
    LEAST_PACKED = 128          # of a payload: below it the gain is not worth it
    MOST_SKIPS = 63
    BUSY_SENDS = 64             # a pass of fewer costs too little to make anybody wait for the next
    FIRST_ROOM = 8
    RING_SENDS = 1024


# ------------------------------------------------------------------------------------------------------------- blocks

cdef block_t* block_make(uint8_t first, const uint8_t* payload, size_t size) noexcept nogil:
    cdef uint8_t head[MAX_FRAME_HEAD]
    cdef size_t n = <size_t>write_frame_head(head, first, size, NULL)
    cdef block_t* block = <block_t*>malloc(sizeof(block_t) + n + size)
    if block == NULL:
        return NULL
    block.refs = 1
    block.size = <uint32_t>(n + size)
    block.head = <uint8_t>n
    block.packed = NULL
    memcpy(block.data, head, n)
    if size:
        memcpy(block.data + n, payload, size)
    return block


cdef void block_drop(block_t* block) noexcept nogil:
    block.refs -= 1
    if block.refs == 0:
        if block.packed != NULL and block.packed != block:
            block_drop(block.packed)
        free(block)


cdef block_t* block_packed(block_t* block) noexcept nogil:
    cdef Deflate deflate
    cdef uint8_t* to
    cdef size_t size = block.size - block.head, room
    cdef Py_ssize_t n
    if block.packed != NULL:
        return block.packed
    block.packed = block
    if size < LEAST_PACKED:
        return block
    room = deflate_bound(size)
    to = <uint8_t*>malloc(room)
    if to == NULL:
        return block
    memset(&deflate, 0, sizeof(deflate))
    deflate.window_bits, deflate.level, deflate.mem_level = PACKED_WINDOW_BITS, 6, 8
    n = deflate_some(&deflate, block.data + block.head, size, True, to, room)
    deflate_close(&deflate)
    if 0 < n < <Py_ssize_t>size:
        block.packed = block_make(block.data[0] | RSV1, to, n)
        if block.packed == NULL:
            block.packed = block
    free(to)
    return block.packed


# ------------------------------------------------------------------------------------------------------------- outbox

cdef entry_t* entry_at(outbox_t* outbox, uint32_t i) noexcept nogil:
    return &outbox.one if outbox.entries == NULL else &outbox.entries[(outbox.first + i) & (outbox.room - 1)]


cdef bint make_room(outbox_t* outbox) noexcept nogil:
    cdef uint32_t room = 2 * outbox.room if outbox.entries != NULL else <uint32_t>FIRST_ROOM
    cdef entry_t* entries = <entry_t*>malloc(room * sizeof(entry_t))
    cdef uint32_t i
    if entries == NULL:
        return False
    for i in range(outbox.n):
        entries[i] = entry_at(outbox, i)[0]
    free(outbox.entries)
    outbox.entries, outbox.room, outbox.first = entries, room, 0
    return True


cdef void forget_first(outbox_t* outbox) noexcept nogil:
    cdef block_t* block = entry_at(outbox, 0).block
    outbox.n_unsent -= block.size - outbox.n_sent
    outbox.n_sent = 0
    outbox.first += 1
    outbox.n -= 1
    block_drop(block)
    if outbox.n == 0:           # an idle socket owns no memory
        free(outbox.entries)
        outbox.entries = NULL
        outbox.first = 0


cdef bint outbox_put(outbox_t* outbox, block_t* block) noexcept nogil:
    cdef spool_t* spool = outbox.spool
    cdef entry_t* entry
    if outbox.n == (outbox.room if outbox.entries != NULL else 1) and not make_room(outbox):
        return False
    entry = entry_at(outbox, outbox.n)
    entry.block, entry.at_ms = block, <uint32_t>spool.loop.now_ms
    block.refs += 1
    outbox.n += 1
    outbox.n_unsent += block.size
    spool.n_frames += 1
    if spool.queued_us != spool.loop.now_us:
        spool.queued_us = spool.loop.now_us
        spool.n_turns += 1
    if not outbox.spooled:
        outbox.spooled = True
        outbox.next = NULL
        spool.n_spooled += 1
        if spool.first == NULL:
            spool.first = outbox
            loop_defer(spool.loop, &spool.flushing)
        else:
            spool.last.next = outbox
        spool.last = outbox
    return True


cdef Py_ssize_t outbox_flush(outbox_t* outbox) noexcept nogil:
    cdef entry_t* entry
    cdef Py_ssize_t n
    if outbox.stream.unsent != NULL:        # what was sent before we took over
        n = stream_flush(outbox.stream)
        if n:
            return n if n < 0 else <Py_ssize_t>outbox.n_unsent + n
    while outbox.n and outbox.stream.writable:
        if outbox.n == 1:
            entry = entry_at(outbox, 0)
            n = stream_try(outbox.stream, entry.block.data + outbox.n_sent, entry.block.size - outbox.n_sent)
        else:
            n = send_several(outbox)
        if n < 0:
            return STREAM_FAILED
        have_left(outbox, <size_t>n)
    return outbox.n_unsent


cdef void have_left(outbox_t* outbox, size_t n) noexcept nogil:
    """The kernel took so many bytes."""
    cdef uint32_t rest
    outbox.spool.n_sends += 1
    outbox.spool.n_bytes += n
    while n:
        rest = entry_at(outbox, 0).block.size - outbox.n_sent
        if n < rest:
            outbox.n_sent += <uint32_t>n
            outbox.n_unsent -= <uint32_t>n
            break
        n -= rest
        forget_first(outbox)


cdef Py_ssize_t send_several(outbox_t* outbox) noexcept nogil:
    cdef iovec parts[MAX_PARTS]
    cdef uint8_t* together = outbox.spool.loop.inbox
    cdef entry_t* entry
    cdef uint8_t* data
    cdef uint32_t i, n = min(outbox.n, <uint32_t>MAX_PARTS), size, skipped = outbox.n_sent
    cdef size_t total = 0
    if outbox.n_unsent <= GATHER_BYTES:
        n = outbox.n
    for i in range(n):
        entry = entry_at(outbox, i)
        data, size = entry.block.data + skipped, entry.block.size - skipped
        skipped = 0
        if outbox.n_unsent <= GATHER_BYTES:
            memcpy(together + total, data, size)
        else:
            parts[i].iov_base, parts[i].iov_len = data, size
        total += size
    if outbox.n_unsent <= GATHER_BYTES:
        return stream_try(outbox.stream, together, total)
    return stream_try_parts(outbox.stream, parts, n, total)


cdef void outbox_trim(outbox_t* outbox) noexcept nogil:
    cdef entry_t begun
    cdef bint has_begun = outbox.n_sent > 0
    cdef uint32_t n_sent = outbox.n_sent
    if outbox.n == 0:
        return
    begun = entry_at(outbox, 0)[0]
    begun.block.refs += 1
    outbox_clear(outbox)
    if has_begun:
        outbox.one = begun
        outbox.n = 1
        outbox.n_sent, outbox.n_unsent = n_sent, begun.block.size - n_sent
    else:
        block_drop(begun.block)


cdef bint outbox_hand_over(outbox_t* outbox) noexcept nogil:
    cdef entry_t* entry
    while outbox.n:
        entry = entry_at(outbox, 0)
        if stream_put(outbox.stream, entry.block.data + outbox.n_sent, entry.block.size - outbox.n_sent) < 0:
            return False
        forget_first(outbox)
    return True


cdef void outbox_clear(outbox_t* outbox) noexcept nogil:
    while outbox.n:
        forget_first(outbox)


cdef int64_t outbox_age_ms(const outbox_t* outbox) noexcept nogil:
    if outbox.n == 0:
        return 0
    return <uint32_t>(<uint32_t>outbox.spool.loop.now_ms - entry_at(<outbox_t*>outbox, 0).at_ms)


# -------------------------------------------------------------------------------------------------------------- spool

cdef int spool_open(spool_t* spool, loop_t* loop, int64_t spacing_us, bint by_ring) noexcept nogil:
    memset(spool, 0, sizeof(spool_t))
    spool.loop, spool.spacing_us = loop, spacing_us
    spool.flushing.run = on_turn_end
    spool.timer.on_events = on_rested
    spool.timer.rank = RANK_CLIENT
    spool.timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
    if spool.timer.fd < 0:
        return -errno
    spool.batch = <outbox_t**>calloc(RING_SENDS, sizeof(outbox_t*))
    if spool.batch != NULL and by_ring:
        uring_open(&spool.ring, RING_SENDS)     # without one, all goes as it always did
    return loop_add(loop, &spool.timer, EPOLLIN)


cdef void spool_close(spool_t* spool) noexcept nogil:
    if spool.timer.fd >= 0:
        close(spool.timer.fd)           # the loop may be gone already, and its epoll set with it
        spool.timer.fd = -1
    uring_close(&spool.ring)
    free(spool.batch)
    spool.batch = NULL


cdef void on_turn_end(Deferred* deferred) noexcept nogil:
    cdef spool_t* spool = <spool_t*>(<char*>deferred - (<size_t>&(<spool_t*><size_t>4096).flushing - 4096))
    cdef itimerspec when
    cdef int64_t rest_us = spool.rest_until_us - spool.loop.now_us
    if rest_us <= 0:
        pass_over(spool)
        return
    spool.waited = True
    if not spool.armed:
        memset(&when, 0, sizeof(when))
        when.it_value.tv_nsec = min(rest_us, <int64_t>999_999) * 1000
        timerfd_settime(spool.timer.fd, 0, &when, NULL)
        spool.armed = True


cdef void on_rested(Source* source, uint32_t events) noexcept nogil:
    cdef spool_t* spool = <spool_t*>(<char*>source - (<size_t>&(<spool_t*><size_t>4096).timer - 4096))
    cdef uint64_t n
    read(source.fd, &n, sizeof(n))
    spool.armed = False
    spool.rest_until_us = 0
    loop_defer(spool.loop, &spool.flushing)     # behind what this turn still brings


cdef void pass_over(spool_t* spool) noexcept nogil:
    cdef outbox_t* outbox = spool.first
    cdef outbox_t* next
    cdef uint32_t n = spool.n_spooled
    spool.first = spool.last = NULL
    spool.n_spooled = 0
    if n >= BUSY_SENDS and spool.ring.is_open:
        pass_by_ring(spool, outbox)
    else:
        while outbox != NULL:
            next = outbox.next
            outbox.spooled = False
            flush_now(outbox)
            outbox = next
    if n >= BUSY_SENDS:
        rest(spool)
    spool.n_turns = 0
    spool.waited = False


cdef void rest(spool_t* spool) noexcept nogil:
    """Hold back what comes next, unless that lately gained nothing: then it is tried more and more rarely."""
    if spool.n_turns > 1:
        spool.n_skips = spool.n_skipped = 0
    elif spool.waited:
        spool.n_skips = min(2 * spool.n_skips + 1, <uint32_t>MOST_SKIPS)
        spool.n_skipped = 0
    if spool.n_skipped < spool.n_skips:
        spool.n_skipped += 1
        return
    loop_read_clocks(spool.loop)
    spool.rest_until_us = spool.loop.now_us + spool.spacing_us


cdef void flush_now(outbox_t* outbox) noexcept nogil:
    outbox.spool.on_flushed(outbox, STREAM_FAILED if outbox.stream == NULL else outbox_flush(outbox))


cdef void pass_by_ring(spool_t* spool, outbox_t* outbox) noexcept nogil:
    cdef uint8_t* together = spool.loop.scratch     # what several blocks were put together in
    cdef uint8_t* data = together
    cdef uint32_t n_together = 0, i
    cdef outbox_t* next
    cdef outbox_t* last = NULL                      # whose blocks lie at `data`
    cdef entry_t* entry
    while outbox != NULL:
        next = outbox.next
        outbox.spooled = False
        if not spool.ring.is_open or outbox.stream == NULL or outbox.n == 0 or outbox.stream.unsent != NULL \
                or not outbox.stream.writable or outbox.stream.source.fd < 0 or (outbox.n > 1 and outbox.n_unsent > GATHER_BYTES):
            flush_now(outbox)
            outbox = next
            continue
        if spool.ring.n == spool.ring.room or (outbox.n > 1 and n_together + outbox.n_unsent > SCRATCH_BYTES):
            run_ring(spool)
            n_together = 0
            last = NULL
            continue                        # this one again: a ring that failed is closed by now
        if outbox.n == 1:
            entry = entry_at(outbox, 0)
            add_to_ring(spool, outbox, entry.block.data + outbox.n_sent)
        else:
            if last == NULL or not is_alike(outbox, last):
                data = together + n_together
                for i in range(outbox.n):
                    entry = entry_at(outbox, i)
                    memcpy(together + n_together, entry.block.data + (outbox.n_sent if i == 0 else 0),
                           entry.block.size - (outbox.n_sent if i == 0 else 0))
                    n_together += entry.block.size - (outbox.n_sent if i == 0 else 0)
                last = outbox
            add_to_ring(spool, outbox, data)
        outbox = next
    if spool.ring.is_open:
        run_ring(spool)


cdef bint is_alike(outbox_t* outbox, outbox_t* other) noexcept nogil:
    """Do both wait for the same bytes? Who sits in the same channels does."""
    cdef uint32_t i
    if outbox.n != other.n or outbox.n_sent != other.n_sent:
        return False
    for i in range(outbox.n):
        if entry_at(outbox, i).block != entry_at(other, i).block:
            return False
    return True


cdef void add_to_ring(spool_t* spool, outbox_t* outbox, const uint8_t* data) noexcept nogil:
    spool.batch[spool.ring.n] = outbox
    uring_add(&spool.ring, outbox.stream.source.fd, data, outbox.n_unsent, spool.ring.n)


cdef void run_ring(spool_t* spool) noexcept nogil:
    cdef uint32_t n = spool.ring.n, tag, i
    cdef int result
    cdef bint done = uring_run(&spool.ring)
    cdef outbox_t* outbox
    while uring_next(&spool.ring, &tag, &result):
        outbox = spool.batch[tag]
        spool.batch[tag] = NULL
        if result == -EINTR:
            flush_now(outbox)           # no edge will come for what was never tried
            continue
        if result == -EAGAIN:
            result = 0
        if result < 0:
            outbox.stream.hung = outbox.stream.readable = True      # what the peer said before it left may still be read
            spool.on_flushed(outbox, STREAM_FAILED)
            continue
        if <uint32_t>result < outbox.n_unsent:
            outbox.stream.writable = False
        have_left(outbox, <size_t>result)
        spool.on_flushed(outbox, outbox.n_unsent)
    if done:
        return
    uring_close(&spool.ring)
    for i in range(n):
        if spool.batch[i] != NULL:
            flush_now(spool.batch[i])


# -------------------------------------------------------------------------------------------------------- for Python code

cdef class Block:
    """One message as a frame, made once to be sent to many: `socket.send_shared(block)`."""

    def __cinit__(self, message, *, bint text=False):
        """Of a str a text message, of bytes a binary one, unless they are UTF-8 and `text`."""
        cdef uint8_t opcode = OP_TEXT if text or isinstance(message, str) else OP_BINARY
        cdef bytes data = message.encode() if isinstance(message, str) else bytes(memoryview(message))
        self.c = block_make(FIN | opcode, data, len(data))
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.c != NULL:
            block_drop(self.c)
