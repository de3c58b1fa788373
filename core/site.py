"""Static files: which file does a path mean, and which part of it is wanted?"""
from __future__ import annotations

import mimetypes
import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

# Text without a charset is read as Latin-1 or guessed; nearly all of it is UTF-8 today.
_TEXT = ("text/", "application/javascript", "application/json")
# More than 18 digits are beyond any file, and int() refuses thousands of them.
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request says about the copy it has and the part it needs; None: the field is absent."""

    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: `size` bytes of `fd` from `offset`; the caller closes `fd`. It is -1 when there is nothing to send."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()
    fd: int = -1
    offset: int = 0
    size: int = 0


class Site:
    """The files below one folder. Nothing outside of it is ever read, by whatever path or link."""

    def __init__(self, root: str, *, index: str = "index.html", fallback: str | None = None) -> None:
        """`fallback` is the file to send for what is not there."""
        self._root = os.path.realpath(root)
        self._index = index
        self._fallback = fallback

    def find(self, path: bytes, wanted: Wanted) -> Found:
        """Answer for a request's path (as sent, without query): 200, 206, 301, 304, 404 or 416.

        301 is for the path that the client sent with a slash behind it: whoever asked knows both.
        """
        name = unquote_to_bytes(path)
        parts = name.split(b"/")
        if b"\0" in name or b".." in parts or b"." in parts:
            return Found(404)
        local = b"/".join(part for part in parts if part)
        if name.endswith(b"/"):
            local = os.path.join(local, os.fsencode(self._index))
        fd = self._open(local)
        if fd is None and not name.endswith(b"/") and self._is_folder(local):
            return Found(301)
        if fd is None and self._fallback is not None:
            local = os.fsencode(self._fallback)
            fd = self._open(local)
        return Found(404) if fd is None else _answer(fd, os.fsdecode(local), wanted)

    def _is_folder(self, local: bytes) -> bool:
        folder = os.path.join(os.fsencode(self._root), local)
        return os.path.isdir(folder) and self._is_inside(os.path.realpath(folder))

    def _is_inside(self, real: bytes) -> bool:
        root = os.fsencode(self._root)
        return real == root or real.startswith(root.rstrip(b"/") + b"/")

    def _open(self, local: bytes) -> int | None:
        """A descriptor of a regular file inside the root; None: there is none we may read."""
        try:
            # O_NONBLOCK: a named pipe must not hold up the loop.
            fd = os.open(os.path.join(os.fsencode(self._root), local), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        real = os.fsencode(os.path.realpath(f"/proc/self/fd/{fd}"))
        if stat.S_ISREG(os.fstat(fd).st_mode) and self._is_inside(real):
            return fd
        os.close(fd)
        return None


def _answer(fd: int, name: str, wanted: Wanted) -> Found:
    facts = os.fstat(fd)
    tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    modified = formatdate(facts.st_mtime, usegmt=True)
    fields: list[tuple[str, str]] = [("ETag", tag), ("Last-Modified", modified), ("Accept-Ranges", "bytes")]
    if _is_fresh(wanted, tag, int(facts.st_mtime)):
        os.close(fd)
        return Found(304, tuple(fields))
    fields.insert(0, ("Content-Type", content_type(name)))
    part = part_of(wanted.range, wanted.if_range, (tag, modified), facts.st_size)
    if part is None:
        return Found(200, tuple(fields), fd, 0, facts.st_size)
    start, stop = part
    if start >= stop:
        os.close(fd)
        return Found(416, (("Content-Range", f"bytes */{facts.st_size}"),))
    fields.append(("Content-Range", f"bytes {start}-{stop - 1}/{facts.st_size}"))
    return Found(206, tuple(fields), fd, start, stop - start)


def content_type(name: str) -> str:
    """By the file's extension."""
    kind, coding = mimetypes.guess_type(Path(name).name)
    if kind is None or coding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith(_TEXT) else kind


def _is_fresh(wanted: Wanted, tag: str, modified_s: int) -> bool:
    """Whether the client's copy will do (RFC 9110 section 13.2.2): a tag decides, else the date."""
    if wanted.if_none_match is not None:
        return wanted.if_none_match.strip() == "*" or tag in _TAG.findall(wanted.if_none_match)
    if wanted.if_modified_since is None:
        return False
    try:
        since = parsedate_to_datetime(wanted.if_modified_since)
        # The form of asctime() names no zone and means GMT (RFC 9110 section 5.6.7).
        return modified_s <= (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return False


def part_of(
    wanted: str | None, if_range: str | None, validators: Collection[str], size: int
) -> tuple[int, int] | None:
    """The bytes [start, stop) that the field Range asks for (RFC 9110 section 14), of `size`.

    None: all of it, as for several ranges, or where If-Range names none of `validators`: a part of an older copy. Where
    `start` is not below `size`, it is 416.
    """
    if wanted is None or (if_range is not None and if_range.strip() not in validators):
        return None
    match = _RANGE.fullmatch(wanted)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
