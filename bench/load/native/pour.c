/* The senders: write messages that were made before the clock starts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "commands.h"
#include "inbox.h"
#include "watch.h"

#define EVENTS 64
#define MESSAGES_MIN 1024 /* so that a choice at random has room */
#define POOL_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define POOL_MESSAGES_MIN 4

/* Messages one after the other; number i lies from ends[i - 1] to ends[i]. Sent again and again. */
struct pool {
    struct buffer bytes;
    size_t *ends, count;
};

struct sender {
    struct conn conn;
    struct pool pool;
    uint64_t messages, total_bytes, sent_bytes;
    size_t piece_end; /* in the pool: a piece that was begun ends with a message */
    size_t at;        /* in the pool */
    bool asked, done; /* the barrier */
};

struct pouring {
    const struct session *session;
    struct sender *senders;
    uint32_t unfinished;
    uint64_t refused, began_ns;
    uint32_t refused_code;
};

static uint64_t chance(uint64_t *state) { /* xorshift64*, by Vigna */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(2685821657736338717)) >> 32;
}

static void pool_fill(struct pool *pool, const struct session *session, const struct target *targets, uint32_t count,
                      uint64_t *state) {
    size_t room = 1;
    while (pool->count < POOL_MESSAGES_MIN || (buffer_length(&pool->bytes) < POOL_MAX_BYTES &&
           (pool->count < MESSAGES_MIN || buffer_length(&pool->bytes) < READ_BYTES))) {
        session->protocol->encode(session->options, &pool->bytes, &targets[chance(state) % count], pool->count + 1);
        if (pool->count + 1 >= room) {
            room *= 2;
            pool->ends = reallocate(pool->ends, room * sizeof *pool->ends);
        }
        pool->ends[pool->count++] = buffer_length(&pool->bytes);
    }
}

static uint64_t bytes_of(const struct pool *pool, uint64_t messages) {
    uint64_t laps = messages / pool->count, rest = messages % pool->count;
    return laps * pool->ends[pool->count - 1] + (rest ? pool->ends[rest - 1] : 0);
}

/* The end of the piece that begins at `at`: about 256 KiB, whole messages. */
static size_t piece_end(const struct pool *pool, size_t at) {
    size_t low = 0, high = pool->count - 1;
    while (low < high) { /* the first message that ends at 256 KiB or behind */
        size_t middle = (low + high) / 2;
        if (pool->ends[middle] >= at + READ_BYTES)
            high = middle;
        else
            low = middle + 1;
    }
    return pool->ends[low];
}

static void prepare(struct pouring *pouring, struct sender *sender, int index, uint64_t *state) {
    const struct session *session = pouring->session;
    const struct options *options = session->options;
    uint32_t count = options->pattern == UNICAST ? options->receivers : 1;
    struct target *targets = allocate(count * sizeof *targets);
    memset(sender, 0, sizeof *sender);
    session_connect(session, &sender->conn, index);
    session->protocol->open(session, &sender->conn, targets, count);
    pool_fill(&sender->pool, session, targets, count, state);
    free(targets);
    bool one_more = (uint64_t)index < options->count % options->connections;
    sender->messages = options->count / options->connections + one_more;
    sender->total_bytes = bytes_of(&sender->pool, sender->messages);
}

static void take(void *context, struct conn *conn, const struct message *message, const uint8_t *bytes) {
    struct pouring *pouring = context;
    struct sender *sender = &pouring->senders[conn->index];
    (void)bytes;
    if (message->kind == MESSAGE_PING) {
        pouring->session->protocol->pong(&conn->out, message);
    } else if (message->kind == MESSAGE_REFUSED) {
        pouring->refused += message->count;
        pouring->refused_code = message->code;
    } else if (message->kind == MESSAGE_PONG && sender->asked && !sender->done) {
        sender->done = true;
        pouring->unfinished--;
    } else if (message->kind == MESSAGE_CLOSE) {
        fail("connection %d: %.*s (%u)", conn->index, (int)message->text_length,
             message->text_length ? message->text : "", message->code);
    }
}

/* How many bytes may have been sent by now: with --rate a share of the whole that grows with time. */
static uint64_t due_bytes(const struct pouring *pouring, const struct sender *sender) {
    const struct options *options = pouring->session->options;
    if (!options->rate)
        return sender->total_bytes;
    double messages = (double)(now_ns() - pouring->began_ns) * 1e-9 * (double)options->rate / options->connections;
    uint64_t due = messages < (double)sender->messages ? (uint64_t)messages : sender->messages;
    return bytes_of(&sender->pool, due);
}

/* One piece, or the barrier behind the last. Control messages go between pieces only. True if the socket took it. */
static bool write_piece(struct pouring *pouring, struct sender *sender) {
    struct conn *conn = &sender->conn;
    struct pool *pool = &sender->pool;
    if (sender->at == sender->piece_end) {
        uint64_t due = due_bytes(pouring, sender) - sender->sent_bytes;
        if (!conn_write_out(conn) || !due)
            return false;
        sender->at %= pool->ends[pool->count - 1];
        sender->piece_end = piece_end(pool, sender->at);
        if (sender->piece_end - sender->at > due) /* due bytes end with a message of this lap */
            sender->piece_end = sender->at + due;
    }
    ssize_t taken = conn_write(conn, pool->bytes.data + sender->at, sender->piece_end - sender->at);
    if (taken < 0)
        fail("connection %d: %s", conn->index, conn->error);
    sender->at += (size_t)taken;
    sender->sent_bytes += (uint64_t)taken;
    return taken > 0 && sender->at == sender->piece_end;
}

static void push(struct pouring *pouring, struct poller *poller, struct sender *sender) {
    write_piece(pouring, sender);
    bool finished = sender->sent_bytes == sender->total_bytes;
    if (finished && !sender->asked) {
        pouring->session->protocol->barrier(&sender->conn.out);
        sender->asked = true;
    }
    bool idle = finished && conn_write_out(&sender->conn);
    bool half = sender->at != sender->piece_end || buffer_length(&sender->conn.wire.out);
    if (sender->conn.error)
        fail("connection %d: %s", sender->conn.index, sender->conn.error);
    /* A sender with a rate is not woken by room in the socket but by the clock, unless a piece is half written. */
    bool wants = !idle && (half || finished || !pouring->session->options->rate);
    poller_change(poller, &sender->conn, EPOLLIN | (wants ? EPOLLOUT : 0));
}

static void run(struct pouring *pouring, struct poller *poller, struct inbox *inbox) {
    const struct options *options = pouring->session->options;
    struct epoll_event events[EVENTS];
    while (pouring->unfinished) {
        int ready = poller_wait(poller, events, EVENTS, options->rate ? 1 : 500);
        for (int i = 0; i < ready; i++) {
            struct sender *sender = &pouring->senders[events[i].data.u32];
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                inbox_read(inbox, &sender->conn);
            if (!sender->done)
                push(pouring, poller, sender);
        }
        for (uint32_t i = 0; options->rate && i < options->connections; i++)
            if (!pouring->senders[i].asked)
                push(pouring, poller, &pouring->senders[i]);
    }
}

static int report(const struct pouring *pouring, const struct watch *watch) {
    const struct options *options = pouring->session->options;
    char code[32];
    snprintf(code, sizeof code, "%u", pouring->refused_code);
    printf("{\"pattern\": \"%s\", \"size_bytes\": %llu, \"connections\": %u, \"messages\": %llu",
           pattern_name(options->pattern), (unsigned long long)options->size, options->connections,
           (unsigned long long)options->count);
    printf(", \"refused\": %llu, \"refused_as\": \"%s\"", (unsigned long long)pouring->refused,
           pouring->refused ? code : "");
    printf(", \"seconds\": %.9f, \"messages_per_s\": %.1f", watch->seconds,
           per_second((double)options->count, watch->seconds));
    watch_print_cpu(watch, "cpu_us_per_message", options->count);
    printf("}\n");
    return pouring->refused ? 2 : 0;
}

static void finish(struct pouring *pouring) {
    for (uint32_t i = 0; i < pouring->session->options->connections; i++) {
        session_leave(pouring->session, &pouring->senders[i].conn);
        buffer_free(&pouring->senders[i].pool.bytes);
        free(pouring->senders[i].pool.ends);
    }
    free(pouring->senders);
}

int pour(const struct session *session) {
    uint32_t count = session->options->connections;
    uint64_t state = session->options->seed * 2 + 1;
    struct sender *senders = allocate(count * sizeof *senders);
    struct pouring pouring = {.session = session, .senders = senders, .unfinished = count};
    struct poller poller;
    struct inbox inbox;
    struct watch watch;
    poller_open(&poller, session->options);
    inbox_open(&inbox, session->protocol, false, take, &pouring);
    for (uint32_t i = 0; i < count; i++) {
        prepare(&pouring, &pouring.senders[i], (int)i, &state);
        poller_add(&poller, &pouring.senders[i].conn, EPOLLIN | EPOLLOUT);
    }
    watch_start(&watch, &session->options->gateway);
    pouring.began_ns = watch.began_ns;
    run(&pouring, &poller, &inbox);
    watch_stop(&watch);
    int code = report(&pouring, &watch);
    finish(&pouring);
    inbox_close(&inbox);
    poller_close(&poller);
    return code;
}
