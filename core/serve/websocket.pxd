"""A websocket between a connection's frames and a handler's messages."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from hotpath.core.serve.assembly cimport assembly_t
from hotpath.core.serve.exchange cimport Exchange, Upgraded
from hotpath.core.serve.frames cimport socket_put, socket_t
from hotpath.core.serve.options cimport Options
from hotpath.core.serve.outbox cimport Block
from hotpath.core.tasks.line cimport link_t
from hotpath.core.tasks.task cimport Task
from hotpath.core.wire.ws.deflate cimport Deflate
from hotpath.core.wire.ws.frame cimport Piece

cdef class WebSocket(Upgraded):
    cdef socket_t c
    cdef Exchange exchange
    cdef Options options
    cdef object queue           # deque of messages the handler has not asked for yet; None: never needed one
    cdef size_t n_queued        # what is in it, by cost_of
    cdef Task reader            # parked in receive, or behind the handler for the client's close
    cdef link_t writers         # head: tasks parked until there is room
    cdef assembly_t assembly    # the message under way
    cdef Deflate deflate
    cdef bint deflates
    cdef bint finishing         # the handler is done
    cdef bint slow              # the deadline is that of a client that takes nothing
    cdef int64_t end_ms         # when patience with the end of it ends; 0: it is open, or for ever
    cdef uint64_t turn_at       # c.total_put when others last had their turn
    cdef readonly object subprotocol
    cdef readonly object close_code     # theirs, or why it ended; None: open
    cdef readonly object close_reason

    cdef int open(self, Exchange exchange, Options options, object opening) except -1
    cdef int check_open(self) except -1
    cdef object closed_error(self)
    cdef int serve(self) except -1
    cdef int finish(self, int code) except -1
    cdef int dismiss(self) except -1
    cdef int look(self) except -1
    cdef int read(self) except -1
    cdef bint read_some(self) except -1
    cdef Py_ssize_t parse(self, uint8_t* data, size_t size) except -1
    cdef int take(self, Piece* piece) except -1
    cdef int take_data(self, Piece* piece) except -1
    cdef int take_close(self, Piece* piece) except -1
    cdef int enqueue(self, object message) except -1
    cdef bint deliver(self) except -1
    cdef int on_due(self) except -1
    cdef void arm(self, int64_t after_ms) noexcept
    cdef void keep_time(self) noexcept
    cdef void expect_end(self) noexcept
    cdef int cut_off(self) except -1
    cdef int refuse(self) except -1         # with what the receiver says
    cdef int fail(self, int code, str reason) except -1
    cdef int end(self, int code, str reason) except -1
    cdef int answer_close(self) except -1
    cdef int say_close(self, int code, bytes reason) except -1
    cdef int put(self, uint8_t first, const uint8_t* data, size_t size) except -1
    cdef int put_deflated(self, uint8_t first, const uint8_t* data, size_t size) except -1
    cdef int wait_for_room(self) except -1
