/* Runs of bytes: where does the first byte outside a class stand?
 *
 * Every scan_ function takes [p, end), reads nothing beyond it, and returns the first byte that stops the run, or `end`.
 * SSE2 is part of x86-64, so it needs no check at start-up. AVX2 for the values was measured and left out: a request of
 * 253 bytes gains nothing, for few of its values fill a register; a cookie of 2 KiB takes half, 150 ns less.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    TOKEN = 1,          /* tchar, RFC 9110 section 5.6.2 */
    TARGET = 2,         /* visible ASCII without "#" and "\": what a request target may hold */
    PLAIN = 4,          /* TARGET without "/", "%" and "?": needs no look when a path is read */
    HOST = 8,           /* letters, digits, "-._~" */
    VALUE = 16,         /* field-vchar, obs-text, SP, HTAB */
    FREE_VALUE = 32,    /* as h11: also control bytes that are not white space */
    HEX = 64,
    DIGIT = 128,
};

#define ANY_VALUE (VALUE | FREE_VALUE)
static const uint8_t byte_class[256] = {
    [0x01 ... 0x08] = FREE_VALUE,
    ['\t'] = ANY_VALUE,
    [0x0e ... 0x1f] = FREE_VALUE,
    [' '] = ANY_VALUE,
    ['!'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['"'] = ANY_VALUE | TARGET | PLAIN,
    ['#'] = ANY_VALUE | TOKEN,
    ['$'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['%'] = ANY_VALUE | TARGET | TOKEN,
    ['&'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['\''] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['('] = ANY_VALUE | TARGET | PLAIN,
    [')'] = ANY_VALUE | TARGET | PLAIN,
    ['*'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['+'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    [','] = ANY_VALUE | TARGET | PLAIN,
    ['-'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    ['.'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    ['/'] = ANY_VALUE | TARGET,
    ['0' ... '9'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST | HEX | DIGIT,
    [':' ... '>'] = ANY_VALUE | TARGET | PLAIN,
    ['?'] = ANY_VALUE | TARGET,
    ['@'] = ANY_VALUE | TARGET | PLAIN,
    ['A' ... 'F'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST | HEX,
    ['G' ... 'Z'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    ['['] = ANY_VALUE | TARGET | PLAIN,
    ['\\'] = ANY_VALUE,
    [']'] = ANY_VALUE | TARGET | PLAIN,
    ['^'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['_'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    ['`'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['a' ... 'f'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST | HEX,
    ['g' ... 'z'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    ['{'] = ANY_VALUE | TARGET | PLAIN,
    ['|'] = ANY_VALUE | TARGET | PLAIN | TOKEN,
    ['}'] = ANY_VALUE | TARGET | PLAIN,
    ['~'] = ANY_VALUE | TARGET | PLAIN | TOKEN | HOST,
    [0x7f] = FREE_VALUE,
    [0x80 ... 0xff] = ANY_VALUE,
};
#undef ANY_VALUE

static inline int is_a(uint8_t byte, int class_bits) {
    return byte_class[byte] & class_bits;
}

static inline int is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t';
}

static inline const uint8_t *scan_class(const uint8_t *p, const uint8_t *end, int class_bits) {
    while (p < end && is_a(*p, class_bits))
        p++;
    return p;
}

/* The bytes of a path that need no look. */
static inline const uint8_t *scan_plain(const uint8_t *p, const uint8_t *end) {
    return scan_class(p, end, PLAIN);
}

/* Visible ASCII, which h11 takes for a target. */
static inline const uint8_t *scan_visible(const uint8_t *p, const uint8_t *end) {
    while (p < end && *p > 0x20 && *p < 0x7f)
        p++;
    return p;
}

static inline const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end) {
    while (p < end && is_blank(*p))
        p++;
    return p;
}

/* Where the blanks before `end` begin, not before `start`. */
static inline const uint8_t *trim_blanks(const uint8_t *start, const uint8_t *end) {
    while (end > start && is_blank(end[-1]))
        end--;
    return end;
}

#if defined(__SSE2__)
/* Per byte 0xff where low <= byte <= low + span, unsigned: SSE2 has no unsigned compare, a saturating subtraction is one. */
static inline __m128i in_range(__m128i bytes, uint8_t low, uint8_t span) {
    __m128i above_low = _mm_sub_epi8(bytes, _mm_set1_epi8((char)low));
    return _mm_cmpeq_epi8(_mm_subs_epu8(above_low, _mm_set1_epi8((char)span)), _mm_setzero_si128());
}
#endif

/* A field name. Sixteen bytes at once as long as they are letters, digits and "-", which most names are: `*is_common`. */
static inline const uint8_t *scan_name(const uint8_t *p, const uint8_t *end, int *is_common) {
    *is_common = 1;
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i letters = in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 25);
        __m128i dashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
        __m128i common = _mm_or_si128(_mm_or_si128(letters, dashes), in_range(bytes, '0', 9));
        unsigned others = ~(unsigned)_mm_movemask_epi8(common) & 0xffff;
        if (others) {
            p += __builtin_ctz(others);
            if (*p == ':')
                return p;
            break;
        }
        p += 16;
    }
#endif
    *is_common = 0;
    return scan_class(p, end, TOKEN);
}

/* A field value or reason phrase: up to a control byte other than HTAB. */
static inline const uint8_t *scan_value(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i control = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), in_range(bytes, 0, 0x1f));
        __m128i stop = _mm_or_si128(control, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        if (stops)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    return scan_class(p, end, VALUE);
}

/* What h11 takes for a value: up to NUL, LF, VT, FF or CR. */
static inline const uint8_t *scan_free_value(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i stop = _mm_or_si128(in_range(bytes, '\n', '\r' - '\n'), _mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        if (stops)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    return scan_class(p, end, FREE_VALUE);
}

/* The rest of a target, queries above all: up to a byte outside TARGET. */
static inline const uint8_t *scan_target(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i visible = in_range(bytes, 0x21, 0x7e - 0x21);
        __m128i barred =
            _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        unsigned stops = ~(unsigned)_mm_movemask_epi8(_mm_andnot_si128(barred, visible)) & 0xffff;
        if (stops)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    return scan_class(p, end, TARGET);
}

/* Does an empty line, LF LF or LF CR LF, end in [p, end)? What it finds may still be no end of a head: the parser says. */
static inline int has_empty_line(const uint8_t *p, const uint8_t *end) {
    while ((p = (const uint8_t *)memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        if (end - p >= 1 && p[0] == '\n')
            return 1;
        if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
            return 1;
    }
    return 0;
}
