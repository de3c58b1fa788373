"""What we send: payload to frames, head and masked payload written into one `bytes`."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from hotpath.core.wire.ws.deflate cimport deflate_bound, deflate_close, deflate_some
from hotpath.core.wire.ws.frame cimport FIN, MAX_CONTROL, OP_BINARY, OP_CONTINUATION, OP_TEXT, RSV1, unmask, write_frame_head
from hotpath.core.wire.ws.masks cimport next_mask

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    uint8_t* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    LONG_PAYLOAD = 16 * 1024        # masking more lets other threads run meanwhile
    LONG_DEFLATE = 1024             # takes as long
    DEFLATE_LEVEL = 6               # zlib's defaults
    DEFLATE_MEM_LEVEL = 8


cdef bytes frame(uint8_t first, const uint8_t* data, size_t size, bint masks):
    cdef Py_ssize_t head_size = (2 if size <= MAX_CONTROL else 4 if size <= 0xffff else 10) + (4 if masks else 0)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, head_size + size)
    cdef uint8_t* to = <uint8_t*> PyBytes_AS_STRING(whole)
    cdef uint8_t mask[4]
    if not masks:
        write_frame_head(to, first, size, NULL)
        memcpy(to + head_size, data, size)
        return whole
    next_mask(mask)
    write_frame_head(to, first, size, mask)
    if size < LONG_PAYLOAD:
        unmask(to + head_size, data, size, mask)
    else:
        with nogil:
            unmask(to + head_size, data, size, mask)
    return whole


cdef class Outgoing:
    def __dealloc__(self):
        deflate_close(&self.deflate)

    cdef int start_deflate(self, int window_bits, bint keeps_context) except -1:
        self.deflates = True
        self.deflate.window_bits = window_bits
        self.deflate.keeps_context = keeps_context
        self.deflate.level = DEFLATE_LEVEL
        self.deflate.mem_level = DEFLATE_MEM_LEVEL
        return 0

    cdef bytes message(self, object payload, bint fin):
        cdef bytes encoded
        if isinstance(payload, str):
            if PyUnicode_IS_COMPACT_ASCII(payload):
                return self.part(OP_TEXT, PyUnicode_1BYTE_DATA(payload), PyUnicode_GET_LENGTH(payload), fin)
            encoded = (<str> payload).encode()
            return self.part(OP_TEXT, <const uint8_t*> PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), fin)
        if isinstance(payload, bytes):
            return self.part(OP_BINARY, <const uint8_t*> PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), fin)
        if isinstance(payload, (bytearray, memoryview)):
            return self.buffer(OP_BINARY, payload, fin, False)
        raise TypeError(f"a message is str or bytes, not {type(payload).__name__}")

    cdef bytes control(self, int opcode, object payload):
        return self.buffer(opcode, payload, True, True)

    cdef bytes buffer(self, int opcode, object payload, bint fin, bint is_control):
        cdef Py_buffer view
        if isinstance(payload, memoryview) and not payload.c_contiguous:
            payload = bytes(payload)
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if not is_control:
                return self.part(opcode, <const uint8_t*> view.buf, view.len, fin)
            if view.len > MAX_CONTROL:
                raise ValueError(f"a control frame holds {MAX_CONTROL} bytes, not {view.len}")
            return frame(FIN | opcode, <const uint8_t*> view.buf, view.len, self.client)
        finally:
            PyBuffer_Release(&view)

    cdef bytes part(self, uint8_t opcode, const uint8_t* data, size_t size, bint fin):
        cdef uint8_t first = opcode
        if self.opcode:
            if self.opcode != opcode:
                raise TypeError("text and bytes in one message")
            first = OP_CONTINUATION
        if fin:
            first |= FIN
        self.opcode = 0 if fin else opcode
        if self.deflates:
            return self.compressed(first, data, size, fin)
        return frame(first, data, size, self.client)

    cdef bytes compressed(self, uint8_t first, const uint8_t* data, size_t size, bint fin):
        cdef size_t room = deflate_bound(size)
        cdef Py_ssize_t made
        cdef uint8_t* to
        if self.busy:
            raise RuntimeError("two threads send on one connection")
        to = <uint8_t*> malloc(room)
        if to == NULL:
            raise MemoryError()
        try:
            if size < LONG_DEFLATE:
                made = deflate_some(&self.deflate, data, size, fin, to, room)
            else:
                self.busy = True
                with nogil:
                    made = deflate_some(&self.deflate, data, size, fin, to, room)
                self.busy = False
            if made < 0:
                raise MemoryError()
            # Only a message's first frame says that it is compressed (RFC 7692 section 6.1).
            return frame(first if first & ~FIN == OP_CONTINUATION else first | RSV1, to, made, self.client)
        finally:
            free(to)
