/* SipHash-1-3: a keyed hash, so that who chooses the keys of a table cannot choose their cells.
 *
 * After Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the variant CPython uses for str and bytes. */
#ifndef HOTPATH_SIPHASH_H
#define HOTPATH_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#include "murmur3.h"

static inline void siphash_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = murmur3_rotl64(v[1], 13) ^ v[0];
    v[3] = murmur3_rotl64(v[3], 16) ^ v[2];
    v[0] = murmur3_rotl64(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = murmur3_rotl64(v[1], 17) ^ v[2];
    v[3] = murmur3_rotl64(v[3], 21) ^ v[0];
    v[2] = murmur3_rotl64(v[2], 32);
}

static inline uint64_t siphash13(const uint8_t *data, size_t size, const uint64_t secret[2]) {
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
                     secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL};
    size_t i, whole = size & ~(size_t)7;
    uint64_t word;

    for (i = 0; i < whole; i += 8) {
        word = murmur3_word64(data + i);
        v[3] ^= word;
        siphash_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56 | (size > whole ? murmur3_partial(data + whole, size - whole) : 0);
    v[3] ^= word;
    siphash_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    siphash_round(v);
    siphash_round(v);
    siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
