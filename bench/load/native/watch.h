/* A stopwatch for a run, and the epoll loop it takes place in. */
#ifndef WATCH_H
#define WATCH_H

#include "conn.h"
#include "options.h"

struct watch {
    const struct processes *processes;
    uint64_t began_ns;
    double cpu_began_s;
    double seconds, cpu_s; /* set by `watch_stop` */
    bool running;
};

void watch_start(struct watch *watch, const struct processes *processes);
void watch_stop(struct watch *watch);
/* `,"gateway_cpu_s": ...,"NAME": ...`, the second in microseconds for each of `count`; null if nothing was measured. */
void watch_print_cpu(const struct watch *watch, const char *name, uint64_t count);
double per_second(double count, double seconds);

/* Connections in an epoll set; the events carry their index. */
struct poller {
    int fd;
    uint64_t ends_ns; /* of the run: by --timeout-s */
};

void poller_open(struct poller *poller, const struct options *options);
void poller_close(struct poller *poller);
void poller_add(struct poller *poller, const struct conn *conn, uint32_t events);
void poller_change(struct poller *poller, const struct conn *conn, uint32_t events);

struct epoll_event;
/* Events, at most `limit`, waited for at most `wait_ms`. Ends the program when the run has taken too long. */
int poller_wait(struct poller *poller, struct epoll_event *events, int limit, int wait_ms);

#endif
