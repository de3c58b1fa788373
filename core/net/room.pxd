"""How much does a socket take at once?"""

# Bytes; 0: it is full, or no socket. One system call.
cdef size_t room_of(int fd) noexcept nogil
