"""One end of an HTTP/1.1 connection: bytes in, events out, and back. No socket, no clock.

Reading is head.pyx and body.pyx under the rules of H11; where both sides are is state.pyx; what goes out is put together in
writing.pyx. Here they meet, in the order h11 has, for what an error leaves behind depends on it.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from hotpath.core.errors import LocalProtocolError, RemoteProtocolError
from hotpath.core.wire.body cimport BODY_DATA_END, BODY_DONE, BODY_TRAILERS, Body, Piece, body_next, body_start
from hotpath.core.wire.h11.events cimport (
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Request,
    Response,
    ResponseBase,
)
from hotpath.core.wire.h11.headers cimport NO_HEADERS, Facts, Headers, comma_items, parsed_headers, read_facts, with_header
from hotpath.core.wire.h11.received cimport Received
from hotpath.core.wire.h11.sentinels import CLIENT, NEED_DATA, PAUSED, SERVER
from hotpath.core.wire.h11.state cimport (
    MOVE_CLOSED,
    MOVE_CONNECT,
    MOVE_DATA,
    MOVE_END,
    MOVE_INFORMATIONAL,
    MOVE_REQUEST,
    MOVE_RESPONSE,
    MOVE_UPGRADE,
    PROPOSE_CONNECT,
    PROPOSE_UPGRADE,
    ROLE_CLIENT,
    ROLE_SERVER,
    STATE_DONE,
    STATE_ERROR,
    STATE_IDLE,
    STATE_MIGHT_SWITCH,
    STATE_SEND_BODY,
    STATE_SEND_RESPONSE,
    STATE_SWITCHED,
    STATES,
    ConnectionState,
    Cycle,
    Verdict,
    cycle_fail,
    cycle_move,
    cycle_must_close,
    cycle_propose,
    cycle_restart,
    cycle_start,
    explain,
    states_of,
)
from hotpath.core.wire.h11.writing cimport chunk, chunk_size_line, last_chunk, request_head, response_head
from hotpath.core.wire.head cimport (
    BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE, CONNECTION_CLOSE, H11, MAX_FIELDS, METHOD_CONNECT, METHOD_HEAD,
    METHOD_OTHER, METHOD_TRACE, NAME_UPGRADE, NEED_MORE, Field, Head, Limits, Span, parse_request, parse_response,
    parse_trailers)


# Bounds what one silent peer can make us keep: h11's choice, and IIS's.
DEFAULT_MAX_INCOMPLETE_EVENT_SIZE = 16 * 1024

# What a chunk's size line may hold beside blanks and extensions.
cdef int SIZE_DIGITS = 24

# By Method, so that the usual ones need no new object.
cdef tuple METHODS = (b"", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE")
cdef dict METHOD_IDS = {METHODS[i]: i for i in range(1, METHOD_TRACE + 1)}


cdef class Connection:
    """One end of a connection. `our_role`: CLIENT or SERVER, else ValueError.

    `max_incomplete_event_size`: bytes that a head, trailers or the extensions of a chunk may have however they arrive,
    else RemoteProtocolError with 431. Once next_event() or send() has raised, the state of the side at fault is ERROR.
    """

    cdef readonly object our_role
    cdef readonly object their_role
    cdef readonly bytes their_http_version          # None until they sent a head
    cdef public bint client_is_waiting_for_100_continue
    cdef int ours                                   # Role
    cdef int theirs
    cdef int method_id                              # Method of this cycle's request
    cdef Cycle cycle
    cdef Received received
    cdef size_t seen                                # bytes of it that were parsed without finding an end
    cdef Limits limits
    cdef Body incoming                              # the body they are sending
    cdef int64_t expected                           # its size, if that was said
    cdef bint in_chunk                              # of which a part was handed out
    cdef int outgoing                               # Framing of the body we are sending
    cdef int64_t left                               # payload we still owe it: BODY_LENGTH

    def __init__(self, our_role, max_incomplete_event_size=DEFAULT_MAX_INCOMPLETE_EVENT_SIZE):
        if our_role is CLIENT:
            self.ours = ROLE_CLIENT
            self.theirs = ROLE_SERVER
            self.their_role = SERVER
        elif our_role is SERVER:
            self.ours = ROLE_SERVER
            self.theirs = ROLE_CLIENT
            self.their_role = CLIENT
        else:
            raise ValueError(f"expected CLIENT or SERVER, not {our_role!r}")
        self.our_role = our_role
        # + 1: what is just too large is incomplete at that size. It bounds the head alone, not its parts.
        self.limits.head = min(max(<int64_t> max_incomplete_event_size, 0), 0x3fffffff) + 1
        self.limits.line = 0x7fffffff
        self.limits.fields = MAX_FIELDS
        self.received = Received.__new__(Received)
        cycle_start(&self.cycle)

    # ------------------------------------------------------------------------------------------ where we are

    @property
    def states(self) -> dict:
        """{CLIENT: its state, SERVER: its state}."""
        return states_of(&self.cycle)

    @property
    def _cstate(self) -> ConnectionState:       # h11's tests print it
        cdef ConnectionState now = ConnectionState()
        now.cycle = self.cycle
        return now

    @property
    def our_state(self):
        """The state of our role."""
        return STATES[self.cycle.state[self.ours]]

    @property
    def their_state(self):
        """The state of the other role."""
        return STATES[self.cycle.state[self.theirs]]

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        """A client waits for our 100, or for any other answer, before it sends the body."""
        return self.theirs == ROLE_CLIENT and self.client_is_waiting_for_100_continue

    @property
    def trailing_data(self) -> tuple:
        """(what has arrived and was not read, whether they have closed behind it)."""
        cdef Py_ssize_t size = self.received.end - self.received.start
        return self.received.bytes_()[:size] if size else b"", bool(self.received.closed)

    def start_next_cycle(self) -> None:
        """Make ready for the next request; LocalProtocolError unless both sides are DONE."""
        if not cycle_restart(&self.cycle):
            raise LocalProtocolError(f"not in a reusable state: {self.states}")
        self.method_id = METHOD_OTHER

    def send_failed(self) -> None:
        """Say that what send() answered did not get out: we are in ERROR."""
        cycle_fail(&self.cycle, self.ours)

    # ------------------------------------------------------------------------------------------ reading

    def receive_data(self, data) -> None:
        """Keep `data`, bytes or the like, for next_event(). Empty: they have closed; more then is a RuntimeError."""
        if not data:
            self.received.closed = True
        elif self.received.closed:
            raise RuntimeError("received close, then received more data?")
        else:
            self.received.add(data)

    def next_event(self):
        """The next event in what was received; NEED_DATA: there is no whole one; PAUSED: not before this cycle ends.

        RemoteProtocolError: they broke the protocol; `error_status_hint` is what a server should answer.
        """
        if self.cycle.state[self.theirs] == STATE_ERROR:
            raise RemoteProtocolError("can't receive data when peer state is ERROR")
        try:
            return self.read_event()
        except BaseException:
            cycle_fail(&self.cycle, self.theirs)
            raise

    cdef object read_event(self):
        cdef int state = self.cycle.state[self.theirs]
        cdef bint is_empty = self.received.start == self.received.end
        cdef object event = None
        if state == STATE_MIGHT_SWITCH or state == STATE_SWITCHED or (state == STATE_DONE and not is_empty):
            return PAUSED
        if state == STATE_SEND_BODY:
            event = self.read_body()
        elif not is_empty:
            if state != STATE_IDLE and state != STATE_SEND_RESPONSE:
                raise RemoteProtocolError("data behind the last message")
            event = self.read_request() if self.theirs == ROLE_CLIENT else self.read_response()
        if event is None:
            event = self.read_close() if self.received.closed else NEED_DATA
        return event

    # They have closed, and there is no whole event before that.
    cdef object read_close(self):
        if self.received.start != self.received.end:
            raise RemoteProtocolError("peer unexpectedly closed connection")
        if self.cycle.state[self.theirs] == STATE_SEND_BODY:
            if self.incoming.framing == BODY_LENGTH:
                raise RemoteProtocolError("peer closed connection inside a body "
                                          f"(received {self.expected - self.incoming.left} bytes, expected {self.expected})")
            if self.incoming.framing == BODY_CHUNKED:
                raise RemoteProtocolError("peer closed connection inside a body (incomplete chunked read)")
            return self.end_of_body(NO_HEADERS)
        self.they_move(MOVE_CLOSED, "ConnectionClosed")
        return ConnectionClosed.__new__(ConnectionClosed)

    cdef int they_move(self, int move, str name) except -1:
        cdef Verdict verdict = cycle_move(&self.cycle, self.theirs, move)
        if verdict < 0:
            raise RemoteProtocolError(str(explain(&self.cycle, verdict, name)))
        return 0

    cdef object read_request(self):
        cdef Head head
        cdef Py_ssize_t base
        cdef const uint8_t* data = self.received.bytes_()
        cdef Py_ssize_t size = self.received.end - self.received.start
        cdef Py_ssize_t n = parse_request(data, <size_t> size, self.seen, &self.limits, H11, &head)
        if n < 0:
            return self.not_whole(n, size, &head)
        cdef Request request = Request.__new__(Request)
        request.method = METHODS[head.method_id] if head.method_id else piece_of(data, head.method)
        request.target = piece_of(data, head.target)
        request.http_version = version_of(&head)
        request.headers = self.head_fields(n, &head)
        cycle_propose(&self.cycle, (PROPOSE_CONNECT if head.method_id == METHOD_CONNECT else 0)
                      | (PROPOSE_UPGRADE if head.first[NAME_UPGRADE] and has_items(data, &head, NAME_UPGRADE) else 0))
        self.they_move(MOVE_REQUEST, "Request")
        self.method_id = head.method_id
        self.they_sent(n, &head, request.http_version)
        if head.expects_continue:
            self.client_is_waiting_for_100_continue = True
        return request

    cdef object read_response(self):
        cdef Head head
        cdef int move
        cdef const uint8_t* data = self.received.bytes_()
        cdef Py_ssize_t size = self.received.end - self.received.start
        cdef Py_ssize_t n = parse_response(data, <size_t> size, self.seen, &self.limits, H11, self.method_id, &head)
        if n < 0:
            return self.not_whole(n, size, &head)
        cdef ResponseBase response = (InformationalResponse.__new__(InformationalResponse) if head.status < 200
                                      else Response.__new__(Response))
        response.status_code = head.status
        response.reason = b"OK" if head.status == 200 and is_ok(data, head.reason) else piece_of(data, head.reason)
        response.http_version = version_of(&head)
        response.headers = self.head_fields(n, &head)
        self.they_move(self.response_move(head.status), type(response).__name__)
        self.client_is_waiting_for_100_continue = False
        self.they_sent(n, &head, response.http_version)
        return response

    # No head: not yet, or never.
    cdef object not_whole(self, Py_ssize_t n, Py_ssize_t size, const Head* head):
        if n == NEED_MORE:
            self.seen = <size_t> size
            return None
        raise RemoteProtocolError(head.error.decode("ascii"), head.error_status)

    cdef Headers head_fields(self, Py_ssize_t n, const Head* head):
        cdef Py_ssize_t base
        cdef bytes raw = self.received.shared(n, &base)
        return parsed_headers(raw, base, head)

    # A head of theirs was read, and allowed: what it means for the connection and for what follows.
    cdef int they_sent(self, Py_ssize_t n, const Head* head, bytes version) except -1:
        self.received.skip(n)
        self.seen = 0
        self.their_http_version = version
        if self.theirs == ROLE_SERVER and head.status < 200:
            return 0
        if head.connection & CONNECTION_CLOSE or not is_1_1(head):
            cycle_must_close(&self.cycle)
        body_start(&self.incoming, head.framing, head.content_length, H11,
                   self.limits.head - SIZE_DIGITS if self.limits.head > <uint32_t> SIZE_DIGITS else 0)
        self.incoming.last = BODY_TRAILERS if head.framing == BODY_CHUNKED else BODY_DONE
        self.expected = head.content_length
        self.in_chunk = False
        return 0

    cdef object read_body(self):
        cdef Piece piece
        cdef Py_ssize_t n, size
        cdef Data data
        while self.incoming.phase < self.incoming.last:
            size = self.received.end - self.received.start
            if size == 0:
                return None
            n = body_next(&self.incoming, self.received.bytes_(), <size_t> size, &piece)
            if n < 0:
                raise RemoteProtocolError(self.incoming.error.decode("ascii"),
                                          431 if self.incoming.overhead > self.incoming.max_trailers else 400)
            if piece.data.size:
                data = Data.__new__(Data)
                self.received.skip(piece.data.at)
                data.data = self.received.take(piece.data.size)
                if self.incoming.framing == BODY_CHUNKED:
                    data.chunk_start = not self.in_chunk
                    data.chunk_end = self.incoming.phase == BODY_DATA_END
                    self.in_chunk = not data.chunk_end
                self.they_move(MOVE_DATA, "Data")
                if self.theirs == ROLE_CLIENT:
                    self.client_is_waiting_for_100_continue = False
                return data
            self.received.skip(n)
        if self.incoming.last == BODY_TRAILERS:
            return self.read_trailers()
        return self.end_of_body(NO_HEADERS)

    cdef object read_trailers(self):
        cdef Head head
        cdef Headers trailers
        cdef Py_ssize_t size = self.received.end - self.received.start
        cdef Py_ssize_t n
        if size == 0:
            return None
        n = parse_trailers(self.received.bytes_(), <size_t> size, self.seen, &self.limits, &head)
        if n < 0:
            return self.not_whole(n, size, &head)
        trailers = self.head_fields(n, &head)
        self.received.skip(n)
        self.seen = 0
        return self.end_of_body(trailers)

    cdef EndOfMessage end_of_body(self, Headers trailers):
        cdef EndOfMessage event = EndOfMessage.__new__(EndOfMessage)
        event.headers = trailers
        self.they_move(MOVE_END, "EndOfMessage")
        if self.theirs == ROLE_CLIENT:
            self.client_is_waiting_for_100_continue = False
        return event

    # ------------------------------------------------------------------------------------------ writing

    def send(self, event):
        """The bytes that say `event`; None for ConnectionClosed. LocalProtocolError: not now, or not like that."""
        pieces = self.write(event, True)
        if type(pieces) is list:
            return b"".join(pieces)
        return pieces

    def send_with_data_passthrough(self, event):
        """As send(), in pieces; Data.data is one of them, the object itself, of which only len() is asked."""
        pieces = self.write(event, False)
        return [pieces] if type(pieces) is bytes else pieces

    # bytes, or a list of pieces, or None. `joined`: a copy may be put together with its framing.
    cdef object write(self, object event, bint joined):
        if self.cycle.state[self.ours] == STATE_ERROR:
            raise LocalProtocolError("can't send data when our state is ERROR")
        try:
            if type(event) is Request:
                return self.write_request(<Request> event)
            if type(event) is Response:
                return self.write_response(<Response> event)
            if type(event) is Data:
                return self.write_data((<Data> event).data, joined)
            if type(event) is EndOfMessage:
                return self.write_end((<EndOfMessage> event).headers)
            if type(event) is InformationalResponse:
                return self.write_informational(<InformationalResponse> event)
            if type(event) is ConnectionClosed:
                return self.we_move(MOVE_CLOSED, "ConnectionClosed")
            raise LocalProtocolError(f"{type(event).__name__} is no event that can be sent")
        except BaseException:
            cycle_fail(&self.cycle, self.ours)
            raise

    cdef object we_move(self, int move, str name):
        cdef Verdict verdict = cycle_move(&self.cycle, self.ours, move)
        if verdict < 0:
            raise explain(&self.cycle, verdict, name)

    cdef bytes write_request(self, Request request):
        cdef Facts facts
        read_facts(request.headers, &facts)
        if self.ours == ROLE_CLIENT:
            cycle_propose(&self.cycle, (PROPOSE_CONNECT if request.method == b"CONNECT" else 0)
                          | (PROPOSE_UPGRADE if facts.upgrades else 0))
        self.we_move(MOVE_REQUEST, "Request")
        self.method_id = METHOD_IDS.get(request.method, METHOD_OTHER)
        if facts.close or request.http_version < b"1.1":
            cycle_must_close(&self.cycle)
        if facts.expects_continue and request.http_version >= b"1.1":
            self.client_is_waiting_for_100_continue = True
        self.outgoing = BODY_CHUNKED if facts.has_coding else BODY_LENGTH
        self.left = facts.length
        return request_head(request)

    cdef bytes write_informational(self, InformationalResponse response):
        self.we_move(self.response_move(response.status_code), "InformationalResponse")
        self.client_is_waiting_for_100_continue = False
        return response_head(response)

    cdef bytes write_response(self, Response given):
        cdef Facts facts
        cdef Response response = self.with_framing(given)
        read_facts(response.headers, &facts)
        self.we_move(self.response_move(response.status_code), "Response")
        if facts.close or response.http_version < b"1.1":
            cycle_must_close(&self.cycle)
        self.client_is_waiting_for_100_continue = False
        self.outgoing = response_framing(response.status_code, self.method_id, &facts)
        self.left = facts.length if self.outgoing == BODY_LENGTH else 0
        if self.outgoing == BODY_NONE:
            self.outgoing = BODY_LENGTH
        return response_head(response)

    # With the headers that its framing and the end of the connection need. HEAD is answered as GET is.
    cdef Response with_framing(self, Response response):
        cdef Facts facts
        cdef Headers headers = response.headers
        cdef bint need_close = False
        cdef int method_id = METHOD_OTHER if self.method_id == METHOD_HEAD else self.method_id
        cdef int framing
        cdef set options
        cdef Response made
        read_facts(headers, &facts)
        framing = response_framing(response.status_code, method_id, &facts)
        if framing == BODY_CHUNKED or framing == BODY_UNTIL_CLOSE:
            if facts.has_length:
                headers = with_header(headers, b"content-length", [])
            if self.their_http_version is None or self.their_http_version < b"1.1":
                # A 1.0 client, or one that has not said it is more, knows no chunks.
                if facts.has_coding:
                    headers = with_header(headers, b"transfer-encoding", [])
                need_close = self.method_id != METHOD_HEAD
            else:
                headers = with_header(headers, b"transfer-encoding", [b"chunked"])
        if need_close or not self.cycle.keep_alive:
            options = set(comma_items(headers, b"connection"))
            options.discard(b"keep-alive")
            options.add(b"close")
            headers = with_header(headers, b"connection", sorted(options))
        if headers is response.headers:
            return response
        made = Response.__new__(Response)
        made.headers = headers
        made.status_code = response.status_code
        made.http_version = response.http_version
        made.reason = response.reason
        return made

    cdef object write_data(self, object data, bint joined):
        cdef Py_ssize_t size
        self.we_move(MOVE_DATA, "Data")
        if self.ours == ROLE_CLIENT:
            self.client_is_waiting_for_100_continue = False
        if self.outgoing == BODY_CHUNKED:
            size = len(data)
            if size == 0:
                return []                               # an empty chunk would be the last
            if joined and type(data) is bytes:
                return chunk(data)
            return [chunk_size_line(size), data, b"\r\n"]
        if self.outgoing == BODY_LENGTH:
            self.left -= len(data)
            if self.left < 0:
                raise LocalProtocolError("too much data for declared Content-Length")
        return data if joined and type(data) is bytes else [data]

    cdef object write_end(self, Headers trailers):
        self.we_move(MOVE_END, "EndOfMessage")
        if self.ours == ROLE_CLIENT:
            self.client_is_waiting_for_100_continue = False
        if self.outgoing == BODY_CHUNKED:
            return b"0\r\n\r\n" if trailers is NO_HEADERS else last_chunk(trailers)
        if self.outgoing == BODY_LENGTH and self.left != 0:
            raise LocalProtocolError("too little data for declared Content-Length")
        if len(trailers):
            raise LocalProtocolError("trailers need a chunked body")
        return []

    # A 101, and a 2xx to CONNECT, switch: state.pyx knows whether that was proposed.
    cdef int response_move(self, int status) noexcept:
        if status == 101:
            return MOVE_UPGRADE
        if status < 200:
            return MOVE_INFORMATIONAL
        return MOVE_CONNECT if self.cycle.proposals & PROPOSE_CONNECT and status < 300 else MOVE_RESPONSE


# RFC 9112 section 6.3, for a response of ours.
cdef int response_framing(int status, int method_id, const Facts* facts) noexcept:
    if status == 204 or status == 304 or method_id == METHOD_HEAD or (method_id == METHOD_CONNECT and status < 300):
        return BODY_NONE
    return BODY_CHUNKED if facts.has_coding else BODY_LENGTH if facts.has_length else BODY_UNTIL_CLOSE


cdef bytes piece_of(const uint8_t* data, Span span):
    return data[span.at:span.at + span.size]


cdef bint is_ok(const uint8_t* data, Span reason) noexcept nogil:
    return reason.size == 2 and data[reason.at] == c"O" and data[reason.at + 1] == c"K"


cdef bint is_1_1(const Head* head) noexcept nogil:
    return head.major > 1 or (head.major == 1 and head.minor >= 1)


cdef bytes version_of(const Head* head):
    if head.major == 1 and head.minor == 1:
        return b"1.1"
    return b"%d.%d" % (head.major, head.minor)


# Do the fields of that name list anything?
cdef bint has_items(const uint8_t* data, const Head* head, int name) noexcept nogil:
    cdef const Field* field
    cdef uint32_t at
    cdef int i
    for i in range(head.n_fields):
        field = &head.fields[i]
        if field.known == name:
            for at in range(field.value_at, field.value_at + field.value_size):
                if data[at] not in (c",", c" ", c"\t", c"\r", c"\n"):
                    return True
    return False


# ---------------------------------------------------------------------------------------------- as h11's tests ask for them

def _keep_alive(event) -> bool:
    """Whether a head of ours leaves the connection open."""
    return getattr(event, "http_version", b"1.1") >= b"1.1" and b"close" not in comma_items(event.headers, b"connection")


def _body_framing(request_method, event) -> tuple:
    """("content-length", (n,)), ("chunked", ()) or ("http/1.0", ()): how the end of the body behind `event` is known."""
    cdef Facts facts
    cdef int framing
    read_facts(event.headers, &facts)
    if type(event) is Request:
        framing = BODY_CHUNKED if facts.has_coding else BODY_LENGTH
    else:
        framing = response_framing(event.status_code, METHOD_IDS.get(request_method, METHOD_OTHER), &facts)
    if framing == BODY_CHUNKED:
        return "chunked", ()
    return ("http/1.0", ()) if framing == BODY_UNTIL_CLOSE else ("content-length", (facts.length if framing == BODY_LENGTH else 0,))
