/* Messages posted to the API over kept-alive connections; sockets on a gateway, when there are any, note when they come.
 *
 *     chat_posts API_PORT CHANNEL TOKENS SENDERS RATE MILLISECONDS TEXT_BYTES [GATEWAY_PORT PATHS N START]
 *
 * TOKENS: a file with a session's token for each sender. RATE: messages a second in all, by the clock and whatever the
 * answers do; 0: each sender posts again as soon as it is answered. PATHS, START: as in chat_fanout.h. Every socket must
 * get each acknowledged message once and in order; if not, the program ends.
 *
 * Prints posts, answers that were no 201, seconds, p50 and p99 in microseconds from when a post was due to its answer, own
 * CPU seconds; deliveries, p50 and p99 in microseconds from the post to a delivery and from the answer to it, which is
 * negative when the message comes first. */
#include "chat_wire.h"

struct sender {
    struct peer peer;
    const char *token;
    uint64_t due_ns;        /* of the post that is under way; 0: none */
};

struct receiver {
    struct peer peer;
    int64_t next;           /* seq; 0: not ready */
};

struct post {
    uint64_t posted_ns, answered_ns;
};

struct delivery {
    int64_t seq;
    uint64_t at_ns;
};

static struct sender *senders;
static struct receiver *receivers;
static struct times acks;
static struct post *posts;              /* by seq - first */
static struct delivery *deliveries;
static size_t n_posts_room, n_deliveries, n_deliveries_room;
static int64_t channel, first = -1, head, highest;
static long n_posted, n_answered, n_wrong;
static int n_senders, n_receivers, n_ready, api_port, text_bytes;
static uint64_t woke_ns;
static const char *start = "";
static char words[8192], wrong[512];
static unsigned long run_id;

static struct post *post_of(int64_t seq) {
    size_t place;
    if (first < 0)
        first = seq > n_senders ? seq - n_senders : 0; /* answers may come out of order */
    if (seq < first)
        fail("seq %ld after %ld", (long)seq, (long)first);
    place = (size_t)(seq - first);
    if (place >= n_posts_room) {
        size_t room = (place + 1) * 2 + 4096;
        posts = realloc(posts, room * sizeof *posts);
        memset(posts + n_posts_room, 0, (room - n_posts_room) * sizeof *posts);
        n_posts_room = room;
    }
    return &posts[place];
}

static void post(struct sender *s, uint64_t due_ns) {
    char path[64], body[9000];
    int n = snprintf(body, sizeof body, "{\"client_msg_id\":\"%lx-%ld\",\"text\":\"%.*s\"}", run_id, n_posted++, text_bytes, words);
    snprintf(path, sizeof path, "/api/channels/%ld/messages", (long)channel);
    s->due_ns = due_ns;
    if (send_post(s->peer.fd, api_port, path, s->token, body, (size_t)n) != 0)
        fail("post: %s", strerror(errno));
}

static void answered(struct sender *s) {
    char *body = NULL;
    int status = take_answer(&s->peer, &body);
    int64_t seq;
    if (status == 0)
        return;
    if (status < 0)
        fail("the API closed a kept-alive connection");
    n_answered += 1;
    note(&acks, woke_ns - s->due_ns);
    if (status == 201 && (seq = number(body, body + strlen(body), "\"seq\":")) > 0) {
        struct post *p = post_of(seq);
        if (p->answered_ns != 0)
            fail("seq %ld was given twice", (long)seq);
        p->posted_ns = s->due_ns;
        p->answered_ns = woke_ns;
        highest = seq > highest ? seq : highest;
    } else {
        n_wrong += 1;
        if (*wrong == 0)
            snprintf(wrong, sizeof wrong, "%d %.400s", status, body);
    }
    s->due_ns = 0;
}

static void opened(struct peer *p) {
    if (*start != 0 && send_frame(p->fd, 1, start, strlen(start)) != 0)
        fail("start: %s", strerror(errno));
}

static void text(struct peer *p, const char *frame, size_t n) {
    struct receiver *r = (struct receiver *)p;
    int64_t of, seq = event_seq(frame, n, &of);
    if (seq >= 0 && of == channel) {
        if (seq != r->next && !(r->next == 1 && seq > 1)) /* a gateway that keeps no log starts where it was told to */
            fail("socket %ld: seq %ld where %ld is due", (long)(r - receivers), (long)seq, (long)r->next);
        r->next = seq + 1;
        if (n_deliveries == n_deliveries_room) {
            n_deliveries_room = n_deliveries_room * 2 + 65536;
            deliveries = realloc(deliveries, n_deliveries_room * sizeof *deliveries);
        }
        deliveries[n_deliveries++] = (struct delivery){seq, woke_ns};
    } else if (begins(frame, n, READY)) {
        char id[32];
        const char *at;
        snprintf(id, sizeof id, "\"id\":%ld,", (long)channel);
        at = memmem(frame, n, id, strlen(id));
        if (at == NULL)
            fail("socket %ld is not in channel %ld: %.*s", (long)(r - receivers), (long)channel, (int)n, frame);
        r->next = number(at, frame + n, "\"head\":") + 1;
        head = r->next - 1 > head ? r->next - 1 : head;
        n_ready += 1;
    }
}

static void serve(int epoll, uint64_t wait_ns) {
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000u), .tv_nsec = (long)(wait_ns % 1000000000u)};
    int i, n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
    woke_ns = now_ns();
    for (i = 0; i < n; i++) {
        struct peer *p = events[i].data.ptr;
        if ((char *)p >= (char *)senders && (char *)p < (char *)(senders + n_senders))
            answered((struct sender *)p);
        else {
            int over = take_frames(p, opened, text);
            if (over != 0)
                fail("socket %ld is over: %d", (long)((struct receiver *)p - receivers), over);
        }
    }
}

static int ascending(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

/* p50 and p99 over all deliveries; `from_answer`: since the answer, else since the post. */
static void print_deliveries(int from_answer) {
    int64_t *took = calloc(n_deliveries + 1, sizeof *took);
    size_t i, n = 0;
    for (i = 0; i < n_deliveries; i++) {
        struct post *p = post_of(deliveries[i].seq);
        if (p->answered_ns != 0)
            took[n++] = (int64_t)(deliveries[i].at_ns - (from_answer ? p->answered_ns : p->posted_ns)) / 1000;
    }
    qsort(took, n, sizeof *took, ascending);
    printf(" %ld %ld", n ? (long)took[n / 2] : 0, n ? (long)took[n * 99 / 100] : 0);
    free(took);
}

static void receive(int epoll, int port, const char *file) {
    char **paths = lines_of(file, n_receivers);
    uint64_t until = now_ns() + 60000000000u;
    int i;
    receivers = calloc((size_t)n_receivers, sizeof *receivers);
    for (i = 0; i < n_receivers; i++) {
        receivers[i].peer.fd = dial(port);
        if (receivers[i].peer.fd < 0 || send_opening(receivers[i].peer.fd, port, paths[i]) != 0)
            fail("socket %d: %s", i, strerror(errno));
        watch(epoll, receivers[i].peer.fd, &receivers[i]);
    }
    while (n_ready < n_receivers && now_ns() < until)
        serve(epoll, 100000000);
    if (n_ready < n_receivers)
        fail("%d of %d sockets are ready", n_ready, n_receivers);
}

int main(int argc, char **argv) {
    uint64_t began, until, last, every_ns, due;
    double rate, cpu;
    char **tokens;
    int i, epoll = epoll_create1(0);
    if (argc != 8 && argc != 12)
        fail("usage: chat_posts API_PORT CHANNEL TOKENS SENDERS RATE MILLISECONDS TEXT_BYTES "
             "[GATEWAY_PORT PATHS N START]");
    api_port = atoi(argv[1]);
    channel = atol(argv[2]);
    n_senders = atoi(argv[4]);
    rate = atof(argv[5]);
    text_bytes = atoi(argv[7]);
    run_id = (unsigned long)now_ns();
    if (text_bytes < 1 || text_bytes > 8000 || n_senders < 1 || n_senders > 1024)
        fail("out of range");
    for (i = 0; i < text_bytes; i++)
        words[i] = i % 6 == 5 ? ' ' : (char)('a' + i % 26);
    tokens = lines_of(argv[3], n_senders);
    senders = calloc((size_t)n_senders, sizeof *senders);
    if (argc == 12) {
        n_receivers = atoi(argv[10]);
        start = argv[11];
        receive(epoll, atoi(argv[8]), argv[9]);
    }
    for (i = 0; i < n_senders; i++) {
        senders[i].token = tokens[i];
        senders[i].peer.fd = dial(api_port);
        if (senders[i].peer.fd < 0)
            fail("no API: %s", strerror(errno));
        watch(epoll, senders[i].peer.fd, &senders[i]);
    }
    cpu = own_cpu_s();
    began = now_ns();
    due = began;
    every_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    until = began + strtoull(argv[6], NULL, 10) * 1000000u;
    for (;;) {
        uint64_t now = now_ns();
        int busy = 0;
        for (i = 0; i < n_senders; i++) {
            struct sender *s = &senders[i];
            if (s->due_ns == 0 && (every_ns == 0 ? now : due) < until && (every_ns == 0 || due <= now)) {
                post(s, every_ns == 0 ? now_ns() : due);
                due += every_ns;
            }
            busy += s->due_ns != 0;
        }
        if (busy == 0 && now >= until)
            break;
        if (now > until + 60000000000u)
            fail("%d posts are not answered", busy);
        serve(epoll, every_ns == 0 || now >= until ? 100000000 : due > now ? due - now : 1000000);
    }
    last = now_ns();
    /* What was acknowledged must arrive everywhere. */
    until = last + 20000000000u;
    for (i = 0; i < n_receivers; i++)
        while (receivers[i].next <= highest && now_ns() < until)
            serve(epoll, 10000000);
    for (i = 0; i < n_receivers; i++)
        if (receivers[i].next <= highest)
            fail("socket %d: seq %ld of %ld is missing", i, (long)receivers[i].next, (long)highest);
    if (n_wrong > 0)
        fprintf(stderr, "%s\n", wrong);
    printf("%ld %ld %.6f %ld %ld %.6f %zu", n_answered, n_wrong, (double)(last - began) / 1e9, percentile_us(&acks, 0.5),
           percentile_us(&acks, 0.99), own_cpu_s() - cpu, n_deliveries);
    print_deliveries(0);
    print_deliveries(1);
    printf("\n");
    return 0;
}
