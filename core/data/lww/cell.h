/* A cell: the last write of one key, its order among others, its bytes on the wire, its share of the digest.
 *
 * On the wire, big-endian: u64 hlc, 8 B replica (zero padded), u8 live, u16 key size, u32 payload size, key, payload. */
#ifndef HOTPATH_CELL_H
#define HOTPATH_CELL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../murmur3.h"

enum { ENTRY_HEAD = 8 + 8 + 1 + 2 + 4, RAW = 0, JSON = 1, TAGGED = -1 };

/* No clock could follow a stamp above this: it would run into the end of its word. */
#define LAST_HLC (UINT64_MAX - (UINT64_C(1) << 32))

/* Immutable once it is in a table. The key and then the payload follow; a live payload begins with its tag, a
 * tombstone's is empty. */
typedef struct {
    uint64_t hlc;
    uint64_t replica; /* its name's bytes, the first one highest: numbers compare as names do */
    uint32_t place;   /* a keyed hash of the key: shard and slot */
    uint32_t payload_size;
    uint16_t key_size;
    uint16_t bucket; /* the digest's: the top 12 bits of the key's murmur3 */
    uint8_t live;
    uint8_t unused[3];
} cell_t;

/* A write that is no cell yet: key and payload are borrowed. */
typedef struct {
    uint64_t hlc;
    uint64_t replica;
    const uint8_t *key;
    const uint8_t *payload;
    uint32_t payload_size;
    uint32_t place;
    uint16_t key_size;
    uint8_t live;
    int8_t tag; /* goes before the payload; TAGGED: the payload begins with one, or is empty */
} entry_t;

static inline uint16_t read_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t read_u32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return __builtin_bswap32(MURMUR3_LE32(word));
}

static inline uint64_t read_u64(const uint8_t *p) { return __builtin_bswap64(murmur3_word64(p)); }

static inline void write_u16(uint8_t *p, uint16_t n) {
    p[0] = (uint8_t)(n >> 8);
    p[1] = (uint8_t)n;
}

static inline void write_u32(uint8_t *p, uint32_t n) { murmur3_store_32(__builtin_bswap32(n), p); }

static inline void write_u64(uint8_t *p, uint64_t n) {
    n = MURMUR3_LE64(__builtin_bswap64(n));
    memcpy(p, &n, sizeof n);
}

static inline const uint8_t *cell_key(const cell_t *cell) { return (const uint8_t *)(cell + 1); }
static inline const uint8_t *cell_payload(const cell_t *cell) { return cell_key(cell) + cell->key_size; }

/* Letters and digits, then zeros up to eight bytes. */
static inline int name_is_sound(uint64_t name) {
    int shift, ended = 0;
    for (shift = 56; shift >= 0; shift -= 8) {
        uint8_t c = (uint8_t)(name >> shift);
        if (c == 0)
            ended = 1;
        else if (ended || !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return 0;
    }
    return name != 0;
}

/* Bytes consumed; -1: what begins at `p` is no sound cell. The entry borrows from there, and has no place yet. */
static inline ptrdiff_t entry_read(const uint8_t *p, const uint8_t *end, entry_t *entry) {
    size_t size;
    if (end - p < ENTRY_HEAD)
        return -1;
    entry->hlc = read_u64(p);
    entry->replica = read_u64(p + 8);
    entry->live = p[16];
    entry->key_size = read_u16(p + 17);
    entry->payload_size = read_u32(p + 19);
    entry->tag = TAGGED;
    entry->key = p + ENTRY_HEAD;
    entry->payload = entry->key + entry->key_size;
    size = (size_t)entry->key_size + entry->payload_size;
    if ((size_t)(end - p) - ENTRY_HEAD < size || entry->live > 1 || entry->hlc > LAST_HLC)
        return -1;
    if (entry->live ? entry->payload_size == 0 || entry->payload[0] > JSON : entry->payload_size != 0)
        return -1;
    return ENTRY_HEAD + (ptrdiff_t)size;
}

static inline size_t cell_write(const cell_t *cell, uint8_t *out) {
    write_u64(out, cell->hlc);
    write_u64(out + 8, cell->replica);
    out[16] = cell->live;
    write_u16(out + 17, cell->key_size);
    write_u32(out + 19, cell->payload_size);
    memcpy(out + ENTRY_HEAD, cell_key(cell), (size_t)cell->key_size + cell->payload_size);
    return ENTRY_HEAD + (size_t)cell->key_size + cell->payload_size;
}

static inline size_t entry_cell_size(const entry_t *entry) {
    return sizeof(cell_t) + entry->key_size + (entry->tag != TAGGED) + entry->payload_size;
}

/* Into a block of entry_cell_size bytes. */
static inline void cell_fill(cell_t *cell, const entry_t *entry, uint16_t bucket) {
    uint32_t tag = entry->tag != TAGGED;
    uint8_t *to = (uint8_t *)(cell + 1);
    cell->hlc = entry->hlc;
    cell->replica = entry->replica;
    cell->place = entry->place;
    cell->payload_size = entry->payload_size + tag;
    cell->key_size = entry->key_size;
    cell->bucket = bucket;
    cell->live = entry->live;
    memset(cell->unused, 0, sizeof cell->unused);
    memcpy(to, entry->key, entry->key_size);
    to += entry->key_size;
    if (tag)
        *to++ = (uint8_t)entry->tag;
    if (entry->payload_size)
        memcpy(to, entry->payload, entry->payload_size);
}

static inline int is_of_key(const cell_t *cell, const entry_t *entry) {
    return cell->place == entry->place && cell->key_size == entry->key_size &&
           memcmp(cell_key(cell), entry->key, entry->key_size) == 0;
}

/* > 0: the entry, tagged, wins over the cell; 0: it is the cell. By hlc, then the kind that `preferred_live` prefers,
 * then the replica's name, then the payload: a total order, whoever made the stamps. */
static inline int entry_order(const entry_t *entry, const cell_t *cell, uint8_t preferred_live) {
    uint32_t shorter;
    int order;
    if (entry->hlc != cell->hlc)
        return entry->hlc > cell->hlc ? 1 : -1;
    if (entry->live != cell->live)
        return entry->live == preferred_live ? 1 : -1;
    if (entry->replica != cell->replica)
        return entry->replica > cell->replica ? 1 : -1;
    shorter = entry->payload_size < cell->payload_size ? entry->payload_size : cell->payload_size;
    order = shorter ? memcmp(entry->payload, cell_payload(cell), shorter) : 0;
    if (order == 0)
        order = (entry->payload_size > cell->payload_size) - (entry->payload_size < cell->payload_size);
    return order;
}

/* The digest's bucket of a key, the same on all replicas. */
static inline uint16_t bucket_of(const uint8_t *key, size_t size) { return (uint16_t)(murmur3_x64_64(key, size, 0) >> 52); }

/* What a cell adds to its bucket's sum, the same on all replicas. Each word turns all that came before into something
 * else and nothing into the same, so two cells of equal length collide by chance only. */
static inline uint64_t cell_print(const cell_t *cell) {
    const uint8_t *p = cell_key(cell);
    size_t size = (size_t)cell->key_size + cell->payload_size, i, whole = size & ~(size_t)7;
    uint64_t sum = murmur3_rotl64(cell->hlc * 0x9e3779b97f4a7c15ULL, 23) ^ cell->replica;
    sum = sum * 0xbf58476d1ce4e5b9ULL + ((uint64_t)cell->key_size << 33 | (uint64_t)cell->live << 32 | cell->payload_size);
    for (i = 0; i < whole; i += 8)
        sum = murmur3_rotl64(sum ^ murmur3_word64(p + i) * 0x87c37b91114253d5ULL, 29) * 0x4cf5ad432745937fULL;
    if (size > whole)
        sum = murmur3_rotl64(sum ^ murmur3_partial(p + whole, size - whole) * 0x87c37b91114253d5ULL, 29) * 0x4cf5ad432745937fULL;
    return murmur3_fmix64(sum);
}

#endif
