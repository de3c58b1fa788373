"""What happens on an HTTP/1.1 connection. Made by the parser through __new__, without the checks of __init__."""
from hotpath.core.wire.h11.headers cimport Headers

cdef class Event:
    cdef tuple values(self)     # what makes it equal to another of its class

cdef class Request(Event):
    cdef readonly bytes method
    cdef readonly Headers headers
    cdef readonly bytes target
    cdef readonly bytes http_version

cdef class ResponseBase(Event):
    cdef readonly Headers headers
    cdef readonly bytes http_version
    cdef readonly bytes reason
    cdef readonly int status_code

    cdef int take(self, object headers, object status_code, object http_version, object reason, int low, int high) except -1

cdef class InformationalResponse(ResponseBase):
    pass

cdef class Response(ResponseBase):
    pass

cdef class Data(Event):
    cdef readonly object data
    cdef readonly bint chunk_start
    cdef readonly bint chunk_end

cdef class EndOfMessage(Event):
    cdef readonly Headers headers

cdef class ConnectionClosed(Event):
    pass
