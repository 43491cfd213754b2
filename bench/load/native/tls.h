/* TLS 1.3 by OpenSSL, with one write to the socket for many records and one read for many. */
#ifndef TLS_H
#define TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "support.h"

/* What the connections of one side have in common. */
struct tls {
    SSL_CTX *context;
    BIO_METHOD *buffers;
    bool server;
};

/* Records on their way: from the socket, and to it. */
struct records {
    struct buffer in, out;
};

/* With a certificate and key, and the authority that the other side must have its own from. Ends the program if
   a file does not serve. A client's `certificate` may be NULL. */
struct tls *tls_new(const char *ca, const char *certificate, const char *key, bool server);
void tls_free(struct tls *tls);

/* A session that takes its records from `records` and puts them there. They must live as long. */
SSL *tls_session(const struct tls *tls, struct records *records);

/* The reason of the last failure, in OpenSSL's words. */
const char *tls_reason(void);

#endif
