#include "inbox.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX_BYTES ((size_t)64 * 1024 * 1024)

void inbox_open(struct inbox *inbox, const struct protocol *protocol, bool whole, on_message *handle, void *context) {
    *inbox = (struct inbox){protocol, handle, context, whole, allocate(2 * READ_BYTES), 2 * READ_BYTES};
}

void inbox_close(struct inbox *inbox) { free(inbox->data); }

/* What was kept of the last read comes first. The length of it. */
static size_t restore(struct inbox *inbox, struct conn *conn) {
    size_t kept = buffer_length(&conn->tail);
    if (kept + READ_BYTES > inbox->capacity) {
        inbox->capacity = 2 * (kept + READ_BYTES);
        inbox->data = reallocate(inbox->data, inbox->capacity);
    }
    if (kept)
        memcpy(inbox->data, conn->tail.data + conn->tail.start, kept);
    buffer_clear(&conn->tail);
    return kept;
}

/* Go on through a data message whose beginning was seen before. The bytes used. */
static size_t skip(struct inbox *inbox, struct conn *conn, size_t length) {
    size_t used = conn->skip < length ? conn->skip : length;
    conn->skip -= used;
    if (!conn->skip) {
        struct message message = {.kind = MESSAGE_DATA};
        inbox->handle(inbox->context, conn, &message, NULL);
    }
    return used;
}

static size_t consume(struct inbox *inbox, struct conn *conn, size_t length) {
    size_t at = conn->skip ? skip(inbox, conn, length) : 0;
    struct message message;
    while (at < length && inbox->protocol->parse(inbox->data + at, length - at, &message)) {
        if (message.kind == MESSAGE_BROKEN)
            fail("connection %d: this is not %s", conn->index, inbox->protocol->name);
        if (message.length > length - at) {
            if (inbox->whole)
                break;
            conn->skip = message.length - (length - at);
            return length;
        }
        inbox->handle(inbox->context, conn, &message, inbox->data + at);
        at += message.length;
    }
    return at;
}

void inbox_read(struct inbox *inbox, struct conn *conn) {
    ssize_t got;
    do {
        size_t kept = restore(inbox, conn);
        got = conn_read(conn, inbox->data + kept, READ_BYTES);
        size_t length = kept + (got > 0 ? (size_t)got : 0);
        size_t used = consume(inbox, conn, length);
        if (length - used > KEPT_MAX_BYTES)
            fail("connection %d: a message of more than %zu bytes", conn->index, KEPT_MAX_BYTES);
        buffer_append(&conn->tail, inbox->data + used, length - used);
        if (got < 0)
            fail("connection %d: %s", conn->index, conn->error);
    } while (got > 0 && conn_has_more(conn));
}
