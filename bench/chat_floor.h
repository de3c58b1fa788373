/* The floor under all gateways: Redis is read, and each socket gets what one read brought by one bare send.
 *
 *     chat_floor PORT REDIS_PORT PREFIX
 *
 * Sockets come at /?channel=ID, all with the same ID. Nothing is queued: a socket that does not take all at once ends the
 * program. What a gateway costs above this is its own; the rest is the kernel's. */
#include "chat_wire.h"

enum { MOST = 16384, HEAD_BYTES = 40, TEXT = 0x81 };

static int sockets[MOST], n_sockets, redis, subscribed;
static unsigned long channel, head;
static char block[ROOM + 65536]; /* frames with their headers */

static void say(int fd, const char *bytes, size_t n) {
    if (send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
        fail("a socket does not take %zu bytes", n);
}

static size_t frame_head(char *out, size_t n) {
    out[0] = (char)TEXT;
    out[1] = (char)(n < 126 ? n : 126);
    out[2] = (char)(n >> 8);
    out[3] = (char)n;
    return n < 126 ? 2 : 4;
}

static void say_ready(int fd) {
    char text[128], out[160];
    int n = snprintf(text, sizeof text, "{\"type\":\"ready\",\"channels\":[{\"id\":%lu,\"head\":%lu}]}", channel, head);
    size_t size = frame_head(out, (size_t)n);
    memcpy(out + size, text, (size_t)n);
    say(fd, out, size + (size_t)n);
}

static void open_socket(int listener, int epoll, const char *prefix) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; /* of chat_wire.h's key */
    char request[4096], out[256];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    size_t have = 0;
    char *at;
    if (fd < 0)
        fail("accept: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    do {
        ssize_t n = recv(fd, request + have, sizeof request - 1 - have, 0);
        if (n <= 0) { /* somebody looked whether we listen */
            close(fd);
            return;
        }
        have += (size_t)n;
        request[have] = 0;
    } while (strstr(request, "\r\n\r\n") == NULL);
    at = strstr(request, "channel=");
    if (at == NULL || n_sockets == MOST)
        fail("no channel, or too many sockets");
    say(fd, answer, sizeof answer - 1);
    if (n_sockets == 0) {
        channel = strtoul(at + 8, NULL, 10);
        say(redis, out, (size_t)snprintf(out, sizeof out, "SUBSCRIBE %sc:%lu\r\n", prefix, channel));
    }
    sockets[n_sockets++] = fd;
    watch(epoll, fd, &sockets[n_sockets - 1]);
    if (subscribed)
        say_ready(fd);
}

/* The bulk string at `*at`, which moves behind it; NULL: it is not whole. */
static char *bulk(char **at, const char *end, size_t *n) {
    char *line = memchr(*at, '\n', (size_t)(end - *at)), *text;
    if (line == NULL)
        return NULL;
    *n = strtoul(*at + 1, NULL, 10);
    text = line + 1;
    if ((size_t)(end - text) < *n + 2)
        return NULL;
    *at = text + *n + 2;
    return text;
}

static void read_redis(struct peer *p) {
    ssize_t got = take(p);
    char *at = arriving, *end = arriving + got, *text;
    size_t filled = 0, n;
    int i;
    if (got < 0)
        fail("Redis is gone");
    while (end - at > 4) {
        char *here = at + 4, *kind = bulk(&here, end, &n); /* behind *3 */
        if (kind == NULL || bulk(&here, end, &n) == NULL)
            break;
        if (*kind == 's') {
            char *line = memchr(here, '\n', (size_t)(end - here));
            if (line == NULL)
                break;
            at = line + 1;
            subscribed = 1;
            for (i = 0; i < n_sockets; i++)
                say_ready(sockets[i]);
            continue;
        }
        text = bulk(&here, end, &n);
        if (text == NULL)
            break;
        memcpy(&head, text + 16, sizeof head);
        n -= HEAD_BYTES;
        filled += frame_head(block + filled, n);
        memcpy(block + filled, text + HEAD_BYTES, n);
        filled += n;
        at = here;
    }
    keep(p, at, (size_t)(end - at));
    if (filled > 0)
        for (i = 0; i < n_sockets; i++)
            say(sockets[i], block, filled);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct peer feed = {0};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(0);
    if (argc != 4)
        fail("usage: chat_floor PORT REDIS_PORT PREFIX");
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    feed.fd = redis = dial(atoi(argv[2]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (redis < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0)
        fail("no Redis, or port %s is taken", argv[1]);
    watch(epoll, listener, &listener);
    watch(epoll, redis, &feed);
    for (;;) {
        struct epoll_event events[EVENTS];
        int i, n = epoll_wait(epoll, events, EVENTS, -1);
        for (i = 0; i < n; i++) {
            if (events[i].data.ptr == &listener)
                open_socket(listener, epoll, argv[3]);
            else if (events[i].data.ptr == &feed)
                read_redis(&feed);
            else /* all sockets end together, and with them the measurement */
                return 0;
        }
    }
}
