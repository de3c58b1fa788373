/* The words HTTP knows: field names, methods, reason phrases; which one stands here? */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t lower(uint8_t byte) {
    return (uint8_t)(byte - 'A') < 26 ? byte | 0x20 : byte;
}

/* Is [p, p + size) `word`, whatever the case? `word` is in small letters. */
static inline int is_word(const uint8_t *p, size_t size, const char *word) {
    size_t i = 0;
    while (i < size && word[i] && lower(p[i]) == (uint8_t)word[i])
        i++;
    return i == size && !word[i];
}

static inline int equal_words(const uint8_t *a, const uint8_t *b, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (lower(a[i]) != lower(b[i]))
            return 0;
    return 1;
}

/* In the order of the enum Name of head.pxd; a test reads each of them back. */
enum { KNOWN_NAMES = 23, LONGEST_KNOWN_NAME = 19 };
static const char known_names[KNOWN_NAMES][LONGEST_KNOWN_NAME + 1] = {
    "", "host", "connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection", "te", "trailer",
    "upgrade", "expect", "user-agent", "referer", "cookie", "authorization", "proxy-authorization", "x-forwarded-for",
    "x-forwarded-proto", "x-forwarded-host", "forwarded", "via", "date", "server",
};

/* No two of them share length and first letter, so these two point at the only name it can be. */
static const uint8_t name_by_size_and_letter[LONGEST_KNOWN_NAME + 1][32] = {
    [2] = {['t' & 31] = 7},
    [3] = {['v' & 31] = 20},
    [4] = {['h' & 31] = 1, ['d' & 31] = 21},
    [6] = {['e' & 31] = 10, ['c' & 31] = 13, ['s' & 31] = 22},
    [7] = {['t' & 31] = 8, ['u' & 31] = 9, ['r' & 31] = 12},
    [9] = {['f' & 31] = 19},
    [10] = {['c' & 31] = 2, ['k' & 31] = 5, ['u' & 31] = 11},
    [13] = {['a' & 31] = 14},
    [14] = {['c' & 31] = 3},
    [15] = {['x' & 31] = 16},
    [16] = {['p' & 31] = 6, ['x' & 31] = 18},
    [17] = {['t' & 31] = 4, ['x' & 31] = 17},
    [19] = {['p' & 31] = 15},
};

/* The Name of a field name, 0 for any other. The bytes are a token: there, setting bit 5 maps onto letters and "-" only
 * what is one of them, so a name is compared eight bytes at once, the last eight overlapping. */
static inline int known_name(const uint8_t *p, size_t size) {
    const uint64_t bit5 = 0x2020202020202020u;
    if (size < 2 || size > LONGEST_KNOWN_NAME)
        return 0;
    int name = name_by_size_and_letter[size][*p & 31];
    if (name == 0)
        return 0;
    const char *word = known_names[name];
    if (size < 8)
        return is_word(p, size, word) ? name : 0;
    uint64_t a, b, different = 0;
    for (size_t i = 0; i < size; i += 8) {
        size_t at = i + 8 <= size ? i : size - 8;
        memcpy(&a, p + at, 8);
        memcpy(&b, word + at, 8);
        different |= (a | bit5) ^ b;
    }
    return different ? 0 : name;
}

/* The Method (head.pxd) of a token, 0 for any other. Methods are case-sensitive: RFC 9110 section 9.1. */
static inline int known_method(const uint8_t *p, size_t size) {
    switch (size) {
    case 3: return !memcmp(p, "GET", 3) ? 1 : !memcmp(p, "PUT", 3) ? 4 : 0;
    case 4: return !memcmp(p, "HEAD", 4) ? 2 : !memcmp(p, "POST", 4) ? 3 : 0;
    case 5: return !memcmp(p, "PATCH", 5) ? 7 : !memcmp(p, "TRACE", 5) ? 9 : 0;
    case 6: return !memcmp(p, "DELETE", 6) ? 5 : 0;
    case 7: return !memcmp(p, "OPTIONS", 7) ? 6 : !memcmp(p, "CONNECT", 7) ? 8 : 0;
    default: return 0;
    }
}

/* Case-sensitive, RFC 9112 section 2.3. */
static inline int is_http_1_1(const uint8_t *p) {
    return !memcmp(p, "HTTP/1.1", 8);
}

static inline const char *reason_of(int status) {
    static const char *const reasons[512] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [102] = "Processing",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [208] = "Already Reported",
        [226] = "IM Used",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [305] = "Use Proxy",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [423] = "Locked",
        [424] = "Failed Dependency",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [506] = "Variant Also Negotiates",
        [507] = "Insufficient Storage",
        [508] = "Loop Detected",
        [511] = "Network Authentication Required",
    };
    return status > 0 && status < 512 && reasons[status] ? reasons[status] : "";
}
