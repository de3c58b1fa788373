/* Bytes that grow at the end. Zeroed memory is an empty one. */
#pragma once
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uint8_t *at;        /* owned; NULL while there is no room */
    size_t size;
    size_t room;
} Growing;

/* Make room for `more` bytes behind `size`. -1: no memory, and nothing has changed. */
static inline int growing_reserve(Growing *growing, size_t more) {
    if (growing->room - growing->size >= more)
        return 0;
    if (more > SIZE_MAX / 4 || growing->size > SIZE_MAX / 4)
        return -1;
    size_t room = growing->room * 2;        /* so that many small ones cost linear time */
    if (room < growing->size + more)
        room = growing->size + more;
    uint8_t *at = realloc(growing->at, room);
    if (!at)
        return -1;
    growing->at = at;
    growing->room = room;
    return 0;
}

static inline void growing_free(Growing *growing) {
    free(growing->at);
    growing->at = NULL;
    growing->size = growing->room = 0;
}
