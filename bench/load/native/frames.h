/* Frames of the native protocol (proto/native.md) and the little msgpack they need. Big-endian. */
#ifndef FRAMES_H
#define FRAMES_H

#include "support.h"

#define PREFIX_BYTES ((size_t)24)
#define FRAME_MAX_BYTES ((size_t)64 * 1024 * 1024) /* more than any gateway announces */

enum kind {
    HELLO = 0x01, REGISTER = 0x02, OPEN = 0x06, WELCOME = 0x21, OK = 0x22, REFUSED = 0x23,
    PING = 0x40, PONG = 0x41, CLOSE = 0x42, PUBLISH = 0x80, REQUEST = 0x81, REPLY = 0x82
};
#define GOODBYE 500
#define NOT_REGISTERED 104
#define NO_ROUTE 200

struct frame {
    uint8_t kind;
    uint16_t fanout;
    uint32_t destination, source;
    uint64_t id;
    size_t length; /* of the whole frame */
};

uint16_t load16(const uint8_t *from);
uint32_t load32(const uint8_t *from);
uint64_t load64(const uint8_t *from);

/* The prefix at `data`; false if `length` bytes are too few for it. `frame->length` below PREFIX_BYTES or above
   FRAME_MAX_BYTES is the caller's to refuse. */
bool frame_parse(const uint8_t *data, size_t length, struct frame *frame);
/* A frame with the body `body`; `frame->length` is not looked at. */
void frame_append(struct buffer *out, const struct frame *frame, const void *body, size_t length);

/* Cursor over msgpack that came from somebody else: every step is checked, and after a failed one all fail. */
struct reader {
    const uint8_t *at, *end;
    bool broken;
};

uint32_t read_array(struct reader *reader);
uint64_t read_uint(struct reader *reader);
/* Text or binary; NULL if it is neither. */
const uint8_t *read_bytes(struct reader *reader, size_t *length);

void write_array(struct buffer *out, uint8_t count); /* below 16 */
void write_uint(struct buffer *out, uint64_t value);
void write_text(struct buffer *out, const char *text);
/* The head of `length` bytes of binary. */
void write_binary_head(struct buffer *out, size_t length);
/* What follows the body in an envelope with this correlation (section 6). */
void write_envelope_tail(struct buffer *out, uint64_t correlation);
/* A whole envelope with `size` bytes x. */
void write_envelope(struct buffer *out, size_t size);

#endif
