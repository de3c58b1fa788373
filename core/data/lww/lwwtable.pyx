"""LWWTable: a dictionary whose every key is its greatest write, merged without the GIL.

Single operations keep the GIL, which makes each of them atomic beside other Python threads; what walks over many cells
releases it. Either way readers never wait, and writers only while their own shard grows.
"""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from posix.time cimport clock_gettime, clockid_t, timespec

from hotpath.core.data.epochs cimport enter, leave, seat_t, synchronize
from hotpath.core.data.lww.delta cimport (
    DIGEST_BYTES,
    OTHER_BIAS,
    SOUND,
    bytes_grow,
    bytes_t,
    delta_check,
    delta_merge,
    delta_of_table,
    delta_t,
    delta_winners,
    still,
    take_bytes,
    tally_t,
)
from hotpath.core.data.lww.page cimport page_of
from hotpath.core.data.lww.prints cimport fingerprints_of, missing_by, picked
from hotpath.core.data.lww.stamp cimport Stamp, name_of, replica_of, stamp_of
from hotpath.core.data.lww.table cimport (
    ABSENT,
    ADD,
    APPLIED,
    CLOCK_ENDS,
    ENTRY_HEAD,
    JSON,
    LAST_HLC,
    LIVE,
    MISMATCH,
    N_APPLIED,
    N_BUCKETS,
    N_BYTES,
    N_IGNORED,
    N_LIVE,
    N_OVERWRITTEN,
    N_SHARDS,
    N_STALE,
    N_TOMBSTONES,
    PUT,
    RAW,
    REMOVE,
    REPLACE,
    TAGGED,
    cell_t,
    entry_t,
    table_collect,
    table_count,
    table_find,
    table_free,
    table_make,
    table_observe,
    table_place,
    table_prefetch_cell,
    table_prefetch_slot,
    table_sums,
    table_t,
    table_tick,
    table_visit,
    table_write,
    wish_t,
)
from hotpath.core.data.lww.value cimport decoded, pack, plain_of, value_of

import os

from hotpath.core.data.lww.delta import BIASES, bundle, differing, encode, parse, split
from hotpath.core.data.lww.entry import Cell
from hotpath.core.errors import BiasMismatch, Damaged, KeyExists, StampMismatch

cdef extern from "<time.h>" nogil:
    clockid_t CLOCK_REALTIME_COARSE

cdef extern from "../atomics.h" nogil:
    uint64_t acquire_word(const uint64_t* word)

cdef extern from "cell.h" nogil:
    const uint8_t* cell_key(const cell_t* cell)
    const uint8_t* cell_payload(const cell_t* cell)
    size_t cell_write(const cell_t* cell, uint8_t* out)
    uint16_t read_u16(const uint8_t* p)
    uint32_t read_u32(const uint8_t* p)
    uint64_t read_u64(const uint8_t* p)
    void write_u16(uint8_t* p, uint16_t n)
    void write_u32(uint8_t* p, uint32_t n)
    void write_u64(uint8_t* p, uint64_t n)

cdef enum:
    MANY = 64                   # cells: from here on letting go of the GIL costs less than others' waiting

cdef dict KINDS = {"add": ADD, "replace": REPLACE, "put": PUT, "remove": REMOVE}


# The bytes of a key, and what keeps them alive.
cdef struct key_t:
    const uint8_t* data
    uint16_t size
    uint32_t place

cdef uint64_t host_ms() noexcept nogil:
    cdef timespec now
    # Its steps of some milliseconds only leave more to the count, and it costs a third.
    clock_gettime(CLOCK_REALTIME_COARSE, &now)
    return <uint64_t>now.tv_sec * 1000 + now.tv_nsec // 1_000_000

cdef int add_key(void* context, const cell_t* cell) noexcept nogil:
    """u16 size, key; of the live ones."""
    cdef uint8_t* to
    if cell.live:
        to = bytes_grow(<bytes_t*>context, 2 + <size_t>cell.key_size)
        if to == NULL:
            return -1
        write_u16(to, cell.key_size)
        memcpy(to + 2, cell_key(cell), cell.key_size)
    return 0


cdef class LWWTable:
    """A last-write-wins dictionary: `str` or `bytes` keys in one key space, values of bytes or JSON.

    Tables of equal bias that saw the same writes are equal, in whatever order, however often they saw them. Every method
    may be called from any thread. A table does not outlive a fork in which another thread was writing.
    """

    cdef table_t* table         # owned
    cdef uint64_t name          # never 0: no delta would be sound
    cdef uint8_t bias_
    cdef bint made
    cdef object wall_ms

    def __cinit__(self, *args, **kwargs):
        cdef bytes secret = os.urandom(16)
        self.name, self.bias_ = name_of("a"), True      # of a subclass that does not call our __init__
        self.table = table_make(self.bias_, <uint64_t*><char*>secret)
        if self.table == NULL:
            raise MemoryError("no room for a table")

    def __init__(self, str replica="a", *, str bias="add", wall_ms=None):
        """`replica`: whose name the writes bear that enter here. `bias`: which kind wins of writes with equal hlc.

        `wall_ms`: the wall clock, milliseconds since 1970; without one, this host's. Raises ValueError.
        """
        cdef uint64_t name = name_of(replica)
        if bias not in BIASES:
            raise ValueError(f"bias {bias!r}; allowed: add, remove")
        if self.made or table_count(self.table, N_APPLIED):
            raise RuntimeError("a table keeps its name and its bias")
        self.made = True
        self.name = name
        self.bias_ = self.table.preferred_live = BIASES.index(bias)
        self.wall_ms = wall_ms

    def __dealloc__(self):
        if self.table != NULL:
            table_free(self.table)

    @property
    def replica(self):
        """The name that writes bear which enter here."""
        return replica_of(self.name)

    @property
    def bias(self):
        """`add` or `remove`: which kind wins of two writes with equal hlc."""
        return BIASES[self.bias_]

    # Keys, and what is under them.

    cdef object take_key(self, object key, key_t* out):
        """Fill `out`; it lives as long as the answer."""
        cdef Py_ssize_t size
        cdef object owner = key
        if isinstance(key, str):
            try:
                out.data = <const uint8_t*>PyUnicode_AsUTF8AndSize(key, &size)
            except UnicodeEncodeError:      # what bytes became that are no UTF-8
                owner = key.encode("utf-8", "surrogateescape")
                out.data = <const uint8_t*>PyBytes_AsString(owner)
                size = len(<bytes>owner)
        elif isinstance(key, bytes):
            out.data = <const uint8_t*>PyBytes_AsString(key)
            size = len(<bytes>key)
        else:
            raise TypeError(f"a key is a str or bytes, not a {type(key).__name__}")
        if size > 65535:
            raise ValueError(f"a key has up to 65,535 bytes, not {size:,}")
        out.size = <uint16_t>size
        out.place = table_place(self.table, out.data, size)
        return owner

    cdef uint64_t now_ms(self) except? 0:
        return host_ms() if self.wall_ms is None else self.wall_ms()

    cdef object settle(self, int kind, object key, int tag, const uint8_t* payload, size_t size, Stamp expect, bint encoded):
        """One local write: its stamp, or its cell's bytes when `encoded`."""
        cdef key_t at
        cdef entry_t entry
        cdef wish_t wish
        cdef const cell_t* found = NULL
        cdef object owner = self.take_key(key, &at)
        cdef bint by_host = self.wall_ms is None, is_live = False
        cdef Stamp stamp = stamp_of(0, self.name)
        cdef bytes cell = None
        cdef uint8_t* to = NULL
        cdef uint64_t live_hlc = 0, live_name = 0
        cdef seat_t* seat
        cdef int outcome
        if size > 0xfffffffe:
            raise ValueError("a value has up to 4 GiB")
        entry.replica, entry.key, entry.key_size, entry.place = self.name, at.data, at.size, at.place
        entry.payload, entry.payload_size, entry.tag, entry.live = payload, <uint32_t>size, <int8_t>tag, kind != REMOVE
        wish.kind, wish.expecting = kind, expect is not None
        if expect is not None:
            wish.expected_hlc, wish.expected_replica = expect.hlc, expect.name
        # Between enter and leave nothing fails and no Python code runs: neither a clock that somebody gave us, nor a
        # finalizer because memory was asked for. So what was written is always answered for.
        if encoded:
            cell = PyBytes_FromStringAndSize(NULL, ENTRY_HEAD + <Py_ssize_t>at.size + <Py_ssize_t>size)
            to = cell
        if not by_host:
            wish.wall_ms = self.wall_ms()
        seat = enter()
        if seat == NULL:
            raise MemoryError("no room for a thread")
        # What the write will look at is on its way while the clock is read.
        table_prefetch_slot(self.table, at.place)
        if by_host:
            wish.wall_ms = host_ms()
        table_prefetch_cell(self.table, at.place)
        outcome = table_write(self.table, seat, &entry, &wish, &found)
        if outcome == APPLIED:
            stamp.hlc = found.hlc
            if to != NULL:
                cell_write(found, to)
        elif found != NULL and found.live:
            is_live, live_hlc, live_name = True, found.hlc, found.replica
        leave(seat)
        if outcome == APPLIED:
            return cell if encoded else stamp
        if outcome == LIVE:
            raise KeyExists(key, stamp_of(live_hlc, live_name))
        if outcome == MISMATCH:
            raise StampMismatch(stamp_of(live_hlc, live_name) if is_live else None)
        if outcome == ABSENT:
            raise KeyError(key)
        if outcome == CLOCK_ENDS:
            raise OverflowError("the clock has seen its last stamp: no greater one exists")
        raise MemoryError("no room for a cell")

    cdef object store(self, int kind, object key, object value, Stamp expect):
        cdef bytes payload
        if type(value) is bytes:
            return self.settle(kind, key, RAW, <const uint8_t*><char*>(<bytes>value), len(<bytes>value), expect, False)
        payload = pack(value)
        return self.settle(kind, key, TAGGED, <const uint8_t*><char*>payload, len(payload), expect, False)

    def add(self, key, value):
        """Write a key that is not live; its stamp. Raises KeyExists, or TypeError or ValueError for what is no value."""
        return self.store(ADD, key, value, None)

    def replace(self, key, value, *, Stamp expect=None):
        """Write a key that is live; its stamp. Raises KeyError; StampMismatch if `expect` is given and not what is live."""
        return self.store(REPLACE, key, value, expect)

    def put(self, key, value, *, Stamp expect=None):
        """Write a key; its stamp. Raises StampMismatch if `expect` is given and not what is live."""
        return self.store(PUT, key, value, expect)

    def remove(self, key, *, Stamp expect=None):
        """Write a tombstone, also for a key never seen; its stamp. Raises StampMismatch as `put`."""
        return self.settle(REMOVE, key, TAGGED, NULL, 0, expect, False)

    def write(self, str op, bytes key not None, bytes payload not None=b"", *, Stamp expect=None):
        """`op` is add, replace, put or remove, of a payload as `pack` makes them; the bytes of the cell it wrote.

        Raises KeyExists, KeyError, StampMismatch, ValueError.
        """
        cdef object kind = KINDS.get(op)
        if kind is None:
            raise ValueError(f"{op!r} is no operation; allowed: {', '.join(KINDS)}")
        if (kind == REMOVE) != (len(payload) == 0) or (payload and payload[0] > JSON):
            raise ValueError("a payload begins with 0 (bytes) or 1 (JSON); a removal has none")
        return self.settle(kind, key, TAGGED, <const uint8_t*><char*>payload, len(payload), expect, True)

    cdef object view(self, object key, int what, object default):
        """What is under `key`: its value if `what` is 0, stamp 1, Cell 2, (stamp, tag, body) 3, whether it is live 4."""
        cdef key_t at
        cdef object owner = self.take_key(key, &at)
        cdef const cell_t* cell
        cdef const uint8_t* payload
        cdef uint64_t hlc, name
        cdef int tag = -1
        cdef object value = None
        cdef bytes body = b""
        cdef bint live
        cdef seat_t* seat = enter()
        if seat == NULL:
            raise MemoryError("no room for a thread")
        try:
            # As in `settle`: only copies are made here, of which no garbage collection comes.
            cell = table_find(self.table, at.data, at.size, at.place)
            if what == 4:
                return cell != NULL and cell.live
            if cell == NULL:
                return default
            hlc, name, live = cell.hlc, cell.replica, cell.live
            if live and what != 1:
                payload = cell_payload(cell)
                tag = payload[0]
                if what != 3:
                    value = plain_of(payload, cell.payload_size)
                if value is None:
                    body = PyBytes_FromStringAndSize(<const char*>payload + 1, cell.payload_size - 1)
        finally:
            leave(seat)
        if what == 1:
            return stamp_of(hlc, name)
        if what == 3:
            return stamp_of(hlc, name), tag, body
        if live and value is None:
            value = decoded(body)
        if what == 0:
            return value if live else default
        return Cell(PyBytes_FromStringAndSize(<const char*>at.data, at.size), stamp_of(hlc, name), live, value)

    def lookup(self, key, default=None):
        """The value of a live key, or `default`."""
        return self.view(key, 0, default)

    def get(self, key, default=None):
        """As `lookup`."""
        return self.view(key, 0, default)

    def stamp(self, key):
        """The stamp of the winning write, be it a value or a tombstone. None: never seen, or collected."""
        return self.view(key, 1, None)

    def cell(self, key):
        """The winning write as a Cell. None: never seen, or collected."""
        return self.view(key, 2, None)

    def read(self, bytes key not None):
        """(stamp, tag, body): tag 0 raw, 1 JSON, -1 a tombstone. None: never seen, or collected."""
        return self.view(key, 3, None)

    def __contains__(self, key):
        return isinstance(key, (str, bytes)) and self.view(key, 4, None)

    def __getitem__(self, key):
        value = self.view(key, 0, self)
        if value is self:
            raise KeyError(key)
        return value

    def __setitem__(self, key, value):
        self.store(PUT, key, value, None)

    def __delitem__(self, key):
        if not self.view(key, 4, None):
            raise KeyError(key)
        self.settle(REMOVE, key, TAGGED, NULL, 0, None, False)

    def __len__(self):
        return table_count(self.table, N_LIVE)

    def __iter__(self):
        return iter(self.live_keys())

    cdef list live_keys(self):
        """As `str`, of one moment for each shard."""
        cdef bytes_t out
        cdef const uint8_t* p
        cdef int shard
        cdef list keys = []
        cdef seat_t* seat
        out.data, out.size, out.room, out.failed = NULL, 0, 0, False
        with nogil:
            seat = enter()
            if seat != NULL:
                for shard in range(N_SHARDS):
                    table_visit(self.table, shard, add_key, &out)
                leave(seat)
        if seat == NULL:
            raise MemoryError("no room for a thread")
        try:
            if out.failed:
                raise MemoryError("no room for the keys")
            p = out.data
            while p < out.data + out.size:
                keys.append(PyUnicode_DecodeUTF8(<const char*>p + 2, read_u16(p), b"surrogateescape"))
                p += 2 + read_u16(p)
        finally:
            free(out.data)
        return keys

    def cells(self):
        """Every cell, tombstones too."""
        for encoded in split(self.delta()):
            yield cell_of(encoded)

    def page(self, bytes prefix not None, bytes after or None, Py_ssize_t limit):
        """The first `limit` live keys that begin with `prefix` and come after `after`, in byte order:
        (key, stamp, tag, body) of each. It looks at every cell, without the GIL."""
        return page_of(self.table, prefix, after, limit)

    # Merging.

    cdef int check(self, bytes delta, delta_t* found) except -1:
        cdef int verdict
        cdef const uint8_t* data = delta
        cdef size_t size = len(delta)
        with nogil:
            verdict = delta_check(data, size, self.bias_, found)
        if verdict == OTHER_BIAS:
            raise BiasMismatch(f"the delta's bias is {BIASES[1 - self.bias_]}, ours is {BIASES[self.bias_]}")
        if verdict != SOUND:
            raise Damaged("no delta, or not as it was made")
        return 0

    def examine(self, delta):
        """(cells, least hlc, greatest hlc) of a sound delta of our bias. Raises Damaged, BiasMismatch."""
        cdef delta_t found
        self.check(still(delta), &found)
        return found.n, found.least_hlc if found.n else 0, found.greatest_hlc

    def winning(self, delta):
        """(a delta of the cells that would win now, how many would be ignored, how many stale). Nothing changes.

        Raises Damaged, BiasMismatch.
        """
        cdef bytes data = still(delta)
        cdef delta_t found
        cdef tally_t tally
        cdef bytes_t out
        cdef int status
        self.check(data, &found)
        out.data, out.size, out.room, out.failed = NULL, 0, 0, False
        with nogil:
            status = delta_winners(self.table, &found, self.bias_, &out, &tally)
        out.failed = status != 0
        return take_bytes(&out), tally.ignored, tally.stale

    def merged(self, delta):
        """Merge a delta: how many cells were (applied, ignored, stale). Raises Damaged, BiasMismatch: nothing merged."""
        cdef bytes data = still(delta)
        cdef delta_t found
        cdef tally_t tally
        cdef int status
        self.check(data, &found)
        if found.n < MANY:
            status = delta_merge(self.table, &found, &tally)
        else:
            with nogil:
                status = delta_merge(self.table, &found, &tally)
        if status != 0:
            raise MemoryError("no room for all cells; merge it again")
        return tally.applied, tally.ignored, tally.stale

    def merge(self, other):
        """Merge a delta, or all of another table; how many cells won. Raises Damaged, BiasMismatch: nothing merged."""
        if isinstance(other, LWWTable):
            if (<LWWTable>other).bias_ != self.bias_:
                raise BiasMismatch(f"the other's bias is {other.bias}, ours is {self.bias}")
            other = other.delta()
        return self.merged(other)[0]

    def apply(self, cell):
        """Merge one Cell; whether it won. Raises ValueError for a cell that cannot be."""
        payload = pack(cell.value) if cell.live else b""
        return self.merged(bundle((encode(cell.key, cell.stamp, cell.live, payload),), self.bias))[0] == 1

    def delta(self, than=None):
        """All cells as bytes, or those in the buckets that differ from the digest `than`. Raises Damaged, BiasMismatch."""
        cdef uint8_t wanted[N_BUCKETS]
        cdef const uint8_t* choice = NULL
        cdef bytes_t out
        cdef int status
        if than is not None:
            memset(wanted, 0, N_BUCKETS)
            for bucket in differing(self.digest(), than):
                wanted[<int>bucket] = 1
            choice = wanted
        out.data, out.size, out.room, out.failed = NULL, 0, 0, False
        with nogil:
            status = delta_of_table(self.table, choice, self.bias_, &out)
        out.failed = status != 0
        return take_bytes(&out)

    # Digests, and what differs by them.

    def digest(self):
        """32 KiB that are equal when, and short of a collision of 64 bits only when, the cells are."""
        cdef bytes digest = PyBytes_FromStringAndSize(NULL, DIGEST_BYTES)
        cdef uint8_t* to = <uint8_t*><char*>digest
        cdef uint64_t sums[N_BUCKETS]
        cdef uint64_t root = 0
        cdef int i
        table_sums(self.table, sums)
        memcpy(to, <const char*>b"LWWG\x01\x00\x00\x00", 8)
        to[5] = self.bias_
        for i in range(N_BUCKETS):
            root += sums[i]
            write_u64(to + 16 + 8 * i, sums[i])
        write_u64(to + 8, root)
        return digest

    @property
    def root(self):
        """The digest in one 64-bit word."""
        cdef uint64_t sums[N_BUCKETS]
        cdef uint64_t root = 0
        table_sums(self.table, sums)
        for i in range(N_BUCKETS):
            root += sums[i]
        return root

    def synchronize(self):
        """Return once every operation that was under way in any thread has ended, or all it did so far is counted."""
        with nogil:
            synchronize()

    def fingerprints(self, buckets):
        """Of each bucket: u16 bucket, u32 n, n fingerprints of its cells, ascending u64s. Raises Damaged for no bucket."""
        return fingerprints_of(self.table, buckets)

    def missing(self, fingerprints, Py_ssize_t limit):
        """(a delta of what we have and the other lacks, the fingerprints that we lack, how many of its buckets were
        answered in whole). `fingerprints` is the other's; at least one bucket is answered, more until `limit` bytes.

        Raises Damaged.
        """
        return missing_by(self.table, self.bias_, still(fingerprints), limit)

    def pick(self, buckets, fingerprints):
        """A delta of our cells in these buckets that have one of these fingerprints (u64s). Raises Damaged."""
        return picked(self.table, self.bias_, buckets, still(fingerprints))

    # Tombstones, clock, counts.

    def collect(self, upto):
        """Drop the tombstones up to `upto`, an hlc or a Stamp; how many. Cells up to it are from now on stale if their key
        is absent. Call it only for what every replica has seen: what one has not seen it would bring back."""
        cdef uint64_t hlc = upto.hlc if isinstance(upto, Stamp) else upto
        cdef Py_ssize_t gone = -1
        cdef seat_t* seat
        if hlc > LAST_HLC:
            raise ValueError(f"no clock could follow {hlc}")
        with nogil:
            seat = enter()
            if seat != NULL:
                gone = table_collect(self.table, seat, hlc)
                leave(seat)
        if gone < 0:
            raise MemoryError("no room to collect in; some tombstones are left")
        return gone

    @property
    def floor(self):
        """The greatest hlc up to which tombstones were collected."""
        return acquire_word(&self.table.floor)

    @property
    def clock(self):
        """The last hlc: of this table's stamps and of all it saw."""
        return acquire_word(&self.table.clock)

    def wall(self):
        """The wall clock that stamps follow, in ms since 1970."""
        return self.now_ms()

    def tick(self):
        """A new hlc, above all seen. Raises OverflowError when there is none."""
        cdef uint64_t hlc = table_tick(self.table, self.now_ms())
        if hlc == 0:
            raise OverflowError("the clock has seen its last stamp: no greater one exists")
        return hlc

    def observe(self, uint64_t hlc):
        """From now on stamps are above `hlc`. Raises ValueError if there would be none."""
        if hlc > LAST_HLC:
            raise ValueError(f"no clock could follow {hlc}")
        table_observe(self.table, hlc)

    def stats(self):
        """`live`, `tombstones`, `bytes` of keys and values; cells `applied`, `ignored`, `stale`; `overwritten` live values."""
        return {
            "live": table_count(self.table, N_LIVE), "tombstones": table_count(self.table, N_TOMBSTONES),
            "bytes": table_count(self.table, N_BYTES), "applied": table_count(self.table, N_APPLIED),
            "ignored": table_count(self.table, N_IGNORED), "stale": table_count(self.table, N_STALE),
            "overwritten": table_count(self.table, N_OVERWRITTEN),
        }

    def __repr__(self):
        return f"<{type(self).__name__} {self.replica} of {len(self)} keys>"


cdef object cell_of(bytes encoded):
    key, stamp, live, payload = parse(encoded)
    return Cell(key, stamp, live, value_of(payload, len(payload)) if live else None)
