/* What the machine's limit is: a gateway without routing, permissions or limits. See README.md. */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "links.h"

#define EVENTS 64
#define LISTENER UINT32_MAX
#define WAITING_MAX_BYTES ((size_t)2 * 1024 * 1024) /* for one link: then nothing is read until it takes some */
#define PATIENCE_MS 10000

struct relay {
    int listener, poller;
    struct tls *tls;
    struct links links;
};

static int listen_on(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        fail("cannot listen: %s", strerror(errno));
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(struct relay *relay, int operation, int fd, uint32_t events, uint32_t index) {
    struct epoll_event event = {.events = events, .data.u32 = index};
    if (epoll_ctl(relay->poller, operation, fd, &event))
        fail("epoll: %s", strerror(errno));
}

static void accept_all(struct relay *relay) {
    struct links *links = &relay->links;
    int fd;
    while ((fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (links->count == LINKS_MAX)
            fail("more than %d connections", LINKS_MAX);
        struct link *link = allocate(sizeof *link);
        *link = (struct link){.conn.index = (int)links->count};
        conn_adopt(&link->conn, fd);
        if (relay->tls)
            conn_secure(&link->conn, relay->tls);
        links->all[links->count++] = link;
        watch(relay, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)link->conn.index);
    }
}

/* Write as far as it goes. A link that holds too much is waited for, and ended when it does not take any. */
static void flush(struct relay *relay, struct link *link) {
    struct conn *conn = &link->conn;
    while (!conn_write_out(conn) && buffer_length(&conn->out) + buffer_length(&conn->wire.out) > WAITING_MAX_BYTES) {
        struct pollfd one = {.fd = conn->fd, .events = POLLOUT};
        if (poll(&one, 1, PATIENCE_MS) <= 0)
            conn->error = "it does not read";
        if (conn->error)
            break;
    }
    if (conn->error) {
        links_end(&relay->links, link);
        return;
    }
    bool waits = conn_waits(conn);
    if (waits != link->waiting)
        watch(relay, EPOLL_CTL_MOD, conn->fd, EPOLLIN | (waits ? EPOLLOUT : 0), (uint32_t)conn->index);
    link->waiting = waits;
}

static void flush_all(struct relay *relay) {
    struct links *links = &relay->links;
    uint32_t count = links->dirty_count;
    links->dirty_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = links->all[links->dirty[i]];
        if (link) {
            link->dirty = false;
            flush(relay, link);
        }
    }
}

static void serve(struct relay *relay, const struct epoll_event *event) {
    struct link *link = relay->links.all[event->data.u32];
    ssize_t got = 0;
    if (!link)
        return;
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        do
            got = links_read(&relay->links, link);
        while (got > 0 && conn_has_more(&link->conn));
    }
    if (got < 0)
        links_end(&relay->links, link);
    else if (event->events & EPOLLOUT)
        flush(relay, link);
}

static void options(struct relay *relay, int argc, char **argv) {
    static const struct option LONG[] = {{"port", required_argument, NULL, 0}, {"ca", required_argument, NULL, 1},
                                         {"cert", required_argument, NULL, 2}, {"key", required_argument, NULL, 3},
                                         {NULL, 0, NULL, 0}};
    const char *given[4] = {"0", NULL, NULL, NULL};
    int which;
    opterr = 0;
    while ((which = getopt_long(argc, argv, "", LONG, NULL)) != -1) {
        if (which > 3)
            fail("relay [--port N] [--ca F --cert F --key F]");
        given[which] = optarg;
    }
    char *end;
    long port = strtol(given[0], &end, 10);
    if (*end || port < 0 || port > 65535 || optind < argc)
        fail("relay [--port N] [--ca F --cert F --key F]");
    if (given[1])
        relay->tls = tls_new(given[1], given[2], given[3], true);
    relay->listener = listen_on((uint16_t)port);
}

int main(int argc, char **argv) {
    struct relay *relay = allocate(sizeof *relay);
    struct epoll_event events[EVENTS];
    memset(relay, 0, sizeof *relay);
    raise_descriptor_limit();
    links_open(&relay->links);
    options(relay, argc, argv);
    relay->poller = epoll_create1(EPOLL_CLOEXEC);
    watch(relay, EPOLL_CTL_ADD, relay->listener, EPOLLIN, LISTENER);
    for (;;) {
        int ready = epoll_wait(relay->poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == LISTENER)
                accept_all(relay);
            else
                serve(relay, &events[i]);
        }
        flush_all(relay);
    }
}
