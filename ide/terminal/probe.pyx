"""Python faces of the ring and of a client's view of it, for their tests."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hotpath.core.net.linux cimport iovec
from hotpath.ide.terminal.ring cimport (
    ring_close, ring_line, ring_open, ring_parts, ring_put, ring_start, ring_t, view_ack, view_begin, view_is_behind, view_next,
    view_send, view_t)


cdef class Ring:
    """Some bytes of output."""

    cdef ring_t c

    def __init__(self, size_t room):
        if self.c.data != NULL or not ring_open(&self.c, room):
            raise MemoryError

    def __dealloc__(self):
        ring_close(&self.c)

    @property
    def start(self) -> int:
        """The first byte that is there."""
        return ring_start(&self.c)

    @property
    def end(self) -> int:
        """Behind the last one."""
        return self.c.end

    def put(self, const uint8_t[::1] data) -> None:
        """Add bytes."""
        if data.shape[0]:
            ring_put(&self.c, &data[0], <size_t>data.shape[0])

    def read(self, uint64_t offset, size_t size) -> bytes:
        """`size` bytes from `offset` on. ValueError when they are not there."""
        cdef iovec parts[2]
        cdef int n
        if not ring_start(&self.c) <= offset <= offset + size <= self.c.end:
            raise ValueError(f"{offset} + {size}: there is {self.start} to {self.end}")
        n = ring_parts(&self.c, offset, size, parts)
        return b"".join([(<char*>parts[i].iov_base)[:parts[i].iov_len] for i in range(n)])

    def line(self, uint64_t offset) -> int:
        """Where a line begins, from there on."""
        return ring_line(&self.c, offset)


cdef class View:
    """One client's."""

    cdef view_t c

    def __init__(self, uint32_t window, uint64_t offset):
        self.c.window = window
        view_begin(&self.c, offset)

    @property
    def sent(self) -> int:
        """All before was sent."""
        return self.c.sent

    def ack(self, uint64_t offset) -> bool:
        """All before is shown; False: it was never sent."""
        return view_ack(&self.c, offset)

    def take(self, Ring ring, size_t most) -> tuple:
        """What it is sent next: (whether it fell behind, offset, bytes)."""
        cdef size_t size
        cdef uint64_t offset
        self.c.fell = False
        size = view_next(&self.c, &ring.c, most)
        offset = self.c.sent
        data = ring.read(offset, size) if size else b""     # held, it may be anywhere
        view_send(&self.c, size)
        return bool(self.c.fell), offset, data

    def is_behind(self, Ring ring, size_t more) -> bool:
        """Whether the terminal need not be read on its account."""
        return view_is_behind(&self.c, &ring.c, more)
