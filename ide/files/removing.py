"""Deletes in one step: a rename into tmp/. What comes out there is looked at, and goes to the history."""
from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable

from hotpath.ide.errors import NotEmpty, NotFound, Stale

from .confine import NO_ROOM, opened, refused, resolve
from .history import History
from .paths import joined, shown
from .reading import read
from .saving import ANY, restore
from .sweeping import new_name, remove_tree
from .volume import Spot, Volume
from .walking import walk

log = logging.getLogger(__name__)

TURNS = 100                     # what stood there was replaced by something else meanwhile
# Of one folder. Who deletes more wants to be rid of it, and it would push everything else out of the history.
MAX_KEPT_FILES = 5000
MAX_KEPT_BYTES = 64 * 1024**2


class Remover:
    """Deletes files and folders. Any thread."""

    def __init__(self, volume: Volume, history: History, ignored: Callable[[bytes], bool]) -> None:
        """`ignored(name)`: folders whose contents are not kept."""
        self._volume = volume
        self._history = history
        self._ignored = ignored

    def delete(self, path: bytes, *, recursive: bool, match: str | None) -> None:
        """Remove what stands there; of a link, the link itself. `match`: only with this ETag. Refusals."""
        with self._volume.spot(path) as spot, self._volume.locked(spot), refused(path):
            for _ in range(TURNS):
                if self._delete(spot, path, recursive=recursive, match=match):
                    spot.sync()
                    return
        raise Stale(f"{shown(path)} is changed faster than it can be deleted", None)

    def _delete(self, spot: Spot, path: bytes, *, recursive: bool, match: str | None) -> bool:
        """False: something else stands there by now."""
        here = spot.look()
        if here is None:
            raise NotFound(f"there is no {shown(path)}")
        if match not in (None, ANY):
            self._check(path, match)
        if stat.S_ISDIR(here.st_mode):
            if recursive:
                return self._remove_folder(spot)
            try:
                os.rmdir(spot.name, dir_fd=spot.folder)
            except NotADirectoryError:
                return False
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise NotEmpty(f"{shown(path)} is not empty") from None
                raise
            self._volume.room(0, -1)
            return True
        return self._remove(spot, match if stat.S_ISREG(here.st_mode) else None)

    def _check(self, path: bytes, match: str | None) -> None:
        """Of a link it is what it leads to that has an ETag."""
        fd = resolve(self._volume.root, path)
        try:
            etag = read(fd, 0).etag if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)
        if etag != match:
            raise Stale(f"{shown(path)} has other contents by now", etag)

    def _take_out(self, spot: Spot) -> bytes:
        out = new_name()
        try:
            self._volume.arm(out, spot.path)
        except OSError as error:
            # Deleting is what makes room. Ended here, the next start cannot tell whose content it was.
            if error.errno not in NO_ROOM:
                raise
        try:
            os.rename(spot.name, out, src_dir_fd=spot.folder, dst_dir_fd=self._volume.tmp)
        except BaseException:
            self._volume.drop(out)
            raise
        return out

    def _remove(self, spot: Spot, match: str | None) -> bool:
        volume = self._volume
        out = self._take_out(spot)
        status = os.stat(out, dir_fd=volume.tmp, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._put_back(spot, out)
            return False
        if stat.S_ISREG(status.st_mode):
            if match not in (None, ANY):
                etag = self._etag(out)
                if etag != match:
                    self._put_back(spot, out)
                    raise Stale(f"{shown(spot.path)} has other contents by now", etag)
            self._history.take(spot.path, out, or_drop=True)
        else:
            volume.drop(out)
        volume.room(-status.st_size, -1)
        return True

    def _etag(self, out: bytes) -> str | None:
        try:
            fd = opened(self._volume.tmp, out, links=False)
        except PermissionError:
            return None
        try:
            return read(fd, 0).etag
        finally:
            os.close(fd)

    def _put_back(self, spot: Spot, out: bytes) -> None:
        """Where a program made something of that name meanwhile, a file goes to the history."""
        if restore(self._volume, spot, out) is None:
            self._history.take(spot.path, out)
        else:
            self._volume.drop(out)

    # ---- folders

    def _remove_folder(self, spot: Spot) -> bool:
        volume = self._volume
        out = self._take_out(spot)
        if not stat.S_ISDIR(os.stat(out, dir_fd=volume.tmp, follow_symlinks=False).st_mode):
            self._put_back(spot, out)
            return False
        spot.sync()
        n_bytes, n = self.keep_all(out, spot.path)
        volume.room(-n_bytes, -n - 1)
        remove_tree(volume.tmp, out)
        volume.drop(out)
        return True

    def keep_all(self, out: bytes, path: bytes) -> tuple[int, int]:
        """Put the files of a folder in tmp/, which was at `path`, into the history; the bytes and things it had."""
        volume = self._volume
        n_bytes = n = kept_bytes = kept = 0
        try:
            top = opened(volume.tmp, out, os.O_RDONLY | os.O_DIRECTORY, links=False)
        except OSError:                 # forbidden to its own owner
            return 0, 0
        try:
            full = False
            for one in list(walk(top)):
                n += 1
                if not one.is_file:
                    continue
                n_bytes += one.status.st_size
                parts = joined(path, one.path).split(b"/")
                small = one.status.st_size <= self._history.max_file_bytes
                if full or not small or any(map(self._ignored, parts[:-1])):
                    continue
                kept, kept_bytes = kept + 1, kept_bytes + one.status.st_size
                if kept > MAX_KEPT_FILES or kept_bytes > MAX_KEPT_BYTES:
                    full = True
                    continue
                full = not self._keep(top, one.path, b"/".join(parts))
            return n_bytes, n
        finally:
            os.close(top)

    def _keep(self, top: int, inner: bytes, path: bytes) -> bool:
        """Whether the disk has room for more."""
        above, _, name = inner.rpartition(b"/")
        try:
            folder = opened(top, above, os.O_RDONLY | os.O_DIRECTORY, links=False)
        except OSError:
            return True
        try:
            self._history.take_from(path, folder, name)
        except OSError as error:
            log.warning("a deleted file is not kept path=%s: %s", shown(path), error)
            return error.errno not in NO_ROOM
        finally:
            os.close(folder)
        return True
