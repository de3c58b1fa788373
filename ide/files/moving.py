"""Moves and copies; what they displace goes to the history."""
from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from hotpath.ide.errors import Exists, IntoItself, NotAFile, NotFound, Stale

from .confine import opened, refused
from .history import History
from .kernel import exchange, rename_new, sync_file_system
from .paths import check_new_name, shown, split
from .reading import CHUNK_BYTES, write_all
from .saving import restore
from .sweeping import new_name, remove_tree
from .volume import ARMED, Identity, Spot, Volume, identity
from .walking import Found, walk

# What is no file any more when it is copied: it is gone, its folder became a file, it became a link, a socket.
REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
TURNS = 100                     # somebody makes and removes the target meanwhile


class Mover:
    """Moves and copies within one project. Any thread."""

    def __init__(self, volume: Volume, history: History) -> None:
        """In this project."""
        self._volume = volume
        self._history = history

    def move(self, source: bytes, target: bytes, *, overwrite: bool) -> None:
        """Give what stands at `source` the path `target`. A link is moved itself. Refusals."""
        volume = self._volume
        with self._present(source) as old, volume.spot(target) as new, volume.locked(old, new):
            check_new_name(new.name)
            self._check_source(old, new, source)
            with refused(target):
                if old.path == new.path and overwrite:
                    return
                self._place(old, new, overwrite=overwrite)
                old.sync()
                new.sync()

    def copy(self, source: bytes, target: bytes, *, overwrite: bool) -> None:
        """Put a copy of what stands at `source` at `target`. A link is copied as a link. Refusals."""
        volume = self._volume
        with self._present(source) as old, volume.spot(target) as new:
            check_new_name(new.name)
            here = self._check_source(old, new, source)
            if not overwrite and new.look() is not None:
                raise Exists(f"{shown(target)} exists")
            draft = new_name()
            with refused(target):
                try:
                    with refused(source):
                        n_bytes, n = self._copied(old, here, draft)
                    sync_file_system(volume.tmp)
                    with volume.giving_back(n_bytes, n), volume.locked(new):
                        self._place(Spot(volume.tmp, draft, new.path), new, overwrite=overwrite)
                        new.sync()
                except BaseException:       # on success nothing of ours is there, and what was replaced may wait there
                    remove_tree(volume.tmp, draft)
                    raise

    def _present(self, source: bytes) -> Spot:
        """Where `source` stands. NotFound: whatever is wrong with the target as well, this comes first."""
        spot = self._volume.spot(source)
        try:
            if spot.look() is None:
                raise NotFound(f"there is no {shown(source)}")
        except BaseException:
            os.close(spot.folder)
            raise
        return spot

    def _check_source(self, old: Spot, new: Spot, source: bytes) -> os.stat_result:
        here = old.look()
        if here is None:
            raise NotFound(f"there is no {shown(source)}")
        with refused(new.path):
            into = stat.S_ISDIR(here.st_mode) and is_within(
                new.folder, identity(here), identity(os.fstat(self._volume.root)))
        if into:
            raise IntoItself(f"{shown(source)} cannot be put into itself")
        return here

    # ---- into place

    def _place(self, old: Spot, new: Spot, *, overwrite: bool) -> None:
        """Rename from spot to spot. Raises Exists, NotFound, OSError."""
        for _ in range(TURNS):
            try:
                rename_new(old.folder, old.name, new.folder, new.name)
                return
            except FileExistsError:
                if not overwrite:
                    raise Exists(f"{shown(new.path)} exists") from None
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise IntoItself(f"{shown(old.path)} cannot be put into itself") from None
                raise
            with suppress(FileNotFoundError):       # the target went away: then there is nothing to overwrite
                self._overwrite(old, new)
                return
        raise Stale(f"{shown(new.path)} is changed faster than it can be replaced", None)

    def _overwrite(self, old: Spot, new: Spot) -> None:
        """Exchange the two, and take what came out. FileNotFoundError: one of the two is gone."""
        volume = self._volume
        there = new.look()
        if there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if stat.S_ISDIR(there.st_mode):
            raise Exists(f"{shown(new.path)} is a folder; delete it first")
        out = old.name if old.folder == volume.tmp else new_name()
        volume.arm(out, new.path)
        try:
            # In one step: whenever we end, nothing is missing.
            exchange(old.folder, old.name, new.folder, new.name)
            came_out = os.stat(old.name, dir_fd=old.folder, follow_symlinks=False)
            if stat.S_ISDIR(came_out.st_mode):
                exchange(old.folder, old.name, new.folder, new.name)
                raise Exists(f"{shown(new.path)} is a folder; delete it first")
            if out != old.name:
                os.rename(old.name, out, src_dir_fd=old.folder, dst_dir_fd=volume.tmp)
                if identity(os.stat(out, dir_fd=volume.tmp, follow_symlinks=False)) != identity(came_out):
                    restore(volume, old, out)       # a program put something else there in that moment
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(out + ARMED, dir_fd=volume.tmp)
            raise
        self._history.take(new.path, out)
        volume.room(-came_out.st_size, -1)

    # ---- copies

    def _copied(self, old: Spot, here: os.stat_result, draft: bytes) -> tuple[int, int]:
        """Make the copy in tmp/; the bytes and things that room was found for. Refusals, OSError."""
        volume = self._volume
        if stat.S_ISREG(here.st_mode):
            fd = old.open()
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise NotAFile(f"{shown(old.path)} is no file any more")
                volume.room(status.st_size, 1)
                with volume.giving_back(status.st_size, 1):
                    self._copy_file(fd, status, volume.tmp, draft)
                return status.st_size, 1
            finally:
                os.close(fd)
        if stat.S_ISLNK(here.st_mode):
            volume.room(0, 1)
            with volume.giving_back(0, 1):
                self._copy_link(old.folder, old.name, volume.tmp, draft)
            return 0, 1
        if not stat.S_ISDIR(here.st_mode):
            raise NotAFile(f"{shown(old.path)} is no file; it cannot be copied")
        return self._copy_folder(old, draft)

    def _copy_folder(self, old: Spot, draft: bytes) -> tuple[int, int]:
        volume = self._volume
        top = opened(old.folder, old.name, os.O_RDONLY | os.O_DIRECTORY, links=False)
        try:
            found = list(walk(top))
            n_bytes, n = sum(one.status.st_size for one in found if one.is_file), len(found) + 1
            volume.room(n_bytes, n)
            with volume.giving_back(n_bytes, n):
                to = volume.new_folder(volume.tmp, draft, os.fstat(top).st_mode | stat.S_IRWXU)
                try:
                    for one in found:
                        self._copy_one(top, to, one)
                finally:
                    os.close(to)
            return n_bytes, n
        finally:
            os.close(top)

    def _copy_one(self, top: int, copy: int, one: Found) -> None:
        """One thing of a folder, as it was when it was counted; what is gone since is left out, and so are pipes."""
        above, name = split(one.path)
        to = opened(copy, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
        try:
            if one.is_folder:
                os.close(self._volume.new_folder(to, name, one.status.st_mode | stat.S_IRWXU))
            elif one.is_file:
                try:
                    fd = opened(top, one.path, links=False)
                except OSError as error:
                    if error.errno in REPLACED:
                        return
                    raise
                try:
                    if stat.S_ISREG(os.fstat(fd).st_mode):
                        self._copy_file(fd, one.status, to, name)
                finally:
                    os.close(fd)
            elif stat.S_ISLNK(one.status.st_mode):
                folder = opened(top, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
                try:
                    with suppress(FileNotFoundError):
                        self._copy_link(folder, name, to, name)
                finally:
                    os.close(folder)
        finally:
            os.close(to)

    def _copy_file(self, fd: int, status: os.stat_result, folder: int, name: bytes) -> None:
        # No more than was counted: a program may write faster than we copy.
        to = self._volume.new_file(folder, name)
        try:
            at = 0
            while piece := os.pread(fd, min(CHUNK_BYTES, status.st_size - at), at):
                write_all(to, piece)
                at += len(piece)
            self._volume.give(to, status.st_mode)
        finally:
            os.close(to)

    def _copy_link(self, from_folder: int, name: bytes, to_folder: int, new: bytes) -> None:
        try:
            to = os.readlink(name, dir_fd=from_folder)
        except OSError as error:
            if error.errno == errno.EINVAL:     # it is none any more
                return
            raise
        os.symlink(to, new, dir_fd=to_folder)
        if self._volume.owner is not None:
            os.chown(new, *self._volume.owner, dir_fd=to_folder, follow_symlinks=False)


def is_within(folder: int, one: Identity, root: Identity) -> bool:
    """Whether `folder` is `one` or lies in it; looked for up to the project's own folder."""
    at = os.dup(folder)
    try:
        while (here := identity(os.fstat(at))) != one:
            if here == root:
                return False
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = above
            if identity(os.fstat(at)) == here:      # the root of the file system: it was moved out of the project
                return False
        return True
    finally:
        os.close(at)
