#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* OpenSSL would write every record of 16 KiB with a system call of its own: collected, they leave with one. */
static int collect(BIO *bio, const char *data, int length) {
    if (length <= 0)
        return 0;
    buffer_append(BIO_get_data(bio), data, (size_t)length);
    return length;
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
    tls->to_buffer = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffer");
    if (!tls->context || !tls->to_buffer)
        fail("TLS: %s", tls_reason());
    BIO_meth_set_write(tls->to_buffer, collect);
    BIO_meth_set_ctrl(tls->to_buffer, control);
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
    SSL_CTX_set_read_ahead(tls->context, 1);
    SSL_CTX_set_default_read_buffer_len(tls->context, READ_BYTES);
    return tls;
}

void tls_free(struct tls *tls) {
    if (tls) {
        SSL_CTX_free(tls->context);
        BIO_meth_free(tls->to_buffer);
        free(tls);
    }
}

SSL *tls_session(const struct tls *tls, int fd, struct buffer *out) {
    SSL *ssl = SSL_new(tls->context);
    BIO *in = BIO_new_socket(fd, BIO_NOCLOSE), *collector = BIO_new(tls->to_buffer);
    if (!ssl || !in || !collector)
        fail("TLS: %s", tls_reason());
    BIO_set_data(collector, out);
    BIO_set_init(collector, 1);
    SSL_set_bio(ssl, in, collector);
    if (tls->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}
