"""An open WebSocket connection as wsproto has it: events in, events out."""
from hotpath.core.wire.ws.events cimport CloseConnection, Event, Message
from hotpath.core.wire.ws.incoming cimport Incoming
from hotpath.core.wire.ws.outgoing cimport Outgoing

# What events() returns: an iterator with the methods of a generator.
cdef class Events:
    cdef object of              # Connection or WSConnection; None: exhausted

    # None: nothing (more) happened.
    cdef Event step(self)

cdef class Connection:
    cdef readonly bint client
    cdef public object _state           # ConnectionState
    cdef Incoming incoming
    cdef Outgoing outgoing
    cdef object slow                    # FrameProtocol, when an extension in Python takes part; else None
    cdef list waiting                   # events that no frame made

    cdef int feed(self, object data) except -1
    cdef Event next(self)
    cdef bytes say(self, object event)
    cdef int start_deflate(self, object agreed) except -1
    cdef bytes say_message(self, Message event)
    cdef bytes say_control(self, int opcode, object payload)
    cdef bytes say_close(self, CloseConnection event)
    cdef Event next_slow(self)
