/* MurmurHash3, after Austin Appleby's public-domain original: the same results on every CPU.
 *
 * The input is read as little-endian words whatever the machine, so a place on the ring means the same everywhere. */
#ifndef HOTPATH_MURMUR3_H
#define HOTPATH_MURMUR3_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define MURMUR3_LE32(x) __builtin_bswap32(x)
#define MURMUR3_LE64(x) __builtin_bswap64(x)
#else
#define MURMUR3_LE32(x) (x)
#define MURMUR3_LE64(x) (x)
#endif

static inline uint32_t murmur3_rotl32(uint32_t x, int r) { return (x << r) | (x >> (32 - r)); }
static inline uint64_t murmur3_rotl64(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }

static inline uint32_t murmur3_word32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return MURMUR3_LE32(word);
}

static inline uint64_t murmur3_word64(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return MURMUR3_LE64(word);
}

static inline void murmur3_store_32(uint32_t word, uint8_t *out) {
    word = MURMUR3_LE32(word);
    memcpy(out, &word, sizeof word);
}

static inline void murmur3_store_128(const uint64_t halves[2], uint8_t *out) {
    uint64_t words[2] = {MURMUR3_LE64(halves[0]), MURMUR3_LE64(halves[1])};
    memcpy(out, words, sizeof words);
}

/* The 1 to 8 bytes at `p` as one word, the missing high ones zero. Two overlapping loads instead of a byte loop; no
 * byte outside [p, p + n) is read. */
static inline uint64_t murmur3_partial(const uint8_t *p, size_t n) {
    if (n == 8)
        return murmur3_word64(p);
    if (n >= 4)
        return murmur3_word32(p) | (uint64_t)murmur3_word32(p + n - 4) << (8 * (n - 4));
    return p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
}

static inline uint32_t murmur3_fmix32(uint32_t h) {
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

static inline uint64_t murmur3_fmix64(uint64_t k) {
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    return k ^ (k >> 33);
}

static inline uint32_t murmur3_x86_32_mix(uint32_t k) {
    return murmur3_rotl32(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static inline uint32_t murmur3_x86_32(const uint8_t *data, size_t size, uint32_t seed) {
    uint32_t h = seed;
    size_t i, whole = size & ~(size_t)3;

    for (i = 0; i < whole; i += 4)
        h = murmur3_rotl32(h ^ murmur3_x86_32_mix(murmur3_word32(data + i)), 13) * 5 + 0xe6546b64u;
    if (size > whole)
        h ^= murmur3_x86_32_mix((uint32_t)murmur3_partial(data + whole, size - whole));
    return murmur3_fmix32(h ^ (uint32_t)size);
}

/* x64_128: two lanes of 64 bits. */

static inline uint64_t murmur3_x64_mix1(uint64_t k) {
    return murmur3_rotl64(k * 0x87c37b91114253d5ULL, 31) * 0x4cf5ad432745937fULL;
}

static inline uint64_t murmur3_x64_mix2(uint64_t k) {
    return murmur3_rotl64(k * 0x4cf5ad432745937fULL, 33) * 0x87c37b91114253d5ULL;
}

static inline void murmur3_x64_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t out[2]) {
    uint64_t h1 = seed, h2 = seed;
    size_t i, whole = size & ~(size_t)15, rest = size & 15;

    for (i = 0; i < whole; i += 16) {
        h1 ^= murmur3_x64_mix1(murmur3_word64(data + i));
        h1 = (murmur3_rotl64(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= murmur3_x64_mix2(murmur3_word64(data + i + 8));
        h2 = (murmur3_rotl64(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (rest > 8)
        h2 ^= murmur3_x64_mix2(murmur3_partial(data + whole + 8, rest - 8));
    if (rest > 0)
        h1 ^= murmur3_x64_mix1(murmur3_partial(data + whole, rest < 8 ? rest : 8));

    h1 ^= size;
    h2 ^= size;
    h1 += h2;
    h2 += h1;
    h1 = murmur3_fmix64(h1);
    h2 = murmur3_fmix64(h2);
    h1 += h2;
    out[0] = h1;
    out[1] = h2 + h1;
}

static inline uint64_t murmur3_x64_64(const uint8_t *data, size_t size, uint32_t seed) {
    uint64_t out[2];
    murmur3_x64_128(data, size, seed, out);
    return out[0];
}

/* murmur3_x64_64 of the 8 little-endian bytes of `word`, seed 0: what an integer key costs in a batch. */
static inline uint64_t murmur3_x64_64_of_word(uint64_t word) {
    uint64_t h1 = (murmur3_x64_mix1(word) ^ 8) + 8;
    uint64_t h2 = h1 + 8;
    return murmur3_fmix64(h1) + murmur3_fmix64(h2);
}

/* x86_128: four lanes of 32 bits, each with its own pair of multipliers. */

static inline uint32_t murmur3_x86_128_mix(uint32_t k, int lane) {
    static const uint32_t by[5] = {0x239b961bu, 0xab0e9789u, 0x38b34ae5u, 0xa1e38b93u, 0x239b961bu};
    return murmur3_rotl32(k * by[lane], 15 + lane) * by[lane + 1];
}

static inline void murmur3_x86_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t out[2]) {
    static const int turn[4] = {19, 17, 15, 13};
    static const uint32_t plus[4] = {0x561ccd1bu, 0x0bcaa747u, 0x96cd1c35u, 0x32ac3b17u};
    uint32_t h[4] = {seed, seed, seed, seed};
    size_t i, whole = size & ~(size_t)15, rest = size & 15;
    int lane;

    for (i = 0; i < whole; i += 16)
        for (lane = 0; lane < 4; lane++) {
            h[lane] ^= murmur3_x86_128_mix(murmur3_word32(data + i + 4 * lane), lane);
            h[lane] = (murmur3_rotl32(h[lane], turn[lane]) + h[(lane + 1) & 3]) * 5 + plus[lane];
        }
    for (lane = 0; (size_t)lane * 4 < rest; lane++) {
        size_t n = rest - 4 * (size_t)lane;
        h[lane] ^= murmur3_x86_128_mix((uint32_t)murmur3_partial(data + whole + 4 * lane, n < 4 ? n : 4), lane);
    }

    for (lane = 0; lane < 4; lane++)
        h[lane] ^= (uint32_t)size;
    h[0] += h[1] + h[2] + h[3];
    for (lane = 1; lane < 4; lane++)
        h[lane] += h[0];
    for (lane = 0; lane < 4; lane++)
        h[lane] = murmur3_fmix32(h[lane]);
    h[0] += h[1] + h[2] + h[3];
    for (lane = 1; lane < 4; lane++)
        h[lane] += h[0];
    out[0] = h[0] | (uint64_t)h[1] << 32;
    out[1] = h[2] | (uint64_t)h[3] << 32;
}

#endif
