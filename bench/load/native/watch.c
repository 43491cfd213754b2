#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void watch_start(struct watch *watch, const struct processes *processes) {
    *watch = (struct watch){.processes = processes, .running = true};
    watch->cpu_began_s = processes_cpu_s(processes);
    watch->began_ns = now_ns();
}

void watch_stop(struct watch *watch) {
    watch->seconds = (double)(now_ns() - watch->began_ns) * 1e-9;
    watch->cpu_s = processes_cpu_s(watch->processes) - watch->cpu_began_s;
    watch->running = false;
}

void watch_print_cpu(const struct watch *watch, const char *name, uint64_t count) {
    if (watch->processes && watch->processes->count && count)
        printf(", \"gateway_cpu_s\": %.9f, \"%s\": %.6f", watch->cpu_s, name, watch->cpu_s / (double)count * 1e6);
    else
        printf(", \"gateway_cpu_s\": null, \"%s\": null", name);
}

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

void poller_open(struct poller *poller, const struct options *options) {
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    poller->ends_ns = now_ns() + (uint64_t)(options->timeout_s * 1e9);
    if (poller->fd < 0)
        fail("epoll: %s", strerror(errno));
}

void poller_close(struct poller *poller) { close(poller->fd); }

static void apply(struct poller *poller, int operation, const struct conn *conn, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)conn->index};
    if (epoll_ctl(poller->fd, operation, conn->fd, &event))
        fail("epoll: %s", strerror(errno));
}

void poller_add(struct poller *poller, const struct conn *conn, uint32_t events) {
    apply(poller, EPOLL_CTL_ADD, conn, events);
}

void poller_change(struct poller *poller, const struct conn *conn, uint32_t events) {
    apply(poller, EPOLL_CTL_MOD, conn, events);
}

int poller_wait(struct poller *poller, struct epoll_event *events, int limit, int wait_ms) {
    if (now_ns() > poller->ends_ns)
        fail("not complete in time (--timeout-s)");
    int ready = epoll_wait(poller->fd, events, limit, wait_ms);
    if (ready < 0 && errno != EINTR)
        fail("epoll: %s", strerror(errno));
    return ready < 0 ? 0 : ready;
}
