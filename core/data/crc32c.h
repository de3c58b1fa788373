/* CRC-32C (Castagnoli, RFC 3720 section 12.1): the checksum of storage and networks, which CPUs know.
 *
 * crc32c(crc32c(0, a), b) is crc32c(0, a and b). Little-endian words on every machine; no byte outside
 * [data, data + size) is read. Which way is taken, and the tables of the slow one, are settled by a constructor: it runs
 * while the module is loaded, before any thread can call, so no call has to look whether it is the first. */
#ifndef HOTPATH_CRC32C_H
#define HOTPATH_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u   /* 0x1edc6f41 with its bits in reverse, as the CRC is computed */

/* crc32c_tables[0][b]: what byte b does to the register. crc32c_tables[k][b]: the same, k zero bytes later. */
static uint32_t crc32c_tables[8][256];
static int crc32c_in_hardware;

__attribute__((constructor)) static void crc32c_settle(void) {
    int b, k;
    for (b = 0; b < 256; b++) {
        uint32_t word = (uint32_t)b;
        for (k = 0; k < 8; k++)
            word = word >> 1 ^ (word & 1 ? CRC32C_POLYNOMIAL : 0);
        crc32c_tables[0][b] = word;
    }
    for (k = 1; k < 8; k++)
        for (b = 0; b < 256; b++) {
            uint32_t before = crc32c_tables[k - 1][b];
            crc32c_tables[k][b] = before >> 8 ^ crc32c_tables[0][before & 255];
        }
#if defined(__x86_64__)
    __builtin_cpu_init();       /* a constructor may run before the one that fills what cpu_supports reads */
    crc32c_in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static inline uint64_t crc32c_word(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Slicing by 8 (Kounavis and Berry, 2005): eight look-ups that do not wait for each other, in place of eight that do. */
static inline uint32_t crc32c_by_tables(uint32_t value, const uint8_t *data, size_t size) {
    uint32_t word = ~value;
    int k;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t bytes = crc32c_word(data) ^ word;
        for (word = 0, k = 0; k < 8; k++)
            word ^= crc32c_tables[7 - k][bytes >> 8 * k & 255];
    }
    for (; size; data++, size--)
        word = word >> 8 ^ crc32c_tables[0][(word ^ *data) & 255];
    return ~word;
}

#if defined(__x86_64__)
/* 8 bytes in the 3 cycles of the instruction's latency: beyond memory's speed for what we check, cells of some 50 bytes. */
__attribute__((target("sse4.2")))
static inline uint32_t crc32c_by_instruction(uint32_t value, const uint8_t *data, size_t size) {
    uint64_t word = (uint32_t)~value;
    for (; size >= 8; data += 8, size -= 8)
        word = __builtin_ia32_crc32di(word, crc32c_word(data));
    for (; size; data++, size--)
        word = __builtin_ia32_crc32qi((uint32_t)word, *data);
    return ~(uint32_t)word;
}
#endif

/* The CRC of `data` appended to what had the CRC `value`; 0 stands for nothing. */
static inline uint32_t crc32c(uint32_t value, const uint8_t *data, size_t size) {
#if defined(__x86_64__)
    if (crc32c_in_hardware)
        return crc32c_by_instruction(value, data, size);
#endif
    return crc32c_by_tables(value, data, size);
}

#endif
