"""How much of the disk does a project take?"""
from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hotpath.ide.files.paths import joined

from .counting import count
from .walking import FOLDER, open_beneath

# Unit of st_blocks, whatever the file system's own blocks are: stat(2).
BLOCK = 512


class Usage(NamedTuple):
    """`bytes`: blocks on the disk, as `du` counts them, so a file with holes counts for what it fills; `files`: names.

    Folders and links take part in both; a file with several names takes its blocks once.
    """

    bytes: int
    files: int


def measure(root: Path) -> Usage:
    """Of all below `root`, not of `root` itself; no link is followed, no other file system entered. OSError: no folder.

    What vanishes meanwhile counts or does not.
    """
    blocks = files = 0
    several: dict[int, int] = {}        # blocks of each inode with more than one name
    root_fd = os.open(root, FOLDER)
    try:
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            with suppress(OSError):     # it is gone, or not to be read
                fd = open_beneath(root_fd, path, FOLDER)
                try:
                    n_names, n_blocks, folders, again = count(fd)
                finally:
                    os.close(fd)
                files += n_names
                blocks += n_blocks
                several.update(again)
                waiting += [joined(path, name) for name in folders]
    finally:
        os.close(root_fd)
    return Usage((blocks + sum(several.values())) * BLOCK, files)
