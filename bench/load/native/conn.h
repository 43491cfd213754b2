/* A TCP connection that never blocks, with or without TLS. */
#ifndef CONN_H
#define CONN_H

#include "tls.h"

struct conn {
    int fd, index;
    SSL *ssl;            /* NULL in plaintext */
    struct records wire; /* TLS only */
    struct buffer out;   /* control messages to write when no data message is half written */
    struct buffer tail;  /* the beginning of a message whose rest has not come yet */
    size_t skip;         /* bytes still to come of a data message that was begun */
    const char *error;   /* why the connection ended */
};

/* Connect to an IPv4 address. Ends the program if that fails. */
void conn_connect(struct conn *conn, const char *host, int port);
/* Take over a socket that was accepted. */
void conn_adopt(struct conn *conn, int fd);
void conn_close(struct conn *conn);

/* Begin TLS. The handshake happens in reads and writes; `conn_handshake` waits for a client's. */
void conn_secure(struct conn *conn, const struct tls *tls);
void conn_handshake(struct conn *conn);

/* Bytes read; 0: nothing now; -1: the connection has ended, see `error`. */
ssize_t conn_read(struct conn *conn, uint8_t *into, size_t bytes);
/* There is more to read although the socket may have nothing. */
bool conn_has_more(const struct conn *conn);
/* Some of what was taken waits for room in the socket. */
bool conn_waits(const struct conn *conn);
/* Bytes taken, perhaps 0; -1: the connection has ended. What was taken may wait: see `conn_flush`. */
ssize_t conn_write(struct conn *conn, const uint8_t *data, size_t bytes);
/* Write what waits for the socket. True when nothing does any more. */
bool conn_flush(struct conn *conn);

/* Write `out` as far as it goes. True when nothing waits any more. */
bool conn_write_out(struct conn *conn);

/* The same until all is written; waits for the socket. Ends the program after 30 s. */
void conn_send(struct conn *conn);
/* Wait until the socket has something to read. Ends the program after 30 s. */
void conn_wait_readable(struct conn *conn);

#endif
