/* Thousands of clients that come back by themselves: what do they lose when a gateway is killed?
 *
 *     chat_storm API_PORT TOKENS CHANNELS N RATE SENDERS TEXT_BYTES
 *
 * Client i has the token and follows the channel on line i of the two files. It asks /api/connect, opens its socket there,
 * starts with its position, and when the socket ends does so again after a wait with full jitter, naming the gateway
 * that it lost. The answer of /api/connect says how long. SENDERS kept-alive connections post as the clients in turn, RATE
 * messages a second in all, each into that client's channel.
 *
 * Says `live SECONDS` when all are connected; then lines come on standard input:
 *
 *     send    begin to post
 *     mark    somebody has just killed a gateway; it says `back SECONDS SOCKETS` when all sockets live again
 *     stop    post no more, wait for the last deliveries, and report: acknowledged, answers that were no 201, deliveries, lost,
 *             doubled, resets, openings that failed; p50, p99 and most microseconds from a post to its answer outside the
 *             outage, the same within it; own CPU seconds. */
#include "chat_wire.h"
#include <fcntl.h>

enum { ASKERS = 32, MOST_CHANNELS = 1 << 20 };
enum state { WAITING, QUEUED, ASKING, CONNECTING, STARTING, LIVE };

struct client {
    struct peer peer;
    enum state state;
    int attempt;                /* in a row that failed */
    int64_t channel, last;      /* seq; -1: has no position yet */
    uint64_t at_ns;             /* WAITING: until then */
    char gateway[20], lost[20]; /* where it is; which it lost last, or nothing */
    char target[1024];          /* path and ticket */
};

struct asker {                  /* of /api/connect */
    struct peer peer;
    struct client *of;
};

struct sender {
    struct peer peer;
    struct client *as;
    uint64_t due_ns;
};

static struct client *clients;
static struct asker askers[ASKERS];
static struct sender *senders;
static struct times calm, outage;
static char **tokens, epoch[80], words[8192], wrong[512];
static int64_t *highest;        /* acknowledged, by channel */
static int *queue;              /* of client numbers; a ring of N + 1 */
static int n_clients, n_live, n_senders, api_port, text_bytes, epoll, queue_from, queue_to;
static long n_posted, n_acked, n_wrong, n_deliveries, n_lost, n_doubled, n_resets, n_failed, n_cut, base_ms = 200, cap_ms = 10000;
static uint64_t woke_ns, marked_ns, back_ns, most_calm_us, most_outage_us;
static unsigned long run_id;

static void wait_again(struct client *c) {
    double most = (double)base_ms * (double)(1u << (c->attempt < 10 ? c->attempt : 10));
    most = most < (double)cap_ms ? most : (double)cap_ms;
    if (c->peer.fd >= 0)
        close(c->peer.fd);
    keep(&c->peer, NULL, 0);
    c->peer.fd = -1;
    c->peer.upgraded = 0;
    c->state = WAITING;
    c->attempt += 1;
    c->at_ns = now_ns() + (uint64_t)(drand48() * most * 1e6);
}

static void enqueue(struct client *c) {
    c->state = QUEUED;
    queue[queue_to] = (int)(c - clients);
    queue_to = (queue_to + 1) % (n_clients + 1);
}

static void ask_for_all(void) {
    int i;
    for (i = 0; i < ASKERS && queue_from != queue_to; i++) {
        struct asker *a = &askers[i];
        char body[64];
        int n;
        if (a->of != NULL)
            continue;
        if (a->peer.fd < 0) {
            a->peer.fd = dial(api_port);
            if (a->peer.fd < 0)
                fail("no API: %s", strerror(errno));
            watch(epoll, a->peer.fd, a);
        }
        a->of = &clients[queue[queue_from]];
        queue_from = (queue_from + 1) % (n_clients + 1);
        a->of->state = ASKING;
        n = *a->of->lost ? snprintf(body, sizeof body, "{\"exclude\":[\"%s\"]}", a->of->lost) : snprintf(body, sizeof body, "{}");
        if (send_post(a->peer.fd, api_port, "/api/connect", tokens[a->of - clients], body, (size_t)n) != 0)
            fail("/api/connect: %s", strerror(errno));
    }
}

/* The text between quotes behind `name`; 0: it is not there, or too long. */
static int quoted(const char *text, const char *name, char *out, size_t room) {
    const char *at = strstr(text, name), *end;
    if (at == NULL || (at = strchr(at + strlen(name), '"')) == NULL || (end = strchr(at + 1, '"')) == NULL ||
        (size_t)(end - at) > room)
        return 0;
    memcpy(out, at + 1, (size_t)(end - at - 1));
    out[end - at - 1] = 0;
    return 1;
}

static void told_where(struct asker *a) {
    char *body = NULL, url[128], ticket[800];
    int status = take_answer(&a->peer, &body), port;
    struct client *c = a->of;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int one = 1;
    if (status == 0)
        return;
    a->of = NULL;
    if (status < 0) {
        close(a->peer.fd);
        keep(&a->peer, NULL, 0);
        a->peer.fd = -1;
        if (c == NULL)
            return;
    }
    if (status != 200 || !quoted(body, "\"url\":", url, sizeof url) || !quoted(body, "\"ticket\":", ticket, sizeof ticket) ||
        !quoted(body, "\"gateway\":", c->gateway, sizeof c->gateway)) {
        if (n_failed++ == 0 && *wrong == 0)
            snprintf(wrong, sizeof wrong, "/api/connect: %d %.300s", status, status > 0 ? body : "closed");
        wait_again(c);
        return;
    }
    base_ms = number(body, body + strlen(body), "\"base_ms\":") > 0 ? number(body, body + strlen(body), "\"base_ms\":") : base_ms;
    cap_ms = number(body, body + strlen(body), "\"cap_ms\":") > 0 ? number(body, body + strlen(body), "\"cap_ms\":") : cap_ms;
    port = atoi(strrchr(url, ':') + 1);
    snprintf(c->target, sizeof c->target, "%s?ticket=%s", strchr(strrchr(url, ':'), '/'), ticket);
    address.sin_port = htons((uint16_t)port);
    c->peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->peer.fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(c->peer.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->peer.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    c->state = CONNECTING;
    if ((connect(c->peer.fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->peer.fd, &event) != 0) {
        n_failed += 1;
        wait_again(c);
    }
}

static void opened(struct peer *p) {
    struct client *c = (struct client *)p;
    char start[256];
    int n = c->last < 0 ? snprintf(start, sizeof start, "{\"type\":\"start\",\"epoch\":null,\"since\":{}}")
                        : snprintf(start, sizeof start, "{\"type\":\"start\",\"epoch\":\"%s\",\"since\":{\"%ld\":%ld}}",
                                   epoch, (long)c->channel, (long)c->last);
    send_frame(p->fd, 1, start, (size_t)n);
}

static void text(struct peer *p, const char *frame, size_t n) {
    struct client *c = (struct client *)p;
    int64_t of, seq = event_seq(frame, n, &of);
    if (seq >= 0 && of == c->channel) {
        if (c->state != LIVE || seq <= c->last)
            n_doubled += 1;
        else {
            n_lost += seq - c->last - 1;
            n_deliveries += 1;
            c->last = seq;
        }
    } else if (begins(frame, n, READY)) {
        char id[32], *at, whole[4096];
        int64_t from;
        snprintf(whole, sizeof whole, "%.*s", (int)n, frame);
        snprintf(id, sizeof id, "\"id\":%ld,", (long)c->channel);
        at = strstr(whole, id);
        if (at == NULL)
            fail("client %ld is not in channel %ld: %s", (long)(c - clients), (long)c->channel, whole);
        quoted(whole, "\"epoch\":", epoch, sizeof epoch);
        at[strcspn(at, "}")] = 0;
        from = number(at, at + strlen(at), "\"from\":");
        if (c->last >= 0) {
            n_lost += from > c->last + 1 ? from - c->last - 1 : 0;
            n_resets += strstr(at, "resumed") == NULL;
        }
        c->last = from - 1;
        c->state = LIVE;
        c->attempt = 0;
        *c->lost = 0;
        n_live += 1;
    }
}

static void socket_event(struct client *c, uint32_t events) {
    if (c->state == CONNECTING) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->state = STARTING;
        if ((events & (EPOLLERR | EPOLLHUP)) == 0 && send_opening(c->peer.fd, api_port, c->target) == 0 &&
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->peer.fd, &event) == 0)
            return;
    } else if (take_frames(&c->peer, opened, text) == 0)
        return;
    n_live -= c->state == LIVE;
    n_cut += c->state == LIVE;
    n_failed += c->state != LIVE;
    strcpy(c->lost, c->gateway);
    wait_again(c);
}

static void post(struct sender *s, uint64_t due_ns) {
    char path[64], body[9000];
    struct client *c = &clients[(n_posted * 7919) % n_clients];
    int n = snprintf(body, sizeof body, "{\"client_msg_id\":\"%lx-%ld\",\"text\":\"%.*s\"}", run_id, n_posted++, text_bytes, words);
    snprintf(path, sizeof path, "/api/channels/%ld/messages", (long)c->channel);
    s->as = c;
    s->due_ns = due_ns;
    if (send_post(s->peer.fd, api_port, path, tokens[c - clients], body, (size_t)n) != 0)
        fail("post: %s", strerror(errno));
}

static void answered(struct sender *s) {
    char *body = NULL;
    int status = take_answer(&s->peer, &body), troubled;
    uint64_t us = (woke_ns - s->due_ns) / 1000;
    int64_t seq;
    if (status == 0)
        return;
    if (status < 0)
        fail("the API closed a kept-alive connection");
    troubled = marked_ns != 0 && woke_ns >= marked_ns && (back_ns == 0 || s->due_ns < back_ns);
    note(troubled ? &outage : &calm, woke_ns - s->due_ns);
    if (troubled)
        most_outage_us = us > most_outage_us ? us : most_outage_us;
    else
        most_calm_us = us > most_calm_us ? us : most_calm_us;
    if (status == 201 && (seq = number(body, body + strlen(body), "\"seq\":")) > 0) {
        n_acked += 1;
        highest[s->as->channel] = seq > highest[s->as->channel] ? seq : highest[s->as->channel];
    } else if (n_wrong++ == 0)
        snprintf(wrong, sizeof wrong, "%d %.400s", status, body);
    s->due_ns = 0;
}

/* One turn; 1: there is something to read on standard input. */
static int turn(uint64_t wait_ns) {
    static uint64_t looked_ns;
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_nsec = (long)wait_ns};
    int i, told = 0, n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    woke_ns = now_ns();
    for (i = 0; i < n; i++) {
        char *who = events[i].data.ptr;
        if (who == NULL)
            told = 1;
        else if (who >= (char *)askers && who < (char *)(askers + ASKERS))
            told_where((struct asker *)who);
        else if (senders != NULL && who >= (char *)senders && who < (char *)(senders + n_senders))
            answered((struct sender *)who);
        else
            socket_event((struct client *)who, events[i].events);
    }
    if (woke_ns - looked_ns > 2000000 && n_live < n_clients) {
        looked_ns = woke_ns;
        for (i = 0; i < n_clients; i++)
            if (clients[i].state == WAITING && clients[i].at_ns <= woke_ns)
                enqueue(&clients[i]);
    }
    ask_for_all();
    return told;
}

static long behind(void) {
    long missing = 0;
    int i;
    for (i = 0; i < n_clients; i++)
        missing += highest[clients[i].channel] > clients[i].last ? highest[clients[i].channel] - clients[i].last : 0;
    return missing;
}

static void report(void) {
    uint64_t until = now_ns() + 30000000000u;
    int i, busy = 1;
    while ((busy || n_live < n_clients || behind() > 0) && now_ns() < until) {
        turn(10000000);
        for (i = 0, busy = 0; i < n_senders; i++)
            busy |= senders[i].due_ns != 0;
    }
    n_lost += behind();
    if (*wrong)
        fprintf(stderr, "%s\n", wrong);
    printf("%ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %ld %.6f\n", n_acked, n_wrong + busy, n_deliveries, n_lost, n_doubled,
           n_resets, n_failed, percentile_us(&calm, 0.5), percentile_us(&calm, 0.99), (long)most_calm_us,
           percentile_us(&outage, 0.5), percentile_us(&outage, 0.99), (long)most_outage_us, own_cpu_s());
    fflush(stdout);
}

int main(int argc, char **argv) {
    char **channels, line[64];
    uint64_t began = now_ns(), due = 0, every_ns;
    int i, sending = 0;
    if (argc != 8)
        fail("usage: chat_storm API_PORT TOKENS CHANNELS N RATE SENDERS TEXT_BYTES");
    api_port = atoi(argv[1]);
    n_clients = atoi(argv[4]);
    every_ns = (uint64_t)(1e9 / atof(argv[5]));
    n_senders = atoi(argv[6]);
    text_bytes = atoi(argv[7]);
    run_id = (unsigned long)began;
    tokens = lines_of(argv[2], n_clients);
    channels = lines_of(argv[3], n_clients);
    clients = calloc((size_t)n_clients, sizeof *clients);
    highest = calloc(MOST_CHANNELS, sizeof *highest);
    queue = calloc((size_t)n_clients + 1, sizeof *queue);
    if (text_bytes < 1 || text_bytes > 8000)
        fail("out of range");
    memset(words, 'x', (size_t)text_bytes);
    epoll = epoll_create1(0);
    watch(epoll, 0, NULL);
    for (i = 0; i < ASKERS; i++)
        askers[i].peer.fd = -1;
    for (i = 0; i < n_clients; i++) {
        clients[i].peer.fd = -1;
        clients[i].last = -1;
        clients[i].channel = atol(channels[i]);
        if (clients[i].channel < 1 || clients[i].channel >= MOST_CHANNELS)
            fail("channel %s", channels[i]);
        enqueue(&clients[i]);
    }
    while (n_live < n_clients) {
        turn(2000000);
        if (now_ns() > began + 90000000000u)
            fail("%d of %d sockets are live; %s", n_live, n_clients, wrong);
    }
    senders = calloc((size_t)n_senders, sizeof *senders);
    for (i = 0; i < n_senders; i++) {
        senders[i].peer.fd = dial(api_port);
        if (senders[i].peer.fd < 0)
            fail("no API: %s", strerror(errno));
        watch(epoll, senders[i].peer.fd, &senders[i]);
    }
    printf("live %.3f\n", (double)(now_ns() - began) / 1e9);
    fflush(stdout);
    for (;;) {
        uint64_t now = now_ns();
        for (i = 0; sending && i < n_senders && due <= now; i++)
            if (senders[i].due_ns == 0) {
                post(&senders[i], due);
                due += every_ns;
            }
        if (marked_ns != 0 && back_ns == 0 && n_cut > 0 && n_live == n_clients) {
            back_ns = now_ns();
            printf("back %.3f %ld\n", (double)(back_ns - marked_ns) / 1e9, n_cut);
            fflush(stdout);
        }
        if (!turn(sending && due > now && due - now < 2000000 ? due - now : 2000000))
            continue;
        if (read(0, line, sizeof line) <= 0)
            return 0;
        if (strncmp(line, "send", 4) == 0) {
            sending = 1;
            due = now_ns();
            n_cut = n_failed = 0;
        } else if (strncmp(line, "mark", 4) == 0)
            marked_ns = now_ns();
        else if (strncmp(line, "stop", 4) == 0) {
            sending = 0;
            report();
        } else
            fail("send, mark or stop: %s", line);
    }
}
