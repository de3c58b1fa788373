"""Make a folder of a manifest: every content is compared with its hash, nothing is written through a link."""
from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from hotpath.ide.errors import BackupFailed, NoRoom
from hotpath.ide.files.kernel import sync_file_system
from hotpath.ide.walking import FOLDER, open_beneath

from .manifest import FOLDER_MODE, Entry, Manifest, checked_link, checked_path
from .store import TRIES, Cut

DOWNLOADS = 8
# What waits for them costs a kilobyte each.
BATCH = 1024

Read = Callable[[str], Iterator[bytes]]         # a content by its hash, in pieces; KeyError: it is not there
Owner = tuple[int, int] | None


def build(manifest: Manifest, target: Path, owner: Owner, read_blob: Read) -> None:
    """Fill `target`, an empty folder or none yet, durably. Raises BackupFailed, NoRoom; then nothing is left of it."""
    made = not target.exists()
    try:
        with _no_room():
            target.mkdir(mode=FOLDER_MODE, exist_ok=True)
            root_fd = os.open(target, FOLDER)
            try:
                if os.listdir(root_fd):
                    raise FileExistsError(errno.EEXIST, "not empty", str(target))
                _Building(root_fd, owner, read_blob).run(manifest)
                sync_file_system(root_fd)
            finally:
                os.close(root_fd)
    except FileExistsError:
        raise
    except BaseException:
        _clear(target, itself=made)
        raise


@contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoRoom(f"no room is left on the server's disk ({error.strerror}); nothing was restored") from error
        raise


def _clear(target: Path, *, itself: bool) -> None:
    if itself:
        shutil.rmtree(target, ignore_errors=True)
        return
    with suppress(OSError):
        for one in target.iterdir():
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink()


class _Building:
    def __init__(self, root_fd: int, owner: Owner, read_blob: Read) -> None:
        self._root_fd = root_fd
        self._owner = owner
        self._read_blob = read_blob

    def run(self, manifest: Manifest) -> None:
        entries = {checked_path(text): entry for text, entry in manifest.files.items()}
        modes = {path: entry.mode for path, entry in entries.items() if entry.dir is not None}
        folders = set(modes)
        for path in entries:
            while b"/" in path and (path := path.rpartition(b"/")[0]) not in folders:
                folders.add(path)
        for path in sorted(folders):                # the upper one is a prefix of the lower one, so it comes first
            with self._parent(path) as (fd, name):
                os.mkdir(name, 0o700, dir_fd=fd)
                self._give(name, fd)
        with ThreadPoolExecutor(DOWNLOADS, "restore") as pool:
            files = [(path, entry) for path, entry in entries.items() if entry.blob is not None]
            try:
                for i in range(0, len(files), BATCH):
                    for _ in pool.map(lambda file: self._file(*file), files[i:i + BATCH]):
                        pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for path, entry in entries.items():
            if entry.link is not None:
                with self._parent(path) as (fd, name):
                    os.symlink(checked_link(entry.link), name, dir_fd=fd)
                    self._give(name, fd)
        for path in sorted(folders, reverse=True):
            mode = modes.get(path)
            with self._parent(path) as (fd, name):
                os.chmod(name, FOLDER_MODE if mode is None else mode, dir_fd=fd)

    def _file(self, path: bytes, entry: Entry) -> None:
        assert entry.blob is not None
        assert entry.mode is not None
        with self._parent(path) as (folder_fd, name):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                         dir_fd=folder_fd)
        try:
            for last in range(1, TRIES + 1):
                try:
                    self._fill(fd, entry, os.fsdecode(path))
                    break
                except Cut:
                    if last == TRIES:
                        raise
                    os.ftruncate(fd, 0)
                    os.lseek(fd, 0, os.SEEK_SET)
            if self._owner is not None:
                os.fchown(fd, *self._owner)
            os.fchmod(fd, entry.mode)
        finally:
            os.close(fd)

    def _fill(self, fd: int, entry: Entry, path: str) -> None:
        assert entry.blob is not None
        hashed, size = hashlib.blake2b(digest_size=32), 0
        try:
            for piece in self._read_blob(entry.blob):
                size += len(piece)
                if size > (entry.size or 0):
                    break
                hashed.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view):]
        except KeyError:
            raise BackupFailed(f"the backup is not whole: the content of {path!r} is not in the store; take another "
                               "backup") from None
        if size != entry.size or hashed.hexdigest() != entry.blob:
            raise BackupFailed(f"the backup is damaged: the content of {path!r} is not what was put there; take "
                               "another backup")

    def _give(self, name: bytes, folder_fd: int) -> None:
        if self._owner is not None:
            os.chown(name, *self._owner, dir_fd=folder_fd, follow_symlinks=False)

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        folder, _, name = path.rpartition(b"/")
        fd = open_beneath(self._root_fd, folder, FOLDER)
        try:
            yield fd, name
        finally:
            os.close(fd)
