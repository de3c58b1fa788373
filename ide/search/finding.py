"""Find text in a project's files: a process of its own does it, which can be ended at any moment."""
from __future__ import annotations

import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hotpath.ide.errors import BadRequest, Invalid, SearchTooLong, TooMany
from hotpath.ide.files.confine import resolve
from hotpath.ide.files.paths import href, joined, shown
from hotpath.ide.walking import FOLDER

# Beyond this, nobody reads on: refine the search.
MAX_MATCHES = 2000
MAX_QUERY = 1000            # characters; a pattern is looked for in each line
# All matches with the longest paths and texts, in ASCII escapes, stay below.
MAX_ANSWER = 64 * 1024 * 1024
# Each holds a thread and may take a whole processor for as long as it may run.
MAX_AT_ONCE = 4

_PROGRAM = str(Path(__file__).with_name("program.py"))
_running = threading.Semaphore(MAX_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: the text itself, or a regular expression as Python's `re` reads it; lines are apart."""

    text: str
    regex: bool = False
    case: bool = False          # upper and lower case are different
    word: bool = False          # not within a word
    path: bytes = b""           # the folder to look in


class Limits(Protocol):
    """What of the configuration's limits is asked for."""

    @property
    def search(self) -> float:
        """Seconds."""

    @property
    def file(self) -> int:
        """Bytes; a larger file is not looked into."""


class _Match(msgspec.Struct):
    path: str               # hexadecimal
    line: int
    column: int
    length: int
    text: str
    text_column: int


class _Answer(msgspec.Struct):
    matches: list[_Match] = []
    truncated: bool = False
    invalid: str | None = None


def find(root: Path, query: Query, ignore: Collection[str], limits: Limits) -> dict[str, Any]:
    """`{"matches": [{path, href, line, column, length, text, text_column}…], "truncated"}`, in the order of paths.

    Lines and columns count from 1, columns and `length` in characters. `text` is the line, or of a long one the part
    around the match, which begins at `text_column`. Binary files, files above `limits.file` and folders named in
    `ignore` are left out, and no link is followed but one that `query.path` itself has in it. Raises BadRequest,
    Invalid, NotFound, NotAFolder, OutsideProject, SearchTooLong, TooMany.
    """
    if not 1 <= len(query.text) <= MAX_QUERY:
        raise BadRequest(f"q has {len(query.text)} characters; allowed: 1 to {MAX_QUERY}")
    if any("\ud800" <= letter <= "\udfff" for letter in query.text):
        raise BadRequest("q has half a character in it")
    if not _running.acquire(blocking=False):
        raise TooMany(f"{MAX_AT_ONCE} searches are running; try again when one has ended",
                      headers=[("Retry-After", "1")])
    try:
        folder_fd = _open(root, query.path)
        try:
            answer = _ask(folder_fd, query, ignore, limits)
        finally:
            os.close(folder_fd)
    finally:
        _running.release()
    if answer.invalid is not None:
        raise Invalid(answer.invalid)
    return {"matches": [_told(match, query.path) for match in answer.matches], "truncated": answer.truncated}


def _open(root: Path, path: bytes) -> int:
    root_fd = os.open(root, FOLDER)
    try:
        return resolve(root_fd, path, FOLDER)
    finally:
        os.close(root_fd)


def _ask(folder_fd: int, query: Query, ignore: Collection[str], limits: Limits) -> _Answer:
    status = os.fstat(folder_fd)
    question = msgspec.json.encode({
        "folder": folder_fd, "text": query.text, "regex": query.regex, "case": query.case, "word": query.word,
        "ignore": list(ignore), "max_file": limits.file, "max_matches": MAX_MATCHES,
        "seconds": math.ceil(limits.search) + 1, "uid": status.st_uid, "gid": status.st_gid})
    # Nothing of ours goes with it: no environment, no descriptors, no place in our session.
    with subprocess.Popen([sys.executable, "-I", "-S", "-X", "utf8", _PROGRAM], env={}, cwd="/", pass_fds=[folder_fd],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            data = _exchange(process, question, time.monotonic() + limits.search)
        finally:
            process.kill()
    if data is None:
        raise SearchTooLong(f"the search took longer than the {limits.search:g} s it may (limits.search); look for "
                            "something simpler, or in fewer folders")
    try:
        return msgspec.json.decode(data, type=_Answer)
    except msgspec.DecodeError:
        raise SearchTooLong("the search ended without an answer: it needed more memory or time than it may; look for "
                            "something simpler, or in fewer folders") from None


def _exchange(process: subprocess.Popen[bytes], question: bytes, deadline: float) -> bytes | None:
    """What it answers; None: nothing by the deadline (of the monotonic clock)."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(question)
        process.stdin.close()
    except BrokenPipeError:
        return b""
    answer = bytearray()
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while len(answer) < MAX_ANSWER:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            break
        answer += piece
    return bytes(answer)


def _told(match: _Match, folder: bytes) -> dict[str, Any]:
    path = joined(folder, bytes.fromhex(match.path))
    return {"path": shown(path), "href": href(path), "line": match.line, "column": match.column,
            "length": match.length, "text": match.text, "text_column": match.text_column}
