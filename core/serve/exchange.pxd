"""One request and its answer: the task that serves it, between the connection's bytes and the handler."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from hotpath.core.net.epoll cimport Callback
from hotpath.core.net.loop cimport Loop
from hotpath.core.serve.access cimport access_t
from hotpath.core.serve.connection cimport connection_t, server_t
from hotpath.core.serve.request cimport Incoming, Request
from hotpath.core.serve.response cimport FileResponse, Response
from hotpath.core.serve.table cimport Route, Table
from hotpath.core.wire.http1 cimport Body, Head, Span

# What took a connection over after a 101. It runs within the exchange's task until that ends.
cdef class Upgraded:
    cdef bytes lines            # the fields of the 101, each with its CRLF
    # In the exchange's task, once the 101 is on its way: to the end of it all.
    cdef int run(self) except -1
    # Something happened: events of the stream, the connection's deadline (connection.late), a drain (server.draining).
    # In the hub; must not wait.
    cdef int attend(self) except -1

cdef class Server:
    cdef server_t c
    cdef readonly Loop loop
    cdef readonly Table table
    cdef access_t access        # lines NULL: no access log
    cdef list idle              # Exchanges to be used again
    cdef object upgrade         # what a gate's `upgrade` is, for routes that name none; None: 501
    cdef object gate            # gate(request), before anything else: a Response that is sent instead; None: there is none
    cdef object finish          # finish(request, response): the Response to send; None: as it is
    cdef bint opening           # the application is not open yet: every request is answered 503
    cdef object kept            # whatever c.counts and c.log point into

    cdef bint begin(self, connection_t* connection) except -1

cdef class Exchange(Incoming):
    cdef connection_t* connection   # NULL once it is done
    cdef Server server
    cdef Request request
    cdef Route route
    cdef Upgraded taken         # what takes the connection over; None: it is HTTP
    cdef list values            # parameters, in the order of route.names; None: none
    cdef set allowed
    cdef Body body
    cdef int64_t began_us
    cdef int64_t answered_us    # 0: when it ends
    cdef int64_t body_waited_ms
    cdef int64_t body_received
    cdef int64_t max_body       # -1: any
    cdef int64_t content_length
    cdef int64_t body_sent
    cdef Span referer
    cdef Span user_agent
    cdef uint32_t given         # bytes sent since others had their turn
    cdef uint16_t status        # 0: nothing was answered
    cdef uint8_t method_id
    cdef uint8_t minor
    cdef uint8_t expects_continue   # and was not yet told to go on
    cdef uint8_t expects_other
    cdef uint8_t is_upgrade
    cdef uint8_t is_asterisk

    cdef int open(self, Server server, connection_t* connection, const uint8_t* data, Py_ssize_t size) except -1
    cdef int find(self, const uint8_t* data, const Head* head) except -1
    cdef Response respond(self)
    cdef Response refusal(self)             # what is answered before any handler is asked; None: a handler is
    cdef Response upgraded(self)
    cdef int switch(self) except -1
    cdef object broken(self)
    cdef int go_on(self) except -1          # 100 Continue
    cdef int await_body(self) except -1
    cdef int settle(self) except -1
    cdef int discard(self) except -1
    cdef int answer(self, Response response) except -1
    cdef int send(self, Response response) except -1
    cdef int leave(self, const uint8_t* data, size_t size) except -1
    cdef int await_room(self) except -1     # until the client has taken what is unsent
    cdef int end(self) except -1
    cdef int note(self) except -1           # counts it, and writes its line

# server_t.attend
cdef int attend(Callback* callback) except -1
