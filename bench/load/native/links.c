#include "links.h"

#include <stdlib.h>
#include <string.h>

void links_open(struct links *links) {
    links->capacity = 2 * READ_BYTES;
    links->data = allocate(links->capacity);
}

void links_end(struct links *links, struct link *link) {
    links->all[link->conn.index] = NULL;
    conn_close(&link->conn);
    free(link->name);
    free(link);
}

static void queue(struct links *links, struct link *link, const void *data, size_t bytes) {
    buffer_append(&link->conn.out, data, bytes);
    if (!link->dirty && bytes) {
        link->dirty = true;
        links->dirty[links->dirty_count++] = (uint32_t)link->conn.index;
    }
}

static void answer(struct links *links, struct link *link, enum kind kind, uint32_t destination, uint64_t id,
                   struct buffer *body) {
    struct buffer out = {0};
    struct frame frame = {.kind = (uint8_t)kind, .destination = destination, .id = id};
    frame_append(&out, &frame, body->data, buffer_length(body));
    queue(links, link, out.data, buffer_length(&out));
    buffer_free(&out);
    buffer_free(body);
}

static void welcome(struct links *links, struct link *link) {
    struct buffer body = {0};
    write_array(&body, 7);
    write_uint(&body, 1);
    write_text(&body, "relay");
    write_text(&body, "agp://*");
    write_uint(&body, FRAME_MAX_BYTES);
    for (int i = 0; i < 3; i++) /* ping interval and limits: none that matters */
        write_uint(&body, 1000000);
    answer(links, link, WELCOME, 0, 0, &body);
}

static void refuse(struct links *links, struct link *link, uint32_t code, uint64_t id) {
    struct buffer body = {0};
    write_array(&body, 3);
    write_uint(&body, code);
    write_text(&body, "");
    write_uint(&body, 1);
    answer(links, link, REFUSED, 0, id, &body);
}

/* The index + 1 of the link with this name, or 0. */
static uint32_t find(const struct links *links, const char *name, size_t length) {
    for (uint32_t i = 0; i < links->count; i++) {
        const struct link *link = links->all[i];
        if (link && link->name && strlen(link->name) == length && !memcmp(link->name, name, length))
            return i + 1;
    }
    return 0;
}

/* REGISTER and OPEN: a body [name]. False if it is none. */
static bool named(struct links *links, struct link *link, const struct frame *frame, const uint8_t *bytes) {
    struct reader reader = {bytes + PREFIX_BYTES, bytes + frame->length, false};
    struct buffer empty = {0};
    size_t length = 0;
    const char *name = read_array(&reader) ? (const char *)read_bytes(&reader, &length) : NULL;
    if (!name)
        return false;
    if (frame->kind == REGISTER) {
        free(link->name);
        link->name = allocate(length + 1);
        memcpy(link->name, name, length);
        link->name[length] = 0;
    }
    uint32_t handle = find(links, name, length);
    if (handle)
        answer(links, link, OK, handle, frame->id, &empty);
    else
        refuse(links, link, NO_ROUTE, frame->id);
    return true;
}

/* A frame that is not data. False ends the link. */
static bool control(struct links *links, struct link *link, const struct frame *frame, const uint8_t *bytes) {
    struct buffer empty = {0};
    switch (frame->kind) {
    case HELLO: welcome(links, link); return true;
    case REGISTER: case OPEN: return named(links, link, frame, bytes);
    case PING: answer(links, link, PONG, 0, frame->id, &empty); return true;
    default: return false; /* CLOSE among them */
    }
}

/* Consecutive frames for one link leave as one slice. */
static void forward(struct links *links, struct link *from, uint32_t destination, const uint8_t *run, size_t bytes) {
    struct link *to = destination && destination <= links->count ? links->all[destination - 1] : NULL;
    if (to)
        queue(links, to, run, bytes);
    else if (bytes)
        refuse(links, from, NO_ROUTE, 0);
}

/* Bytes used; `*intact` becomes false when the link must end. */
static size_t dispatch(struct links *links, struct link *link, const uint8_t *data, size_t length, bool *intact) {
    size_t at = 0, run = 0;
    uint32_t destination = 0;
    struct frame frame;
    while (*intact && frame_parse(data + at, length - at, &frame)) {
        bool usable = frame.length >= PREFIX_BYTES && frame.length <= FRAME_MAX_BYTES;
        if (usable && frame.length > length - at)
            break;
        bool payload = usable && frame.kind >= PUBLISH;
        if (!payload || frame.destination != destination) {
            forward(links, link, destination, data + run, at - run);
            run = at;
            destination = frame.destination;
        }
        if (!payload) {
            *intact = usable && control(links, link, &frame, data + at);
            run = at + frame.length;
            destination = 0;
        }
        if (usable)
            at += frame.length;
    }
    if (at > run)
        forward(links, link, destination, data + run, at - run);
    return at;
}

ssize_t links_read(struct links *links, struct link *link) {
    struct buffer *tail = &link->conn.tail;
    size_t kept = buffer_length(tail);
    if (kept + READ_BYTES > links->capacity) {
        links->capacity = 2 * (kept + READ_BYTES);
        links->data = reallocate(links->data, links->capacity);
    }
    if (kept)
        memcpy(links->data, tail->data + tail->start, kept);
    ssize_t got = conn_read(&link->conn, links->data + kept, READ_BYTES);
    if (got <= 0)
        return got;
    bool intact = true;
    size_t length = kept + (size_t)got;
    size_t used = dispatch(links, link, links->data, length, &intact);
    buffer_clear(tail);
    buffer_append(tail, links->data + used, length - used);
    return intact ? got : -1;
}
