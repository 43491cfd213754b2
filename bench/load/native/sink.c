/* The receivers: count what comes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "commands.h"
#include "inbox.h"
#include "watch.h"

#define EVENTS 64
#define TICK_MS 500

struct tally {
    const struct session *session;
    uint64_t received, last_ns;
    struct watch watch;
};

static void take(void *context, struct conn *conn, const struct message *message, const uint8_t *bytes) {
    struct tally *tally = context;
    const struct options *options = tally->session->options;
    (void)bytes;
    if (message->kind == MESSAGE_DATA) {
        if (!tally->received++)
            watch_start(&tally->watch, &options->gateway);
        if (tally->received == options->count)
            watch_stop(&tally->watch);
    } else if (message->kind == MESSAGE_PING) {
        tally->session->protocol->pong(&conn->out, message);
        conn_write_out(conn);
    } else if (message->kind == MESSAGE_CLOSE) {
        fail("connection %d: %.*s (%u)", conn->index, (int)message->text_length,
             message->text_length ? message->text : "", message->code);
    }
}

static bool silent(const struct tally *tally) {
    const struct options *options = tally->session->options;
    return tally->received && (double)(now_ns() - tally->last_ns) * 1e-9 > options->idle_s;
}

static void receive(struct tally *tally, struct poller *poller, struct inbox *inbox, struct conn *conns) {
    struct epoll_event events[EVENTS];
    for (uint32_t i = 0; i < tally->session->options->connections; i++)
        inbox_read(inbox, &conns[i]); /* what came behind the last answer: nothing would wake us for it */
    tally->last_ns = now_ns();
    while (tally->received < tally->session->options->count && !silent(tally)) {
        int ready = poller_wait(poller, events, EVENTS, TICK_MS);
        uint64_t before = tally->received;
        for (int i = 0; i < ready; i++)
            inbox_read(inbox, &conns[events[i].data.u32]);
        if (tally->received > before)
            tally->last_ns = now_ns();
    }
    if (tally->watch.running)
        watch_stop(&tally->watch);
}

static int report(const struct tally *tally) {
    const struct options *options = tally->session->options;
    double seconds = tally->watch.seconds;
    long long lost = (long long)options->count - (long long)tally->received;
    printf("{\"connections\": %u, \"expected\": %llu, \"received\": %llu, \"lost\": %lld, \"seconds\": %.9f",
           options->connections, (unsigned long long)options->count, (unsigned long long)tally->received,
           lost, seconds);
    printf(", \"deliveries_per_s\": %.1f, \"mebibytes_per_s\": %.3f", per_second((double)tally->received, seconds),
           per_second((double)tally->received * (double)options->size, seconds) / 1048576);
    watch_print_cpu(&tally->watch, "cpu_us_per_delivery", tally->received);
    printf("}\n");
    return lost ? 2 : 0;
}

int sink(const struct session *session) {
    uint32_t count = session->options->connections;
    struct conn *conns = allocate(count * sizeof *conns);
    struct tally tally = {.session = session};
    struct poller poller;
    struct inbox inbox;
    poller_open(&poller, session->options);
    inbox_open(&inbox, session->protocol, false, take, &tally);
    for (uint32_t i = 0; i < count; i++) {
        session_connect(session, &conns[i], (int)i);
        session->protocol->subscribe(session, &conns[i]);
        poller_add(&poller, &conns[i], EPOLLIN);
    }
    fprintf(stderr, "ready\n");
    receive(&tally, &poller, &inbox, conns);
    for (uint32_t i = 0; i < count; i++)
        session_leave(session, &conns[i]);
    inbox_close(&inbox);
    poller_close(&poller);
    free(conns);
    return report(&tally);
}
