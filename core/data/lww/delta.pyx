"""Deltas: cells as bytes, checked before anything of them is used.

delta = "LWWD" u8 1 u8 bias u16 0 u64 count, cells, u32 CRC-32C of all before; big-endian. Merging looks twice at each
cell: once to know that all are sound, so that a damaged delta changes nothing, and once to apply it.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from hotpath.core.data.epochs cimport enter, leave, renew, seat_t
from hotpath.core.data.lww.stamp cimport Stamp, stamp_of
from hotpath.core.data.lww.table cimport (
    APPLIED,
    ENTRY_HEAD,
    IGNORED,
    LAST_HLC,
    N_BUCKETS,
    N_SHARDS,
    NO_MEMORY,
    STALE,
    cell_t,
    entry_t,
    table_count_ignored,
    table_find,
    table_merge,
    table_observe,
    table_place,
    table_prefetch_cell,
    table_prefetch_slot,
    table_t,
    table_visit,
)

from hotpath.core.errors import BiasMismatch, Damaged

cdef extern from "../crc32c.h" nogil:
    uint32_t crc32c(uint32_t value, const uint8_t* data, size_t size)

cdef extern from "../atomics.h" nogil:
    uint64_t acquire_word(const uint64_t* word)

cdef extern from "cell.h" nogil:
    Py_ssize_t entry_read(const uint8_t* p, const uint8_t* end, entry_t* entry)
    size_t cell_write(const cell_t* cell, uint8_t* out)
    int entry_order(const entry_t* entry, const cell_t* cell, uint8_t preferred_live)
    bint name_is_sound(uint64_t name)
    uint32_t read_u32(const uint8_t* p)
    uint64_t read_u64(const uint8_t* p)
    void write_u16(uint8_t* p, uint16_t n)
    void write_u32(uint8_t* p, uint32_t n)
    void write_u64(uint8_t* p, uint64_t n)

cdef enum:
    AHEAD = 16                  # entries between asking for a slot, for the cell in it, and looking at it: memory's latency
    RENEW = 256                 # cells after which what was replaced may be used again: while it is still in the cache

BIASES = ("remove", "add")      # by the byte that stands for it


cdef uint8_t* bytes_grow(bytes_t* out, size_t n) noexcept nogil:
    cdef size_t room = out.room
    cdef uint8_t* more
    if out.size + n > room:
        room = 2 * (out.size + n) if room < 1 << 24 else out.size + n + room // 4
        more = <uint8_t*>realloc(out.data, room)
        if more == NULL:
            out.failed = True
            return NULL
        out.data, out.room = more, room
    out.size += n
    return out.data + out.size - n

cdef bytes take_bytes(bytes_t* out):
    try:
        if out.failed:
            raise MemoryError("no room for what was asked for")
        return PyBytes_FromStringAndSize(<const char*>out.data, out.size)
    finally:
        free(out.data)
        out.data = NULL

cdef void delta_begin(bytes_t* out, uint8_t bias) noexcept nogil:
    cdef uint8_t* head = bytes_grow(out, DELTA_HEAD)
    if head != NULL:
        memcpy(head, <const char*>b"LWWD\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", DELTA_HEAD)
        head[5] = bias

cdef int delta_add(bytes_t* out, const cell_t* cell) noexcept nogil:
    cdef uint8_t* to = bytes_grow(out, ENTRY_HEAD + <size_t>cell.key_size + cell.payload_size)
    if to == NULL:
        return -1
    cell_write(cell, to)
    write_u64(out.data + 8, read_u64(out.data + 8) + 1)
    return 0

cdef void delta_end(bytes_t* out) noexcept nogil:
    cdef uint8_t* tail = bytes_grow(out, DELTA_TAIL)
    if not out.failed:
        write_u32(tail, crc32c(0, out.data, out.size - DELTA_TAIL))

cdef int delta_check(const uint8_t* data, size_t size, uint8_t bias, delta_t* delta) noexcept nogil:
    cdef entry_t entry
    cdef Py_ssize_t step
    cdef uint64_t i, name = 0
    cdef const uint8_t* p
    if size < DELTA_HEAD + DELTA_TAIL or memcmp(data, <const char*>b"LWWD\x01", 5) != 0 or data[5] > 1 \
            or data[6] != 0 or data[7] != 0:
        return BROKEN
    p = data + DELTA_HEAD
    delta.cells, delta.end, delta.n = p, data + size - DELTA_TAIL, read_u64(data + 8)
    delta.least_hlc, delta.greatest_hlc = UINT64_MAX, 0
    if crc32c(0, data, size - DELTA_TAIL) != read_u32(delta.end):
        return BROKEN
    for i in range(delta.n):
        step = entry_read(p, delta.end, &entry)
        if step < 0:
            return BROKEN
        if entry.replica != name or i == 0:         # most are of the same as the one before
            if not name_is_sound(entry.replica):
                return BROKEN
            name = entry.replica
        delta.least_hlc = min(delta.least_hlc, entry.hlc)
        delta.greatest_hlc = max(delta.greatest_hlc, entry.hlc)
        p += step
    if p != delta.end:
        return BROKEN
    return OTHER_BIAS if data[5] != bias else SOUND

# The entries of a sound delta, one by one, those that follow already on their way into the cache: first the slot of each,
# and AHEAD entries later, when that has come, the cell in it.
cdef struct reader_t:
    table_t* table
    const uint8_t* p            # borrowed from the delta
    const uint8_t* end
    uint64_t left               # entries not read yet
    uint64_t n_read
    uint64_t n_fetched          # whose cells were asked for
    uint64_t n_taken
    entry_t entries[4 * AHEAD]

cdef void start_reading(reader_t* reader, table_t* table, const delta_t* delta) noexcept nogil:
    reader.table, reader.p, reader.end, reader.left = table, delta.cells, delta.end, delta.n
    reader.n_read = reader.n_fetched = reader.n_taken = 0

cdef entry_t* next_entry(reader_t* reader) noexcept nogil:
    """NULL: that was the last one."""
    cdef entry_t* entry
    while reader.left and reader.n_read - reader.n_taken < 3 * AHEAD:
        entry = &reader.entries[reader.n_read % (4 * AHEAD)]
        reader.p += entry_read(reader.p, reader.end, entry)
        entry.place = table_place(reader.table, entry.key, entry.key_size)
        table_prefetch_slot(reader.table, entry.place)
        reader.n_read += 1
        reader.left -= 1
    while reader.n_fetched < reader.n_read and reader.n_fetched - reader.n_taken < 2 * AHEAD:
        table_prefetch_cell(reader.table, reader.entries[reader.n_fetched % (4 * AHEAD)].place)
        reader.n_fetched += 1
    if reader.n_taken == reader.n_read:
        return NULL
    entry = &reader.entries[reader.n_taken % (4 * AHEAD)]
    reader.n_taken += 1
    return entry

cdef void count_outcome(tally_t* tally, int outcome) noexcept nogil:
    if outcome == APPLIED:
        tally.applied += 1
    elif outcome == IGNORED:
        tally.ignored += 1
    else:
        tally.stale += 1

cdef int delta_merge(table_t* table, const delta_t* delta, tally_t* tally) noexcept nogil:
    cdef reader_t reader
    cdef entry_t* entry
    cdef int outcome, status = 0
    cdef seat_t* seat
    tally.applied = tally.ignored = tally.stale = 0
    if delta.n == 0:
        return 0
    seat = enter()
    if seat == NULL:
        return -1
    # First the clock: whoever sees one of these cells then writes above it.
    table_observe(table, delta.greatest_hlc)
    start_reading(&reader, table, delta)
    while True:
        entry = next_entry(&reader)
        if entry == NULL:
            break
        outcome = table_merge(table, seat, entry)
        if outcome == NO_MEMORY:
            status = -1
            break
        count_outcome(tally, outcome)
        if reader.n_taken % RENEW == 0:
            renew(seat)
    table_count_ignored(table, seat, tally.ignored, tally.stale)
    leave(seat)
    return status

cdef int delta_winners(table_t* table, const delta_t* delta, uint8_t bias, bytes_t* out, tally_t* tally) noexcept nogil:
    cdef reader_t reader
    cdef entry_t* entry
    cdef const cell_t* there
    cdef uint8_t* to
    cdef size_t size
    cdef int outcome
    cdef seat_t* seat = enter()
    if seat == NULL:
        return -1
    tally.applied = tally.ignored = tally.stale = 0
    delta_begin(out, bias)
    start_reading(&reader, table, delta)
    while not out.failed:
        entry = next_entry(&reader)
        if entry == NULL:
            break
        there = table_find(table, entry.key, entry.key_size, entry.place)
        if there == NULL:
            outcome = STALE if entry.hlc <= acquire_word(&table.floor) else APPLIED
        else:
            outcome = APPLIED if entry_order(entry, there, table.preferred_live) > 0 else IGNORED
        count_outcome(tally, outcome)
        if outcome == APPLIED:
            size = ENTRY_HEAD + <size_t>entry.key_size + entry.payload_size
            to = bytes_grow(out, size)
            if to != NULL:
                memcpy(to, entry.key - ENTRY_HEAD, size)
        if reader.n_taken % RENEW == 0:
            renew(seat)
    leave(seat)
    if not out.failed:
        write_u64(out.data + 8, tally.applied)
    delta_end(out)
    return -1 if out.failed else 0

cdef struct picking_t:
    const uint8_t* wanted
    bytes_t* out

cdef int add_wanted(void* context, const cell_t* cell) noexcept nogil:
    cdef picking_t* picking = <picking_t*>context
    if picking.wanted == NULL or picking.wanted[cell.bucket]:
        return delta_add(picking.out, cell)
    return 0

cdef int delta_of_table(table_t* table, const uint8_t* wanted, uint8_t bias, bytes_t* out) noexcept nogil:
    cdef picking_t picking
    cdef int shard
    cdef seat_t* seat = enter()
    if seat == NULL:
        return -1
    picking.wanted, picking.out = wanted, out
    delta_begin(out, bias)
    for shard in range(N_SHARDS):
        if out.failed or table_visit(table, shard, add_wanted, &picking) != 0:
            break
        renew(seat)
    leave(seat)
    delta_end(out)
    return -1 if out.failed else 0


cdef bytes still(data):
    if type(data) is bytes:
        return data
    return bytes(memoryview(data))

cdef uint8_t bias_byte(str bias) except 255:
    if bias not in BIASES:
        raise ValueError(f"bias {bias!r}; allowed: add, remove")
    return BIASES.index(bias)

cdef int walk(const uint8_t[::1] delta, delta_t* found) except -1:
    """A sound delta of either bias. Raises Damaged."""
    cdef size_t size = delta.shape[0]
    if size < DELTA_HEAD or delta_check(&delta[0], size, delta[5], found) != SOUND:
        raise Damaged("no delta, or not as it was made")
    return 0

def split(const uint8_t[::1] delta not None):
    """The encoded cells of a delta, in its order. Raises Damaged."""
    cdef delta_t found
    cdef entry_t entry
    cdef Py_ssize_t step
    cdef list cells = []
    walk(delta, &found)
    while found.cells < found.end:
        step = entry_read(found.cells, found.end, &entry)
        cells.append(PyBytes_FromStringAndSize(<const char*>found.cells, step))
        found.cells += step
    return cells

def bundle(cells, str bias):
    """A delta of encoded cells. Raises Damaged when one of them is none."""
    cdef bytes_t out
    cdef entry_t entry
    cdef bytes cell
    cdef const uint8_t* p
    cdef uint8_t* to
    cdef uint64_t n = 0
    out.data, out.size, out.room, out.failed = NULL, 0, 0, False
    try:
        delta_begin(&out, bias_byte(bias))
        for cell in cells:
            p = cell
            if entry_read(p, p + len(cell), &entry) != len(cell) or not name_is_sound(entry.replica):
                raise Damaged("no cell, or not as it was made")
            to = bytes_grow(&out, len(cell))
            if to != NULL:
                memcpy(to, p, len(cell))
            n += 1
        if not out.failed:
            write_u64(out.data + 8, n)
        delta_end(&out)
        return take_bytes(&out)
    finally:
        free(out.data)

def records(const uint8_t[::1] delta not None):
    """The cells of a delta as records of a journal: u32 length, u32 CRC-32C, cell. Raises Damaged."""
    cdef bytes_t out
    cdef delta_t found
    cdef entry_t entry
    cdef Py_ssize_t step
    cdef uint8_t* to
    walk(delta, &found)
    out.data, out.size, out.room, out.failed = NULL, 0, 0, False
    while found.cells < found.end and not out.failed:
        step = entry_read(found.cells, found.end, &entry)
        to = bytes_grow(&out, 8 + step)
        if to != NULL:
            write_u32(to, <uint32_t>step)
            write_u32(to + 4, crc32c(0, found.cells, step))
            memcpy(to + 8, found.cells, step)
        found.cells += step
    return take_bytes(&out)

def parse(const uint8_t[::1] cell not None):
    """(key, stamp, live, payload) of an encoded cell. Raises Damaged."""
    cdef entry_t entry
    cdef Py_ssize_t size = cell.shape[0]
    if size == 0 or entry_read(&cell[0], &cell[0] + size, &entry) != size or not name_is_sound(entry.replica):
        raise Damaged("no cell, or not as it was made")
    return (PyBytes_FromStringAndSize(<const char*>entry.key, entry.key_size), stamp_of(entry.hlc, entry.replica),
            bool(entry.live), PyBytes_FromStringAndSize(<const char*>entry.payload, entry.payload_size))

def encode(const uint8_t[::1] key not None, Stamp stamp, bint live, const uint8_t[::1] payload not None):
    """The cell's bytes. Raises ValueError for what no cell can hold."""
    cdef Py_ssize_t klen = key.shape[0], plen = payload.shape[0]
    cdef bytes cell
    cdef uint8_t* to
    if klen > 65535 or plen > 0xffffffff:
        raise ValueError("a key has up to 65,535 bytes, a payload up to 2**32 - 1")
    if (live and (plen == 0 or payload[0] > 1)) or (not live and plen):
        raise ValueError("a live payload begins with 0 or 1, a tombstone's is empty")
    if stamp.hlc > LAST_HLC:
        raise ValueError(f"no clock could follow {stamp}")
    cell = PyBytes_FromStringAndSize(NULL, ENTRY_HEAD + klen + plen)
    to = cell
    write_u64(to, stamp.hlc)
    write_u64(to + 8, stamp.name)
    to[16] = live
    write_u16(to + 17, <uint16_t>klen)
    write_u32(to + 19, <uint32_t>plen)
    if klen:
        memcpy(to + ENTRY_HEAD, &key[0], klen)
    if plen:
        memcpy(to + ENTRY_HEAD + klen, &payload[0], plen)
    return cell

def differing(one, other):
    """The buckets in which two digests differ, ascending. Raises Damaged, BiasMismatch."""
    cdef bytes first = digest_of(one), second = digest_of(other)
    cdef const uint8_t* ours = first
    cdef const uint8_t* theirs = second
    if ours[5] != theirs[5]:
        raise BiasMismatch("the digests are of different bias")
    return [i for i in range(N_BUCKETS) if memcmp(ours + 16 + 8 * i, theirs + 16 + 8 * i, 8) != 0]

cdef bytes digest_of(data):
    cdef bytes digest = still(data)
    if len(digest) != DIGEST_BYTES or not digest.startswith((b"LWWG\1\0\0\0", b"LWWG\1\1\0\0")):
        raise Damaged("no digest, or not as it was made")
    return digest
