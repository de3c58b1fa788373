"""Bodies that may be more than the client takes at once."""
from hotpath.core.serve.exchange cimport Exchange
from hotpath.core.serve.response cimport FileResponse, Response

# Each waits while the client is slower than we are, and raises Cancelled when it is gone.
cdef int send_content(Exchange exchange, bytes content) except -1
cdef int send_pieces(Exchange exchange, Response response, bint chunked) except -1
cdef int send_file(Exchange exchange, FileResponse response) except -1
