"""An HTTP/2 client's connection: its bytes go to a session, and each of the session's streams is a client of the relay."""
from hotpath.proxy.exchange cimport client_t

# Whether the client of a finished handshake asked for HTTP/2 (ALPN).
cdef bint speaks_http2(client_t* client) noexcept nogil
# Takes the connection over.
cdef void front_begin(client_t* client) noexcept nogil
