"""Which files does a project have? For whoever opens one by typing a part of its name."""
from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hotpath.ide.files.paths import joined
from hotpath.ide.walking import FOLDER, walk


def names(root: Path, ignore: Collection[str], limit: int) -> dict[str, Any]:
    """`{"names": [path…], "truncated"}`: at most `limit`, what is nested less before what is nested more.

    Files only; a name that is no UTF-8 cannot be typed and is left out. OSError: no such folder.
    """
    found: list[str] = []
    root_fd = os.open(root, FOLDER)
    try:
        for visit in walk(root_fd, frozenset(ignore), deep_first=False):
            for entry in visit.entries:
                if not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    path = joined(visit.path, os.fsencode(entry.name)).decode()
                except UnicodeDecodeError:
                    continue
                if len(found) == limit:
                    return {"names": found, "truncated": True}
                found.append(path)
    finally:
        os.close(root_fd)
    return {"names": found, "truncated": False}
