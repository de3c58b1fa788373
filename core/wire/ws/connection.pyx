"""An open WebSocket connection as wsproto has it: bytes in, events out, and back."""
cimport cython

from hotpath.core.errors import LocalProtocolError

from hotpath.core.wire.ws.events cimport BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from hotpath.core.wire.ws.frame cimport OP_CLOSE, OP_PING, OP_PONG
from .codes import CloseReason, Opcode, ParseFailed, close_payload
from .extensions import PerMessageDeflate
from .frame_protocol import FrameProtocol
from .states import CLIENT, SERVER, ConnectionState, ConnectionType

# As C variables: to look them up is half of what a small frame costs.
cdef object OPEN = ConnectionState.OPEN
cdef object REMOTE_CLOSING = ConnectionState.REMOTE_CLOSING
cdef object LOCAL_CLOSING = ConnectionState.LOCAL_CLOSING
cdef object CLOSED = ConnectionState.CLOSED


@cython.freelist(8)
cdef class Events:
    def __iter__(self):
        return self

    def __next__(self):
        cdef Event event
        if self.of is None:
            raise StopIteration
        try:
            event = self.step()
        except BaseException:
            self.of = None
            raise
        if event is None:
            self.of = None          # as a generator, it stays exhausted
            raise StopIteration
        return event

    def send(self, value):
        """As of a generator: the next event, whatever `value`."""
        return self.__next__()

    def throw(self, exception, value=None, traceback=None):
        """As of a generator: close, raise."""
        self.of = None
        if isinstance(exception, type):
            exception = exception() if value is None else value if isinstance(value, BaseException) else exception(value)
        raise exception if traceback is None else exception.with_traceback(traceback)

    def close(self):
        """As of a generator: nothing more comes."""
        self.of = None

    cdef Event step(self):
        return (<Connection> self.of).next()


cdef class Connection:
    """Frames both ways, without the handshake."""

    def __init__(self, connection_type, extensions=None, trailing_data=b"", *, max_message=None, max_frame=None,
                 whole_messages=False):
        self.client = connection_type is CLIENT
        self._state = OPEN
        self.waiting = []
        self.incoming = Incoming()
        self.outgoing = Outgoing()
        self.incoming.start(self.client, max_message, max_frame, whole_messages)
        self.outgoing.client = self.client
        extensions = [extension for extension in extensions or () if extension.enabled()]
        if len(extensions) == 1 and type(extensions[0]) is PerMessageDeflate:
            self.start_deflate(extensions[0])
        elif extensions:
            self.slow = FrameProtocol(self.client, extensions, max_message=max_message, max_frame=max_frame,
                                      whole_messages=whole_messages)
        self.feed(trailing_data)

    cdef int start_deflate(self, object agreed) except -1:
        by_client = agreed.client_max_window_bits, not agreed.client_no_context_takeover
        by_server = agreed.server_max_window_bits, not agreed.server_no_context_takeover
        theirs, ours = (by_server, by_client) if self.client else (by_client, by_server)
        self.incoming.start_deflate(theirs[0], theirs[1])
        self.outgoing.start_deflate(ours[0], ours[1])
        return 0

    @property
    def state(self):
        """How far is it?"""
        return self._state

    def send(self, event):
        """The bytes that say `event`. LocalProtocolError when it cannot be said now."""
        return self.say(event)

    def receive_data(self, data):
        """What the peer sent; None: the connection is gone. LocalProtocolError once it is closed."""
        self.feed(data)

    def events(self):
        """What came of it; a fault of the peer comes as a CloseConnection, to be sent back."""
        cdef Events events = Events.__new__(Events)
        events.of = self
        return events

    cdef bytes say(self, object event):
        if self._state is OPEN:
            if isinstance(event, Message):
                return self.say_message(<Message> event)
            if isinstance(event, Ping):
                return self.say_control(OP_PING, (<Ping> event).payload)
            if isinstance(event, Pong):
                return self.say_control(OP_PONG, (<Pong> event).payload)
        if isinstance(event, CloseConnection) and (self._state is OPEN or self._state is REMOTE_CLOSING):
            return self.say_close(<CloseConnection> event)
        raise LocalProtocolError(f"{event} cannot be sent in state {self._state}")

    cdef bytes say_message(self, Message event):
        if self.slow is not None:
            return self.slow.send_data(event.data, event.message_finished)
        return self.outgoing.message(event.data, event.message_finished)

    cdef bytes say_control(self, int opcode, object payload):
        if self.slow is not None:
            return self.slow.ping(payload) if opcode == OP_PING else self.slow.pong(payload)
        return self.outgoing.control(opcode, payload)

    cdef bytes say_close(self, CloseConnection event):
        cdef bytes data
        if self.slow is not None:
            data = self.slow.close(event.code, event.reason)
        else:
            data = self.outgoing.control(OP_CLOSE, close_payload(event.code, event.reason))
        self._state = CLOSED if self._state is REMOTE_CLOSING else LOCAL_CLOSING
        return data

    cdef int feed(self, object data) except -1:
        if data is None:
            self.waiting.append(CloseConnection(CloseReason.ABNORMAL_CLOSURE))
            self._state = CLOSED
        elif self._state is OPEN or self._state is LOCAL_CLOSING:
            if self.slow is None:
                self.incoming.feed(data)
            else:
                self.slow.receive_bytes(data)
        elif self._state is CLOSED:
            raise LocalProtocolError("the connection is closed already")
        return 0

    cdef Event next(self):
        cdef Event event
        if self.waiting:
            return self.waiting.pop(0)
        try:
            event = self.incoming.next() if self.slow is None else self.next_slow()
        except ParseFailed as failed:
            return CloseConnection(failed.code, str(failed))
        if isinstance(event, CloseConnection):
            self._state = CLOSED if self._state is LOCAL_CLOSING else REMOTE_CLOSING
        return event

    cdef Event next_slow(self):
        frame = self.slow.next_frame()
        if frame is None:
            return None
        if frame.opcode is Opcode.TEXT:
            return TextMessage(frame.payload, frame.frame_finished, frame.message_finished)
        if frame.opcode is Opcode.BINARY:
            return BytesMessage(frame.payload, frame.frame_finished, frame.message_finished)
        if frame.opcode is Opcode.CLOSE:
            return CloseConnection(*frame.payload)
        return Ping(frame.payload) if frame.opcode is Opcode.PING else Pong(frame.payload)
