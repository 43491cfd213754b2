/* The native protocol, proto/native.md. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "protocol.h"

#define BARRIER_ID (UINT64_C(1) << 63)

/* Append a control frame whose body is the msgpack in `body`. */
static void control(struct conn *conn, enum kind kind, uint32_t source, struct buffer *body) {
    struct frame frame = {.kind = kind, .source = source, .id = kind == HELLO ? 0 : BARRIER_ID | 1};
    frame_append(&conn->out, &frame, body->data + body->start, buffer_length(body));
    buffer_free(body);
}

static void greet(const struct session *session, struct conn *conn) {
    if (session->tls) {
        conn_secure(conn, session->tls);
        conn_handshake(conn);
    }
    struct buffer body = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    write_array(&body, 3);
    write_array(&body, 1);
    write_uint(&body, 1);
    write_text(&body, "agpload");
    write_uint(&body, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    control(conn, HELLO, 0, &body);
    await(session, conn, MESSAGE_OK);
}

/* REGISTER or OPEN a name: its handle. */
static uint32_t ask(const struct session *session, struct conn *conn, enum kind kind, uint32_t source,
                    const char *name) {
    struct buffer body = {0};
    write_array(&body, 1);
    write_text(&body, name);
    control(conn, kind, source, &body);
    return await(session, conn, MESSAGE_OK).destination;
}

static void subscribe(const struct session *session, struct conn *conn) {
    char name[NAME_MAX_BYTES + 16];
    receiver_name(session->options, conn->index, '/', name, sizeof name);
    ask(session, conn, REGISTER, 0, name);
}

static void open_targets(const struct session *session, struct conn *conn, struct target *targets, uint32_t count) {
    const char *name = session->options->name;
    char own[NAME_MAX_BYTES + 64];
    /* An agent of the type "agpload" beside the receivers, another one in each process and connection. */
    snprintf(own, sizeof own, "%.*s/agpload/%ld-%d", (int)(strrchr(name, '/') - name), name, (long)getpid(),
             conn->index);
    uint32_t source = ask(session, conn, REGISTER, 0, own);
    for (uint32_t i = 0; i < count; i++) {
        bool all = session->options->pattern != UNICAST;
        receiver_name(session->options, all ? -1 : (long)i, '/', targets[i].name, sizeof targets[i].name);
        targets[i].source = source;
        targets[i].handle = ask(session, conn, OPEN, source, targets[i].name);
    }
}

static void encode(const struct options *options, struct buffer *out, const struct target *target, uint64_t id) {
    struct buffer body = {0};
    struct frame frame = {
        .kind = PUBLISH, .fanout = options->pattern != BROADCAST, .destination = target->handle,
        .source = target->source, .id = id};
    write_envelope(&body, options->size);
    frame_append(out, &frame, body.data, buffer_length(&body));
    buffer_free(&body);
}

/* The body [code, detail, count] of REFUSED and CLOSE. */
static void parse_refusal(const uint8_t *data, struct message *message) {
    struct reader reader = {data + PREFIX_BYTES, data + message->length, false};
    size_t length = 0;
    if (read_array(&reader) < 3)
        reader.broken = true;
    message->code = (uint32_t)read_uint(&reader);
    message->text = (const char *)read_bytes(&reader, &length);
    message->text_length = message->text ? length : 0;
    message->count = read_uint(&reader);
    if (reader.broken)
        message->kind = MESSAGE_BROKEN;
}

static enum message_kind kind_of(uint8_t kind) {
    switch (kind) {
    case PUBLISH: case REQUEST: case REPLY: return MESSAGE_DATA;
    case WELCOME: case OK: return MESSAGE_OK;
    case PING: return MESSAGE_PING;
    case PONG: return MESSAGE_PONG;
    case REFUSED: return MESSAGE_REFUSED;
    case CLOSE: return MESSAGE_CLOSE;
    default: return MESSAGE_OTHER;
    }
}

static bool parse(const uint8_t *data, size_t length, struct message *message) {
    struct frame frame;
    if (!frame_parse(data, length, &frame))
        return false;
    message->kind = kind_of(frame.kind);
    message->frame_kind = frame.kind;
    message->length = frame.length;
    message->destination = frame.destination;
    message->source = frame.source;
    message->id = frame.id;
    if (frame.length < PREFIX_BYTES || frame.length > FRAME_MAX_BYTES) {
        message->kind = MESSAGE_BROKEN;
        return true;
    }
    if (message->kind != MESSAGE_DATA) {
        message->code = 0;
        message->text_length = 0;
        if (frame.length > length)
            return false;
        if (message->kind == MESSAGE_REFUSED || message->kind == MESSAGE_CLOSE)
            parse_refusal(data, message);
    }
    return true;
}

static void pong(struct buffer *out, const struct message *ping) {
    frame_append(out, &(struct frame){.kind = PONG, .id = ping->id}, NULL, 0);
}

static void barrier(struct buffer *out) {
    frame_append(out, &(struct frame){.kind = PING, .id = BARRIER_ID}, NULL, 0);
}

static void bye(struct buffer *out) {
    struct buffer body = {0};
    write_array(&body, 3);
    write_uint(&body, GOODBYE);
    write_text(&body, "");
    write_uint(&body, 0);
    frame_append(out, &(struct frame){.kind = CLOSE}, body.data, buffer_length(&body));
    buffer_free(&body);
}

const struct protocol AGPD = {
    .name = "agpd", .anycast = true, .greet = greet, .subscribe = subscribe, .open = open_targets, .encode = encode,
    .parse = parse, .pong = pong, .barrier = barrier, .bye = bye,
};
