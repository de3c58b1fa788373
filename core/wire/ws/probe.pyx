"""What the WebSocket kernels answer, as Python values: for tests, tools and reading. Servers call the kernels themselves."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from hotpath.core.wire.ws cimport deflate as deflate_kernel, frame as frame_kernel
from hotpath.core.wire.ws.deflate cimport (
    INFLATE_FED,
    INFLATE_MORE,
    INFLATE_NO_MEMORY,
    Progress,
    deflate_close,
    deflate_some,
    inflate_some,
)
from hotpath.core.wire.ws.frame cimport MAX_FRAME_HEAD, receive, take_piece, utf8_feed

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameHead:
    """A whole frame head of `head_size` bytes; `size` is that of the payload, `mask` is None without one."""

    head_size: int
    first: int
    opcode: int
    size: int
    mask: bytes | None


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of a message, or a whole control frame; `payload` is unmasked. `close_code`: of a close frame."""

    kind: str
    opcode: int
    payload: bytes
    compressed: bool
    starts: bool
    ends: bool
    frame_starts: bool
    frame_ends: bool
    frame_size: int
    close_code: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol or a limit; close with `close_code`."""

    close_code: int
    error: str


KINDS = ("data", "ping", "pong", "close")
# What takes longer than a switch between threads is worth one.
cdef enum:
    RELEASES = 16 * 1024        # bytes: the GIL is not held over more


def read_frame_head(object data) -> FrameHead | int:
    """The frame head that `data` begins with; -2: not whole yet, -1: broken."""
    cdef frame_kernel.FrameHead head
    cdef Py_buffer view
    cdef Py_ssize_t size
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    size = frame_kernel.read_frame_head(<const uint8_t*> view.buf, view.len, &head)
    PyBuffer_Release(&view)
    if size < 0:
        return size
    return FrameHead(head.head_size, head.first, head.opcode, head.size, head.mask[:4] if head.masked else None)


def write_frame_head(int first, uint64_t size, bytes mask=None) -> bytes:
    """The head of a frame with `size` bytes of payload; `first` is its first byte, `mask` four."""
    cdef uint8_t[MAX_FRAME_HEAD] head
    cdef const uint8_t* mask_at = NULL
    if mask is not None:
        if len(mask) != 4:
            raise ValueError(f"mask of {len(mask)} bytes: must be 4")
        mask_at = mask
    return head[:frame_kernel.write_frame_head(head, first, size, mask_at)]


def is_close_code(int code) -> bool:
    """May `code` stand in a close frame?"""
    return frame_kernel.is_close_code(code)


def unmask(object data, bytes mask) -> bytes:
    """`data` with the four bytes of `mask` laid over it again and again."""
    cdef Py_buffer view
    cdef const uint8_t* mask_at = mask
    cdef uint8_t* to
    if len(mask) != 4:
        raise ValueError(f"mask of {len(mask)} bytes: must be 4")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        unmasked = PyBytes_FromStringAndSize(NULL, view.len)
        to = <uint8_t*> PyBytes_AS_STRING(unmasked)
        if view.len > RELEASES:
            with nogil:
                frame_kernel.unmask(to, <const uint8_t*> view.buf, view.len, mask_at)
        else:
            frame_kernel.unmask(to, <const uint8_t*> view.buf, view.len, mask_at)
        return unmasked
    finally:
        PyBuffer_Release(&view)


def unmask_in_place(object data, bytes mask) -> None:
    """As unmask, over a writable buffer."""
    cdef Py_buffer view
    cdef const uint8_t* mask_at = mask
    if len(mask) != 4:
        raise ValueError(f"mask of {len(mask)} bytes: must be 4")
    PyObject_GetBuffer(data, &view, PyBUF_WRITABLE)
    with nogil:
        frame_kernel.unmask(<uint8_t*> view.buf, <const uint8_t*> view.buf, view.len, mask_at)
    PyBuffer_Release(&view)


@cython.auto_pickle(False)
cdef class Utf8:
    """Text that arrives in pieces."""

    cdef frame_kernel.Utf8 state

    @property
    def between(self) -> bool:
        """What has come so far ends with a whole character."""
        return self.state.state == 0

    def feed(self, object data) -> bool:
        """False: one of these bytes can be in no text where it stands."""
        cdef Py_buffer view
        cdef bint is_text
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        if view.len > RELEASES:
            with nogil:
                is_text = utf8_feed(&self.state, <const uint8_t*> view.buf, view.len)
        else:
            is_text = utf8_feed(&self.state, <const uint8_t*> view.buf, view.len)
        PyBuffer_Release(&view)
        return is_text


@cython.auto_pickle(False)      # it holds a pointer to static text
cdef class Receiver:
    """One side's incoming frames: give it bytes, get pieces."""

    cdef frame_kernel.Receiver state

    def __init__(self, *, bint is_client=False, bint deflate=False, int64_t max_frame=0, int64_t max_message=0) -> None:
        """`max_frame` and `max_message` are limits in bytes of payload; 0: none."""
        memset(&self.state, 0, sizeof(self.state))
        self.state.is_client, self.state.deflate = is_client, deflate
        self.state.max_frame, self.state.max_message = max_frame, max_message

    @property
    def broken(self) -> Broken | None:
        """What the peer did wrong; None while nothing."""
        return Broken(self.state.close_code, self.state.error.decode()) if self.state.close_code else None

    @property
    def closed(self) -> bool:
        """A close frame came; what follows it is not looked at."""
        return self.state.closed != 0

    def feed(self, object data) -> tuple[int, list[Piece]]:
        """Take bytes while they make pieces: how many were taken, and the pieces. Give the rest again, with more."""
        cdef Py_buffer view
        cdef Py_ssize_t at = 0, consumed
        cdef const uint8_t* bytes_
        cdef frame_kernel.Piece piece
        cdef list pieces = []
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            bytes_ = <const uint8_t*> view.buf
            while at < view.len:
                consumed = receive(&self.state, bytes_ + at, view.len - at, &piece)
                if consumed <= 0:
                    break
                if (taken := self.take(&piece)) is None:
                    break
                pieces.append(taken)
                at += consumed
            return at, pieces
        finally:
            PyBuffer_Release(&view)

    cdef object take(self, const frame_kernel.Piece* piece):
        cdef bint is_text
        payload = PyBytes_FromStringAndSize(NULL, piece.size)
        cdef uint8_t* to = <uint8_t*> PyBytes_AS_STRING(payload)
        if piece.size > RELEASES:
            with nogil:
                is_text = take_piece(&self.state, piece, to)
        else:
            is_text = take_piece(&self.state, piece, to)
        if not is_text:
            return None
        return Piece(
            KINDS[piece.kind], piece.opcode, payload, piece.compressed != 0, piece.starts != 0, piece.ends != 0,
            piece.frame_starts != 0, piece.frame_ends != 0, piece.frame_size, piece.close_code)


@cython.auto_pickle(False)      # it owns memory of zlib
cdef class Inflate:
    """Compressed messages to plain ones, never more than the room that is given."""

    cdef deflate_kernel.Deflate state

    def __init__(self, *, int window_bits=15, bint keeps_context=True) -> None:
        """`window_bits`: as agreed; wider windows are read as well."""
        deflate_close(&self.state)
        self.state.window_bits, self.state.keeps_context = window_bits, keeps_context

    def __dealloc__(self):
        deflate_close(&self.state)

    @property
    def is_open(self) -> bool:
        """It holds memory of zlib."""
        return self.state.stream != NULL

    def feed(self, object data, *, bint ends, Py_ssize_t room) -> tuple[str, int, bytes]:
        """Inflate into `room` bytes at most: (more, fed or broken; bytes taken; bytes made)."""
        cdef Py_buffer view
        cdef Progress progress
        cdef int answer
        made = PyBytes_FromStringAndSize(NULL, room)
        cdef uint8_t* to = <uint8_t*> PyBytes_AS_STRING(made)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        with nogil:
            answer = inflate_some(&self.state, <const uint8_t*> view.buf, view.len, ends, to, room, &progress)
        PyBuffer_Release(&view)
        if answer == INFLATE_NO_MEMORY:
            raise MemoryError
        verdict = "more" if answer == INFLATE_MORE else "fed" if answer == INFLATE_FED else "broken"
        return verdict, progress.consumed, made[:progress.produced]


@cython.auto_pickle(False)      # it owns memory of zlib
cdef class Deflate:
    """Plain messages to compressed ones."""

    cdef deflate_kernel.Deflate state

    def __init__(self, *, int window_bits=15, bint keeps_context=True, int level=6, int mem_level=8) -> None:
        """`window_bits`: 9 to 15; `level` and `mem_level`: 1 to 9."""
        deflate_close(&self.state)
        self.state.window_bits, self.state.keeps_context = window_bits, keeps_context
        self.state.level, self.state.mem_level = level, mem_level

    def __dealloc__(self):
        deflate_close(&self.state)

    @property
    def is_open(self) -> bool:
        """It holds memory of zlib."""
        return self.state.stream != NULL

    def feed(self, object data, *, bint ends) -> bytes:
        """One part of a message, compressed; `ends`: its last."""
        cdef Py_buffer view
        cdef Py_ssize_t size
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        cdef size_t room = deflate_kernel.deflate_bound(view.len)
        made = PyBytes_FromStringAndSize(NULL, room)
        cdef uint8_t* to = <uint8_t*> PyBytes_AS_STRING(made)
        with nogil:
            size = deflate_some(&self.state, <const uint8_t*> view.buf, view.len, ends, to, room)
        PyBuffer_Release(&view)
        if size < 0:
            raise MemoryError
        return made[:size]
