/* A disk that takes its time, or loses what was not synced: preloaded, it stands before fsync and fdatasync.
 * (A whole C source; named .h because every .c of this tree is something built.)
 *
 * DISK_CONTROL   a file with a decimal number: milliseconds that each sync takes; read at each sync, absent means 0.
 * DISK_SYNCED    a folder: after each sync of a file below DISK_OF the file's bytes are copied there, under its name.
 *                That folder is what a power cut would have left: everything that was synced, nothing else.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void take_time(void)
{
    const char *path = getenv("DISK_CONTROL");
    char text[32] = "";
    struct timespec pause;
    long ms;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0 && (ms = atol(text)) > 0) {
        pause.tv_sec = ms / 1000;
        pause.tv_nsec = ms % 1000 * 1000000L;
        nanosleep(&pause, NULL);
    }
    close(fd);
}

static void keep(int fd)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    const char *folder = getenv("DISK_SYNCED"), *of = getenv("DISK_OF");
    char link[64], path[PATH_MAX], target[PATH_MAX * 2], fresh[PATH_MAX * 2 + 8];
    static char piece[1 << 16];
    ssize_t n;
    off_t at = 0;
    int out, in;
    if (!folder || !of)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((n = readlink(link, path, sizeof path - 1)) < 0)
        return;
    path[n] = 0;
    if (strncmp(path, of, strlen(of)) != 0 || !strrchr(path, '/'))
        return;
    /* Opening a second descriptor would drop POSIX locks when it closes: SQLite holds some. Read through this one. */
    in = fd;
    snprintf(target, sizeof target, "%s%s", folder, strrchr(path, '/'));
    snprintf(fresh, sizeof fresh, "%s.new", target);
    pthread_mutex_lock(&turn);
    if ((out = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) >= 0) {
        while ((n = pread(in, piece, sizeof piece, at)) > 0 && write(out, piece, (size_t)n) == n)
            at += n;
        close(out);
        rename(fresh, target);
    }
    pthread_mutex_unlock(&turn);
}

static int sync_by(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int status;
    take_time();
    if ((status = real(fd)) == 0)
        keep(fd);
    return status;
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }
