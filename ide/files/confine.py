"""No path leaves the project: the kernel sees to it, not a comparison of strings. Its errors become our refusals.

Everything is opened from a descriptor of the project's folder with openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
RESOLVE_NO_XDEV). So whatever is swapped for a link while we look, what we hold lies inside.
"""
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hotpath.core.errors import HotpathError
from hotpath.ide.errors import (
    BadPath,
    Exists,
    NoRoom,
    NotAFile,
    NotAFolder,
    NotAllowed,
    NotEmpty,
    NotFound,
    OutsideProject,
    Refusal,
)

from .kernel import open_beneath
from .paths import shown

# A rename anywhere on the machine makes the kernel give up a path with .. in it. Each try takes microseconds, and in
# a storm of renames one in two succeeds.
TRIES = 100

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TooOld(HotpathError):
    """The operator: this kernel, or what filters its calls, has not what confines a path."""


def check_kernel(folder: int) -> None:
    """Make sure that openat2 is there, by opening the folder once more. Raises TooOld."""
    try:
        os.close(open_beneath(folder, b".", os.O_PATH))
    except OSError as error:
        # Filters of system calls answer EPERM to what they do not know.
        if error.errno in (errno.ENOSYS, errno.EPERM):
            raise TooOld("the kernel does not let us confine paths: openat2 is missing; needed: Linux 5.6 or newer, "
                         "and in a container a filter of system calls (seccomp) that allows it") from error
        raise


def refusal(error: OSError, path: bytes) -> Refusal | None:
    """What the client is told of the error; None: it is none of the client's."""
    name = shown(path) or "the project's folder"
    match error.errno:
        case errno.ENOENT:
            return NotFound(f"there is no {name}")
        case errno.ELOOP:
            return NotFound(f"{name}: its links lead nowhere")
        case errno.ENOTDIR:
            return NotAFolder(f"{name}: a part of it is no folder")
        case errno.EXDEV:
            return OutsideProject(f"{name}: a link leads out of the project")
        case errno.EISDIR | errno.ENXIO | errno.ENODEV:
            return NotAFile(f"{name} is no file")
        case errno.ENAMETOOLONG:
            return BadPath(f"{name}: longer than a path may be")
        case errno.ENOTEMPTY:
            return NotEmpty(f"{name} is not empty")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return NotAllowed(f"{name}: the system forbids it ({error.strerror}); its mode and owner can be changed "
                              "in a terminal")
        case errno.EBUSY:
            return NotAllowed(f"{name} is in use by the system, as a mount for example")
        case errno.EEXIST:
            return Exists(f"{name} exists")
        case errno.EMLINK:
            return NoRoom(f"{name}: its folder has as many folders as its file system allows")
        case number if number in NO_ROOM:
            return NoRoom(f"{name}: no room is left on the server's disk ({error.strerror}); nothing was changed")
    return None


@contextmanager
def refused(path: bytes) -> Iterator[None]:
    """An OSError of the block is a Refusal, where the client can do something about it."""
    try:
        yield
    except OSError as error:
        said = refusal(error, path)
        if said is None:
            raise
        raise said from error


def resolve(root: int, path: bytes, flags: int = os.O_RDONLY, *, links: bool = True) -> int:
    """Open what `path` names below the folder `root`; b"" is the folder itself. The descriptor is the caller's.

    `links=False`: no link on the way, the last name included. Never blocks, whatever stands there. Raises NotFound,
    NotAFolder, OutsideProject, NotAllowed, NotAFile.
    """
    with refused(path):
        return opened(root, path, flags, links=links)


def opened(root: int, path: bytes, flags: int = os.O_RDONLY, *, links: bool = True) -> int:
    """As `resolve`, but raises OSError."""
    for _ in range(TRIES - 1):
        try:
            return open_beneath(root, path or b".", flags, links=links)
        except BlockingIOError:
            continue
    return open_beneath(root, path or b".", flags, links=links)
