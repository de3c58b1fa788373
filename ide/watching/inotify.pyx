"""What the kernel tells about folders, as tuples: inotify(7)."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, strlen

from hotpath.core.net.linux cimport read

import os

cdef extern from "<sys/inotify.h>" nogil:
    struct inotify_event:
        int wd
        uint32_t mask
        uint32_t len            # of the name with its padding of NULs
        char name[]
    enum:
        IN_CLOEXEC
        IN_NONBLOCK
        IN_CLOSE_WRITE
        IN_CREATE
        IN_DELETE
        IN_EXCL_UNLINK
        IN_IGNORED
        IN_MOVED_FROM
        IN_MOVED_TO
        IN_ONLYDIR
        IN_Q_OVERFLOW
    int inotify_init1(int flags)
    int inotify_add_watch(int fd, const char* path, uint32_t mask)
    int inotify_rm_watch(int fd, int wd)

cdef enum:
    # Some 500 events: what a turn of the loop spends here stays well below a millisecond.
    ROOM_WORDS = 4096

IGNORED = IN_IGNORED            # the watch is gone: taken back, or its folder does not exist any more
Q_OVERFLOW = IN_Q_OVERFLOW      # events were lost, of any watch


# Whether both are about the same name of the same folder.
cdef bint is_again(const inotify_event* event, const inotify_event* before) noexcept nogil:
    return (before != NULL and event.wd == before.wd and event.len == before.len
            and memcmp(event.name, before.name, event.len) == 0)


def open_instance() -> int:
    """A descriptor, non-blocking. OSError: EMFILE when this user has as many as he may."""
    cdef int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


def add(int fd, int folder_fd) -> int:
    """Watch the folder that `folder_fd` is open at; the watch's number, the same one if it is watched already.

    OSError: ENOSPC when this user has as many watches as he may, EACCES for a folder that cannot be read.
    """
    cdef bytes path = b"/proc/self/fd/%d" % folder_fd
    cdef int wd = inotify_add_watch(fd, path, IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
                                    | IN_EXCL_UNLINK | IN_ONLYDIR)
    if wd < 0:
        raise OSError(errno, os.strerror(errno))
    return wd


def remove(int fd, int wd) -> None:
    """Take a watch back; nothing if it is gone."""
    inotify_rm_watch(fd, wd)


def events(int fd) -> list[tuple[int, int, bytes]]:
    """(watch, mask, name) of some events; none: nothing happened. Several in a row about one name are one."""
    cdef uint32_t room[ROOM_WORDS]       # aligned as the kernel aligns each event
    cdef const inotify_event* event
    cdef const inotify_event* before = NULL
    cdef Py_ssize_t at = 0, size = read(fd, room, 4 * ROOM_WORDS)
    cdef list found = []
    if size < 0:
        if errno == EAGAIN or errno == EINTR:
            return found
        raise OSError(errno, os.strerror(errno))
    while at < size:
        event = <const inotify_event*>(<uint8_t*>room + at)
        at += sizeof(inotify_event) + event.len
        if event.mask & (IN_IGNORED | IN_Q_OVERFLOW) or not is_again(event, before):
            found.append((event.wd, event.mask,
                          PyBytes_FromStringAndSize(event.name, strlen(event.name)) if event.len else b""))
        before = event
    return found
