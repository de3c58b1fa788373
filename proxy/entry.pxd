"""A connection's first steps: accepted, then perhaps a PROXY header, then perhaps a TLS handshake, then HTTP."""
from hotpath.core.net.accept cimport listener_t
from hotpath.core.net.linux cimport sockaddr_storage

cdef void entry_accept(listener_t* listener, int fd, const sockaddr_storage* peer) noexcept nogil   # listener.owner is an entry_t
