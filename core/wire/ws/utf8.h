/* Is this UTF-8 (RFC 3629), even when it is cut between any two bytes?
 *
 * An automaton of nine states answers byte by byte. In front of it runs of ASCII are skipped sixteen bytes at once, and
 * with AVX2 all text is checked thirty-two bytes at once, after Keiser and Lemire, "Validating UTF-8 in less than one
 * instruction per byte" (2021): what is wrong with two neighbouring bytes shows in three of their four halves.
 */
#pragma once
#include "mask.h"

/* A state is the place of its six bits in a row of `utf8_moves`, so that a step is one load and one shift. */
enum {
    BETWEEN = 0,        /* characters */
    ONE_MORE = 6,       /* continuation bytes, 80 to BF */
    TWO_MORE = 12,
    THREE_MORE = 18,
    AFTER_E0 = 24,      /* A0 to BF: less is overlong */
    AFTER_ED = 30,      /* 80 to 9F: more is a surrogate */
    AFTER_F0 = 36,      /* 90 to BF: less is overlong */
    AFTER_F4 = 42,      /* 80 to 8F: more is beyond U+10FFFF */
    NO_TEXT = 48,       /* and it stays so */
};

#define ROW(between, one, two, three, e0, ed, f0, f4) \
    ((uint64_t)(between) << BETWEEN | (uint64_t)(one) << ONE_MORE | (uint64_t)(two) << TWO_MORE | \
     (uint64_t)(three) << THREE_MORE | (uint64_t)(e0) << AFTER_E0 | (uint64_t)(ed) << AFTER_ED | \
     (uint64_t)(f0) << AFTER_F0 | (uint64_t)(f4) << AFTER_F4 | (uint64_t)NO_TEXT << NO_TEXT)
#define LEAD(state) ROW(state, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT)
static const uint64_t utf8_moves[256] = {
    [0x00 ... 0x7f] = LEAD(BETWEEN),
    [0x80 ... 0x8f] = ROW(NO_TEXT, BETWEEN, ONE_MORE, TWO_MORE, NO_TEXT, ONE_MORE, NO_TEXT, TWO_MORE),
    [0x90 ... 0x9f] = ROW(NO_TEXT, BETWEEN, ONE_MORE, TWO_MORE, NO_TEXT, ONE_MORE, TWO_MORE, NO_TEXT),
    [0xa0 ... 0xbf] = ROW(NO_TEXT, BETWEEN, ONE_MORE, TWO_MORE, ONE_MORE, NO_TEXT, TWO_MORE, NO_TEXT),
    [0xc0 ... 0xc1] = LEAD(NO_TEXT),            /* only overlong forms begin so */
    [0xc2 ... 0xdf] = LEAD(ONE_MORE),
    [0xe0] = LEAD(AFTER_E0),
    [0xe1 ... 0xec] = LEAD(TWO_MORE),
    [0xed] = LEAD(AFTER_ED),
    [0xee ... 0xef] = LEAD(TWO_MORE),
    [0xf0] = LEAD(AFTER_F0),
    [0xf1 ... 0xf3] = LEAD(THREE_MORE),
    [0xf4] = LEAD(AFTER_F4),
    [0xf5 ... 0xff] = LEAD(NO_TEXT),
};
#undef LEAD
#undef ROW

static inline uint32_t utf8_run(uint32_t state, const uint8_t *p, const uint8_t *end) {
    uint64_t at = state;
    while (p < end)
        at = utf8_moves[*p++] >> (at & 63);
    return at & 63;
}

/* Are these sixteen bytes ASCII? */
static inline int is_ascii16(const uint8_t *p) {
#if defined(__x86_64__)
    return !_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)p));
#else
    uint64_t low, high;
    memcpy(&low, p, 8);
    memcpy(&high, p + 8, 8);
    return !((low | high) & 0x8080808080808080);
#endif
}

static inline uint32_t utf8_skip_run(uint32_t state, const uint8_t *p, const uint8_t *end) {
    while (end - p >= 16) {
        if (state != BETWEEN || !is_ascii16(p))
            state = utf8_run(state, p, p + 16);
        p += 16;
    }
    return utf8_run(state, p, end);
}

#if defined(__x86_64__)
enum {      /* what can be wrong with two neighbours */
    TOO_SHORT = 1,              /* a lead, then no continuation */
    TOO_LONG = 2,               /* ASCII, then a continuation */
    OVERLONG_3 = 4,             /* E0, then 80 to 9F */
    TOO_LARGE = 8,              /* F4 or more, then 90 to BF */
    SURROGATE = 16,             /* ED, then A0 to BF */
    OVERLONG_2 = 32,            /* C0 or C1, then a continuation */
    TOO_LARGE_OR_OVERLONG = 64, /* F5 or more, or F0, then 80 to 8F */
    TWO_CONTINUATIONS = 128,    /* right only as third or fourth byte */
    ANY_LOW = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS,     /* say nothing about the first byte's low half */
};

#define BOTH_LANES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/* Nonzero where byte and predecessor do not fit. `before`: the thirty-two bytes in front. */
FOR_AVX2 static inline __m256i misfits(__m256i bytes, __m256i before) {
    const __m256i first_high = BOTH_LANES(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        (char)TWO_CONTINUATIONS, (char)TWO_CONTINUATIONS, (char)TWO_CONTINUATIONS, (char)TWO_CONTINUATIONS,
        TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
        TOO_SHORT | TOO_LARGE | TOO_LARGE_OR_OVERLONG);
    const char five = (char)(ANY_LOW | TOO_LARGE | TOO_LARGE_OR_OVERLONG);
    const __m256i first_low = BOTH_LANES(
        (char)(ANY_LOW | OVERLONG_3 | OVERLONG_2 | TOO_LARGE_OR_OVERLONG), (char)(ANY_LOW | OVERLONG_2), (char)ANY_LOW,
        (char)ANY_LOW, (char)(ANY_LOW | TOO_LARGE), five, five, five, five, five, five, five, five,
        (char)(five | SURROGATE), five, five);
    const char from_80 = (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS);
    const __m256i second_high = BOTH_LANES(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        (char)(from_80 | OVERLONG_3 | TOO_LARGE_OR_OVERLONG), (char)(from_80 | OVERLONG_3 | TOO_LARGE),
        (char)(from_80 | SURROGATE | TOO_LARGE), (char)(from_80 | SURROGATE | TOO_LARGE),
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    const __m256i half = _mm256_set1_epi8(0x0f);
    const __m256i seam = _mm256_permute2x128_si256(before, bytes, 0x21);
    const __m256i one_back = _mm256_alignr_epi8(bytes, seam, 15);
    const __m256i two_back = _mm256_alignr_epi8(bytes, seam, 14);
    const __m256i three_back = _mm256_alignr_epi8(bytes, seam, 13);
    const __m256i wrong = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(one_back, 4), half)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(one_back, half))),
        _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half)));
    /* The third byte of three and the third and fourth of four must be second continuations, and no others may. */
    const __m256i third_or_fourth = _mm256_or_si256(
        _mm256_subs_epu8(two_back, _mm256_set1_epi8(0xe0 - 0x80)), _mm256_subs_epu8(three_back, _mm256_set1_epi8(0xf0 - 0x80)));
    return _mm256_xor_si256(_mm256_and_si256(third_or_fourth, _mm256_set1_epi8((char)0x80)), wrong);
}

/* Nonzero where a character begins that thirty-two bytes do not hold to its end. */
FOR_AVX2 static inline __m256i unfinished(__m256i bytes) {
    const __m256i most = _mm256_setr_epi8(
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        (char)0xef, (char)0xdf, (char)0xbf);
    return _mm256_subs_epu8(bytes, most);
}

/* Whole blocks of 64 bytes, which begin with a character; unmasked to `to` on the way unless that is NULL. Bytes done;
 * SIZE_MAX: no text. A character that the last block leaves open, or a last byte that can begin none, is not judged. */
FOR_AVX2 static inline __attribute__((always_inline)) size_t utf8_blocks(
        uint8_t *to, const uint8_t *data, size_t size, uint64_t word) {
    const __m256i mask = _mm256_set1_epi64x((long long)word);
    __m256i before = _mm256_setzero_si256(), errors = before;
    size_t at = 0;
    for (; size - at >= 64; at += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(data + at));
        __m256i high = _mm256_loadu_si256((const __m256i *)(data + at + 32));
        if (to) {
            low = _mm256_xor_si256(low, mask);
            high = _mm256_xor_si256(high, mask);
            _mm256_storeu_si256((__m256i *)(to + at), low);
            _mm256_storeu_si256((__m256i *)(to + at + 32), high);
        }
        if (!_mm256_movemask_epi8(_mm256_or_si256(low, high))) {
            errors = _mm256_or_si256(errors, unfinished(before));
        } else {
            errors = _mm256_or_si256(errors, misfits(low, before));
            errors = _mm256_or_si256(errors, misfits(high, low));
        }
        before = high;
    }
    return _mm256_testz_si256(errors, errors) ? at : SIZE_MAX;
}

FOR_AVX2 static size_t utf8_blocks_unmasked(uint8_t *to, const uint8_t *data, size_t size, uint64_t word) {
    return utf8_blocks(to, data, size, word);
}

FOR_AVX2 static size_t utf8_blocks_plain(const uint8_t *data, size_t size) {
    return utf8_blocks(NULL, data, size, 0);
}

/* Where the last character of these blocks begins, at most four bytes back: the automaton goes on from there. */
static inline const uint8_t *last_character(const uint8_t *p, const uint8_t *start) {
    const uint8_t *lead = p;
    while (lead > start && p - lead < 4)
        if ((*--lead & 0xc0) != 0x80)
            return lead;
    return p;
}
#endif

/* The state behind the bytes; NO_TEXT: they are none. */
static inline uint32_t utf8_next(uint32_t state, const uint8_t *data, size_t size) {
    const uint8_t *p = data, *end = data + size;
#if defined(__x86_64__)
    if (size >= 128 && has_avx2()) {
        while (state != BETWEEN && state != NO_TEXT && p < end)
            state = utf8_run(state, p, p + 1), p++;
        if (state == NO_TEXT)
            return NO_TEXT;
        size_t done = utf8_blocks_plain(p, end - p);
        if (done == SIZE_MAX)
            return NO_TEXT;
        p = last_character(p + done, p);
    }
#endif
    return utf8_skip_run(state, p, end);
}

/* As utf8_next, of bytes unmasked to `to` in the same pass. 64 KiB of ASCII take as long as memcpy, 1.1 us; one pass
 * after the other, in parts that stay in the first cache, took 1.7, and 4.9 instead of 4.0 for mixed text. */
static inline uint32_t utf8_unmask(uint32_t state, uint8_t *to, const uint8_t *data, size_t size, const uint8_t *mask) {
    uint64_t word = mask_word(mask);
    if (to == data && !word)
        return utf8_next(state, data, size);
#if defined(__x86_64__)
    if (size >= 128 && has_avx2()) {
        size_t first = 0, done;
        while (state != BETWEEN && state != NO_TEXT) {      /* three bytes at most */
            to[first] = data[first] ^ mask[first & 3];
            state = utf8_run(state, to + first, to + first + 1);
            first++;
        }
        word = turned_word(word, first);
        done = state == NO_TEXT ? SIZE_MAX : utf8_blocks_unmasked(to + first, data + first, size - first, word);
        if (done == SIZE_MAX)
            return NO_TEXT;
        unmask_word(to + first + done, data + first + done, size - first - done, word);
        return utf8_skip_run(state, last_character(to + first + done, to + first), to + size);
    }
#endif
    unmask_bytes(to, data, size, mask);
    return utf8_next(state, to, size);
}
