/* Words that several threads or processes change at once: loads, stores, sums, and compare-and-swap of 8 and 16 bytes.
 *
 * No lock anywhere, so a process killed at any instruction leaves nothing held. */
#ifndef HOTPATH_ATOMICS_H
#define HOTPATH_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

/* Between what a swap expects and the swap lie a few instructions; a build for tests stretches them now and then. */
#ifdef HOTPATH_STRETCH_RACES
#include <sched.h>
static inline void race_point(void) {
    static __thread uint32_t turn = 1;
    turn = turn * 1664525u + 1013904223u;
    if (turn >> 30 == 0)
        sched_yield();
}
#else
static inline void race_point(void) {}
#endif

static inline uint64_t load_word(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

/* For a word with one writer, whom others read: a plain add that no reader sees half done. */
static inline void add_own(uint64_t *word, uint64_t n) {
    __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline void add_shared(uint64_t *word, uint64_t n) { __atomic_fetch_add(word, n, __ATOMIC_RELAXED); }

static inline void clear_word(uint64_t *word) { __atomic_store_n(word, 0, __ATOMIC_RELAXED); }

/* Words by which threads hand each other what they point to: who loads one sees all that was written before it was
 * stored. A swap that fails puts what it found into `seen`. */
static inline uint64_t acquire_word(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static inline void release_word(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static inline bool swap_word(uint64_t *word, uint64_t *seen, uint64_t value) {
    race_point();
    return __atomic_compare_exchange_n(word, seen, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* What was at `word`, and `n` more is there now. */
static inline uint64_t add_fetched(uint64_t *word, uint64_t n) { return __atomic_fetch_add(word, n, __ATOMIC_ACQ_REL); }

/* Stored before anything that follows is read, in the eyes of all threads. On x86-64 the exchange is a fence by itself;
 * ThreadSanitizer does not know fences. */
static inline void announce_word(uint64_t *word, uint64_t value) {
    __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Nothing that follows is read before what came first is seen by all. */
static inline void settle(void) {
#ifndef __SANITIZE_THREAD__
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Two words that change together. */
typedef struct {
    uint64_t first; /* even: the portable swap below marks a pair it is changing with the low bit */
    int64_t second;
} __attribute__((aligned(16))) pair_t;

#if defined(__x86_64__) && !defined(HOTPATH_PORTABLE_PAIRS)

/* x86-64 loads in program order: if `first` is the same before and after, both belong together, unless the pair was
 * another one in between and came back, which costs whoever then swaps a second try, and whoever
 * only looks one wrong verdict. */
static inline pair_t load_pair(pair_t *at) {
    pair_t seen;
    do {
        seen.first = __atomic_load_n(&at->first, __ATOMIC_ACQUIRE);
        seen.second = __atomic_load_n(&at->second, __ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&at->first, __ATOMIC_RELAXED) != seen.first);
    return seen;
}

/* Inline, because gcc without -mcx16 calls libatomic, which may not be there and may take a lock. */
static inline bool swap_pair(pair_t *at, pair_t expected, pair_t desired) {
    bool done;
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*at), "+a"(expected.first), "+d"(expected.second)
                         : "b"(desired.first), "c"(desired.second)
                         : "memory");
    return done;
}

#else

#include <sched.h>
#include <time.h>

/* Elsewhere: `first | 1` says "being changed" for the few instructions between two stores. A process killed right
 * there leaves the mark, and whoever has met it for so long takes it away. Should the other only have been asleep, the
 * swap that came between is lost: one request too many or too few, never a table that hangs. */
enum { PAIR_PATIENCE_MS = 100 };

static inline int64_t pair_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline pair_t load_pair(pair_t *at) {
    pair_t seen;
    int64_t since_ms = 0;
    for (;;) {
        seen.first = __atomic_load_n(&at->first, __ATOMIC_ACQUIRE);
        seen.second = __atomic_load_n(&at->second, __ATOMIC_ACQUIRE);
        if (!(seen.first & 1)) {
            if (__atomic_load_n(&at->first, __ATOMIC_ACQUIRE) == seen.first)
                return seen;
            continue;
        }
        if (since_ms == 0)
            since_ms = pair_clock_ms();
        else if (pair_clock_ms() - since_ms > PAIR_PATIENCE_MS)
            __atomic_compare_exchange_n(&at->first, &seen.first, seen.first & ~(uint64_t)1, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED);
        sched_yield();
    }
}

static inline bool swap_pair(pair_t *at, pair_t expected, pair_t desired) {
    uint64_t first = expected.first;
    if (!__atomic_compare_exchange_n(&at->first, &first, first | 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    if (__atomic_load_n(&at->second, __ATOMIC_RELAXED) != expected.second) {
        __atomic_store_n(&at->first, expected.first, __ATOMIC_RELEASE);
        return false;
    }
    __atomic_store_n(&at->second, desired.second, __ATOMIC_RELAXED);
    __atomic_store_n(&at->first, desired.first, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what is looked at next is newer than this swap, as on x86 */
    return true;
}

#endif

#endif
