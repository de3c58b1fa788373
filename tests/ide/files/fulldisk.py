"""Runs where it alone sees its mounts: a project on a disk of 2 MiB, which is then filled up."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hotpath.ide.errors import NoRoom
from tests.ide.files import places
from tests.ide.files.hostile import honest
from tests.ide.files.places import content, made, versions

KIB = 1024


def is_refused(place: places.Place, act: Callable[[], object], fill: Callable[[places.Place], None]) -> None:
    """Refused as full, and nothing is other than before."""
    fill(place)         # each time: a save that was refused has made the history give way
    before = places.tree(place.root)
    with pytest.raises(NoRoom, match="no room"):
        act()
    assert places.tree(place.root) == before
    assert place.leftovers == [], place.leftovers


def take_bytes(place: places.Place) -> None:
    """A program takes all that is left."""
    with open(place.root / "program", "ab", buffering=0) as file:
        for size in (64 * KIB, 4 * KIB, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def take_inodes(place: places.Place) -> None:
    """A program makes as many folders as it can."""
    with suppress(OSError):
        while True:
            os.mkdir(place.root / f"program{os.urandom(8).hex()}")


def bytes_run_out(folder: Path) -> None:
    place = places.place(folder)
    files = place.files
    etag = made(place, b"d/f", b"1" * 100 * KIB)
    made(place, b"large", bytes(300 * KIB))
    is_refused(place, lambda: files.put(b"d/f", b"2" * 600 * KIB, match=etag, create=False), take_bytes)
    is_refused(place, lambda: files.put(b"new", bytes(600 * KIB), match=None, create=True), take_bytes)
    is_refused(place, lambda: files.copy(b"large", b"copy"), take_bytes)
    is_refused(place, lambda: files.copy(b"d", b"copy"), take_bytes)
    is_refused(place, lambda: files.unzip(b"", honest({"a": b"1", "b": bytes(600 * KIB)})), take_bytes)
    assert content(files.open(b"d/f")) == b"1" * 100 * KIB
    # Earlier contents give way to what is typed now.
    (place.root / "program").unlink()
    for n in range(60):
        etag = files.put(b"d/f", b"%d" % n * 50 * KIB, match=etag, create=False)[1]
    assert content(files.open(b"d/f")) == b"59" * 50 * KIB
    assert versions(place, b"d/f")[0] == b"58" * 50 * KIB
    # On a full disk things can be deleted, and then there is room.
    take_bytes(place)
    files.delete(b"large")
    files.delete(b"program")
    made(place, b"new", b"new")
    place.again().files.recover()
    assert place.leftovers == []


def inodes_run_out(folder: Path) -> None:
    place = places.place(folder)
    files = place.files
    etag = made(place, b"d/f", b"1")
    is_refused(place, lambda: files.make_dir(b"new"), take_inodes)
    is_refused(place, lambda: files.put(b"x/y/z", b"", match=None, create=True, parents=True), take_inodes)
    is_refused(place, lambda: files.copy(b"d", b"copy"), take_inodes)
    is_refused(place, lambda: files.put(b"d/f", b"2", match=etag, create=False), take_inodes)
    # Where not even a name can be made, things can be deleted.
    for name in (b"a", b"b"):
        next(place.root.glob("program*")).rmdir()
        (place.root / os.fsdecode(name)).write_bytes(name)
        files.delete(name)
        take_inodes(place)
    files.delete(b"d", recursive=True)
    for path in place.root.glob("program*"):
        path.rmdir()
    made(place, b"d/f", b"1")
    files.put(b"d/f", b"2", match="*", create=False)
    files.delete(b"d", recursive=True)


if __name__ == "__main__":
    top = Path(sys.argv[1])
    for name, options, act in (("bytes", "size=2m", bytes_run_out), ("inodes", "nr_inodes=40", inodes_run_out)):
        (top / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", top / name], check=True)
        act(top / name / "project")
    print("all refused")
