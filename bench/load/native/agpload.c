/* A load generator: see README.md. */
#include <string.h>

#include "commands.h"

static const struct protocol *find(const struct options *options) {
    static const struct protocol *const KNOWN[] = {&AGPD, &NATS, &REDIS, &MQTT};
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        if (strcmp(options->protocol, KNOWN[i]->name))
            continue;
        if (options->pattern == ANYCAST && !KNOWN[i]->anycast)
            fail("%s has no anycast", options->protocol);
        if (!strcmp(options->command, "rr") && KNOWN[i] != &AGPD)
            fail("rr speaks agpd only");
        return KNOWN[i];
    }
    fail("--protocol: agpd, nats, redis or mqtt, not %s", options->protocol);
}

static int run(const struct session *session) {
    if (!strcmp(session->options->command, "sink"))
        return sink(session);
    if (!strcmp(session->options->command, "pour"))
        return pour(session);
    return session->options->serve ? respond(session) : request(session);
}

int main(int argc, char **argv) {
    struct options options;
    options_parse(&options, argc, argv);
    raise_descriptor_limit();
    struct session session = {.options = &options, .protocol = find(&options)};
    struct tls *tls = options.ca ? tls_new(options.ca, options.certificate, options.key, false) : NULL;
    session.tls = tls;
    int code = run(&session);
    tls_free(tls);
    return code;
}
