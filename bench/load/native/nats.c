/* The client protocol of NATS: lines of text, with the payload after a line. */
#include <string.h>

#include "protocol.h"

#define LINE_MAX_BYTES 65536
#define QUEUE "agpload"

static void greet(const struct session *session, struct conn *conn) {
    await(session, conn, MESSAGE_OTHER); /* INFO, in plaintext always */
    if (session->tls) {
        if (buffer_length(&conn->tail))
            fail("nats: bytes before the TLS handshake");
        conn_secure(conn, session->tls);
        conn_handshake(conn);
    }
    buffer_text(&conn->out,
                "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":%s,\"lang\":\"c\",\"version\":\"1\","
                "\"name\":\"agpload\",\"protocol\":1,\"echo\":true,\"headers\":false}\r\nPING\r\n",
                session->tls ? "true" : "false");
    await(session, conn, MESSAGE_PONG);
}

static void subscribe(const struct session *session, struct conn *conn) {
    const struct options *options = session->options;
    char name[NAME_MAX_BYTES + 16];
    receiver_name(options, options->pattern == UNICAST ? conn->index : -1, '.', name, sizeof name);
    buffer_text(&conn->out, "SUB %s%s 1\r\nPING\r\n", name, options->pattern == ANYCAST ? " " QUEUE : "");
    await(session, conn, MESSAGE_PONG);
}

static void open_targets(const struct session *session, struct conn *conn, struct target *targets, uint32_t count) {
    (void)conn;
    for (uint32_t i = 0; i < count; i++)
        receiver_name(session->options, session->options->pattern == UNICAST ? (long)i : -1, '.', targets[i].name,
                      sizeof targets[i].name);
}

static void encode(const struct options *options, struct buffer *out, const struct target *target, uint64_t id) {
    (void)id;
    buffer_text(out, "PUB %s %llu\r\n", target->name, (unsigned long long)options->size);
    append_payload(out, options->size);
    buffer_append(out, "\r\n", 2);
}

static bool starts(const uint8_t *data, size_t length, const char *word) {
    size_t wanted = strlen(word);
    return length >= wanted && !memcmp(data, word, wanted);
}

/* MSG subject sid [reply] bytes: the number at the end of a line of `length` bytes, or SIZE_MAX. */
static size_t last_number(const uint8_t *line, size_t length) {
    size_t value = 0, power = 1, at = length;
    while (at && line[at - 1] >= '0' && line[at - 1] <= '9' && power <= SIZE_MAX_BYTES) {
        value += (size_t)(line[--at] - '0') * power;
        power *= 10;
    }
    return at == length || !at || line[at - 1] != ' ' ? SIZE_MAX : value;
}

static bool parse(const uint8_t *data, size_t length, struct message *message) {
    const uint8_t *end = memchr(data, '\n', length < LINE_MAX_BYTES ? length : LINE_MAX_BYTES);
    message->kind = MESSAGE_BROKEN;
    message->length = 0;
    message->code = 0;
    message->text_length = 0;
    if (!end)
        return length >= LINE_MAX_BYTES;
    size_t line = (size_t)(end - data) + 1;
    if (line < 2 || end[-1] != '\r')
        return true;
    message->length = line;
    if (starts(data, line, "MSG ")) {
        size_t payload = last_number(data, line - 2);
        message->length += payload + 2;
        message->kind = payload == SIZE_MAX ? MESSAGE_BROKEN : MESSAGE_DATA;
    } else if (starts(data, line, "PING")) {
        message->kind = MESSAGE_PING;
    } else if (starts(data, line, "PONG")) {
        message->kind = MESSAGE_PONG;
    } else if (starts(data, line, "-ERR")) {
        message->kind = MESSAGE_CLOSE;
        message->text = (const char *)data;
        message->text_length = line - 2;
    } else if (starts(data, line, "INFO ")) {
        message->kind = MESSAGE_OTHER;
    } else if (starts(data, line, "+OK")) {
        message->kind = MESSAGE_OK;
    }
    return true;
}

static void pong(struct buffer *out, const struct message *ping) {
    (void)ping;
    buffer_append(out, "PONG\r\n", 6);
}

static void barrier(struct buffer *out) { buffer_append(out, "PING\r\n", 6); }

static void bye(struct buffer *out) { (void)out; }

const struct protocol NATS = {
    .name = "nats", .anycast = true, .greet = greet, .subscribe = subscribe, .open = open_targets, .encode = encode,
    .parse = parse, .pong = pong, .barrier = barrier, .bye = bye,
};
