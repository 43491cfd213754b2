#include "frames.h"

#include <string.h>

uint16_t load16(const uint8_t *from) { return (uint16_t)(from[0] << 8 | from[1]); }

uint32_t load32(const uint8_t *from) { return (uint32_t)load16(from) << 16 | load16(from + 2); }

uint64_t load64(const uint8_t *from) { return (uint64_t)load32(from) << 32 | load32(from + 4); }

static void store(uint8_t *to, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

bool frame_parse(const uint8_t *data, size_t length, struct frame *frame) {
    if (length < PREFIX_BYTES)
        return false;
    frame->length = (size_t)load32(data) + 4;
    frame->kind = data[4];
    frame->fanout = load16(data + 6);
    frame->destination = load32(data + 8);
    frame->source = load32(data + 12);
    frame->id = load64(data + 16);
    return true;
}

void frame_append(struct buffer *out, const struct frame *frame, const void *body, size_t length) {
    uint8_t prefix[PREFIX_BYTES];
    store(prefix, length + PREFIX_BYTES - 4, 4);
    prefix[4] = frame->kind;
    prefix[5] = 0;
    store(prefix + 6, frame->fanout, 2);
    store(prefix + 8, frame->destination, 4);
    store(prefix + 12, frame->source, 4);
    store(prefix + 16, frame->id, 8);
    buffer_append(out, prefix, sizeof prefix);
    buffer_append(out, body, length);
}

static const uint8_t *advance(struct reader *reader, size_t bytes) {
    const uint8_t *from = reader->at;
    if (reader->broken || (size_t)(reader->end - reader->at) < bytes) {
        reader->broken = true;
        return NULL;
    }
    reader->at += bytes;
    return from;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static uint64_t read_number(struct reader *reader, size_t bytes) {
    const uint8_t *from = advance(reader, bytes);
    uint64_t value = 0;
    for (size_t i = 0; from && i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static uint64_t refuse(struct reader *reader) {
    reader->broken = true;
    return 0;
}

uint32_t read_array(struct reader *reader) {
    uint64_t head = read_number(reader, 1);
    if (head >= 0x90 && head <= 0x9f)
        return head & 0x0f;
    if (head == 0xdc || head == 0xdd)
        return (uint32_t)read_number(reader, head == 0xdc ? 2 : 4);
    return (uint32_t)refuse(reader);
}

uint64_t read_uint(struct reader *reader) {
    uint64_t head = read_number(reader, 1);
    if (head < 0x80)
        return head;
    if (head >= 0xcc && head <= 0xcf)
        return read_number(reader, (size_t)1 << (head - 0xcc));
    return refuse(reader);
}

const uint8_t *read_bytes(struct reader *reader, size_t *length) {
    uint64_t head = read_number(reader, 1);
    if (head >= 0xa0 && head <= 0xbf)
        *length = head & 0x1f;
    else if (head >= 0xc4 && head <= 0xc6)
        *length = read_number(reader, (size_t)1 << (head - 0xc4));
    else if (head >= 0xd9 && head <= 0xdb)
        *length = read_number(reader, (size_t)1 << (head - 0xd9));
    else
        refuse(reader);
    return reader->broken ? NULL : advance(reader, *length);
}

void write_array(struct buffer *out, uint8_t count) {
    uint8_t head = 0x90 | count;
    buffer_append(out, &head, 1);
}

/* A type byte and a big-endian number. */
static void write_number(struct buffer *out, uint8_t type, uint64_t value, size_t bytes) {
    uint8_t encoded[9] = {type};
    store(encoded + 1, value, bytes);
    buffer_append(out, encoded, 1 + bytes);
}

void write_uint(struct buffer *out, uint64_t value) {
    if (value < 0x80)
        write_number(out, (uint8_t)value, 0, 0);
    else
        write_number(out, 0xcf, value, 8);
}

void write_text(struct buffer *out, const char *text) {
    size_t length = strlen(text);
    write_number(out, 0xda, length, 2);
    buffer_append(out, text, length);
}

void write_binary_head(struct buffer *out, size_t length) {
    if (length <= 0xff)
        write_number(out, 0xc4, length, 1);
    else if (length <= 0xffff)
        write_number(out, 0xc5, length, 2);
    else
        write_number(out, 0xc6, length, 4);
}

void write_envelope_tail(struct buffer *out, uint64_t correlation) {
    static const uint8_t NIL = 0xc0;
    write_uint(out, 0); /* content type: bytes */
    write_uint(out, correlation);
    write_uint(out, 0); /* never expires */
    buffer_append(out, &NIL, 1);
}

void write_envelope(struct buffer *out, size_t size) {
    write_array(out, 5);
    write_binary_head(out, size);
    memset(buffer_room(out, size), 'x', size);
    out->end += size;
    write_envelope_tail(out, 0);
}
