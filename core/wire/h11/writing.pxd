"""Events as the bytes that go out."""
from hotpath.core.wire.h11.events cimport Request, ResponseBase
from hotpath.core.wire.h11.headers cimport Headers

cdef bytes request_head(Request request)        # LocalProtocolError unless it is HTTP/1.1
cdef bytes response_head(ResponseBase response)
cdef bytes last_chunk(Headers trailers)
cdef bytes chunk(bytes data)
cdef bytes chunk_size_line(Py_ssize_t size)
