/* For LD_PRELOAD into wrk: each TLS connection begins with a full handshake. wrk clears and keeps its SSL objects, and
 * OpenSSL would take up the session of the connection before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

int SSL_clear(void *ssl) {
    int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "SSL_clear");
    int (*set_session)(void *, void *) = (int (*)(void *, void *))dlsym(RTLD_NEXT, "SSL_set_session");
    return real(ssl) && set_session(ssl, NULL);
}
