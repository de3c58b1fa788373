/* What the chat's load programs share: the client's side of WebSocket and HTTP over loopback, and numbers in JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, LONGEST_US = 4000000, EVENTS = 512 };

static char arriving[ROOM]; /* what one recv brought, behind what was left of the one before */

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double own_cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* --- times: how many took that many microseconds ------------------------------------------------------------------- */

struct times {
    uint64_t n;
    uint32_t of_us[LONGEST_US];
};

static void note(struct times *t, uint64_t took_ns) {
    uint64_t us = took_ns / 1000;
    t->of_us[us < LONGEST_US ? us : LONGEST_US - 1] += 1;
    t->n += 1;
}

static long percentile_us(const struct times *t, double share) {
    double seen = 0;
    long i;
    for (i = 0; i < LONGEST_US; i++) {
        seen += t->of_us[i];
        if (t->n > 0 && seen >= share * (double)t->n)
            return i;
    }
    return 0;
}

/* --- connections --------------------------------------------------------------------------------------------------- */

struct peer {
    int fd;
    int upgraded;     /* the 101 has come: frames follow */
    uint32_t n_left;  /* bytes of a frame whose rest is still to come */
    char *left;       /* owned */
};

/* A connection to 127.0.0.1; it ends with RST, so that thousands leave no TIME_WAIT behind. -1: refused. */
static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void watch(int epoll, int fd, void *who) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static int send_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0)
            return -1;
        bytes += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static void keep(struct peer *p, const char *bytes, size_t n) {
    if (n > 0) {
        p->left = realloc(p->left, n);
        memcpy(p->left, bytes, n);
    } else {
        free(p->left);
        p->left = NULL;
    }
    p->n_left = (uint32_t)n;
}

/* All that has come, with what was left; it is in `arriving`, ended by a NUL. 0: nothing yet; -1: the connection is over. */
static ssize_t take(struct peer *p) {
    ssize_t n = recv(p->fd, arriving + p->n_left, ROOM - 1 - p->n_left, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    if (p->n_left > 0)
        memcpy(arriving, p->left, p->n_left);
    n += p->n_left;
    arriving[n] = 0;
    return n;
}

/* --- numbers in JSON, as compact as both sides write it ------------------------------------------------------------- */

/* The number behind `name`, which holds its quotes and colon; -1: it is not in [text, end). */
static int64_t number(const char *text, const char *end, const char *name) {
    const char *at = memmem(text, (size_t)(end - text), name, strlen(name));
    if (at == NULL)
        return -1;
    at += strlen(name);
    while (at < end && *at == ' ')
        at++;
    return at < end && (*at == '-' || (*at >= '0' && *at <= '9')) ? strtoll(at, NULL, 10) : -1;
}

static const char EVENT[] = "{\"type\":\"event\",\"channel\":", READY[] = "{\"type\":\"ready\"";

static int begins(const char *text, size_t n, const char *what) {
    size_t size = strlen(what);
    return n >= size && memcmp(text, what, size) == 0;
}

/* The seq of an event frame, its channel in `channel`; -1: it is none. */
static int64_t event_seq(const char *text, size_t n, int64_t *channel) {
    char *at;
    if (!begins(text, n, EVENT))
        return -1;
    *channel = strtoll(text + sizeof EVENT - 1, &at, 10);
    return number(at, text + n, "\"seq\":");
}

/* --- WebSocket, RFC 6455 --------------------------------------------------------------------------------------------- */

static int send_opening(int fd, int port, const char *path) {
    char out[2048];
    int n = snprintf(out, sizeof out,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     path, port);
    return send_all(fd, out, (size_t)n);
}

/* A masked frame of less than 64 KiB; the mask is 0, which leaves the bytes as they are. */
static int send_frame(int fd, int opcode, const char *text, size_t n) {
    char out[65536 + 8];
    size_t head = n < 126 ? 2 : 4;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(0x80 | (n < 126 ? n : 126));
    if (head == 4) {
        out[2] = (char)(n >> 8);
        out[3] = (char)n;
    }
    memset(out + head, 0, 4);
    memcpy(out + head + 4, text, n);
    return send_all(fd, out, head + 4 + n);
}

/* Reads once; `text` gets each whole text frame, `opened` is told of the 101. Answers pings. 0: it goes on; -1: over;
 * more: the close code, or the status of an opening that was no 101. */
static int take_frames(struct peer *p, void (*opened)(struct peer *), void (*text)(struct peer *, const char *, size_t)) {
    ssize_t n = take(p);
    char *at = arriving, *end = arriving + n;
    if (n <= 0)
        return (int)n;
    if (!p->upgraded) {
        char *body = strstr(arriving, "\r\n\r\n");
        if (body == NULL) {
            keep(p, arriving, (size_t)n);
            return 0;
        }
        if (memcmp(arriving, "HTTP/1.1 101 ", 13) != 0)
            return atoi(arriving + 9);
        at = body + 4;
        p->upgraded = 1;
        opened(p);
    }
    while (end - at >= 2) {
        size_t size = (unsigned char)at[1] & 0x7f, head = size < 126 ? 2 : size == 126 ? 4 : 10;
        int opcode = at[0] & 0x0f;
        if ((size_t)(end - at) < head)
            break;
        if (head == 4)
            size = (size_t)(unsigned char)at[2] << 8 | (unsigned char)at[3];
        else if (head == 10)
            fail("a frame of more than 64 KiB");
        if ((size_t)(end - at) < head + size)
            break;
        at += head;
        if (opcode == 1)
            text(p, at, size);
        else if (opcode == 8)
            return size < 2 ? 1005 : (unsigned char)at[0] << 8 | (unsigned char)at[1];
        else if (opcode == 9)
            send_frame(p->fd, 10, at, size);
        at += size;
    }
    keep(p, at, (size_t)(end - at));
    return 0;
}

/* --- HTTP/1.1 -------------------------------------------------------------------------------------------------------- */

static int send_post(int fd, int port, const char *path, const char *token, const char *body, size_t n) {
    char out[16384];
    int head = snprintf(out, sizeof out,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                        path, port, token, n);
    if ((size_t)head + n > sizeof out)
        fail("a body of %zu bytes", n);
    memcpy(out + head, body, n);
    return send_all(fd, out, (size_t)head + n);
}

/* Reads once. The status once the whole answer is in `arriving` from `*body`; 0: not yet; -1: the connection is over. */
static int take_answer(struct peer *p, char **body) {
    ssize_t n = take(p);
    char *end, *length;
    size_t size;
    if (n <= 0)
        return (int)n;
    end = strstr(arriving, "\r\n\r\n");
    if (end != NULL) {
        length = strcasestr(arriving, "\r\ncontent-length:");
        size = (size_t)(end + 4 - arriving) + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
        if ((size_t)n >= size) {
            keep(p, NULL, 0);
            *body = end + 4;
            return atoi(arriving + 9);
        }
    }
    keep(p, arriving, (size_t)n);
    return 0;
}

/* --- lines of a file ------------------------------------------------------------------------------------------------- */

/* The first `n` lines of the file, without their ends. */
static char **lines_of(const char *path, int n) {
    FILE *file = fopen(path, "r");
    char **found = calloc((size_t)n, sizeof *found);
    size_t room;
    int i;
    if (file == NULL)
        fail("%s: %s", path, strerror(errno));
    for (i = 0; i < n; i++) {
        room = 0;
        if (getline(&found[i], &room, file) < 0)
            fail("%s: %d lines of %d", path, i, n);
        found[i][strcspn(found[i], "\n")] = 0;
    }
    fclose(file);
    return found;
}
