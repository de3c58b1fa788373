"""Fingerprints: what differs between two tables, said in eight bytes for a cell instead of the cell.

Who has a bucket's fingerprints of the other knows which of its own cells the other lacks, and which fingerprints belong to
cells that it lacks itself.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport bsearch, free, malloc, qsort
from libc.string cimport memset

from hotpath.core.data.epochs cimport enter, leave, seat_t
from hotpath.core.data.lww.delta cimport bytes_grow, bytes_t, delta_add, delta_begin, delta_end, take_bytes
from hotpath.core.data.lww.table cimport N_BUCKETS, N_SHARDS, cell_t, table_t, table_visit

from hotpath.core.errors import Damaged

cdef extern from "cell.h" nogil:
    uint64_t cell_print(const cell_t* cell)
    uint16_t read_u16(const uint8_t* p)
    uint32_t read_u32(const uint8_t* p)
    uint64_t read_u64(const uint8_t* p)
    void write_u16(uint8_t* p, uint16_t n)
    void write_u32(uint8_t* p, uint32_t n)
    void write_u64(uint8_t* p, uint64_t n)


# A cell with what it adds to the digest.
cdef struct print_t:
    uint64_t bucket
    uint64_t sum
    const cell_t* cell

cdef struct prints_t:
    const uint8_t* wanted       # borrowed; by bucket
    bytes_t found               # print_t after print_t

cdef int add_print(void* context, const cell_t* cell) noexcept nogil:
    cdef prints_t* prints = <prints_t*>context
    cdef print_t* to
    if prints.wanted[cell.bucket]:
        to = <print_t*>bytes_grow(&prints.found, sizeof(print_t))
        if to == NULL:
            return -1
        to.bucket, to.cell = cell.bucket, cell
        to.sum = cell_print(cell)
    return 0

cdef int order_prints(const void* one, const void* other) noexcept nogil:
    cdef const print_t* a = <const print_t*>one
    cdef const print_t* b = <const print_t*>other
    if a.bucket != b.bucket:
        return 1 if a.bucket > b.bucket else -1
    return (a.sum > b.sum) - (a.sum < b.sum)

cdef int find_prints(table_t* table, prints_t* prints) noexcept nogil:
    """Of all wanted buckets, in order. The cells are borrowed until the caller leaves. -1: no memory."""
    cdef int shard
    for shard in range(N_SHARDS):
        if table_visit(table, shard, add_print, prints) != 0:
            return -1
    if prints.found.size:
        qsort(prints.found.data, prints.found.size // sizeof(print_t), sizeof(print_t), order_prints)
    return 0

cdef void write_print(bytes_t* out, uint64_t sum) noexcept nogil:
    cdef uint8_t* to = bytes_grow(out, 8)
    if to != NULL:
        write_u64(to, sum)

cdef int answer_bucket(
    const uint8_t* theirs, size_t n_theirs, const print_t* ours, size_t n_ours, bytes_t* delta, bytes_t* lacking
) noexcept nogil:
    """Our cells that the other lacks, the fingerprints that we lack. 0; -1: theirs are not ascending."""
    cdef size_t i = 0, k = 0
    cdef uint64_t sum, last = 0
    for k in range(n_theirs):
        sum = read_u64(theirs + 8 * k)
        if k and sum <= last:
            return -1
        last = sum
        while i < n_ours and ours[i].sum < sum:
            delta_add(delta, ours[i].cell)
            i += 1
        if i < n_ours and ours[i].sum == sum:
            i += 1
        else:
            write_print(lacking, sum)
    while i < n_ours:
        delta_add(delta, ours[i].cell)
        i += 1
    return 0


cdef int start(prints_t* prints, const uint8_t* wanted, bytes_t* out) except -1:
    """All empty."""
    prints.wanted = wanted
    prints.found.data, prints.found.size, prints.found.room, prints.found.failed = NULL, 0, 0, False
    out.data, out.size, out.room, out.failed = NULL, 0, 0, False
    return 0

cdef int mark(buckets, uint8_t* wanted) except -1:
    """wanted[b] = 1 for each of the buckets. Raises Damaged for what is none."""
    memset(wanted, 0, N_BUCKETS)
    for bucket in buckets:
        if not 0 <= bucket < N_BUCKETS:
            raise Damaged(f"there is no bucket {bucket}")
        wanted[<int>bucket] = 1
    return 0

cdef list buckets_of(const uint8_t* p, const uint8_t* end):
    """The buckets of a message of fingerprints. Raises Damaged."""
    cdef list buckets = []
    cdef uint64_t n
    while p < end:
        if end - p < 6:
            raise Damaged("fingerprints are cut off")
        n = read_u32(p + 2)
        if <uint64_t>(end - p - 6) < 8 * n:
            raise Damaged("fingerprints are cut off")
        if buckets and read_u16(p) <= buckets[-1]:
            raise Damaged("buckets are not ascending")
        buckets.append(read_u16(p))
        p += 6 + 8 * n
    return buckets


cdef bytes fingerprints_of(table_t* table, object buckets):
    cdef uint8_t wanted[N_BUCKETS]
    cdef prints_t prints
    cdef bytes_t out
    cdef const print_t* found
    cdef size_t i = 0, k, n
    cdef uint8_t* to
    cdef seat_t* seat
    cdef int bucket, status = -1
    mark(buckets, wanted)
    start(&prints, wanted, &out)
    with nogil:
        seat = enter()
        if seat != NULL:
            status = find_prints(table, &prints)
            leave(seat)
        found = <const print_t*>prints.found.data
        n = prints.found.size // sizeof(print_t)
        for bucket in range(N_BUCKETS):
            if wanted[bucket]:
                k = i
                while k < n and found[k].bucket == <uint64_t>bucket:
                    k += 1
                to = bytes_grow(&out, 6)
                if to != NULL:
                    write_u16(to, <uint16_t>bucket)
                    write_u32(to + 2, <uint32_t>(k - i))
                while i < k:
                    write_print(&out, found[i].sum)
                    i += 1
        free(prints.found.data)
    out.failed = out.failed or status != 0
    return take_bytes(&out)

cdef tuple missing_by(table_t* table, uint8_t bias, bytes fingerprints, Py_ssize_t limit):
    cdef const uint8_t* p = fingerprints
    cdef const uint8_t* end = p + len(fingerprints)
    cdef const print_t* found
    cdef uint8_t wanted[N_BUCKETS]
    cdef prints_t prints
    cdef bytes_t delta, lacking
    cdef size_t i = 0, k, n, n_theirs
    cdef Py_ssize_t done = 0
    cdef seat_t* seat
    cdef int bucket, status = 0
    mark(buckets_of(p, end), wanted)
    start(&prints, wanted, &delta)
    lacking.data, lacking.size, lacking.room, lacking.failed = NULL, 0, 0, False
    with nogil:
        delta_begin(&delta, bias)
        seat = enter()
        if seat == NULL or find_prints(table, &prints) != 0:
            delta.failed = True
        found = <const print_t*>prints.found.data
        n = prints.found.size // sizeof(print_t)
        while p < end and (done == 0 or <Py_ssize_t>delta.size < limit) and not delta.failed and status == 0:
            bucket, n_theirs = read_u16(p), read_u32(p + 2)
            k = i
            while k < n and found[k].bucket == <uint64_t>bucket:
                k += 1
            status = answer_bucket(p + 6, n_theirs, found + i if k > i else NULL, k - i, &delta, &lacking)
            i = k
            p += 6 + 8 * n_theirs
            done += 1
        if seat != NULL:
            leave(seat)
        free(prints.found.data)
        delta_end(&delta)
    try:
        if status != 0:
            raise Damaged("fingerprints of a bucket are not ascending")
        return take_bytes(&delta), (take_bytes(&lacking) if lacking.size or lacking.failed else b""), done
    finally:
        free(delta.data)
        free(lacking.data)

cdef int order_words(const void* one, const void* other) noexcept nogil:
    cdef uint64_t a = (<const uint64_t*>one)[0], b = (<const uint64_t*>other)[0]
    return (a > b) - (a < b)

cdef struct choice_t:
    const uint8_t* wanted       # borrowed; by bucket
    const uint64_t* sums        # borrowed, ascending
    size_t n
    bytes_t* delta

cdef int add_chosen(void* context, const cell_t* cell) noexcept nogil:
    cdef choice_t* choice = <choice_t*>context
    cdef uint64_t sum
    if not choice.wanted[cell.bucket]:
        return 0
    sum = cell_print(cell)
    if bsearch(&sum, choice.sums, choice.n, sizeof(uint64_t), order_words) == NULL:
        return 0
    return delta_add(choice.delta, cell)

cdef bytes picked(table_t* table, uint8_t bias, object buckets, bytes fingerprints):
    cdef uint8_t wanted[N_BUCKETS]
    cdef choice_t choice
    cdef bytes_t delta
    cdef const uint8_t* p = fingerprints
    cdef size_t i, n = <size_t>len(fingerprints) // 8
    cdef uint64_t* sums
    cdef seat_t* seat
    cdef int shard
    if len(fingerprints) % 8:
        raise Damaged("fingerprints have 8 bytes each")
    mark(buckets, wanted)
    sums = <uint64_t*>malloc((n + 1) * sizeof(uint64_t))
    if sums == NULL:
        raise MemoryError("no room for the fingerprints")
    delta.data, delta.size, delta.room, delta.failed = NULL, 0, 0, False
    choice.wanted, choice.sums, choice.n, choice.delta = wanted, sums, n, &delta
    with nogil:
        for i in range(n):
            sums[i] = read_u64(p + 8 * i)
        qsort(sums, n, sizeof(uint64_t), order_words)
        delta_begin(&delta, bias)
        seat = enter()
        if seat == NULL:
            delta.failed = True
        else:
            for shard in range(N_SHARDS):
                if table_visit(table, shard, add_chosen, &choice) != 0:
                    break
            leave(seat)
        delta_end(&delta)
        free(sums)
    return take_bytes(&delta)
