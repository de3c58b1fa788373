"""Count what one folder holds, without the GIL: a project has a hundred thousand files, and a loop that must go on."""
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, strcmp, strlen

import os

cdef extern from "<sys/stat.h>" nogil:
    struct stat_t "stat":
        uint64_t st_dev
        uint64_t st_ino
        uint64_t st_nlink
        uint64_t st_blocks
        unsigned int st_mode
    int fstat(int fd, stat_t* status)
    int S_ISDIR(unsigned int mode)

cdef extern from "<fcntl.h>" nogil:
    enum:
        AT_SYMLINK_NOFOLLOW
        F_DUPFD_CLOEXEC
    int fstatat(int folder, const char* name, stat_t* status, int flags)
    int fcntl(int fd, int command, ...)

cdef extern from "<dirent.h>" nogil:
    struct dirent:
        char d_name[]
    struct DIR:
        pass
    DIR* fdopendir(int fd)
    dirent* readdir(DIR* folder)
    void rewinddir(DIR* folder)
    int closedir(DIR* folder)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef struct Bytes:
    char* data                  # owned by `count`; freed there
    size_t size
    size_t room


cdef struct Tally:
    uint64_t files
    uint64_t blocks             # of 512 bytes
    Bytes folders               # names with their NULs
    Bytes several               # two uint64_t of each file with several names: inode, blocks


# 0, or -1: no memory.
cdef int append(Bytes* bytes_, const void* data, size_t size) noexcept nogil:
    cdef size_t room = bytes_.room
    cdef char* grown
    while room < bytes_.size + size:
        room = 2 * room if room else 4096
    if room != bytes_.room:
        grown = <char*>realloc(bytes_.data, room)
        if grown == NULL:
            return -1
        bytes_.data = grown
        bytes_.room = room
    memcpy(bytes_.data + bytes_.size, data, size)
    bytes_.size += size
    return 0


# 0, or an errno. What vanishes meanwhile is passed by.
cdef int read_folder(int fd, Tally* tally) noexcept nogil:
    cdef stat_t folder, status
    cdef uint64_t[2] pair
    cdef dirent* entry
    cdef DIR* reader
    cdef int own = fcntl(fd, F_DUPFD_CLOEXEC, 0)
    cdef int wrong = 0
    if own < 0:
        return errno
    reader = fdopendir(own)
    if reader == NULL or fstat(fd, &folder) < 0:
        wrong = errno
        if reader == NULL:
            close(own)
        else:
            closedir(reader)
        return wrong
    rewinddir(reader)           # the descriptor shares its place with the caller's
    while wrong == 0:
        entry = readdir(reader)
        if entry == NULL:
            break
        if strcmp(entry.d_name, b".") == 0 or strcmp(entry.d_name, b"..") == 0:
            continue
        if fstatat(fd, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) < 0:
            continue
        tally.files += 1
        if status.st_dev != folder.st_dev:
            continue
        if S_ISDIR(status.st_mode):
            tally.blocks += status.st_blocks
            if append(&tally.folders, entry.d_name, strlen(entry.d_name) + 1) < 0:
                wrong = ENOMEM
        elif status.st_nlink > 1:
            pair[0] = status.st_ino
            pair[1] = status.st_blocks
            if append(&tally.several, pair, sizeof(pair)) < 0:
                wrong = ENOMEM
        else:
            tally.blocks += status.st_blocks
    closedir(reader)
    return wrong


def count(int fd) -> tuple[int, int, list[bytes], list[tuple[int, int]]]:
    """Of the folder `fd` is open at: names, blocks of 512 bytes, its folders, (inode, blocks) of what has several names.

    The latter are not in the blocks. Other file systems are not in any of them, only their names. Raises OSError.
    """
    cdef Tally tally = Tally(0, 0, Bytes(NULL, 0, 0), Bytes(NULL, 0, 0))
    cdef const uint64_t* pairs
    cdef size_t i
    cdef int wrong
    try:
        with nogil:
            wrong = read_folder(fd, &tally)
        if wrong:
            raise OSError(wrong, os.strerror(wrong))
        pairs = <const uint64_t*>tally.several.data
        return (tally.files, tally.blocks, tally.folders.data[:tally.folders.size].split(b"\0")[:-1],
                [(pairs[2 * i], pairs[2 * i + 1]) for i in range(tally.several.size // (2 * sizeof(uint64_t)))])
    finally:
        free(tally.folders.data)
        free(tally.several.data)
