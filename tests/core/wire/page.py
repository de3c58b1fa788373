"""Bytes whose end is the end of readable memory: who reads one byte further dies of SIGSEGV."""
import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

PROT_NONE = 0
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Page:
    """Readable memory in front of a page that nobody may touch."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.map = mmap.mmap(-1, self.size + mmap.PAGESIZE)
        self.view = memoryview(self.map)
        self.guard = ctypes.addressof(ctypes.c_char.from_buffer(self.map)) + self.size
        if LIBC.mprotect(self.guard, mmap.PAGESIZE, PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")

    def holding(self, data: bytes) -> memoryview:
        """`data`, its last byte the last readable one. Good until the next call."""
        end = self.view[self.size - len(data):self.size]
        end[:] = data
        return end

    def close(self) -> None:
        """Make the guard readable again, so that the mapping can be freed like any other."""
        LIBC.mprotect(self.guard, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)


@contextmanager
def page(size: int = 64 * 1024) -> Iterator[Page]:
    guarded = Page(size)
    try:
        yield guarded
    finally:
        guarded.close()
