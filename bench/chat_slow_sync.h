/* For LD_PRELOAD: every fsync and fdatasync takes CHAT_SYNC_MS milliseconds longer, as on a disk that is far away. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int slowly(const char *name, int fd) {
    const char *ms = getenv("CHAT_SYNC_MS");
    long wait_ms = ms == NULL ? 0 : atol(ms);
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (wait_ms > 0)
        nanosleep(&wait, NULL);
    return real(fd);
}

int fsync(int fd) {
    return slowly("fsync", fd);
}

int fdatasync(int fd) {
    return slowly("fdatasync", fd);
}
