#include "tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL would write every record of 16 KiB with a system call of its own and read each with two. Its read-ahead is no
   help: it moves all that it has read to the front of its buffer for each record (an eighth of the relay's time). */
static int put(BIO *bio, const char *data, int length) {
    struct records *records = BIO_get_data(bio);
    if (length <= 0)
        return 0;
    buffer_append(&records->out, data, (size_t)length);
    return length;
}

static int take(BIO *bio, char *into, int length) {
    struct records *records = BIO_get_data(bio);
    size_t there = buffer_length(&records->in);
    size_t bytes = length > 0 && (size_t)length < there ? (size_t)length : there;
    BIO_clear_retry_flags(bio);
    if (!bytes || length <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(into, records->in.data + records->in.start, bytes);
    buffer_consume(&records->in, bytes);
    return (int)bytes;
}

static long control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

const char *tls_reason(void) {
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "the other side ended the connection";
}

struct tls *tls_new(const char *ca, const char *certificate, const char *key, bool server) {
    struct tls *tls = allocate(sizeof *tls);
    tls->server = server;
    tls->context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    tls->buffers = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffer");
    if (!tls->context || !tls->buffers)
        fail("TLS: %s", tls_reason());
    BIO_meth_set_write(tls->buffers, put);
    BIO_meth_set_read(tls->buffers, take);
    BIO_meth_set_ctrl(tls->buffers, control);
    SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION);
    SSL_CTX_set_num_tickets(tls->context, 0);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (SSL_CTX_load_verify_locations(tls->context, ca, NULL) != 1)
        fail("--ca %s: %s", ca, tls_reason());
    if (certificate && SSL_CTX_use_certificate_chain_file(tls->context, certificate) != 1)
        fail("--cert %s: %s", certificate, tls_reason());
    if (key && SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1)
        fail("--key %s: %s", key, tls_reason());
    SSL_CTX_set_mode(tls->context, SSL_MODE_AUTO_RETRY | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return tls;
}

void tls_free(struct tls *tls) {
    if (tls) {
        SSL_CTX_free(tls->context);
        BIO_meth_free(tls->buffers);
        free(tls);
    }
}

SSL *tls_session(const struct tls *tls, struct records *records) {
    SSL *ssl = SSL_new(tls->context);
    BIO *bio = BIO_new(tls->buffers);
    if (!ssl || !bio)
        fail("TLS: %s", tls_reason());
    BIO_set_data(bio, records);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (tls->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}
