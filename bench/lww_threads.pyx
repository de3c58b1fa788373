"""The table's own functions from plain pthreads: what would threads gain if there were no Python?

Built by bench/crdt_threads.py in a scratch folder; no part of the package.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from hotpath.core.data.epochs cimport enter, leave, seat_t
from hotpath.core.data.lww.delta cimport SOUND, delta_check, delta_merge, delta_t, tally_t
from hotpath.core.data.lww.table cimport N_BUCKETS, table_find, table_free, table_make, table_place, table_sums, table_t

import time

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    ctypedef struct pthread_barrier_t:
        pass
    int pthread_create(pthread_t* thread, const void* attributes, void* (*run)(void*) noexcept nogil, void* context)
    int pthread_join(pthread_t thread, void** answer)
    int pthread_barrier_init(pthread_barrier_t* barrier, const void* attributes, unsigned n)
    int pthread_barrier_wait(pthread_barrier_t* barrier)
    int pthread_barrier_destroy(pthread_barrier_t* barrier)

cdef extern from "atomics.h" nogil:
    uint64_t acquire_word(const uint64_t* word)
    void release_word(uint64_t* word, uint64_t value)

cdef enum:
    ADD_BIAS = 1

# A text that is borrowed from a Python object.
cdef struct text_t:
    const uint8_t* data
    size_t size

# What one thread does: it merges these deltas, or looks keys up until told to stop.
cdef struct job_t:
    table_t* table
    text_t* texts               # owned
    size_t n
    pthread_barrier_t* start
    int failed
    uint64_t stop
    uint64_t lookups


cdef void* merge_all(void* context) noexcept nogil:
    cdef job_t* job = <job_t*>context
    cdef delta_t delta
    cdef tally_t tally
    cdef size_t i
    pthread_barrier_wait(job.start)
    for i in range(job.n):
        if delta_check(job.texts[i].data, job.texts[i].size, ADD_BIAS, &delta) != SOUND \
                or delta_merge(job.table, &delta, &tally) != 0:
            job.failed = 1
    return NULL

cdef void* look_up_all(void* context) noexcept nogil:
    cdef job_t* job = <job_t*>context
    cdef text_t* key
    cdef seat_t* seat
    cdef size_t i = 0
    pthread_barrier_wait(job.start)
    while acquire_word(&job.stop) == 0:
        key = &job.texts[i]
        seat = enter()
        if seat == NULL or table_find(job.table, key.data, <unsigned short>key.size,
                                      table_place(job.table, key.data, key.size)) == NULL:
            job.failed = 1
        if seat != NULL:
            leave(seat)
        release_word(&job.lookups, job.lookups + 1)
        i = (i + 1) % job.n
    return NULL

cdef int fill(job_t* job, table_t* table, list texts, pthread_barrier_t* start) except -1:
    cdef bytes text
    cdef size_t i = 0
    job.texts = <text_t*>calloc(len(texts), sizeof(text_t))
    if job.texts == NULL:
        raise MemoryError
    job.table, job.n, job.start = table, len(texts), start
    for text in texts:
        job.texts[i].data, job.texts[i].size = text, len(text)
        i += 1
    return 0

cdef table_t* table_with(bytes delta) except NULL:
    cdef uint64_t secret[2]
    cdef delta_t found
    cdef tally_t tally
    cdef table_t* table
    secret[0], secret[1] = 1, 2
    table = table_make(ADD_BIAS, secret)
    if table == NULL or delta_check(delta, len(delta), ADD_BIAS, &found) != SOUND or delta_merge(table, &found, &tally) != 0:
        raise MemoryError
    return table


def merge(bytes base, list per_thread):
    """(wall seconds, CPU seconds, root) of merging each list of deltas in a thread of its own, into a table with `base`."""
    cdef uint64_t sums[N_BUCKETS]
    cdef uint64_t root = 0
    cdef pthread_barrier_t start
    cdef pthread_t threads[16]
    cdef job_t jobs[16]
    cdef int i, n = len(per_thread), failed = 0
    if not 0 < n <= 16:
        raise ValueError(n)
    cdef table_t* table = table_with(base)
    pthread_barrier_init(&start, NULL, n + 1)
    for i in range(n):
        jobs[i].failed = 0
        fill(&jobs[i], table, per_thread[i], &start)
    for i in range(n):
        if pthread_create(&threads[i], NULL, merge_all, &jobs[i]) != 0:
            raise MemoryError
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    with nogil:
        pthread_barrier_wait(&start)
        for i in range(n):
            pthread_join(threads[i], NULL)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    for i in range(n):
        failed |= jobs[i].failed
        free(jobs[i].texts)
    table_sums(table, sums)
    for i in range(N_BUCKETS):
        root += sums[i]
    pthread_barrier_destroy(&start)
    table_free(table)
    if failed:
        raise RuntimeError("a merge failed")
    return wall_s, cpu_s, root


cdef uint64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


def read_beside(bytes base, list deltas, list keys):
    """(merges during which another thread read something, lookups in all, wall seconds) while each delta is merged."""
    cdef pthread_barrier_t start
    cdef pthread_t thread
    cdef job_t reading, merging
    cdef delta_t delta
    cdef tally_t tally
    cdef uint64_t before, began, with_progress = 0
    cdef size_t i
    cdef table_t* table = table_with(base)
    reading.failed = merging.failed = 0
    reading.stop = reading.lookups = 0
    pthread_barrier_init(&start, NULL, 2)
    fill(&reading, table, keys, &start)
    fill(&merging, table, deltas, &start)
    if pthread_create(&thread, NULL, look_up_all, &reading) != 0:
        raise MemoryError
    with nogil:
        pthread_barrier_wait(&start)
        while acquire_word(&reading.lookups) == 0:
            pass
        began = now_ns()
        for i in range(merging.n):
            before = acquire_word(&reading.lookups)
            if delta_check(merging.texts[i].data, merging.texts[i].size, ADD_BIAS, &delta) != SOUND \
                    or delta_merge(table, &delta, &tally) != 0:
                merging.failed = 1
            with_progress += acquire_word(&reading.lookups) != before
        began = now_ns() - began
        release_word(&reading.stop, 1)
        pthread_join(thread, NULL)
    free(reading.texts)
    free(merging.texts)
    pthread_barrier_destroy(&start)
    table_free(table)
    if reading.failed or merging.failed:
        raise RuntimeError("a merge failed, or a key was not found")
    return with_progress, reading.lookups, began / 1e9
