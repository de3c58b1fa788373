"""How much does a socket take at once? Whoever writes no more than that has nothing left to keep."""
from libc.stdint cimport uint32_t

from hotpath.core.net.linux cimport SOL_SOCKET, getsockopt, socklen_t

cdef extern from "<sys/socket.h>" nogil:
    enum:
        SO_MEMINFO

cdef extern from "<linux/sock_diag.h>" nogil:
    enum:
        SK_MEMINFO_SNDBUF
        SK_MEMINFO_WMEM_ALLOC
        SK_MEMINFO_WMEM_QUEUED
        SK_MEMINFO_VARS


cdef size_t room_of(int fd) noexcept nogil:
    cdef uint32_t memory[SK_MEMINFO_VARS]
    cdef socklen_t size = sizeof(memory)
    cdef uint32_t used, left
    if getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0:
        return 0
    used = max(memory[SK_MEMINFO_WMEM_ALLOC], memory[SK_MEMINFO_WMEM_QUEUED])      # a unix socket knows only the first
    left = memory[SK_MEMINFO_SNDBUF] - used if used < memory[SK_MEMINFO_SNDBUF] else 0
    return left - left // 8     # what the kernel keeps beside the bytes counts, too


def room(int fd) -> int:
    """Bytes that the stream socket `fd` takes now without anything left over; 0: none, or it is no socket."""
    return room_of(fd)
