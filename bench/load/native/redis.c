/* Publish and subscribe of Redis, in RESP 2. */
#include <string.h>

#include "protocol.h"

#define LINE_MAX_BYTES 65536
#define ELEMENTS_MAX 16

static void greet(const struct session *session, struct conn *conn) {
    if (session->tls) {
        conn_secure(conn, session->tls);
        conn_handshake(conn);
    }
    buffer_text(&conn->out, "PING\r\n");
    await(session, conn, MESSAGE_PONG);
}

static void name_of(const struct session *session, uint32_t number, char *into, size_t bytes) {
    receiver_name(session->options, session->options->pattern == UNICAST ? (long)number : -1, '/', into, bytes);
}

static void subscribe(const struct session *session, struct conn *conn) {
    char name[NAME_MAX_BYTES + 16];
    name_of(session, (uint32_t)conn->index, name, sizeof name);
    buffer_text(&conn->out, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(name), name);
    await(session, conn, MESSAGE_OK);
}

static void open_targets(const struct session *session, struct conn *conn, struct target *targets, uint32_t count) {
    (void)conn;
    for (uint32_t i = 0; i < count; i++)
        name_of(session, i, targets[i].name, sizeof targets[i].name);
}

static void encode(const struct options *options, struct buffer *out, const struct target *target, uint64_t id) {
    (void)id;
    buffer_text(out, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%llu\r\n", strlen(target->name), target->name,
                (unsigned long long)options->size);
    append_payload(out, options->size);
    buffer_append(out, "\r\n", 2);
}

/* The line at `*at`: its first byte in `*type`, the number after it (0 if it is none) in `*number`; moves past it.
   1: done, 0: not all there, -1: no line of RESP. */
static int line(const uint8_t *data, size_t length, size_t *at, uint8_t *type, size_t *number) {
    size_t room = length - *at;
    const uint8_t *begin = data + *at;
    const uint8_t *end = memchr(begin, '\n', room < LINE_MAX_BYTES ? room : LINE_MAX_BYTES);
    if (!end)
        return room >= LINE_MAX_BYTES ? -1 : 0;
    if (end - begin < 2 || end[-1] != '\r')
        return -1;
    *type = *begin;
    *number = 0;
    for (const uint8_t *digit = begin + 1; digit < end - 1 && *digit >= '0' && *digit <= '9'; digit++) {
        *number = *number * 10 + (size_t)(*digit - '0');
        if (*number > SIZE_MAX_BYTES)
            return -1;
    }
    *at = (size_t)(end + 1 - data);
    return 1;
}

/* An array such as [message, channel, payload]. The payload, which is last, need not be there yet. */
static bool parse_array(const uint8_t *data, size_t length, size_t count, size_t at, struct message *message) {
    for (size_t i = 0; i < count; i++) {
        uint8_t type;
        size_t number, content;
        int found = at < length ? line(data, length, &at, &type, &number) : 0;
        if (found <= 0)
            return found < 0;
        content = at;
        if (type == '$')
            at += number + 2;
        else if (type != ':')
            return true;
        if (i + 1 < count && at > length)
            return false;
        if (i)
            continue;
        if (type == '$' && number == 7 && !memcmp(data + content, "message", 7))
            message->kind = MESSAGE_DATA;
        else if (type == '$' && number == 9 && !memcmp(data + content, "subscribe", 9))
            message->kind = MESSAGE_OK;
        else
            message->kind = MESSAGE_OTHER;
    }
    message->length = at;
    return message->kind == MESSAGE_DATA || at <= length;
}

static bool parse(const uint8_t *data, size_t length, struct message *message) {
    uint8_t type;
    size_t at = 0, number;
    message->kind = MESSAGE_BROKEN;
    message->length = 0;
    message->code = 0;
    message->text_length = 0;
    int found = line(data, length, &at, &type, &number);
    if (found <= 0)
        return found < 0;
    if (type == '*' && number && number <= ELEMENTS_MAX) {
        if (!parse_array(data, length, number, at, message))
            return false;
        if (!message->length)
            message->kind = MESSAGE_BROKEN;
        return true;
    }
    message->length = at;
    message->text = (const char *)data;
    if (type == ':') { /* how many had the message */
        message->kind = number ? MESSAGE_OTHER : MESSAGE_REFUSED;
        message->count = !number;
    } else if (type == '+') {
        message->kind = at >= 5 && !memcmp(data, "+PONG", 5) ? MESSAGE_PONG : MESSAGE_OK;
    } else if (type == '-') {
        message->kind = MESSAGE_CLOSE;
        message->text_length = at - 2;
    }
    return true;
}

static void pong(struct buffer *out, const struct message *ping) { (void)out, (void)ping; }

static void barrier(struct buffer *out) { buffer_append(out, "PING\r\n", 6); }

static void bye(struct buffer *out) { (void)out; }

const struct protocol REDIS = {
    .name = "redis", .anycast = false, .greet = greet, .subscribe = subscribe, .open = open_targets, .encode = encode,
    .parse = parse, .pong = pong, .barrier = barrier, .bye = bye,
};
