/* MQTT 3.1.1 with QoS 0. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol.h"

enum packet { CONNECT = 0x10, CONNACK = 0x20, PUBLISH = 0x30, SUBSCRIBE = 0x82, SUBACK = 0x90, PINGREQ = 0xc0,
              PINGRESP = 0xd0, DISCONNECT = 0xe0 };

static void append_byte(struct buffer *out, unsigned value) {
    uint8_t byte = (uint8_t)value;
    buffer_append(out, &byte, 1);
}

static void append_head(struct buffer *out, enum packet packet, size_t rest) {
    append_byte(out, packet);
    do {
        append_byte(out, (unsigned)(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        rest >>= 7;
    } while (rest);
}

static void append_string(struct buffer *out, const char *text) {
    size_t length = strlen(text);
    append_byte(out, (unsigned)(length >> 8));
    append_byte(out, (unsigned)length);
    buffer_append(out, text, length);
}

static void greet(const struct session *session, struct conn *conn) {
    char client[64];
    if (session->tls) {
        conn_secure(conn, session->tls);
        conn_handshake(conn);
    }
    snprintf(client, sizeof client, "agpload-%ld-%d", (long)getpid(), conn->index);
    append_head(&conn->out, CONNECT, 10 + 2 + strlen(client));
    append_string(&conn->out, "MQTT");
    buffer_append(&conn->out, "\x04\x02\x00\x00", 4); /* version 4, clean session, no keep-alive */
    append_string(&conn->out, client);
    await(session, conn, MESSAGE_OK);
}

static void name_of(const struct session *session, uint32_t number, char *into, size_t bytes) {
    receiver_name(session->options, session->options->pattern == UNICAST ? (long)number : -1, '/', into, bytes);
}

static void subscribe(const struct session *session, struct conn *conn) {
    char name[NAME_MAX_BYTES + 16];
    name_of(session, (uint32_t)conn->index, name, sizeof name);
    append_head(&conn->out, SUBSCRIBE, 2 + 2 + strlen(name) + 1);
    buffer_append(&conn->out, "\x00\x01", 2);
    append_string(&conn->out, name);
    append_byte(&conn->out, 0);
    await(session, conn, MESSAGE_OK);
}

static void open_targets(const struct session *session, struct conn *conn, struct target *targets, uint32_t count) {
    (void)conn;
    for (uint32_t i = 0; i < count; i++)
        name_of(session, i, targets[i].name, sizeof targets[i].name);
}

static void encode(const struct options *options, struct buffer *out, const struct target *target, uint64_t id) {
    (void)id;
    append_head(out, PUBLISH, 2 + strlen(target->name) + options->size);
    append_string(out, target->name);
    append_payload(out, options->size);
}

/* The length of the whole packet; 0: not all of it is there; SIZE_MAX: not a length. */
static size_t packet_length(const uint8_t *data, size_t length) {
    size_t rest = 0;
    for (size_t i = 1; i < length && i <= 4; i++) {
        rest |= (size_t)(data[i] & 0x7f) << 7 * (i - 1);
        if (!(data[i] & 0x80))
            return 1 + i + rest;
    }
    return length > 4 ? SIZE_MAX : 0;
}

static enum message_kind kind_of(const uint8_t *data, size_t length) {
    switch (data[0] & 0xf0) {
    case CONNACK: return length == 4 && !data[3] ? MESSAGE_OK : MESSAGE_CLOSE;
    case SUBACK: return length == 5 && data[4] <= 2 ? MESSAGE_OK : MESSAGE_CLOSE;
    case PINGRESP: return MESSAGE_PONG;
    default: return MESSAGE_OTHER;
    }
}

static bool parse(const uint8_t *data, size_t length, struct message *message) {
    size_t whole = packet_length(data, length);
    if (!whole)
        return false;
    message->length = whole;
    message->code = 0;
    message->text_length = 0;
    if (whole == SIZE_MAX) {
        message->kind = MESSAGE_BROKEN;
    } else if ((data[0] & 0xf0) == PUBLISH) {
        message->kind = MESSAGE_DATA;
    } else {
        if (whole > length)
            return false;
        message->kind = kind_of(data, whole);
        message->code = message->kind == MESSAGE_CLOSE ? data[whole - 1] : 0;
    }
    return true;
}

static void pong(struct buffer *out, const struct message *ping) { (void)out, (void)ping; }

static void barrier(struct buffer *out) { append_head(out, PINGREQ, 0); }

static void bye(struct buffer *out) { append_head(out, DISCONNECT, 0); }

const struct protocol MQTT = {
    .name = "mqtt", .anycast = false, .greet = greet, .subscribe = subscribe, .open = open_targets, .encode = encode,
    .parse = parse, .pong = pong, .barrier = barrier, .bye = bye,
};
