"""What happens on a WebSocket connection, or shall happen."""

cdef class Event:
    pass

cdef class Message(Event):
    cdef readonly object data           # str, or bytes and the like
    cdef readonly bint frame_finished
    cdef readonly bint message_finished

cdef class TextMessage(Message):
    pass

cdef class BytesMessage(Message):
    pass

cdef class CloseConnection(Event):
    cdef readonly object code           # CloseReason, or an int where it has no name
    cdef readonly object reason         # str or None

cdef class Ping(Event):
    cdef readonly object payload        # bytes and the like

cdef class Pong(Event):
    cdef readonly object payload
