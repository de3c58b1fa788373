"""Whatever the bytes: a cell lies inside them, a sound delta wins once and can be passed on, an answer is a sound delta."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from hotpath.core.data.lww.delta cimport (
    BROKEN,
    DELTA_HEAD,
    DELTA_TAIL,
    SOUND,
    bytes_t,
    delta_check,
    delta_merge,
    delta_of_table,
    delta_t,
    delta_winners,
    tally_t,
)
from hotpath.core.data.lww.prints cimport missing_by, picked
from hotpath.core.data.lww.table cimport ENTRY_HEAD, N_BUCKETS, entry_t, table_free, table_make, table_sums, table_t

from hotpath.core.errors import Damaged

cdef extern from "start.h" nogil:
    void require(bint holds, const char* what)

cdef extern from "cell.h" nogil:
    Py_ssize_t entry_read(const uint8_t* p, const uint8_t* end, entry_t* entry)

cdef extern from "crc32c.h" nogil:
    unsigned int crc32c(unsigned int value, const uint8_t* data, size_t size)

cdef extern from *:
    """
    static inline void seal(uint8_t *delta, size_t size, uint32_t sum) {
        delta[size] = (uint8_t)(sum >> 24), delta[size + 1] = (uint8_t)(sum >> 16);
        delta[size + 2] = (uint8_t)(sum >> 8), delta[size + 3] = (uint8_t)sum;
    }
    """
    void seal(uint8_t* delta, size_t size, unsigned int sum) nogil


# What libFuzzer calls: how many cells the delta says it has, which bias, then cells, or fingerprints, or a whole delta.
cdef public int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) noexcept nogil:
    cdef delta_t found
    if size < 2:
        return 0
    check_cell(data + 2, size - 2)
    delta_check(data + 2, size - 2, data[1] & 1, &found)
    check_delta(data + 2, size - 2, data[0], data[1] & 1)
    return 0


cdef void check_cell(const uint8_t* data, size_t size) noexcept nogil:
    cdef entry_t entry
    cdef uint8_t* piece = <uint8_t*>malloc(size if size else 1)     # of its own size, so that ASan sees its end
    memcpy(piece, data, size)
    cdef Py_ssize_t taken = entry_read(piece, piece + size, &entry)
    if taken >= 0:
        require(ENTRY_HEAD <= taken <= <Py_ssize_t>size, b"a cell longer than its bytes")
        require(entry.key + entry.key_size == entry.payload, b"a payload that does not follow its key")
        require(entry.payload + entry.payload_size == piece + taken, b"a cell that does not end with its payload")
        require(entry_read(piece, piece + taken - 1, &entry) == -1, b"a cell without its end")
    free(piece)


cdef void check_delta(const uint8_t* cells, size_t size, uint8_t n, uint8_t bias) noexcept nogil:
    cdef size_t whole = DELTA_HEAD + size
    cdef uint8_t* delta = <uint8_t*>malloc(whole + DELTA_TAIL)
    cdef uint64_t secret[2]
    cdef table_t* table
    cdef table_t* other
    cdef delta_t found, again
    cdef tally_t tally, twice
    cdef bytes_t out
    cdef uint64_t ours[N_BUCKETS]
    cdef uint64_t theirs[N_BUCKETS]
    memcpy(delta, <const char*>b"LWWD\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", DELTA_HEAD - 1)
    delta[5], delta[15] = bias, n
    memcpy(delta + DELTA_HEAD, cells, size)
    seal(delta, whole, crc32c(0, delta, whole))
    secret[0] = secret[1] = 1
    table, other = table_make(bias, secret), table_make(bias, secret)
    if delta_check(delta, whole + DELTA_TAIL, bias, &found) == SOUND:
        require(found.n == n, b"a delta of another count")
        require(delta_merge(table, &found, &tally) == 0, b"no memory")
        require(tally.applied + tally.ignored + tally.stale == n, b"a cell that came to nothing")
        require(delta_merge(table, &found, &twice) == 0, b"no memory")
        require(twice.applied == 0, b"a cell won twice")
        memset(&out, 0, sizeof(out))
        require(delta_winners(table, &found, bias, &out, &twice) == 0 and twice.applied == 0, b"a winner that is there")
        require(delta_check(out.data, out.size, bias, &again) == SOUND and again.n == 0, b"winners that are no delta")
        free(out.data)
        memset(&out, 0, sizeof(out))
        require(delta_of_table(table, NULL, bias, &out) == 0, b"no memory")
        require(delta_check(out.data, out.size, bias, &again) == SOUND, b"our own delta refused")
        require(delta_check(out.data, out.size, 1 - bias, &again) not in (SOUND, BROKEN), b"a bias unnoticed")
        require(delta_check(out.data, out.size, bias, &again) == SOUND, b"another answer")
        require(delta_merge(other, &again, &twice) == 0 and twice.applied == again.n, b"a copy that is none")
        table_sums(table, ours)
        table_sums(other, theirs)
        require(memcmp(ours, theirs, sizeof(ours)) == 0, b"equal cells, and another digest")
        free(out.data)
    with gil:
        check_prints(table, bias, PyBytes_FromStringAndSize(<const char*>cells, size), n)
    table_free(table)
    table_free(other)
    free(delta)


cdef int check_prints(table_t* table, uint8_t bias, bytes message, uint8_t limit) except -1:
    cdef delta_t found
    cdef const uint8_t* delta
    cdef bytes made
    try:
        made, wanted, done = missing_by(table, bias, message, limit)
    except Damaged:
        return 0
    delta = made
    require(delta_check(delta, len(made), bias, &found) == SOUND, b"an answer that is no delta")
    require(len(wanted) % 8 == 0 and len(wanted) <= len(message), b"wanted more than was offered")
    require((done > 0) == (len(message) > 0), b"no bucket answered")
    made = picked(table, bias, range(N_BUCKETS), wanted)
    delta = made
    require(delta_check(delta, len(made), bias, &found) == SOUND and found.n == 0, b"picked what we said we lack")
    return 0
