/* What a message protocol must offer to be loaded: the same for the native one and for those of other systems. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "conn.h"
#include "options.h"

enum message_kind {
    MESSAGE_DATA,
    MESSAGE_OK,      /* the answer to a control message */
    MESSAGE_PING,    /* wants an answer */
    MESSAGE_PONG,    /* answers the barrier */
    MESSAGE_REFUSED, /* `count` messages came back, or a control message was refused */
    MESSAGE_CLOSE,   /* the server ends the connection or reports an error; `text` says why */
    MESSAGE_OTHER,
    MESSAGE_BROKEN /* these bytes are not of the protocol */
};

/* One message that came. `text` points into the bytes that were parsed. Only DATA may be reported before all of its
   `length` bytes are there. */
struct message {
    enum message_kind kind;
    size_t length;
    uint8_t frame_kind; /* these four: agpd only */
    uint32_t source, destination;
    uint64_t id;
    uint32_t code; /* of a refusal */
    uint64_t count;
    const char *text;
    size_t text_length;
};

/* Where a sender sends to: a handle and the sender's own in agpd, else a subject, channel or topic. */
struct target {
    uint32_t source, handle;
    char name[NAME_MAX_BYTES + 16];
};

struct session {
    const struct options *options;
    const struct protocol *protocol;
    const struct tls *tls; /* NULL: plaintext */
};

struct protocol {
    const char *name;
    bool anycast;
    /* From a new connection to one on which messages may be sent; TLS is begun in here. */
    void (*greet)(const struct session *, struct conn *);
    /* Become receiver number `conn->index`. */
    void (*subscribe)(const struct session *, struct conn *);
    /* Prepare to send to `count` targets: all receivers for unicast, else one. */
    void (*open)(const struct session *, struct conn *, struct target *, uint32_t count);
    /* Append one message to a target. */
    void (*encode)(const struct options *, struct buffer *, const struct target *, uint64_t id);
    /* The message at the start of these bytes; false if more are needed to tell. */
    bool (*parse)(const uint8_t *, size_t, struct message *);
    void (*pong)(struct buffer *, const struct message *);
    /* Append what the server answers with PONG when it has read everything before. */
    void (*barrier)(struct buffer *);
    /* Append a farewell. */
    void (*bye)(struct buffer *);
};

extern const struct protocol AGPD, NATS, REDIS, MQTT;

/* Send `conn->out` and wait for the message of this kind; pings are answered meanwhile, a refusal ends the program. */
struct message await(const struct session *session, struct conn *conn, enum message_kind wanted);
/* The name of receiver `number`, or, if it is negative, of all of them; `separator` stands between its segments. */
void receiver_name(const struct options *options, long number, char separator, char *into, size_t bytes);
/* A new connection, greeted. */
void session_connect(const struct session *session, struct conn *conn, int index);
/* Say farewell and close. */
void session_leave(const struct session *session, struct conn *conn);
/* Append `size` bytes x. */
void append_payload(struct buffer *out, size_t size);

#endif
