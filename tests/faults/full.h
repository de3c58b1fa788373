/* A disk that is full for some files: preloaded, it stands before the writes of SQLite.
 * (A whole C source; named .h because every .c of this tree is something built.)
 *
 * FULL_IF     a file: while it is there, the disk is full
 * FULL_FOR    files whose path contains this cannot grow or change
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int full(int fd)
{
    const char *when = getenv("FULL_IF"), *what = getenv("FULL_FOR");
    char link[64], path[PATH_MAX];
    ssize_t n;
    if (!when || !what || access(when, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((n = readlink(link, path, sizeof path - 1)) < 0)
        return 0;
    path[n] = 0;
    return strstr(path, what) != NULL;
}

#define GUARDED(NAME, OFFSET)                                                                      \
    ssize_t NAME(int fd, const void *data, size_t n, OFFSET at)                                    \
    {                                                                                              \
        ssize_t (*real)(int, const void *, size_t, OFFSET) =                                       \
            (ssize_t (*)(int, const void *, size_t, OFFSET))dlsym(RTLD_NEXT, #NAME);               \
        if (full(fd)) {                                                                            \
            errno = ENOSPC;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        return real(fd, data, n, at);                                                              \
    }

GUARDED(pwrite, off_t)
GUARDED(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t n)
{
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, n);
}
