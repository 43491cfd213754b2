/* Reading: bytes of a connection to messages, through one large buffer that all connections share. */
#ifndef INBOX_H
#define INBOX_H

#include "protocol.h"

/* `bytes` is the whole message, or NULL for one of data that came in pieces and was not kept. */
typedef void on_message(void *context, struct conn *conn, const struct message *message, const uint8_t *bytes);

struct inbox {
    const struct protocol *protocol;
    on_message *handle;
    void *context;
    bool whole; /* data messages are wanted with their bytes */
    uint8_t *data;
    size_t capacity;
};

void inbox_open(struct inbox *inbox, const struct protocol *protocol, bool whole, on_message *handle, void *context);
void inbox_close(struct inbox *inbox);
/* Read what there is (up to 256 KiB at a time) and hand over every message. Ends the program when the connection
   ends or what comes is not the protocol. */
void inbox_read(struct inbox *inbox, struct conn *conn);

#endif
