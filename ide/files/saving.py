"""Replaces a file as one step, and only if it still has the contents that the writer saw.

The new content is finished in tmp/ and exchanged with the file. What came out is read then: a program may have written
until that very step. If it is not what was expected, the two are exchanged back.
"""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import ConditionRequired, Exists, NotAFile, NotFound, Stale, TooLarge

from .confine import NO_ROOM, refused
from .history import History
from .kernel import exchange, rename_new
from .paths import check_new_name, shown
from .reading import Content, etag_of, read, write_all
from .sweeping import new_name
from .volume import FILE_MODE, Spot, Volume, identity

Owner = tuple[int, int]         # uid and gid

ANY = "*"               # If-Match: whatever is there
# Each turn undoes one rename that a program made in the same microseconds.
TURNS = 100


class Saver:
    """Writes whole contents. Any thread."""

    def __init__(self, volume: Volume, history: History, config: IdeConfig) -> None:
        """At most `config.limits.file` bytes each."""
        self._volume = volume
        self._history = history
        self._max_bytes = config.limits.file

    def put(self, path: bytes, body: bytes, *, match: str | None, create: bool, parents: bool) -> tuple[bool, str]:
        """Make `body` the content of the file; (whether it is new, its ETag). On the disk when it returns.

        `match`: the ETag of what is replaced, or "*"; `create`: there must be nothing. A link is followed. Refusals.
        """
        if match is None and not create:
            raise ConditionRequired("say which contents you replace (If-Match), or that there are none "
                                    "(If-None-Match: *)")
        if len(body) > self._max_bytes:
            raise TooLarge(f"{len(body)} bytes; allowed: {self._max_bytes} (limits.file)")
        etag = etag_of(body)
        with self._target(path, create=create, parents=parents) as spot, self._volume.locked(spot), refused(path):
            if create:
                self._create(spot, body, etag)
            else:
                self._replace(spot, body, etag, match or ANY)
            return create, etag

    def _target(self, path: bytes, *, create: bool, parents: bool) -> Spot:
        try:
            return self._volume.target(path, parents=parents)
        except NotFound:
            with self._volume.spot(path) as spot:
                if spot.look() is None:
                    raise
            if create:
                raise Exists(f"{shown(path)} exists: a link that leads nowhere") from None
            raise Stale(f"{shown(path)} is a link that leads nowhere", None) from None

    # ---- a new file

    def _create(self, spot: Spot, body: bytes, etag: str) -> None:
        check_new_name(spot.name)
        if spot.look() is not None:
            raise self._taken(spot)
        volume = self._volume
        with self._prepared(spot, body, etag, len(body), 1, FILE_MODE, None) as draft:
            try:
                rename_new(volume.tmp, draft, spot.folder, spot.name)
            except FileExistsError:
                raise self._taken(spot) from None
            finally:
                volume.drop(draft)
            spot.sync()

    def _taken(self, spot: Spot) -> Stale | NotAFile | Exists:
        """Why nothing new can stand there."""
        name = shown(spot.path)
        try:
            content = self._content(spot, 0)
        except NotAFile as error:
            return error
        except OSError:
            # A link to nothing, or a file that may not be read.
            return Exists(f"{name} exists, and is no file that can be read")
        if content is None:
            return Exists(f"{name} comes and goes; try again")
        return Stale(f"{name} exists", content.etag)

    # ---- an old one

    def _replace(self, spot: Spot, body: bytes, etag: str, match: str) -> None:
        volume = self._volume
        name = shown(spot.path)
        try:
            fd = spot.open()
        except FileNotFoundError:
            raise Stale(f"{name} is not there any more", None) from None
        try:
            old = os.fstat(fd)
            if not stat.S_ISREG(old.st_mode):
                raise NotAFile(f"{name} is no file")
            seen = read(fd, 0).etag
            if match not in (ANY, seen):
                raise Stale(f"{name} has other contents by now", seen)
            if seen == etag:            # a program wrote the same; it may not have synced it
                self._history.add(spot.path, body, etag)
                os.fsync(fd)
                spot.sync()
                return
        finally:
            os.close(fd)
        owner = old.st_uid, old.st_gid
        with self._prepared(spot, body, etag, len(body) - old.st_size, 0, old.st_mode, owner) as draft:
            try:
                if len(body) > self._history.max_file_bytes:
                    volume.arm(draft, spot.path)
                else:
                    draft = self._history.arm(spot.path, draft)
            except BaseException:
                volume.drop(draft)
                raise
            self._swap(spot, draft, match, etag)
            spot.sync()

    @contextmanager
    def _prepared(self, spot: Spot, body: bytes, etag: str, grows: int, files: int, mode: int,
                  owner: Owner | None) -> Iterator[bytes]:
        """The name in tmp/ of a synced file with that content, which the budget and the history know of.

        If the block fails, these two forget it.
        """
        self._volume.room(grows, files)
        with self._volume.giving_back(grows, files):
            try:
                draft, is_new = self._tried(spot, body, etag, mode, owner)
            except OSError as error:
                if error.errno not in NO_ROOM or not self._history.give_way():
                    raise
                draft, is_new = self._tried(spot, body, etag, mode, owner)
            try:
                yield draft
            except BaseException:
                if is_new:
                    self._history.forget(spot.path, etag)
                raise

    def _tried(self, spot: Spot, body: bytes, etag: str, mode: int, owner: Owner | None) -> tuple[bytes, bool]:
        draft = self._draft(body, mode, owner)
        try:
            return draft, self._history.add(spot.path, body, etag)
        except BaseException:
            self._volume.drop(draft)
            raise

    def _draft(self, body: bytes, mode: int, owner: Owner | None) -> bytes:
        """The name in tmp/ of a synced file with that content. OSError; then it is gone."""
        volume = self._volume
        draft = new_name()
        fd = volume.new_file(volume.tmp, draft)
        try:
            write_all(fd, body)
            volume.give(fd, mode, owner)
            os.fsync(fd)
        except BaseException:
            volume.drop(draft)
            raise
        finally:
            os.close(fd)
        return draft

    def _swap(self, spot: Spot, draft: bytes, match: str, etag: str) -> None:
        """Put the draft into place and what was there into the history, if it is what was expected. Raises Stale."""
        volume = self._volume
        ours = identity(os.stat(draft, dir_fd=volume.tmp))
        try:
            exchange(volume.tmp, draft, spot.folder, spot.name)
        except FileNotFoundError:
            volume.drop(draft)
            raise Stale(f"{shown(spot.path)} is not there any more", None) from None
        except OSError:
            volume.drop(draft)
            raise
        try:
            came_out = self._content(Spot(volume.tmp, draft, spot.path), 0)
            as_expected = came_out is not None and match in (ANY, came_out.etag)
        except (NotAFile, OSError):         # a folder, a pipe, a link, a file that may not be read
            came_out, as_expected = None, False
        if as_expected:
            self._history.take(spot.path, draft)
            return
        swap_back(volume, spot, draft, ours)
        if self._is(draft, etag):
            volume.drop(draft)
        else:                               # a program wrote into ours meanwhile
            self._history.take(spot.path, draft)
        if came_out is None:
            raise NotAFile(f"{shown(spot.path)} is no file any more")
        raise Stale(f"{shown(spot.path)} has other contents by now", came_out.etag)

    def _is(self, draft: bytes, etag: str) -> bool:
        try:
            content = self._content(Spot(self._volume.tmp, draft, draft), 0)
        except (NotAFile, OSError):
            return False
        return content is not None and content.etag == etag

    @staticmethod
    def _content(spot: Spot, keep: int) -> Content | None:
        """What the file there has in it; None: nothing is there. Raises NotAFile, OSError."""
        try:
            fd = spot.open()
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise NotAFile(f"{shown(spot.path)} is no file")
            return read(fd, keep)
        finally:
            os.close(fd)


def swap_back(volume: Volume, spot: Spot, name: bytes, put: tuple[int, int]) -> None:
    """Put what came out in tmp/ as `name` back to where it was, in exchange for what we `put` there.

    If something else comes out, a program put it there meanwhile: that is newer, and goes back in its turn.
    """
    for _ in range(TURNS):
        held = identity(os.stat(name, dir_fd=volume.tmp, follow_symlinks=False))
        try:
            exchange(volume.tmp, name, spot.folder, spot.name)
        except FileNotFoundError:           # a program removed the file meanwhile, and meant it
            break
        if identity(os.stat(name, dir_fd=volume.tmp, follow_symlinks=False)) == put:
            break
        put = held
    # Our draft, or what a program has a newer thing for. The history takes a content. Nothing takes a folder.
    if not stat.S_ISREG(os.stat(name, dir_fd=volume.tmp, follow_symlinks=False).st_mode):
        restore(volume, spot, name)


def restore(volume: Volume, spot: Spot, name: bytes) -> bytes | None:
    """Give what lies in tmp/ as `name` its place again; where that is taken, one beside it, which is returned.

    A file whose place is taken stays in tmp/: the history takes it.
    """
    try:
        rename_new(volume.tmp, name, spot.folder, spot.name)
        return spot.name
    except FileExistsError:
        if stat.S_ISREG(os.stat(name, dir_fd=volume.tmp, follow_symlinks=False).st_mode):
            return None
        beside = spot.name[:200] + b"." + new_name()
        rename_new(volume.tmp, name, spot.folder, beside)
        return beside
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):      # the folder itself was removed meanwhile
            return None
        raise
