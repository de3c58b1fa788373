"""What is a path in a project, and how is one written in a URL or on a page?"""
from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from hotpath.ide.errors import BadPath

# Of Linux: one name, and a whole path without its final NUL.
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4095

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


def path_of_query(raw: str) -> bytes:
    """The path that the value of a query parameter names: percent-decoded once; a plus is a plus. Raises BadPath."""
    def byte(escape: re.Match[bytes]) -> bytes:
        if escape[1] is None:
            raise BadPath("the path has a % that no two hexadecimal digits follow")
        return bytes.fromhex(escape[1].decode())

    return checked(ESCAPE.sub(byte, raw.encode("utf-8", "surrogateescape")))


def checked(path: bytes) -> bytes:
    """The same path, if it is one: relative, in its only spelling; b"" is the project's folder. Raises BadPath."""
    if b"\0" in path:
        raise BadPath("the path has a NUL in it")
    if len(path) > MAX_PATH_BYTES:
        raise BadPath(f"the path has {len(path)} bytes; allowed: {MAX_PATH_BYTES}")
    if path.startswith(b"/"):
        raise BadPath("the path begins with /; allowed: relative to the project's folder")
    for name in path.split(b"/") if path else ():
        if name in (b"", b".", b".."):
            raise BadPath(f"the path has an empty name in it: {shown(path)}" if not name else
                          f"the path has {name.decode()} in it: {shown(path)}")
        if len(name) > MAX_NAME_BYTES:
            raise BadPath(f"a name in the path has {len(name)} bytes; allowed: {MAX_NAME_BYTES}")
    return path


def check_new_name(name: bytes) -> None:
    """A name that we are about to give; what a program named otherwise can still be read. Raises BadPath."""
    if any(unicodedata.category(one) == "Cc" for one in name.decode("utf-8", "surrogateescape")):
        raise BadPath("a new name must not have control characters in it")


def href(path: bytes) -> str:
    """The path as it stands in a URL; `path_of_query` is the way back, for any bytes."""
    return quote(path, safe="/")


def shown(path: bytes) -> str:
    """The path for people; U+FFFD where it is no UTF-8."""
    return path.decode("utf-8", "replace")


def joined(folder: bytes, name: bytes) -> bytes:
    """The path of what is called so in the folder."""
    return folder + b"/" + name if folder else name


def split(path: bytes) -> tuple[bytes, bytes]:
    """The folder's path and the last name."""
    folder, _, name = path.rpartition(b"/")
    return folder, name
