"""Changes as messages for a project's pages, in pieces of bounded size."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from hotpath.ide.files.paths import href, shown
from hotpath.ide.files.reading import etag_of
from hotpath.ide.walking import open_beneath

from .tree import Change

# Files above this have no etag in a message: a page that shows one asks for it.
MAX_HASHED = 1024 * 1024
# What one round reads at most; after that, etags are left out too.
ROUND_BYTES = 32 * MAX_HASHED
ROUND_FILES = 512
# A message with this many changes is some tens of kilobytes.
MAX_CHANGES = 128


def looked_at(root_fd: int, path: bytes) -> tuple[str | None, int]:
    """The etag of what the file has now, and its size; None when it is no file, cannot be read, or is large."""
    with suppress(OSError):
        fd = open_beneath(root_fd, path, os.O_RDONLY)
        with open(fd, "rb", buffering=0) as file:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                content = file.read(MAX_HASHED + 1)
                if len(content) <= MAX_HASHED:
                    return etag_of(content), len(content)
    return None, MAX_HASHED


def messages(root_fd: int, changes: Sequence[Change]) -> Iterator[dict[str, Any]]:
    """`{"type":"fs","changes":[…]}` of them all; reads the files."""
    files_left, bytes_left = ROUND_FILES, ROUND_BYTES
    told = []
    for change in changes:
        etag = None
        if change.kind == "file" and change.op != "remove" and files_left and bytes_left > 0:
            etag, size = looked_at(root_fd, change.path)
            files_left -= 1
            bytes_left -= size
        told.append({"op": change.op, "path": shown(change.path), "kind": change.kind,
                     "etag": etag, "href": href(change.path)})
    for i in range(0, len(told), MAX_CHANGES):
        yield {"type": "fs", "changes": told[i:i + MAX_CHANGES]}
