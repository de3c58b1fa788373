/* One publisher and N receiving sockets: what does a gateway do with an event that Redis brings?
 *
 *     chat_fanout GATEWAY_PORT PATHS N START REDIS_PORT TOPIC CHANNEL FRAME
 *
 * PATHS: a file with a request path for each socket. START: what each socket says behind its 101, or nothing. A gateway
 * answers with a frame {"type":"ready",…"channels":[{"id":…,"head":…}]}. Then lines come on standard input:
 *
 *     run WINDOW MILLISECONDS     publish; WINDOW messages are under way at any time, each until all sockets have it
 *     rest                        say that the sockets are still there
 *
 * FRAME: a file with what follows the seq in each event's JSON. Every socket must get each seq once and in order; if
 * not, the program ends. `run` prints messages, deliveries, seconds, p50 and p99 in microseconds from the publication to
 * each delivery, own CPU seconds, reads that brought something. */
#include "chat_wire.h"

enum { WINDOW_MOST = 256 };

struct receiver {
    struct peer peer;
    int64_t next;       /* seq */
    int ready;
};

static struct receiver *receivers;
static struct times delivered;
static const char *start, *topic;
static char *tail;          /* what follows the seq in each event */
static size_t tail_bytes;
static int64_t channel, head = 0, next_seq;
static int n_receivers, n_ready, redis, window;
static uint64_t published_ns[WINDOW_MOST];      /* by seq */
static int missing[WINDOW_MOST];                /* sockets that have not got it yet */
static int64_t completed;                       /* messages that all have */
static uint64_t woke_ns;                        /* when epoll_wait returned */
static long n_reads;

static void opened(struct peer *p) {
    if (*start != 0 && send_frame(p->fd, 1, start, strlen(start)) != 0)
        fail("start: %s", strerror(errno));
}

static void text(struct peer *p, const char *frame, size_t n) {
    struct receiver *r = (struct receiver *)p;
    int64_t of, seq = event_seq(frame, n, &of);
    if (seq >= 0 && of == channel) {
        const char *rest = (const char *)memmem(frame, n, "\"seq\":", 6) + 6;
        int place = (int)(seq % WINDOW_MOST);
        if (!r->ready || seq != r->next)
            fail("socket %ld: seq %ld where %ld is due", (long)(r - receivers), (long)seq, (long)r->next);
        if (seq >= next_seq)
            fail("socket %ld: seq %ld was never published", (long)(r - receivers), (long)seq);
        rest += strspn(rest, "0123456789");
        if ((size_t)(frame + n - rest) != tail_bytes || memcmp(rest, tail, tail_bytes) != 0)
            fail("socket %ld: seq %ld is not as it was published", (long)(r - receivers), (long)seq);
        r->next += 1;
        note(&delivered, woke_ns > published_ns[place] ? woke_ns - published_ns[place] : 0);
        if (--missing[place] == 0)
            completed += 1;
    } else if (begins(frame, n, READY)) {
        char id[32];
        const char *at;
        snprintf(id, sizeof id, "\"id\":%ld,", (long)channel);
        at = memmem(frame, n, id, strlen(id));
        if (at == NULL)
            fail("socket %ld is not in channel %ld: %.*s", (long)(r - receivers), (long)channel, (int)n, frame);
        r->next = number(at, frame + n, "\"head\":") + 1;
        head = r->next - 1 > head ? r->next - 1 : head;
        r->ready = 1;
        n_ready += 1;
    }
}

static void serve(int epoll, int wait_ms) {
    struct epoll_event events[EVENTS];
    int i, n = epoll_wait(epoll, events, EVENTS, wait_ms);
    woke_ns = now_ns();
    for (i = 0; i < n; i++) {
        struct peer *p = events[i].data.ptr;
        if (p == NULL) {
            char answer[65536];
            ssize_t got = recv(redis, answer, sizeof answer, MSG_DONTWAIT);
            if (got <= 0 || memchr(answer, '-', (size_t)got) != NULL)
                fail("redis: %.*s", (int)(got > 0 ? got : 0), answer);
        } else {
            int over = take_frames(p, opened, text);
            n_reads += 1;
            if (over != 0)
                fail("socket %ld is over: %d", (long)((struct receiver *)p - receivers), over);
        }
    }
}

static size_t publication(char *out, int64_t seq) {
    char json[16384];
    unsigned char event[40] = {1, 1}; /* topics.HEAD: version, kind; channel, seq, actor behind the first eight */
    uint64_t numbers[4] = {(uint64_t)channel, (uint64_t)seq, 1, 0};
    int n = snprintf(json, sizeof json, "%s%ld,\"seq\":%ld%s", EVENT, (long)channel, (long)seq, tail);
    int size = snprintf(out, 256, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%d\r\n", strlen(topic), topic, n + 40);
    memcpy(event + 8, numbers, sizeof numbers);
    memcpy(out + size, event, 40);
    memcpy(out + size + 40, json, (size_t)n);
    memcpy(out + size + 40 + n, "\r\n", 2);
    return (size_t)(size + 40 + n + 2);
}

static void run(int epoll, uint64_t milliseconds) {
    static char out[WINDOW_MOST * 20000];
    uint64_t began = now_ns(), until = began + milliseconds * 1000000u;
    int64_t first = next_seq;
    double cpu = own_cpu_s();
    memset(&delivered, 0, sizeof delivered);
    completed = n_reads = 0;
    for (;;) {
        size_t n = 0;
        int open = next_seq == first || now_ns() < until;      /* one at least, however late we are */
        if (!open && next_seq - first == completed)
            break;
        while (open && next_seq - first - completed < window) {
            n += publication(out + n, next_seq);
            missing[next_seq % WINDOW_MOST] = n_receivers;
            published_ns[next_seq % WINDOW_MOST] = now_ns();
            next_seq += 1;
        }
        if (n > 0 && send_all(redis, out, n) != 0)
            fail("redis: %s", strerror(errno));
        if (now_ns() > until + 20000000000u)
            fail("%ld of %ld messages have not reached all sockets", (long)(next_seq - first - completed),
                 (long)(next_seq - first));
        serve(epoll, 1000);
    }
    printf("%ld %lu %.6f %ld %ld %.6f %ld\n", (long)(next_seq - first), (unsigned long)delivered.n,
           (double)(now_ns() - began) / 1e9, percentile_us(&delivered, 0.5), percentile_us(&delivered, 0.99),
           own_cpu_s() - cpu, n_reads);
    fflush(stdout);
}

int main(int argc, char **argv) {
    char line[256], **paths;
    unsigned long milliseconds;
    uint64_t until;
    int i, port, epoll = epoll_create1(0);
    if (argc != 9)
        fail("usage: chat_fanout GATEWAY_PORT PATHS N START REDIS_PORT TOPIC CHANNEL FRAME");
    port = atoi(argv[1]);
    n_receivers = atoi(argv[3]);
    start = argv[4];
    topic = argv[6];
    channel = atol(argv[7]);
    paths = lines_of(argv[2], n_receivers);
    tail = *lines_of(argv[8], 1);
    tail_bytes = strlen(tail);
    if (tail_bytes > 15000)
        fail("the frame is too long");
    receivers = calloc((size_t)n_receivers, sizeof *receivers);
    redis = dial(atoi(argv[5]));
    if (redis < 0)
        fail("no Redis");
    watch(epoll, redis, NULL);
    until = now_ns() + 60000000000u;
    for (i = 0; i < n_receivers; i++) {
        struct receiver *r = &receivers[i];
        r->peer.fd = dial(port);
        if (r->peer.fd < 0 || send_opening(r->peer.fd, port, paths[i]) != 0)
            fail("socket %d: %s", i, strerror(errno));
        watch(epoll, r->peer.fd, r);
        while (i - n_ready > 64 && now_ns() < until) /* a listen queue is not for ever */
            serve(epoll, 100);
    }
    while (n_ready < n_receivers && now_ns() < until)
        serve(epoll, 100);
    if (n_ready < n_receivers)
        fail("%d of %d sockets are ready", n_ready, n_receivers);
    next_seq = head + 1;
    for (i = 0; i < n_receivers; i++)
        receivers[i].next = next_seq;
    printf("ready %ld\n", (long)head);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "run %d %lu", &window, &milliseconds) == 2 && window > 0 && window < WINDOW_MOST)
            run(epoll, milliseconds);
        else if (strcmp(line, "rest\n") == 0) {
            serve(epoll, 0);
            printf("%d\n", n_receivers);
            fflush(stdout);
        } else
            fail("run WINDOW MILLISECONDS, or rest: %s", line);
    }
    return 0;
}
