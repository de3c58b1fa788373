"""Gives a project's files to the user that its programs run as, where the server is root."""
from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def give(folder: Path, user: tuple[int, int]) -> None:
    """All of `folder` is that user's afterwards; links themselves, never what they lead to. Blocks.

    If the folder itself is his already, so is what is in it: whoever writes there for him sees to that.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        now = os.fstat(fd)
        if (now.st_uid, now.st_gid) == user:
            return
        for _, folders, files, at in os.fwalk(".", dir_fd=fd, follow_symlinks=False):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=at, follow_symlinks=False)
                    # Elsewhere too under another name: that place's owner decides.
                    if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
                        os.chown(name, *user, dir_fd=at, follow_symlinks=False)
        os.fchown(fd, *user)
    finally:
        os.close(fd)
