"""A WebSocket connection from its first byte: the handshake, then the frames behind it."""
from hotpath.core.wire.ws.connection cimport Connection, Events
from hotpath.core.wire.ws.events cimport Event
from .connection import ConnectionType
from .handshake import H11Handshake


cdef class WSConnection:
    """The local end of it."""

    cdef readonly bint client
    cdef readonly object handshake          # H11Handshake
    cdef readonly Connection connection     # None before the handshake's end
    cdef bint past                          # the handshake's events are all out

    def __init__(self, connection_type, *, max_message=None, max_frame=None, whole_messages=False):
        self.client = connection_type is ConnectionType.CLIENT
        self.handshake = H11Handshake(connection_type, max_message=max_message, max_frame=max_frame,
                                      whole_messages=whole_messages)

    @property
    def state(self):
        """How far is it?"""
        return self.handshake.state if self.connection is None else self.connection._state

    def initiate_upgrade_connection(self, headers, path):
        """Take a request that somebody else has read already. LocalProtocolError for a client."""
        self.handshake.initiate_upgrade_connection(headers, path)

    def send(self, event):
        """The bytes that say `event`. LocalProtocolError when it cannot be said now."""
        if self.connection is not None:
            return self.connection.say(event)
        data = self.handshake.send(event)
        self.connection = self.handshake.connection
        return data

    def receive_data(self, data):
        """What the peer sent; None: the connection is gone. RemoteProtocolError when the handshake fails."""
        if self.connection is not None:
            self.connection.feed(data)
        else:
            self.handshake.receive_data(data)
            self.connection = self.handshake.connection

    def events(self):
        """What came of it."""
        cdef WholeEvents events = WholeEvents.__new__(WholeEvents)
        events.of = self
        return events

    cdef Event next(self):
        if not self.past:
            for event in self.handshake.events():
                return event
            if self.connection is None:
                return None
            self.past = True
        return self.connection.next()


cdef class WholeEvents(Events):
    cdef Event step(self):
        return (<WSConnection> self.of).next()
