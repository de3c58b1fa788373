/* Load for a key-value server, the same for HTTP and for Redis' protocol: each of N connections asks, waits for the whole
 * answer, and asks again.
 *
 *     keydriver PORT put|get|set|hello CONNECTIONS SECONDS KEYS VALUE_BYTES SEED
 *
 * `put` and `get` are HTTP (/kv/KEY, PUT with ?upsert=true), `set` is Redis' SET, `hello` is GET / over HTTP. Keys are
 * random, `key:` and 12 digits.
 * Prints requests, errors, seconds, p50 and p99 in microseconds, own CPU seconds. Exits 1, with a reason, when a
 * connection fails. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
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

enum { MOST = 4096, ROOM = 64 * 1024, LATENCIES = 2000000 };

enum kind { PUT, GET, SET, HELLO };

struct connection {
    int fd;
    size_t have;
    uint64_t asked_ns;
    char answer[ROOM];
};

static struct connection connections[MOST];
static uint32_t latencies[LATENCIES]; /* how many took that many microseconds */
static uint64_t state;
static enum kind kind;
static long n_keys, value_bytes, requests, errors;

static void fail(const char *what) {
    fprintf(stderr, "keydriver: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t next_random(void) { /* xorshift64, Marsaglia 2003 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void ask(struct connection *c) {
    char out[ROOM];
    long key = (long)(next_random() % (uint64_t)n_keys);
    int n, sent;
    if (kind == GET)
        n = snprintf(out, sizeof out, "GET /kv/key:%012ld HTTP/1.1\r\nHost: localhost\r\n\r\n", key);
    else if (kind == HELLO)
        n = snprintf(out, sizeof out, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    else if (kind == PUT)
        n = snprintf(out, sizeof out,
                     "PUT /kv/key:%012ld?upsert=true HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/octet-stream\r\nContent-Length: %ld\r\n\r\n",
                     key, value_bytes);
    else
        n = snprintf(out, sizeof out, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$%ld\r\n", key, value_bytes);
    if (kind == PUT || kind == SET) {
        memset(out + n, 'a' + (int)(next_random() % 26), (size_t)value_bytes);
        n += (int)value_bytes;
    }
    if (kind == SET) {
        memcpy(out + n, "\r\n", 2);
        n += 2;
    }
    c->have = 0;
    c->asked_ns = now_ns();
    sent = (int)send(c->fd, out, (size_t)n, MSG_NOSIGNAL);
    if (sent != n)
        fail("send");
}

/* 1: whole and good; -1: whole, and an error; 0: not whole yet. */
static int judge(struct connection *c) {
    char *end, *length;
    size_t size;
    c->answer[c->have] = 0;
    if (kind == SET) {
        if (c->have < 3 || c->answer[c->have - 1] != '\n')
            return 0;
        return c->answer[0] == '+' ? 1 : -1;
    }
    end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    length = strcasestr(c->answer, "\r\ncontent-length:");
    size = (size_t)(end + 4 - c->answer) + (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
    if (c->have < size)
        return 0;
    return memcmp(c->answer, "HTTP/1.1 2", 10) == 0 ? 1 : -1;
}

static void take(struct connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->have, ROOM - 1 - c->have, 0);
    uint64_t took_us;
    int verdict;
    if (n <= 0)
        fail(n == 0 ? "the server closed" : "recv");
    c->have += (size_t)n;
    verdict = judge(c);
    if (verdict == 0)
        return;
    requests += 1;
    errors += verdict < 0;
    took_us = (now_ns() - c->asked_ns) / 1000;
    latencies[took_us < LATENCIES ? took_us : LATENCIES - 1] += 1;
    ask(c);
}

static long percentile(double share) {
    double seen = 0;
    long i;
    for (i = 0; i < LATENCIES; i++) {
        seen += latencies[i];
        if (seen >= share * (double)requests)
            return i;
    }
    return LATENCIES - 1;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event events[256];
    struct rusage used;
    uint64_t began, until;
    const char *kinds[] = {"put", "get", "set", "hello"};
    int i, n, one = 1, epoll = epoll_create1(0);
    if (argc != 8) {
        fprintf(stderr, "usage: keydriver PORT put|get|set|hello CONNECTIONS SECONDS KEYS VALUE_BYTES SEED\n");
        return 2;
    }
    for (i = 0; i < 4 && strcmp(argv[2], kinds[i]) != 0; i++)
        ;
    kind = (enum kind)i;
    n = atoi(argv[3]);
    n_keys = atol(argv[5]);
    value_bytes = atol(argv[6]);
    state = 0x9e3779b97f4a7c15u ^ strtoull(argv[7], NULL, 10);
    if (kind > HELLO || n < 1 || n > MOST || n_keys < 1 || value_bytes < 0 || value_bytes > ROOM / 2) {
        fprintf(stderr, "keydriver: out of range\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connections[i].fd < 0 || connect(connections[i].fd, (struct sockaddr *)&address, sizeof address) != 0)
            fail("connect");
        setsockopt(connections[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event) != 0)
            fail("epoll_ctl");
    }
    began = now_ns();
    until = began + (uint64_t)(atof(argv[4]) * 1e9);
    for (i = 0; i < n; i++)
        ask(&connections[i]);
    while (now_ns() < until || (requests == 0 && now_ns() < until + 20000000000u)) { /* one at least, however late */
        int ready = epoll_wait(epoll, events, 256, 100);
        for (i = 0; i < ready; i++)
            take(events[i].data.ptr);
    }
    began = now_ns() - began;
    getrusage(RUSAGE_SELF, &used);
    printf("%ld %ld %.6f %ld %ld %.6f\n", requests, errors, (double)began / 1e9, percentile(0.5), percentile(0.99),
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
