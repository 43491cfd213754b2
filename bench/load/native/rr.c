/* Requests and replies over the native protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "commands.h"
#include "frames.h"
#include "inbox.h"
#include "watch.h"

#define TICK_MS 500
#define WAITING_MAX_BYTES ((size_t)64 * 1024 * 1024)

struct asker {
    const struct session *session;
    struct target target;
    struct buffer body;
    uint64_t sent, answered, ended; /* requests; `ended` counts refused ones too */
    uint64_t *sent_ns;              /* by id - 1; 0 when it has ended */
    double *times_us;               /* of those that were answered */
    uint64_t last_ns;
};

static void ask(struct asker *asker, struct conn *conn) {
    struct frame frame = {.kind = REQUEST, .fanout = 1, .destination = asker->target.handle,
                          .source = asker->target.source, .id = asker->sent + 1};
    if (asker->sent == asker->session->options->count)
        return;
    frame_append(&conn->out, &frame, asker->body.data, buffer_length(&asker->body));
    asker->sent_ns[asker->sent++] = now_ns();
}

/* The envelope of a whole frame (section 6): its payload and correlation. False if it is none. */
static bool open_envelope(const uint8_t *bytes, size_t length, const uint8_t **payload, size_t *size,
                          uint64_t *correlation) {
    struct reader reader = {bytes + PREFIX_BYTES, bytes + length, false};
    uint32_t elements = read_array(&reader);
    *payload = elements ? read_bytes(&reader, size) : NULL;
    *correlation = 0;
    if (elements >= 3) {
        read_uint(&reader);
        *correlation = read_uint(&reader);
    }
    return *payload && !reader.broken;
}

/* A request has ended: the next one takes its place. 0 if it was not one of ours. */
static uint64_t end_request(struct asker *asker, struct conn *conn, uint64_t id) {
    uint64_t began = id && id <= asker->sent ? asker->sent_ns[id - 1] : 0;
    if (began) {
        asker->sent_ns[id - 1] = 0;
        asker->ended++;
        ask(asker, conn);
    }
    return began;
}

static void take_answer(void *context, struct conn *conn, const struct message *message, const uint8_t *bytes) {
    struct asker *asker = context;
    const uint8_t *payload;
    size_t size;
    uint64_t correlation, now = now_ns();
    asker->last_ns = now;
    if (message->kind == MESSAGE_PING) {
        asker->session->protocol->pong(&conn->out, message);
    } else if (message->kind == MESSAGE_CLOSE) {
        fail("the gateway ended the connection: %u", message->code);
    } else if (message->kind == MESSAGE_REFUSED) {
        end_request(asker, conn, message->id);
    } else if (message->kind == MESSAGE_DATA && message->frame_kind == REPLY) {
        if (!open_envelope(bytes, message->length, &payload, &size, &correlation))
            fail("a reply whose envelope cannot be read");
        uint64_t began = end_request(asker, conn, correlation);
        if (began && size != asker->session->options->size)
            fail("a reply of %zu bytes to a request of %llu", size, (unsigned long long)asker->session->options->size);
        if (began)
            asker->times_us[asker->answered++] = (double)(now - began) / 1000;
    }
}

/* Write what waits, read what comes; the socket is asked for room only while something waits. */
static void exchange(struct poller *poller, struct inbox *inbox, struct conn *conn) {
    struct epoll_event event;
    bool idle = conn_write_out(conn);
    if (conn->error)
        fail("%s", conn->error);
    if (!idle) /* rare: not worth remembering what the set holds */
        poller_change(poller, conn, EPOLLIN | EPOLLOUT);
    int ready = poller_wait(poller, &event, 1, TICK_MS);
    if (!idle)
        poller_change(poller, conn, EPOLLIN);
    if (ready && event.events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        inbox_read(inbox, conn);
    if (buffer_length(&conn->out) > WAITING_MAX_BYTES)
        fail("the gateway does not read");
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The smallest value that at least this share does not exceed (nearest rank); 0 of none. */
static double percentile(const double *ordered, uint64_t count, uint64_t per_mille) {
    return count ? ordered[(count * per_mille + 999) / 1000 - 1] : 0;
}

static int report(const struct asker *asker, const struct watch *watch) {
    const struct options *options = asker->session->options;
    uint64_t count = asker->answered;
    double *times = asker->times_us;
    qsort(times, count, sizeof *times, ascending);
    printf("{\"size_bytes\": %llu, \"concurrency\": %u, \"requests\": %llu, \"lost\": %llu, \"seconds\": %.9f",
           (unsigned long long)options->size, options->concurrency, (unsigned long long)options->count,
           (unsigned long long)(options->count - count), watch->seconds);
    printf(", \"requests_per_s\": %.1f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"max_us\": %.3f",
           per_second((double)count, watch->seconds), percentile(times, count, 500), percentile(times, count, 990),
           percentile(times, count, 999), percentile(times, count, 1000));
    watch_print_cpu(watch, "cpu_us_per_request", count);
    printf("}\n");
    return count < options->count ? 2 : 0;
}

int request(const struct session *session) {
    const struct options *options = session->options;
    struct asker asker = {.session = session, .sent_ns = allocate(options->count * sizeof(uint64_t)),
                          .times_us = allocate(options->count * sizeof(double))};
    struct conn conn;
    struct poller poller;
    struct inbox inbox;
    struct watch watch;
    poller_open(&poller, options);
    inbox_open(&inbox, session->protocol, true, take_answer, &asker);
    session_connect(session, &conn, 0);
    session->protocol->open(session, &conn, &asker.target, 1);
    write_envelope(&asker.body, options->size);
    poller_add(&poller, &conn, EPOLLIN);
    watch_start(&watch, &options->gateway);
    asker.last_ns = watch.began_ns;
    for (uint32_t i = 0; i < options->concurrency; i++)
        ask(&asker, &conn);
    while (asker.ended < options->count && (double)(now_ns() - asker.last_ns) * 1e-9 < options->idle_s)
        exchange(&poller, &inbox, &conn);
    watch_stop(&watch);
    session_leave(session, &conn);
    inbox_close(&inbox);
    poller_close(&poller);
    int code = report(&asker, &watch);
    buffer_free(&asker.body);
    free(asker.sent_ns);
    free(asker.times_us);
    return code;
}

static void take_request(void *context, struct conn *conn, const struct message *message, const uint8_t *bytes) {
    const struct session *session = context;
    const uint8_t *payload;
    size_t size;
    uint64_t correlation;
    if (message->kind == MESSAGE_PING) {
        session->protocol->pong(&conn->out, message);
    } else if (message->kind == MESSAGE_CLOSE) {
        fail("the gateway ended the connection: %u", message->code);
    } else if (message->kind == MESSAGE_DATA && message->frame_kind == REQUEST) {
        struct buffer body = {0};
        struct frame frame = {.kind = REPLY, .fanout = 1, .destination = message->source,
                              .source = message->destination, .id = message->id};
        if (!open_envelope(bytes, message->length, &payload, &size, &correlation))
            fail("a request whose envelope cannot be read");
        write_array(&body, 5);
        write_binary_head(&body, size);
        buffer_append(&body, payload, size);
        write_envelope_tail(&body, message->id);
        frame_append(&conn->out, &frame, body.data, buffer_length(&body));
        buffer_free(&body);
    }
}

int respond(const struct session *session) {
    struct session serving = *session;
    struct options endless = *session->options;
    struct conn conn;
    struct poller poller;
    struct inbox inbox;
    endless.timeout_s = 1e9;
    poller_open(&poller, &endless);
    inbox_open(&inbox, session->protocol, true, take_request, &serving);
    session_connect(session, &conn, 0);
    session->protocol->subscribe(session, &conn);
    poller_add(&poller, &conn, EPOLLIN);
    fprintf(stderr, "ready\n");
    inbox_read(&inbox, &conn); /* what came behind the last answer: nothing would wake us for it */
    for (;;)
        exchange(&poller, &inbox, &conn);
}
