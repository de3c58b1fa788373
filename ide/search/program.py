"""The program that looks for text in files: question on stdin, answer on stdout, both JSON.

It runs by its path, so that it starts in some milliseconds: it knows the standard library only. It takes a regular
expression from anybody, so it gives up all it does not need before it looks at one.
"""
from __future__ import annotations

import json
import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A NUL in the first bytes makes a file binary, for git, grep and us.
HEAD = 8192
# Of a longer line, this many characters around the match are shown.
MAX_TEXT = 300
BEFORE = 60
MEMORY = 1024**3


def give_up_privileges(uid: int, gid: int, seconds: int) -> None:
    """Become the files' owner; no more than what a search needs."""
    for limit, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_DATA, MEMORY),
                         (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_NOFILE, 64)):
        _soft, hard = resource.getrlimit(limit)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowered, lowered))
    os.nice(5)
    if os.geteuid() == 0 and uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def compiled(text: str, *, regex: bool, case: bool, word: bool) -> re.Pattern[str]:
    """What to look for. Raises ValueError saying where the pattern is bad."""
    flags = 0 if case else re.IGNORECASE
    try:
        if not regex:
            text = re.escape(text)
        elif word:
            re.compile(text, flags)         # by itself first: our brackets must not close its own, nor move its errors
        return re.compile(whole_word(text) if word else text, flags)
    except re.error as error:
        where = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise ValueError(f"q is no regular expression: {error.msg}{where}") from None
    except (OverflowError, RecursionError):
        raise ValueError("q is no regular expression that can be used: too deep, or repeated too often") from None


def whole_word(pattern: str) -> str:
    """The pattern, matching only where no letter, digit or _ stands beside it."""
    front = re.match(r"(?:\(\?[aimsux]+\))*", pattern)       # flags for the whole expression must stay in front
    flags = front[0] if front is not None else ""
    end = "\n" if "x" in flags else ""                      # a comment must not swallow our bracket
    return rf"{flags}(?<!\w)(?:{pattern[len(flags):]}{end})(?!\w)"


def folders(root_fd: int, ignore: frozenset[str]) -> Iterator[tuple[bytes, int, list[str]]]:
    """Path, descriptor and file names of each folder on this file system; no link is followed."""
    device = os.fstat(root_fd).st_dev
    waiting: list[tuple[bytes, ...]] = [()]
    while waiting:
        names = waiting.pop()
        fd = os.open(".", FOLDER, dir_fd=root_fd)
        try:
            for name in names:
                inner = os.open(name, FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            if os.fstat(fd).st_dev != device:
                continue
            with os.scandir(fd) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            below = [(*names, os.fsencode(entry.name)) for entry in entries
                     if entry.name not in ignore and entry.is_dir(follow_symlinks=False)]
            yield b"".join(name + b"/" for name in names), fd, [
                entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            waiting.extend(reversed(below))
        except OSError:
            continue            # it is gone, or became a link
        finally:
            os.close(fd)


def content(name: str, folder_fd: int, max_bytes: int) -> bytes | None:
    """What is in a file; None for what is none, or not to be searched."""
    with suppress(OSError):
        fd = os.open(name, FILE, dir_fd=folder_fd)
        with open(fd, "rb", buffering=0) as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                return None
            data = file.read(HEAD)
            if b"\0" in data:
                return None
            data += file.read(max_bytes + 1 - len(data))
            return data if len(data) <= max_bytes else None
    return None


def may_match(data: bytes, text: str, *, case: bool) -> bool:
    """Whether a file can hold the text at all, found out without decoding it."""
    if case:
        return text.encode(errors="replace") in data
    # Beyond ASCII, letters have other cases than bytes know of.
    return not (text.isascii() and data.isascii()) or text.lower().encode() in data.lower()


def matches(pattern: re.Pattern[str], text: str, *, lines_apart: bool) -> Iterator[tuple[int, str, int, int]]:
    """(line from 0, its text, column from 0, length) of each match that is not empty."""
    if lines_apart:
        for i, line in enumerate(text.split("\n")):
            line = line.removesuffix("\r")
            for match in pattern.finditer(line):
                if match.end() > match.start():
                    yield i, line, match.start(), match.end() - match.start()
        return
    line_number = counted = 0
    start, end = 0, -1
    for match in pattern.finditer(text):
        if match.start() > end:
            line_number += text.count("\n", counted, match.start())
            counted = match.start()
            start = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.start())
            end = len(text) if end < 0 else end
            line = text[start:end].removesuffix("\r")
        yield line_number, line, match.start() - start, match.end() - match.start()


def search(question: dict[str, Any]) -> dict[str, Any]:
    """The answer."""
    text, regex, case = question["text"], question["regex"], question["case"]
    try:
        pattern = compiled(text, regex=regex, case=case, word=question["word"])
    except ValueError as error:
        return {"invalid": str(error)}
    found: list[dict[str, Any]] = []
    for path, fd, names in folders(question["folder"], frozenset(question["ignore"])):
        for name in names:
            data = content(name, fd, question["max_file"])
            if data is None or (not regex and not may_match(data, text, case=case)):
                continue
            decoded = data.decode("utf-8", "replace").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
            for line_number, line, column, length in matches(pattern, decoded, lines_apart=regex):
                if len(found) == question["max_matches"]:
                    return {"matches": found, "truncated": True}
                begin = max(0, column - BEFORE) if len(line) > MAX_TEXT else 0
                found.append({"path": (path + os.fsencode(name)).hex(), "line": line_number + 1, "column": column + 1,
                              "length": length, "text": line[begin:begin + MAX_TEXT], "text_column": begin + 1})
    return {"matches": found, "truncated": False}


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin.buffer)
    give_up_privileges(question["uid"], question["gid"], question["seconds"])
    sys.stdout.write(json.dumps(search(question)))


if __name__ == "__main__":
    main()
