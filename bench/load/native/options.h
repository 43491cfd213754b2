/* The command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "support.h"

#define CONNECTIONS_MAX 100000
#define SIZE_MAX_BYTES (16 * 1024 * 1024)
#define NAME_MAX_BYTES 200

enum pattern { UNICAST, ANYCAST, BROADCAST };

struct options {
    const char *command, *name, *protocol, *host, *ca, *certificate, *key;
    int port;
    enum pattern pattern;
    bool serve;
    uint32_t connections, receivers, concurrency;
    uint64_t count, size, rate, seed;
    double idle_s, timeout_s;
    struct processes gateway;
};

/* Ends the program with an error if the arguments do not fit. */
void options_parse(struct options *options, int argc, char **argv);
const char *pattern_name(enum pattern pattern);

#endif
