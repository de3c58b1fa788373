"""The system calls that Python has no name for: openat2, renameat2, syncfs."""
import os

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t

cdef extern from "<linux/openat2.h>" nogil:
    struct open_how:
        uint64_t flags
        uint64_t mode
        uint64_t resolve
    enum:
        RESOLVE_BENEATH
        RESOLVE_NO_MAGICLINKS
        RESOLVE_NO_SYMLINKS
        RESOLVE_NO_XDEV

cdef extern from "<sys/syscall.h>" nogil:
    enum:
        SYS_openat2

cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CLOEXEC
        O_NOCTTY
        O_NONBLOCK
        O_PATH

cdef extern from "<stdio.h>" nogil:
    enum:
        RENAME_EXCHANGE
        RENAME_NOREPLACE
    int renameat2(int old_folder, const char* old_name, int new_folder, const char* new_name, unsigned int flags)

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)
    int syncfs(int fd)


cdef object failed():
    return OSError(errno, os.strerror(errno))


def open_beneath(int folder, bytes path, int flags, *, bint links=True) -> int:
    """Open `path` for reading, from the folder down and never out of it; a new descriptor.

    `links`: whether links that stay inside are followed. Never waits for the other end of a pipe. Raises OSError: EXDEV
    for what leads out, also onto another file system; ELOOP for a link where none is followed; EAGAIN when somebody
    renamed things meanwhile; ENOSYS where the kernel is older than 5.6.
    """
    cdef open_how how
    cdef const char* name = path
    cdef long fd
    # With O_PATH nothing is opened that could make us wait, and no other flag is taken.
    how.flags = flags | O_CLOEXEC | (0 if flags & O_PATH else O_NONBLOCK | O_NOCTTY)
    how.mode = 0
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | (0 if links else RESOLVE_NO_SYMLINKS)
    while True:
        with nogil:
            fd = syscall(SYS_openat2, folder, name, &how, sizeof(how))
        if fd >= 0:
            return fd
        if errno != EINTR:
            raise failed()


cdef int rename(int old_folder, const char* old_name, int new_folder, const char* new_name,
                unsigned int flags) except -1:
    cdef int result
    with nogil:
        result = renameat2(old_folder, old_name, new_folder, new_name, flags)
    if result < 0:
        raise failed()
    return 0


def exchange(int one_folder, bytes one, int other_folder, bytes other) -> None:
    """Each name gets what the other stood for, in one step. Raises OSError: ENOENT when one of them is none."""
    rename(one_folder, one, other_folder, other, RENAME_EXCHANGE)


def rename_new(int old_folder, bytes old, int new_folder, bytes new) -> None:
    """Rename, unless something stands there already. Raises OSError: EEXIST then."""
    rename(old_folder, old, new_folder, new, RENAME_NOREPLACE)


def sync_file_system(int fd) -> None:
    """Return when all of the file system that `fd` lies on is on the disk. Raises OSError."""
    cdef int result
    with nogil:
        result = syncfs(fd)
    if result < 0:
        raise failed()
