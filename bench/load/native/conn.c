#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 30000

void conn_adopt(struct conn *conn, int fd) {
    int on = 1;
    conn->fd = fd;
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        fail("fcntl: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void conn_connect(struct conn *conn, const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("--host: an IPv4 address, not %s", host);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("cannot connect to %s:%d: %s", host, port, strerror(errno));
    conn_adopt(conn, fd);
}

void conn_close(struct conn *conn) {
    SSL_free(conn->ssl);
    close(conn->fd);
    buffer_free(&conn->wire.in);
    buffer_free(&conn->wire.out);
    buffer_free(&conn->out);
    buffer_free(&conn->tail);
    conn->ssl = NULL;
    conn->fd = -1;
}

void conn_secure(struct conn *conn, const struct tls *tls) { conn->ssl = tls_session(tls, &conn->wire); }

static void wait_for(struct conn *conn, short events) {
    struct pollfd one = {.fd = conn->fd, .events = events};
    int ready = poll(&one, 1, WAIT_MS);
    if (ready < 0 && errno != EINTR)
        fail("poll: %s", strerror(errno));
    if (!ready)
        fail("connection %d: the server has been silent for %d s", conn->index, WAIT_MS / 1000);
}

void conn_wait_readable(struct conn *conn) { wait_for(conn, POLLIN); }

static ssize_t ended(struct conn *conn, const char *why) {
    conn->error = why;
    return -1;
}

static ssize_t receive_into(struct conn *conn, uint8_t *into, size_t bytes) {
    ssize_t got = recv(conn->fd, into, bytes, 0);
    if (got > 0)
        return got;
    if (!got)
        return ended(conn, "the other side closed it");
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return ended(conn, strerror(errno));
}

static ssize_t receive(struct conn *conn, struct buffer *buffer) {
    ssize_t got = receive_into(conn, buffer_room(buffer, READ_BYTES), READ_BYTES);
    if (got > 0)
        buffer->end += (size_t)got;
    return got;
}

/* Decrypt as much as there is. A handshake of a server happens in here. */
static ssize_t decrypt(struct conn *conn, uint8_t *into, size_t bytes) {
    size_t got = 0, one;
    while (got < bytes) {
        ERR_clear_error();
        int result = SSL_read_ex(conn->ssl, into + got, bytes - got, &one);
        if (result == 1) {
            got += one;
            continue;
        }
        int why = SSL_get_error(conn->ssl, result);
        if (why == SSL_ERROR_WANT_READ || got)
            break; /* an error shows again at the next read */
        return ended(conn, why == SSL_ERROR_ZERO_RETURN ? "the other side closed it" : tls_reason());
    }
    conn_flush(conn);
    return (ssize_t)got;
}

ssize_t conn_read(struct conn *conn, uint8_t *into, size_t bytes) {
    if (!conn->ssl)
        return receive_into(conn, into, bytes);
    ssize_t got = decrypt(conn, into, bytes);
    if (got || receive(conn, &conn->wire.in) <= 0)
        return conn->error && !got ? -1 : got;
    return decrypt(conn, into, bytes);
}

bool conn_has_more(const struct conn *conn) {
    return conn->ssl && (SSL_pending(conn->ssl) || buffer_length(&conn->wire.in));
}

bool conn_waits(const struct conn *conn) { return buffer_length(&conn->out) || buffer_length(&conn->wire.out); }

void conn_handshake(struct conn *conn) {
    for (;;) {
        ERR_clear_error();
        int done = SSL_do_handshake(conn->ssl);
        int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, done);
        while (!conn_flush(conn))
            wait_for(conn, POLLOUT);
        if (conn->error)
            fail("TLS handshake: %s", conn->error);
        if (done == 1)
            return;
        if (why != SSL_ERROR_WANT_READ)
            fail("TLS handshake: %s", tls_reason());
        wait_for(conn, POLLIN);
        receive(conn, &conn->wire.in);
    }
}

static ssize_t send_some(struct conn *conn, const uint8_t *data, size_t bytes) {
    ssize_t sent = send(conn->fd, data, bytes, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : ended(conn, strerror(errno));
}

bool conn_flush(struct conn *conn) {
    while (buffer_length(&conn->wire.out) && !conn->error) {
        ssize_t sent = send_some(conn, conn->wire.out.data + conn->wire.out.start, buffer_length(&conn->wire.out));
        if (!sent)
            return false;
        if (sent > 0)
            buffer_consume(&conn->wire.out, (size_t)sent);
    }
    return true;
}

ssize_t conn_write(struct conn *conn, const uint8_t *data, size_t bytes) {
    size_t taken;
    if (!conn->ssl)
        return bytes ? send_some(conn, data, bytes) : 0;
    if (!bytes || !conn_flush(conn))
        return 0;
    if (conn->error)
        return -1;
    ERR_clear_error();
    if (SSL_write_ex(conn->ssl, data, bytes < READ_BYTES ? bytes : READ_BYTES, &taken) != 1)
        return ended(conn, tls_reason());
    conn_flush(conn);
    return conn->error ? -1 : (ssize_t)taken;
}

bool conn_write_out(struct conn *conn) {
    while (buffer_length(&conn->out)) {
        ssize_t taken = conn_write(conn, conn->out.data + conn->out.start, buffer_length(&conn->out));
        if (taken <= 0)
            return conn->error != NULL;
        buffer_consume(&conn->out, (size_t)taken);
    }
    return conn_flush(conn);
}

void conn_send(struct conn *conn) {
    while (!conn_write_out(conn))
        wait_for(conn, POLLOUT);
    if (conn->error)
        fail("connection %d: %s", conn->index, conn->error);
}
