"""TLS on a stream: a filter made of Python's ssl and two memory BIOs.

The relay reads and writes plain bytes and knows nothing of it. What a session keeps is bounded: it is given no more than one
record's worth of received bytes before it has decrypted them, and what it encrypts goes to the stream at once, which counts it as
unsent.
"""
import logging
import ssl

from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from hotpath.core.net.buffer cimport Buffer, buffer_give, buffer_take
from hotpath.core.net.stream cimport (
    SEND_LATER, SEND_MORE, SEND_NOW, STREAM_FAILED, STREAM_NOTHING, How, socket_recv, socket_send, stream_t, stream_unfilter)

log = logging.getLogger(__name__)

cdef enum:
    RECORD_BYTES = 16384        # of plain text: RFC 8446 5.1
    HELD_BYTES = 16000          # with its head a 16 KiB block
    MAX_OWED_BYTES = 16384      # a peer that asks for new keys (RFC 8446 4.6.3) and never reads our consent


cdef Py_ssize_t tls_recv(stream_t* stream, uint8_t* data, size_t size) noexcept nogil:
    with gil:
        try:
            return tls_session(stream).read(stream, data, size)
        except Exception:
            log.exception("TLS read failed")
            return STREAM_FAILED

cdef Py_ssize_t tls_send(stream_t* stream, const uint8_t* data, size_t size, How how) noexcept nogil:
    with gil:
        try:
            return tls_session(stream).write(stream, data, size, how)
        except ssl.SSLError as error:       # the session broke while reading
            log.debug("TLS write failed cause=%s", error)
            return STREAM_FAILED
        except Exception:
            log.exception("TLS write failed")
            return STREAM_FAILED

cdef void tls_shut(stream_t* stream) noexcept nogil:
    with gil:
        try:
            tls_session(stream).say_goodbye(stream)
        except Exception:
            log.exception("TLS close_notify failed")

cdef void tls_close(stream_t* stream) noexcept nogil:
    with gil:
        drop(stream, tls_session(stream))

cdef void drop(stream_t* stream, Session session) noexcept:
    buffer_give(stream.loop, session.held)
    session.held = NULL
    Py_DECREF(session)                      # the stream's own

cdef Session tls_session(stream_t* stream):
    return <Session>stream.filter.owner

cdef bint tls_begin(stream_t* stream, void* terminator) noexcept nogil:
    with gil:
        try:
            begin(stream, <Terminator>terminator)
            return True
        except Exception:                   # no memory, most likely
            log.exception("TLS session failed")
            return False

cdef int begin(stream_t* stream, Terminator terminator) except -1:
    session = Session(terminator)
    Py_INCREF(session)
    stream.filter = &session.filter
    return 0

cdef Shake tls_shake(stream_t* stream) noexcept nogil:
    with gil:
        try:
            return tls_session(stream).shake(stream)
        except Exception:
            log.exception("TLS handshake failed")
            return SHAKE_FAILED


cdef class Terminator:
    """The TLS of one listener in one worker."""

    def __init__(self, context):
        self.context = context


cdef class Session:
    """The TLS of one connection. Owned by its stream."""

    def __init__(self, Terminator terminator):
        self.filter.recv = tls_recv
        self.filter.send = tls_send
        self.filter.shut = tls_shut
        self.filter.close = tls_close
        self.filter.owner = <void*>self
        self.terminator = terminator
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl = terminator.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.dry = True

    cdef Py_ssize_t feed(self, stream_t* stream) except? -9:
        """What has arrived, to be decrypted. As socket_recv."""
        cdef uint8_t* wire = self.terminator.wire
        cdef Py_ssize_t n = socket_recv(stream, wire, WIRE_BYTES)
        if n > 0:
            self.incoming.write(PyMemoryView_FromMemory(<char*>wire, n, PyBUF_READ))
            self.dry = False
        elif n == STREAM_NOTHING:
            stream.readable = False
        return n

    cdef Py_ssize_t read(self, stream_t* stream, uint8_t* data, size_t size) except? -9:
        cdef Py_ssize_t n
        cdef Buffer* held = self.held
        if held != NULL:
            n = min(<Py_ssize_t>size, <Py_ssize_t>(held.end - held.start))
            memcpy(data, held.data + held.start, n)
            held.start += <uint32_t>n
            if held.start == held.end:
                self.held = held.next
                held.next = NULL
                buffer_give(stream.loop, held)
            return n
        while True:
            if self.dry:
                n = self.feed(stream)
                if n == 0:
                    return STREAM_FAILED        # a FIN without close_notify: what came may be cut short
                if n < 0:
                    return n
            try:
                n = self.ssl.read(<Py_ssize_t>size, PyMemoryView_FromMemory(<char*>data, size, PyBUF_WRITE))
            except ssl.SSLWantReadError:
                self.dry = True
                if not self.answer(stream):
                    return STREAM_FAILED
                continue
            except ssl.SSLZeroReturnError:
                n = 0
            except ssl.SSLError as error:
                log.debug("TLS read failed cause=%s", error)
                self.hand_out(stream, SEND_NOW)
                return STREAM_FAILED
            if n == 0:
                stream.ended = True
                return 0
            # A read gives at most what is left of one record.
            self.dry = self.incoming.pending == 0 and (n < <Py_ssize_t>size or self.ssl.pending() == 0)
            stream.readable = not self.dry or stream.arrived
            return n if self.answer(stream) else STREAM_FAILED

    cdef bint answer(self, stream_t* stream) except? -1:
        """Sends what TLS says by itself. False: the peer does not read it."""
        cdef uint32_t before = stream.n_unsent
        cdef Py_ssize_t left
        if self.outgoing.pending == 0:
            return True
        left = self.hand_out(stream, SEND_NOW)
        if left < 0:
            return False
        self.n_owed = 0 if left == 0 else self.n_owed + <uint32_t>max(0, left - before)
        return self.n_owed <= MAX_OWED_BYTES

    cdef Py_ssize_t hand_out(self, stream_t* stream, How how) except? -9:
        """What was encrypted leaves. As socket_send."""
        cdef bytes data = self.outgoing.read()
        return socket_send(stream, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), how)

    cdef Py_ssize_t write(self, stream_t* stream, const uint8_t* data, size_t size, How how) except? -9:
        cdef size_t piece, n
        cdef Py_ssize_t left = stream.n_unsent
        while size > 0:
            piece = min(size, <size_t>RECORD_BYTES)
            n = self.ssl.write(PyMemoryView_FromMemory(<char*>data, piece, PyBUF_READ))
            data += n
            size -= n
            left = self.hand_out(stream, SEND_MORE if size and how == SEND_NOW else how)
            if left < 0:
                return STREAM_FAILED
        return left

    cdef int say_goodbye(self, stream_t* stream) except -1:
        """close_notify. What is here is decrypted first: SSL_shutdown looks for the peer's, and drops what it finds instead."""
        cdef Buffer** end = &self.held
        cdef Buffer* buffer
        cdef bint goes_on = not self.dry
        while end[0] != NULL:
            end = &end[0].next
        while goes_on:
            buffer = buffer_take(stream.loop, HELD_BYTES)
            if buffer == NULL:
                raise MemoryError
            try:
                buffer.end = self.ssl.read(HELD_BYTES, PyMemoryView_FromMemory(<char*>buffer.data, HELD_BYTES, PyBUF_WRITE))
            except ssl.SSLError:
                pass                            # the next read will hear it again
            goes_on = buffer.end > 0
            if goes_on:
                end[0] = buffer
                end = &buffer.next
            else:
                buffer_give(stream.loop, buffer)
        if self.held != NULL:
            stream.readable = True
        try:
            self.ssl.unwrap()
        except ssl.SSLError:
            pass                                # the peer's close_notify is not here yet; or nothing more can be said
        self.hand_out(stream, SEND_LATER)
        return 0

    cdef Shake shake(self, stream_t* stream) except? SHAKE_FAILED:
        cdef Py_ssize_t n
        while True:
            n = self.feed(stream)
            if n == 0:
                return SHAKE_ENDED
            if n == STREAM_NOTHING:
                return SHAKE_WAITS
            if n < 0:
                return SHAKE_FAILED
            # No TLS record begins with a letter (RFC 8446 5.1), every HTTP request does.
            if not self.begun and (c"A" <= self.terminator.wire[0] <= c"Z" or c"a" <= self.terminator.wire[0] <= c"z"):
                stream_unfilter(stream)
                return SHAKE_PLAIN
            self.begun = True
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                self.dry = True
                if not self.answer(stream):
                    return SHAKE_FAILED
                continue
            except ssl.SSLError as error:
                self.why = error
                self.hand_out(stream, SEND_NOW)     # an alert
                return SHAKE_FAILED
            self.dry = self.incoming.pending == 0
            stream.readable = not self.dry or stream.arrived
            return SHAKE_DONE if self.answer(stream) else SHAKE_FAILED
