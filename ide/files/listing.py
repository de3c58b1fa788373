"""What is in a folder, as the tree shows it."""
from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable

from .confine import opened, refused, resolve
from .paths import href, joined, shown
from .times import moment

SPARE = 4               # sorting is cheap, but not for each name

Named = tuple[bytes, dict[str, object]]

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}


def listing(root: int, path: bytes, depth: int, limit: int) -> dict[str, object]:
    """{"path", "entries", "truncated"}: what is `depth` folders deep below `path`, at most `limit` entries.

    Level by level, so that what is cut off is what is deepest; of one folder its folders first, then by name. Links are
    listed and never entered. Raises NotFound, NotAFolder, OutsideProject, NotAllowed.
    """
    top = resolve(root, path, os.O_RDONLY | os.O_DIRECTORY)
    entries: list[dict[str, object]] = []
    truncated = False
    waiting = deque([(b"", 1)])
    try:
        while waiting and not truncated:
            inner, level = waiting.popleft()
            with refused(path):
                found, truncated = folder_entries(top, inner, path, limit - len(entries))
            entries += [entry for _, entry in found]
            if level < depth:
                waiting += [(joined(inner, name), level + 1) for name, entry in found if entry["kind"] == "dir"]
    finally:
        os.close(top)
    return {"path": shown(path), "entries": entries, "truncated": truncated}


def folder_entries(top: int, inner: bytes, path: bytes, room: int) -> tuple[list[Named], bool]:
    """The first `room` entries of one folder with their names, and whether there are more."""
    try:
        fd = opened(top, inner, os.O_RDONLY | os.O_DIRECTORY, links=False)
    except OSError:
        if not inner:
            raise
        return [], False                # gone since, or nobody may look into it
    try:
        with os.scandir(fd) as found:
            first = first_names(found, room + 1)
        here = joined(path, inner) if inner else path
        said = []
        for name in map(os.fsencode, first[:room]):
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            said.append((name, described(joined(here, name), name, status)))
        return said, len(first) > room
    finally:
        os.close(fd)


def first_names(found: Iterable[os.DirEntry[str]], n: int) -> list[str]:
    """The first `n` names: folders, then all others. However many there are, few times `n` of them are kept."""
    folders: list[str] = []
    others: list[str] = []
    for one in found:
        try:
            names = folders if one.is_dir(follow_symlinks=False) else others
        except OSError:                 # gone since, on a file system that tells kinds only when asked
            continue
        names.append(one.name)
        if len(names) > SPARE * n:
            names.sort()
            del names[n:]
    return (sorted(folders) + sorted(others))[:n]


def described(path: bytes, name: bytes, status: os.stat_result) -> dict[str, object]:
    """One entry."""
    return {"name": shown(name), "path": shown(path), "href": href(path),
            "kind": KINDS.get(stat.S_IFMT(status.st_mode), "other"), "size": status.st_size,
            "mtime": moment(status.st_mtime_ns)}
