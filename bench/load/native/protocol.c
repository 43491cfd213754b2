#include "protocol.h"

#include <stdio.h>
#include <string.h>

#define CONTROL_MAX_BYTES ((size_t)1024 * 1024)

static void read_more(struct conn *conn) {
    for (;;) {
        ssize_t got = conn_read(conn, buffer_room(&conn->tail, 4096), 4096);
        if (got < 0)
            fail("connection %d: %s", conn->index, conn->error);
        if (got > 0) {
            conn->tail.end += (size_t)got;
            return;
        }
        conn_wait_readable(conn);
    }
}

/* The next whole message in `tail`, waited for; the caller consumes it. */
static struct message next(const struct session *session, struct conn *conn) {
    struct message message;
    for (;;) {
        size_t length = buffer_length(&conn->tail);
        if (length && session->protocol->parse(conn->tail.data + conn->tail.start, length, &message)) {
            if (message.kind == MESSAGE_BROKEN || message.length > CONTROL_MAX_BYTES)
                fail("connection %d: this is not %s", conn->index, session->protocol->name);
            if (message.length <= length)
                return message;
        }
        if (length > CONTROL_MAX_BYTES)
            fail("connection %d: this is not %s", conn->index, session->protocol->name);
        read_more(conn);
    }
}

struct message await(const struct session *session, struct conn *conn, enum message_kind wanted) {
    for (;;) {
        conn_send(conn);
        struct message message = next(session, conn);
        if (message.kind == MESSAGE_REFUSED || message.kind == MESSAGE_CLOSE)
            fail("connection %d: refused: %u %.*s", conn->index, message.code, (int)message.text_length,
                 message.text_length ? message.text : "");
        if (message.kind == MESSAGE_PING)
            session->protocol->pong(&conn->out, &message);
        message.text_length = 0; /* what it points to goes */
        buffer_consume(&conn->tail, message.length);
        if (message.kind == wanted)
            return message;
    }
}

void receiver_name(const struct options *options, long number, char separator, char *into, size_t bytes) {
    int length = number < 0 ? snprintf(into, bytes, "%s", options->name)
                            : snprintf(into, bytes, "%s/%ld", options->name, number);
    if (length < 0 || (size_t)length >= bytes)
        fail("the name is too long");
    for (; *into; into++)
        if (*into == '/')
            *into = separator;
}

void session_connect(const struct session *session, struct conn *conn, int index) {
    *conn = (struct conn){.index = index, .fd = -1};
    conn_connect(conn, session->options->host, session->options->port);
    session->protocol->greet(session, conn);
}

void session_leave(const struct session *session, struct conn *conn) {
    session->protocol->bye(&conn->out);
    conn_write_out(conn); /* as far as it goes: nobody waits for it */
    conn_close(conn);
}

void append_payload(struct buffer *out, size_t size) {
    memset(buffer_room(out, size), 'x', size);
    out->end += size;
}
