/* The framing between the payload of a chunked body (RFC 9112 section 7.1), byte by byte: a table, so it can stop anywhere.
 *
 *     next_state[rules][state][class of the byte]
 *
 * An entry that is not written is WRONG. SIZE_END, DATA_END and BODY_END are answers: the caller goes on from SIZE,
 * DATA_CR or TRAILER_FIRST. Counted against a limit are the states from SIZE_BLANK to FREE_EXT_CR and TRAILER_NAME to TRAILER_LF.
 */
#pragma once
#include <stdint.h>

enum {
    WRONG = 0,
    SIZE,               /* the first digit comes */
    SIZE_MORE,
    SIZE_BLANK,         /* h11 takes blanks behind the size */
    EXT,                /* behind ";": blanks, then a name */
    EXT_NAME,
    EXT_NAME_BLANK,
    EXT_EQUALS,
    EXT_VALUE,
    EXT_VALUE_BLANK,    /* blanks here must lead to another ";" */
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    FREE_EXT,           /* h11 takes anything without a LF */
    FREE_EXT_CR,
    SIZE_LF,
    SIZE_END,
    DATA_CR,
    DATA_LF,
    DATA_END,
    TRAILER_FIRST,      /* no field stands above it that a fold could continue */
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    BODY_END,
    N_STATES,
};

enum {
    NUL_CLASS = 0,      /* NUL, VT, FF: never inside a line */
    CONTROL,            /* other control bytes: h11 takes them in values */
    BLANK,
    CR,
    LF,
    SEMICOLON,
    EQUALS,
    QUOTE,
    BACKSLASH,
    COLON,
    DIGIT_16,           /* also a token byte */
    TOKEN_BYTE,
    TEXT,               /* other visible bytes, obs-text */
    N_CLASSES,
};

static const uint8_t framing_class[256] = {
    [0x01 ... 0x08] = CONTROL,
    ['\t'] = BLANK,
    ['\n'] = LF,
    ['\r'] = CR,
    [0x0e ... 0x1f] = CONTROL,
    [' '] = BLANK,
    ['!'] = TOKEN_BYTE,
    ['"'] = QUOTE,
    ['#' ... '\''] = TOKEN_BYTE,
    ['(' ... ')'] = TEXT,
    ['*' ... '+'] = TOKEN_BYTE,
    [','] = TEXT,
    ['-' ... '.'] = TOKEN_BYTE,
    ['/'] = TEXT,
    ['0' ... '9'] = DIGIT_16,
    [':'] = COLON,
    [';'] = SEMICOLON,
    ['<'] = TEXT,
    ['='] = EQUALS,
    ['>' ... '@'] = TEXT,
    ['A' ... 'F'] = DIGIT_16,
    ['G' ... 'Z'] = TOKEN_BYTE,
    ['['] = TEXT,
    ['\\'] = BACKSLASH,
    [']'] = TEXT,
    ['^' ... '`'] = TOKEN_BYTE,
    ['a' ... 'f'] = DIGIT_16,
    ['g' ... 'z'] = TOKEN_BYTE,
    ['{'] = TEXT,
    ['|'] = TOKEN_BYTE,
    ['}'] = TEXT,
    ['~'] = TOKEN_BYTE,
    [0x7f] = CONTROL,
    [0x80 ... 0xff] = TEXT,
};

#define IN_TOKEN(state) [DIGIT_16] = state, [TOKEN_BYTE] = state
#define IN_VALUE(state) \
    IN_TOKEN(state), [BLANK] = state, [SEMICOLON] = state, [EQUALS] = state, [QUOTE] = state, [BACKSLASH] = state, \
    [COLON] = state, [TEXT] = state

/* The same under both rules. */
#define COMMON_STATES \
    [SIZE] = {[DIGIT_16] = SIZE_MORE}, \
    [SIZE_LF] = {[LF] = SIZE_END}, \
    [DATA_CR] = {[CR] = DATA_LF}, \
    [DATA_LF] = {[LF] = DATA_END}, \
    [TRAILER_NAME] = {IN_TOKEN(TRAILER_NAME), [COLON] = TRAILER_VALUE}, \
    [TRAILER_LF] = {[LF] = TRAILER}, \
    [LAST_LF] = {[LF] = BODY_END}

static const uint8_t next_state[2][N_STATES][N_CLASSES] = {
    {   /* STRICT: the RFC's grammar; no blank beside the size, though a recipient may skip it: others read it otherwise */
        COMMON_STATES,
        [SIZE_MORE] = {[DIGIT_16] = SIZE_MORE, [SEMICOLON] = EXT, [CR] = SIZE_LF},
        [EXT] = {[BLANK] = EXT, IN_TOKEN(EXT_NAME)},
        [EXT_NAME] = {IN_TOKEN(EXT_NAME), [BLANK] = EXT_NAME_BLANK, [EQUALS] = EXT_EQUALS, [SEMICOLON] = EXT, [CR] = SIZE_LF},
        [EXT_NAME_BLANK] = {[BLANK] = EXT_NAME_BLANK, [EQUALS] = EXT_EQUALS, [SEMICOLON] = EXT},
        [EXT_EQUALS] = {[BLANK] = EXT_EQUALS, IN_TOKEN(EXT_VALUE), [QUOTE] = EXT_QUOTED},
        [EXT_VALUE] = {IN_TOKEN(EXT_VALUE), [BLANK] = EXT_VALUE_BLANK, [SEMICOLON] = EXT, [CR] = SIZE_LF},
        [EXT_VALUE_BLANK] = {[BLANK] = EXT_VALUE_BLANK, [SEMICOLON] = EXT},
        [EXT_QUOTED] = {IN_TOKEN(EXT_QUOTED), [BLANK] = EXT_QUOTED, [SEMICOLON] = EXT_QUOTED, [EQUALS] = EXT_QUOTED,
                        [COLON] = EXT_QUOTED, [TEXT] = EXT_QUOTED, [BACKSLASH] = EXT_ESCAPED, [QUOTE] = EXT_QUOTED_END},
        [EXT_ESCAPED] = {IN_VALUE(EXT_QUOTED)},
        [EXT_QUOTED_END] = {[BLANK] = EXT_VALUE_BLANK, [SEMICOLON] = EXT, [CR] = SIZE_LF},
        [TRAILER_FIRST] = {IN_TOKEN(TRAILER_NAME), [CR] = LAST_LF},
        [TRAILER] = {IN_TOKEN(TRAILER_NAME), [CR] = LAST_LF},
        [TRAILER_VALUE] = {IN_VALUE(TRAILER_VALUE), [CR] = TRAILER_LF},
    },
    {   /* H11 */
        COMMON_STATES,
        [SIZE_MORE] = {[DIGIT_16] = SIZE_MORE, [BLANK] = SIZE_BLANK, [SEMICOLON] = FREE_EXT, [CR] = SIZE_LF},
        [SIZE_BLANK] = {[BLANK] = SIZE_BLANK, [CR] = SIZE_LF},
        [FREE_EXT] = {IN_VALUE(FREE_EXT), [NUL_CLASS] = FREE_EXT, [CONTROL] = FREE_EXT, [CR] = FREE_EXT_CR},
        [FREE_EXT_CR] = {IN_VALUE(FREE_EXT), [NUL_CLASS] = FREE_EXT, [CONTROL] = FREE_EXT, [CR] = FREE_EXT_CR, [LF] = SIZE_END},
        [TRAILER_FIRST] = {IN_TOKEN(TRAILER_NAME), [CR] = LAST_LF, [LF] = BODY_END},
        [TRAILER] = {IN_TOKEN(TRAILER_NAME), [BLANK] = TRAILER_VALUE, [CR] = LAST_LF, [LF] = BODY_END},
        [TRAILER_VALUE] = {IN_VALUE(TRAILER_VALUE), [CONTROL] = TRAILER_VALUE, [CR] = TRAILER_LF, [LF] = TRAILER},
    },
};

#undef IN_TOKEN
#undef IN_VALUE
#undef COMMON_STATES

static inline uint8_t framing_step(uint8_t rules, uint8_t state, uint8_t byte) {
    return next_state[rules][state][framing_class[byte]];
}

static inline int digit_16(uint8_t byte) {
    return byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;
}
