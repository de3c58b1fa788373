"""What a manifest says, and which one is none: bytes from the store are trusted in nothing.

    {"template": NAME, "run": COMMAND or null, "files": {PATH: {"blob", "mode", "size"} | {"link"} | {"dir": 1}}}

Only folders that are empty, or whose mode is not the usual one, have an entry (with `mode` then). A name that is no
UTF-8 is written as Python's surrogateescape has it, which JSON can say as \\udcXX.
"""
from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from hotpath.ide.templates import NAME

FOLDER_MODE = 0o755
MAX_PATH, MAX_NAME = 4095, 255

Mode = Annotated[int, msgspec.Meta(ge=0, le=0o777)]


class Damaged(ValueError):
    """It is no manifest of ours, or somebody has changed it."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A file has blob, mode and size; a link has link; a folder has dir, and perhaps mode."""

    blob: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None      # blake2b-256 of the content
    mode: Mode | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=2**50)] | None = None
    link: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    dir: Annotated[int, msgspec.Meta(ge=1, le=1)] | None = None


# Which members an entry has, besides what may be missing.
SHAPES = ({"blob", "mode", "size"}, {"link"}, {"dir"}, {"dir", "mode"})


class Manifest(msgspec.Struct, frozen=True):
    """A project at one moment."""

    template: Annotated[str, msgspec.Meta(pattern=rf"^{NAME}\Z")]
    run: Annotated[str, msgspec.Meta(max_length=65536)] | None
    files: dict[str, Entry]

    @property
    def blobs(self) -> set[str]:
        """All contents that it needs."""
        return {entry.blob for entry in self.files.values() if entry.blob is not None}

    @property
    def n_files(self) -> int:
        """How many have contents."""
        return sum(entry.blob is not None for entry in self.files.values())

    @property
    def n_bytes(self) -> int:
        """Of all of them."""
        return sum(entry.size or 0 for entry in self.files.values())


def encoded(manifest: Manifest) -> bytes:
    """As it is stored."""
    plain = msgspec.to_builtins(manifest)
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def decoded(data: bytes) -> Manifest:
    """The manifest, every entry and path of it checked. Raises Damaged."""
    try:
        manifest = msgspec.convert(json.loads(data), Manifest)
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from error
    paths = {}
    for text, entry in manifest.files.items():
        path = checked_path(text)
        members = {name for name in Entry.__struct_fields__ if getattr(entry, name) is not None}
        if members not in SHAPES:
            raise Damaged(f"{text!r} is neither file, link nor folder")
        if entry.link is not None:
            checked_link(entry.link)
        paths[path] = entry
    check_tree(paths)
    return manifest


def checked_path(text: str) -> bytes:
    """The path's bytes: relative, in its only spelling, as those of requests are. Raises Damaged."""
    path = bytes_of(text)
    if len(path) > MAX_PATH or os.fsdecode(path) != text:
        raise Damaged(f"{text[:80]!r} is no path")
    for name in path.split(b"/"):
        if name in (b"", b".", b"..") or len(name) > MAX_NAME or b"\0" in name:
            raise Damaged(f"{text[:80]!r} is no path in a project")
    return path


def checked_link(text: str) -> bytes:
    """Where a link leads; anywhere, as nothing ever follows one that leaves. Raises Damaged."""
    target = bytes_of(text)
    if b"\0" in target or len(target) > MAX_PATH:
        raise Damaged("a link leads to what is no path")
    return target


def bytes_of(text: str) -> bytes:
    """Of a name. Raises Damaged."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        raise Damaged(f"{text[:80]!r} is no name") from None


def check_tree(paths: Mapping[bytes, Entry]) -> None:
    """Whatever something is in is a folder: nothing is written through a link. Raises Damaged."""
    for path in paths:
        at = path.rfind(b"/")
        while at > 0:
            above = paths.get(path[:at])
            if above is not None and above.dir is None:
                raise Damaged(f"{os.fsdecode(path)[:80]!r} is in what is no folder")
            at = path.rfind(b"/", 0, at)


def number_of(name: str) -> int | None:
    """The number in a manifest's name."""
    return int(name[:8]) if re.fullmatch(r"[0-9]{8}\.json", name) else None
