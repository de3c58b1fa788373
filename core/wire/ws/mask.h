/* XOR with four bytes over and over: eight, sixteen or thirty-two bytes at once (RFC 6455 section 5.3).
 *
 * SSE2 is part of x86-64. AVX2 is asked for once per long run; the answer is a word that libgcc fills at start-up.
 * Loads and stores need no alignment, and each word is loaded before it is stored, so `to` may be `data`.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define FOR_AVX2 __attribute__((target("avx2")))
#endif

static inline uint64_t mask_word(const uint8_t *mask) {
    uint32_t half;
    memcpy(&half, mask, 4);
    return half | (uint64_t)half << 32;
}

/* The mask as it stands `n` bytes later. */
static inline uint64_t turned_word(uint64_t word, size_t n) {
    unsigned bits = (n & 3) * 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word >> bits | word << (-bits & 63);
#else
    return word << bits | word >> (-bits & 63);
#endif
}

#if defined(__x86_64__)
static inline int has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

/* Bytes done: all but less than 128. */
FOR_AVX2 static size_t unmask_avx2(uint8_t *to, const uint8_t *data, size_t size, uint64_t word) {
    const __m256i wide = _mm256_set1_epi64x((long long)word);
    size_t at = 0;
    for (; size - at >= 128; at += 128)
        for (size_t i = 0; i < 128; i += 32) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *)(data + at + i));
            _mm256_storeu_si256((__m256i *)(to + at + i), _mm256_xor_si256(bytes, wide));
        }
    return at;
}
#endif

static inline void unmask_word(uint8_t *to, const uint8_t *data, size_t size, uint64_t word) {
    size_t at = 0;
    uint64_t bytes;
#if defined(__x86_64__)
    if (size >= 256 && has_avx2())
        at = unmask_avx2(to, data, size, word);
    const __m128i wide = _mm_set1_epi64x((long long)word);
    for (; size - at >= 16; at += 16) {
        __m128i sixteen = _mm_loadu_si128((const __m128i *)(data + at));
        _mm_storeu_si128((__m128i *)(to + at), _mm_xor_si128(sixteen, wide));
    }
#endif
    for (; size - at >= 8; at += 8) {
        memcpy(&bytes, data + at, 8);
        bytes ^= word;
        memcpy(to + at, &bytes, 8);
    }
    uint8_t mask[8];
    memcpy(mask, &word, 8);
    for (size_t i = 0; at + i < size; i++)      /* `at` is a multiple of 8, so the mask begins anew */
        to[at + i] = data[at + i] ^ mask[i];
}

static inline void unmask_bytes(uint8_t *to, const uint8_t *data, size_t size, const uint8_t *mask) {
    uint64_t word = mask_word(mask);
    if (word)
        unmask_word(to, data, size, word);
    else if (to != data && size)                /* frames of a server are not masked */
        memcpy(to, data, size);
}
