#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const PATTERNS[] = {"unicast", "anycast", "broadcast"};

enum {
    PROTOCOL = 256, HOST, PORT, CA, CERT, KEY, PATTERN, CONNECTIONS, RECEIVERS, COUNT, SIZE,
    RATE, CONCURRENCY, GATEWAY_PID, IDLE_S, TIMEOUT_S, SEED, SERVE
};

static const struct option LONG[] = {
    {"protocol", required_argument, NULL, PROTOCOL},
    {"host", required_argument, NULL, HOST},
    {"port", required_argument, NULL, PORT},
    {"ca", required_argument, NULL, CA},
    {"cert", required_argument, NULL, CERT},
    {"key", required_argument, NULL, KEY},
    {"pattern", required_argument, NULL, PATTERN},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"receivers", required_argument, NULL, RECEIVERS},
    {"count", required_argument, NULL, COUNT},
    {"size", required_argument, NULL, SIZE},
    {"rate", required_argument, NULL, RATE},
    {"concurrency", required_argument, NULL, CONCURRENCY},
    {"gateway-pid", required_argument, NULL, GATEWAY_PID},
    {"idle-s", required_argument, NULL, IDLE_S},
    {"timeout-s", required_argument, NULL, TIMEOUT_S},
    {"seed", required_argument, NULL, SEED},
    {"serve", no_argument, NULL, SERVE},
    {NULL, 0, NULL, 0},
};

const char *pattern_name(enum pattern pattern) { return PATTERNS[pattern]; }

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < least || value > most)
        fail("--%s: a number from %llu to %llu, not %s", name, (unsigned long long)least, (unsigned long long)most,
             text);
    return value;
}

static double seconds(const char *name, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0 || value > 1e6)
        fail("--%s: seconds, not %s", name, text);
    return value;
}

static enum pattern pattern(const char *text) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, PATTERNS[i]))
            return (enum pattern)i;
    fail("--pattern: unicast, anycast or broadcast, not %s", text);
}

static void take(struct options *options, int which, const char *name, const char *value) {
    switch (which) {
    case PROTOCOL: options->protocol = value; break;
    case HOST: options->host = value; break;
    case CA: options->ca = value; break;
    case CERT: options->certificate = value; break;
    case KEY: options->key = value; break;
    case PATTERN: options->pattern = pattern(value); break;
    case SERVE: options->serve = true; break;
    case GATEWAY_PID: processes_parse(&options->gateway, value); break;
    case IDLE_S: options->idle_s = seconds(name, value); break;
    case TIMEOUT_S: options->timeout_s = seconds(name, value); break;
    case PORT: options->port = (int)number(name, value, 1, 65535); break;
    case CONNECTIONS: options->connections = (uint32_t)number(name, value, 1, CONNECTIONS_MAX); break;
    case RECEIVERS: options->receivers = (uint32_t)number(name, value, 1, CONNECTIONS_MAX); break;
    case CONCURRENCY: options->concurrency = (uint32_t)number(name, value, 1, 1000000); break;
    case COUNT: options->count = number(name, value, 1, 1000000000000); break;
    case SIZE: options->size = number(name, value, 0, SIZE_MAX_BYTES); break;
    case RATE: options->rate = number(name, value, 0, 1000000000); break;
    case SEED: options->seed = number(name, value, 0, UINT64_MAX); break;
    default: fail("unknown option or missing value: see README.md");
    }
}

static void check(const struct options *options) {
    const char *command = options->command;
    if (strcmp(command, "sink") && strcmp(command, "pour") && strcmp(command, "rr"))
        fail("the command is sink, pour or rr, not %s", command);
    if (strlen(options->name) > NAME_MAX_BYTES || !strrchr(options->name, '/'))
        fail("a name like acme/bench/sink of at most %d bytes", NAME_MAX_BYTES);
    if (!strcmp(command, "rr") && options->pattern != UNICAST)
        fail("--pattern: requests go to one receiver");
    if (!options->port)
        fail("--port is needed");
    if (!options->certificate != !options->key)
        fail("--cert and --key go together");
    if (options->certificate && !options->ca)
        fail("--cert needs --ca");
}

void options_parse(struct options *options, int argc, char **argv) {
    *options = (struct options){
        .protocol = "agpd", .host = "127.0.0.1", .receivers = 16, .concurrency = 1,
        .count = 1000000, .size = 256, .seed = 1, .idle_s = 10, .timeout_s = 120,
    };
    int which, index = 0;
    opterr = 0;
    while ((which = getopt_long(argc, argv, "", LONG, &index)) != -1)
        take(options, which, which < PROTOCOL ? "" : LONG[index].name, optarg);
    if (argc - optind != 2)
        fail("agpload sink|pour|rr NAME [options]: see README.md");
    options->command = argv[optind];
    options->name = argv[optind + 1];
    if (!options->connections)
        options->connections = strcmp(options->command, "sink") ? 4 : 16;
    check(options);
}
